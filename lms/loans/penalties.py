"""What a late payer owes on top. Pure: no Django, no clock, no database."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from lms import money
from lms.money import ZERO
from lms.words import counted

DAYS = {"daily": 1, "weekly": 7, "monthly": 30}
WORDS = {
    "instalment": "of the overdue instalment",
    "principal": "of the overdue principal",
    "principal_and_interest": "of overdue principal and interest",
    "outstanding_principal": "of the outstanding principal",
}
CAPS = {"percent_of_base": "of that", "percent_of_principal": "of the loan"}
OFTEN = {"once": "once", "daily": "a day", "weekly": "a week", "monthly": "a month"}


@dataclass(frozen=True, slots=True)
class PenaltyRule:
    """The late charge of a product: base, value (KES when fixed, else percent), rhythm, cap, end.

    With `stops_at` "maturity" no day after the last due date of the loan adds to it.
    Raises ValueError for a word that is none of the known ones, and for less than nothing.
    """

    base: str = "none"
    value: Decimal = ZERO
    frequency: str = "once"
    grace_days: int = 0
    start: str = "after_grace"
    cap_kind: str = "none"
    cap_value: Decimal = ZERO
    stops_at: str = "none"

    def __post_init__(self) -> None:
        known = (
            (self.base, ("none", "fixed", *WORDS)),
            (self.frequency, OFTEN),
            (self.start, ("after_grace", "due_date")),
            (self.cap_kind, ("none", "amount", *CAPS)),
            (self.stops_at, ("none", "maturity")),
        )
        for word, words in known:
            if word not in words:
                raise ValueError(f"{word!r} is not one of {tuple(words)}.")
        if min(self.value, self.grace_days, self.cap_value) < 0:
            raise ValueError("A penalty, its grace and its cap are 0 or more.")


def describe(rule: PenaltyRule) -> str:
    """Return the rule in words: 5% of the overdue instalment once, after 3 days."""
    if rule.base == "none":
        return "No penalty"
    what = (
        money.kes(rule.value)
        if rule.base == "fixed"
        else f"{rule.value.normalize():f}% {WORDS[rule.base]}"
    )
    grace = f", after {counted(rule.grace_days, 'day')}" if rule.grace_days else ""
    end = ", until the loan matures" if rule.stops_at == "maturity" else ""
    return f"{what} {OFTEN[rule.frequency]}{grace}{_cap_in_words(rule)}{end}"


def _cap_in_words(rule: PenaltyRule) -> str:
    if rule.cap_kind == "none":
        return ""
    if rule.cap_kind == "amount":
        return f", at most {money.kes(rule.cap_value)}"
    return f", at most {rule.cap_value.normalize():f}% {CAPS[rule.cap_kind]}"


def owed(
    rule: PenaltyRule,
    *,
    due_date: date,
    on: date,
    principal: Decimal,
    interest: Decimal,
    outstanding_principal: Decimal,
    loan_principal: Decimal,
    maturity: date | None = None,
) -> Decimal:
    """Return the whole penalty (KES, to the cent) an overdue instalment has earned by `on`.

    `principal` and `interest` are what is unpaid of the instalment; penalties never count, so
    there is none on a penalty. Days are counted from the end of grace, or from the due date once
    grace has passed; a month is 30 days, counted by the day; a week counts as soon as it has begun.
    No day after `maturity`, the last due date of the loan, counts where the rule stops there.
    """
    if rule.stops_at == "maturity" and maturity is not None:
        on = min(on, maturity)
    late = (on - due_date).days
    if rule.base == "none" or late <= rule.grace_days:
        return ZERO
    days = late if rule.start == "due_date" else late - rule.grace_days
    bases = {
        "fixed": rule.value,
        "instalment": principal + interest,
        "principal": principal,
        "principal_and_interest": principal + interest,
        "outstanding_principal": outstanding_principal,
    }
    base = bases[rule.base]
    each = base if rule.base == "fixed" else base * rule.value / 100
    if rule.frequency == "once":
        charge = each
    elif rule.frequency == "weekly":
        charge = each * -(-days // DAYS["weekly"])
    else:  # multiplied before it is divided, so that half a cent stays one
        charge = each * days / DAYS[rule.frequency]
    if rule.cap_kind == "percent_of_base":
        charge = min(charge, base * rule.cap_value / 100)
    elif (ceiling := most(rule, loan_principal=loan_principal)) is not None:
        charge = min(charge, ceiling)
    return money.money(charge)


def most(rule: PenaltyRule, *, loan_principal: Decimal) -> Decimal | None:
    """Return the most (KES) that all charges on one instalment may come to; None without a cap.

    A cap in percent of the base moves with the base, so it sets no such sum.
    """
    if rule.cap_kind == "amount":
        return rule.cap_value
    if rule.cap_kind == "percent_of_principal":
        return loan_principal * rule.cap_value / 100
    return None


def excise(penalty: Decimal, percent: Decimal) -> Decimal:
    """Return the excise duty (KES) that a penalty bears on top, at a rate in percent."""
    return money.money(penalty * percent / 100)
