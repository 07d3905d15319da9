"""Who borrows what and when, and how they will repay: the plan of the story, made from a seed.

Nothing here touches the database. Days are counted back from today.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from lms import dates
from lms.backoffice.demo.products import PRODUCTS

OLDEST = 545  # days: eighteen months
# Loans of each product: repaid to the end, running on time, late today.
MIX = {
    "MKOPO30": (34, 30, 5),
    "BIASHARA": (6, 20, 3),
    "MSHAHARA": (7, 24, 4),
    "KILIMO": (2, 6, 2),
    "LOGBOOK": (2, 6, 2),
    "SOKO": (4, 10, 3),
}
# How many days late the late ones are: each bucket of the portfolio report is there.
LATENESS = (
    2, 12, 41, 95, 5, 21, 3, 16, 68, 130, 7, 4, 27, 9, 55, 1, 33, 14, 6, 24, 47,
)  # fmt: skip
# Applications still on their way, by the step they have reached.
PIPELINE = ("draft",) * 5 + ("submitted",) * 6 + ("approved",) * 5
DECLINED = ("rejected",) * 7 + ("withdrawn",) * 4 + ("rejected after approval",)
# How many instalments a customer brings in one visit, for the rhythms that are faster than that.
VISITS = {"BIASHARA": (1, 2, 2, 3), "SOKO": (5, 6, 7)}
PRINCIPALS = {
    "MKOPO30": (2_000, 3_000, 5_000, 5_000, 8_000, 10_000, 15_000, 20_000),
    "BIASHARA": (10_000, 15_000, 20_000, 30_000, 40_000, 60_000),
    "MSHAHARA": (30_000, 50_000, 80_000, 120_000, 150_000, 240_000),
    "KILIMO": (60_000, 100_000, 150_000, 250_000),
    "LOGBOOK": (150_000, 200_000, 300_000, 450_000),
    "SOKO": (3_000, 5_000, 8_000, 12_000),
}
REPAYMENTS = {"BIASHARA": (12, 12, 16), "MSHAHARA": (3, 6, 6, 9, 12), "KILIMO": (12, 12, 9)}


@dataclass(frozen=True)
class Plan:
    """One loan of the story. `fate` is the state it ends in; `late` the days it is late today."""

    product: str
    principal: Decimal
    repayments: int
    disbursed_on: date
    fate: str
    late: int = 0


def loans(random: Random, *, today: date) -> list[Plan]:
    """Return every planned loan in the order of their days."""
    made, lateness = [], iter(LATENESS)
    for code, (repaid, running, late) in MIX.items():
        made += [_repaid(code, random, today) for _ in range(repaid)]
        made += [_running(code, random, today) for _ in range(running)]
        made += [_late(code, next(lateness), random, today) for _ in range(late)]
    codes = list(MIX)
    for number, fate in enumerate(PIPELINE + DECLINED):
        back = random.randint(0, 2) if fate in PIPELINE else random.randint(5, 400)
        made.append(_plan(codes[number % len(codes)], random, today - timedelta(days=back), fate))
    return sorted(made, key=lambda plan: plan.disbursed_on)


def _plan(code: str, random: Random, on: date, fate: str, **more) -> Plan:
    usual = (PRODUCTS[code]["number_of_repayments"],)
    count = more.pop("repayments", None) or random.choice(REPAYMENTS.get(code, usual))
    return Plan(code, Decimal(random.choice(PRINCIPALS[code])), count, on, fate, **more)


def term_days(code: str, count: int) -> int:
    """Return about how many days `count` repayments of a product take."""
    terms = PRODUCTS[code]
    each = {"days": 1, "weeks": 7}.get(terms.get("repay_unit", "months"), 31)
    return each * terms.get("repay_every", 1) * count


def _repaid(code: str, random: Random, today: date) -> Plan:
    count = random.choice(REPAYMENTS.get(code, (PRODUCTS[code]["number_of_repayments"],)))
    if code == "KILIMO":
        count = 9
    term = term_days(code, count)
    age = random.randint(min(term + 8, OLDEST - 5), OLDEST)
    return _plan(code, random, today - timedelta(days=age), "closed", repayments=count)


def _running(code: str, random: Random, today: date) -> Plan:
    count = random.choice(REPAYMENTS.get(code, (PRODUCTS[code]["number_of_repayments"],)))
    age = random.randint(1, term_days(code, count) * 9 // 10)
    return _plan(code, random, today - timedelta(days=age), "active", repayments=count)


def _late(code: str, late: int, random: Random, today: date) -> Plan:
    """Return a loan of which an instalment fell due exactly `late` days ago and stayed unpaid."""
    terms = PRODUCTS[code]
    count = random.choice(REPAYMENTS.get(code, (terms["number_of_repayments"],)))
    paid = random.randint(0, max(count * 2 // 3, 1)) if count > 1 else 0
    periods = -(paid + 1) * terms.get("repay_every", 1)
    due = today - timedelta(days=late)
    disbursed_on = dates.add_period(due, periods, terms.get("repay_unit", "months"))
    return _plan(code, random, disbursed_on, "late", repayments=count, late=late)
