"""What pays a loan off before its term, and what is left to pay after money ahead of time.

Pure: no Django, no clock, no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise

from lms import money
from lms.errors import Refused
from lms.loans import allocation, apr
from lms.loans import interest as rates
from lms.loans.schedule import Row, Terms, period_rates
from lms.money import CENT, ZERO

REBATES = ("none", "pro_rata", "rule_of_78", "actuarial")
KEEPS = ("term", "instalment")


@dataclass(frozen=True, slots=True)
class Due(allocation.Due):
    """An instalment as a settlement sees it: what is owed of it, and what was billed.

    Its period starts on `starts_on`: the due date before it, or the day of the disbursement.
    """

    starts_on: date
    principal: Decimal
    interest: Decimal


def due_of(row: Row) -> Due:
    """Return a row of a schedule as a due of which nothing is paid."""
    return Due(
        key=row.number,
        due_date=row.due_date,
        owing={"principal": row.principal, "interest": row.interest, "fees": row.fees},
        starts_on=row.due_date - timedelta(days=row.days),
        principal=row.principal,
        interest=row.interest,
    )


@dataclass(frozen=True, slots=True)
class Quote:
    """What pays a loan off on a day, in KES.

    `rebate` and `fees_forgiven` are what is owed by the schedule and not asked for. Each later day
    up to `good_through` (included) costs `per_day` more, to the cent.
    """

    on: date
    good_through: date
    principal: Decimal
    interest: Decimal
    fees: Decimal
    penalties: Decimal
    rebate: Decimal
    fees_forgiven: Decimal
    per_day: Decimal

    @property
    def total(self) -> Decimal:
        return self.principal + self.interest + self.fees + self.penalties


def quote(
    dues: Sequence[Due],
    *,
    on: date,
    declining: bool,
    annual_rate: Decimal = ZERO,
    day_count: str = "periodic",
    rebate: str = "none",
    keep_fees: bool = True,
    valid_days: int = 7,
    unit: Decimal = CENT,
) -> Quote:
    """Return what pays the loan off on a day. `dues` are all of its instalments, paid or not.

    What is due by `on` is owed in full, and so are the principal and the penalties of later
    instalments, and their fees unless `keep_fees` is False. Of later interest is owed:

    - `declining`: what the principal not yet due earned since the last due date, by actual days
      over 365 where `day_count` counts no days, never more than the period's scheduled interest;
    - otherwise the interest of the later periods less the `rebate`. A period begins the day after
      the due date before it, and counts whole as soon as it has begun.

    Interest paid ahead counts towards what is owed of its own instalment; none is given back. The
    interest asked for is rounded to `unit`. The quote holds for `valid_days`, and ends earlier
    before the next due date, before another period begins, and where a period's interest is
    full. Raises Refused, naming the field, for a day before the loan or an unknown rebate.
    """
    if rebate not in REBATES:
        raise Refused(f"A rebate is one of {REBATES}, not {rebate!r}.", field="rebate")
    if not dues or on < min(due.starts_on for due in dues):
        raise Refused("A loan is paid off on or after the day of its disbursement.", field="on")
    later = [due for due in dues if due.due_date > on]
    last = on + timedelta(days=valid_days)
    per_day = ZERO
    scheduled = _owing(later, "interest")
    if declining:
        earned, per_day, last = _accrued(later, on, annual_rate, day_count, last, unit)
    else:
        earned = max(scheduled - _rebate(dues, rebate, on), ZERO)
        last = min([last, *(_holds_until(due, rebate, on) for due in later)])
        earned = min(money.money(earned, unit), scheduled)
    fees = _owing(later, "fees")
    past = [due for due in dues if due.due_date <= on]
    return Quote(
        on=on,
        good_through=last,
        principal=_owing(dues, "principal"),
        interest=_owing(past, "interest") + earned,
        fees=_owing(past, "fees") + (fees if keep_fees else ZERO),
        penalties=_owing(dues, "penalties"),
        rebate=scheduled - earned,
        fees_forgiven=ZERO if keep_fees else fees,
        per_day=per_day,
    )


def _owing(dues: Sequence[allocation.Due], component: str) -> Decimal:
    return sum((due.owing.get(component, ZERO) for due in dues), ZERO)


def _holds_until(due: Due, rebate: str, on: date) -> date:
    """Return the last day on which this later due leaves a flat payoff as it is on a day."""
    if rebate != "none" and due.starts_on >= on:
        return due.starts_on
    return due.due_date - timedelta(days=1)


def _accrued(
    later: Sequence[Due], on: date, annual_rate: Decimal, day_count: str, last: date, unit: Decimal
) -> tuple[Decimal, Decimal, date]:
    """Return the interest accrued and unpaid by a day, what a day adds, and until when it does."""
    if not later:
        return ZERO, ZERO, last
    current = min(later, key=lambda due: due.due_date)
    last = min(last, current.due_date - timedelta(days=1))
    owing = current.owing.get("interest", ZERO)
    paid = current.interest - owing
    terms = {"annual_rate": annual_rate, "day_count": day_count}
    balance, tomorrow = _owing(later, "principal"), on + timedelta(days=1)
    accrued = accrual(balance, start=current.starts_on, end=on, **terms)
    if accrued >= current.interest:
        return owing, ZERO, last
    per_day = accrual(balance, start=max(on, current.starts_on), end=tomorrow, **terms)
    # It grows by the day until it reaches what was paid ahead, or what the period costs at most.
    if per_day:
        until = paid if accrued < paid else current.interest
        last = min(last, on + timedelta(days=int((until - accrued) / per_day)))
    if accrued < paid:
        return ZERO, ZERO, last
    return min(money.money(accrued - paid, unit), owing), money.money(per_day), last


def accrual(
    balance: Decimal, *, start: date, end: date, annual_rate: Decimal, day_count: str = "periodic"
) -> Decimal:
    """Return the interest (KES, not rounded) on a balance from start to end, end excluded.

    Days are actual over 365 where `day_count` is "periodic". Nothing where end is before start.
    """
    if end <= start:
        return ZERO
    counted = "actual/365" if day_count == "periodic" else day_count
    part = rates.year_part(start, end, counted)
    return balance * annual_rate * part.parts / (100 * part.whole)


def _rebate(dues: Sequence[Due], method: str, on: date) -> Decimal:
    """Return the interest of the periods not begun by a day that a flat loan gives back."""
    in_order = sorted(dues, key=lambda due: due.due_date)
    left = [due for due in in_order if due.due_date > on and due.starts_on >= on]
    count, size = len(left), len(in_order)
    interest = sum((due.interest for due in in_order), ZERO)
    if method == "none" or not left or not interest:
        return ZERO
    if method == "pro_rata":
        return interest * count / size
    if method == "rule_of_78":
        return interest * count * (count + 1) / (size * (size + 1))
    # Actuarial: the instalments left are worth, at the rate of the whole schedule, what they
    # would be paid off with; the rest of them is the rebate.
    flows = [apr.Flow(due.principal + due.interest, k) for k, due in enumerate(in_order, start=1)]
    rate = apr.irr(sum((due.principal for due in in_order), ZERO), flows)
    amounts = [due.principal + due.interest for due in left]
    worth = sum(amount / (1 + rate) ** k for k, amount in enumerate(amounts, start=1))
    return sum(amounts, ZERO) - worth


def prepay(
    terms: Terms,
    rows: Sequence[Row],
    *,
    on: date,
    extra: Decimal,
    keep: str,
    rebate: str = "none",
) -> list[Row]:
    """Return the rows after `on` once `extra` KES have paid principal ahead of time.

    `rows` are the schedule of the terms, or what an earlier prepayment left of it, and all that is
    due by `on` is paid. Due dates stay. With `keep` "term" the instalments fall; with "instalment"
    they stay and the last ones are left out, their fees going to the new last one. Interest is
    charged at each period's rate on the new balance, and on `extra` for the days until `on`. The
    interest of a flat loan was agreed on the principal lent, so all of it stays, except the share
    of the `rebate` that `extra` is of the principal not yet due. Raises Refused, naming the field,
    for an amount that is nothing or pays the loan off, and in periods that capitalise interest.
    """
    for name, value, words in (("keep", keep, KEEPS), ("rebate", rebate, REBATES)):
        if value not in words:
            raise Refused(f"{value!r} is not one of {words}.", field=name)
    later = [row for row in rows if row.due_date > on]
    balance = sum((row.principal for row in later), ZERO)
    if not 0 < extra < balance:
        raise Refused(
            f"A prepayment is more than nothing and less than the {money.kes(balance)} of "
            "principal not yet due: to pay it all, settle the loan.",
            field="extra",
        )
    if terms.method == "flat":
        given_back = _rebate([due_of(row) for row in rows], rebate, on) * extra / balance
        parts = _flat_parts(terms, later, balance - extra, given_back, keep)
    else:
        parts = _declining_parts(terms, later, balance - extra, on, keep)
    return _rows_of(later, parts)


Parts = list[tuple[Decimal, Decimal]]  # principal and interest of each row


def _rows_of(later: Sequence[Row], parts: Parts) -> list[Row]:
    """Return the parts as rows on the due dates of the old ones, with the fees of all of them."""
    fees = [row.fees for row in later]
    fees[len(parts) - 1] += sum(fees[len(parts) :], ZERO)
    balance = sum((principal for principal, _ in parts), ZERO)
    rows = []
    for row, (principal, interest), fee in zip(later, parts, fees, strict=False):
        balance -= principal
        total = principal + interest + fee
        rows.append(
            Row(row.number, row.due_date, row.days, principal, interest, fee, total, balance)
        )
    return rows


def _regular(paying: Sequence[Row]) -> Row:
    """Return the row that shows the instalment: the first may bill more, the last the rest."""
    return paying[1 if len(paying) > 2 else 0]


def _declining_parts(
    terms: Terms, later: Sequence[Row], left: Decimal, on: date, keep: str
) -> Parts:
    started_on = later[0].due_date - timedelta(days=later[0].days)
    periods = period_rates(terms)
    passed = sum(due <= on for due, _ in periods)
    if terms.grace_interest == "capitalised" and passed < terms.interest_grace:
        raise Refused(
            "While interest is capitalised the principal is not settled: prepay after that.",
            field="on",
        )
    costs = [
        sum(rate for due, rate in periods if start < due <= end)
        for start, end in pairwise([started_on, *(row.due_date for row in later)])
    ]

    def interest_on(balance: Decimal, rate: Fraction) -> Decimal:
        return money.money(balance * rate.numerator / rate.denominator, terms.interest_multiple)

    before = [row.balance + row.principal for row in later]
    # What a row bills on top, waiting from the periods before it, it bills still.
    waiting = [
        max(row.interest - interest_on(balance, rate), ZERO)
        for row, balance, rate in zip(later, before, costs, strict=True)
    ]
    first = next(k for k, row in enumerate(later) if row.principal > 0)
    each = _each(terms, later[first:], costs[first:], left, keep)
    parts = []
    for k, rate in enumerate(costs):
        interest = interest_on(left, rate)
        if k == 0:
            spent = accrual(
                before[0] - left,
                start=started_on,
                end=on,
                annual_rate=terms.annual_rate,
                day_count=terms.day_count,
            )
            interest += money.money(spent, terms.interest_multiple)
            interest = min(interest, interest_on(before[0], rate))
        principal = ZERO
        if k == len(costs) - 1:
            principal = left
        elif k >= first:
            within = interest if terms.method == "declining_equal_instalments" else ZERO
            principal = min(max(each - within, ZERO), left)
        parts.append((principal, interest + waiting[k]))
        left -= principal
        if not left:
            break
    return parts


def _each(
    terms: Terms, paying: Sequence[Row], costs: Sequence[Fraction], left: Decimal, keep: str
) -> Decimal:
    """Return what each row pays: its principal, or of equal instalments principal and interest."""
    if terms.method in ("interest_only", "single_payment"):
        return ZERO
    equal = terms.method == "declining_equal_instalments"
    if keep == "instalment":
        row = _regular(paying)
        return row.principal + (row.interest if equal else ZERO)
    if not equal:
        return _rounded(terms, left / len(paying))
    # A = P / Σ Π (1+i)^−1
    worths = accumulate((1 + rate for rate in costs), lambda grown, growth: grown * growth)
    annuity = sum(Decimal(worth.denominator) / worth.numerator for worth in worths)
    return _rounded(terms, left / annuity)


def _rounded(terms: Terms, amount: Decimal) -> Decimal:
    mode = money.UP if terms.rounding_mode == "up" else money.HALF_UP
    return money.money(amount, terms.instalment_multiple, mode)


def _flat_parts(
    terms: Terms, later: Sequence[Row], left: Decimal, given_back: Decimal, keep: str
) -> Parts:
    agreed = sum((row.interest for row in later), ZERO)
    charged = max(agreed - money.money(given_back, terms.interest_multiple), ZERO)
    paying = [row for row in later if row.principal > 0]
    parts, rest = [], charged
    for row in later[: -len(paying)]:
        interest = money.money(row.interest * charged / agreed, terms.interest_multiple)
        interest = min(interest, rest)
        parts.append((ZERO, interest))
        rest -= interest
    owed = left + rest
    if keep == "term":
        each = _rounded(terms, owed / len(paying))
    else:
        each = _regular(paying).principal + _regular(paying).interest
    for row in paying:
        total = owed if row is paying[-1] else min(each, owed)
        # The interest is cut in proportion, and leaves no later row with more than its total.
        interest = money.money(rest * total / owed, terms.interest_multiple)
        interest = max(min(interest, rest, total), rest - (owed - total))
        parts.append((total - interest, interest))
        rest, owed = rest - interest, owed - total
        if not owed:
            break
    return parts
