"""What a loan is agreed upon: the terms from which its schedule follows. Pure: no Django, no clock.

A wrong answer is refused here, by the name of its field, so that the arithmetic need not ask again.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from lms import money
from lms.errors import Refused
from lms.loans.interest import DAY_COUNTS
from lms.money import CENT, ZERO

METHODS = (
    "flat",
    "declining_equal_instalments",
    "declining_equal_principal",
    "interest_only",
    "single_payment",
)
GRACE_INTEREST = ("billed", "capitalised", "accrued", "free")
FEE_KINDS = ("amount", "percent")
FEE_TIMES = ("deducted", "paid_before", "added_to_principal", "first_instalment", "spread")
HOLIDAY_RULES = ("keep", "next", "previous")
UNITS = ("days", "weeks", "months")

# What a money column holds.
LARGEST = Decimal("999999999999.99")
NUMBER = (Decimal, int)


def is_day(value: object) -> bool:
    """Say whether this is a plain date, without a time."""
    return isinstance(value, date) and not isinstance(value, datetime)


def _within(value: Decimal, least: Decimal | int, most: Decimal | int) -> bool:
    return isinstance(value, NUMBER) and Decimal(value).is_finite() and least <= value <= most


def _is_payable(value: Decimal) -> bool:
    return _within(value, CENT, LARGEST) and not value * 100 % 1


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee: KES or percent of the principal, when it is taken, and the excise on top (percent).

    Raises Refused, naming the field `fees` of the terms, for a fee that cannot be.
    """

    name: str
    kind: str
    value: Decimal
    when: str
    excise_rate: Decimal = ZERO

    def __post_init__(self) -> None:
        if self.kind not in FEE_KINDS:
            raise Refused(f"A fee is one of {FEE_KINDS}, not {self.kind!r}.", field="fees")
        if self.when not in FEE_TIMES:
            raise Refused(f"A fee is taken at one of {FEE_TIMES}, not {self.when!r}.", field="fees")
        if not _within(self.value, 0, LARGEST):
            raise Refused("A fee is a Decimal of 0 or more, never a float.", field="fees")
        if not _within(self.excise_rate, 0, 100):
            raise Refused("Excise is a Decimal from 0% to 100%, never a float.", field="fees")

    def amount(self, principal: Decimal) -> Decimal:
        """Return the fee in KES, without excise."""
        return money.money(principal * self.value / 100 if self.kind == "percent" else self.value)

    def excise(self, principal: Decimal) -> Decimal:
        """Return the excise duty on the fee in KES.

        Source: Excise Duty Act, First Schedule: 20% since July 2022.
        """
        return money.money(self.amount(principal) * self.excise_rate / 100)


class Tranche(NamedTuple):
    """A later disbursement on the same loan: the day it is paid out, and KES."""

    paid_on: date
    amount: Decimal


class FeeSum(NamedTuple):
    """Fees of one kind together, and the excise on them, in KES."""

    fee: Decimal
    excise: Decimal

    @property
    def total(self) -> Decimal:
        return self.fee + self.excise


CHOICES = {
    "method": METHODS,
    "unit": UNITS,
    "day_count": DAY_COUNTS,
    "grace_interest": GRACE_INTEREST,
    "holiday_rule": HOLIDAY_RULES,
    "rounding_mode": ("half_up", "up"),
}
# Field: the sentence that refuses anything but whole cents from one to the largest.
AMOUNTS = {
    "principal": "The amount must be more than KES 0.00, in whole cents.",
    "instalment_multiple": "Instalments are rounded to one cent or more, in whole cents.",
    "interest_multiple": "Interest is rounded to one cent or more, in whole cents.",
    "fixed_instalment": "The instalment must be more than KES 0.00, in whole cents.",
}
# Field: the least, the most, and the sentence that refuses anything else.
COUNTS = {
    "number_of_repayments": (1, 1000, "There must be 1 to 1,000 repayments."),
    "repay_every": (1, 10_000, "Repayments come every 1 to 10,000 periods."),
    "principal_grace": (0, 1000, "The number of periods must be 0 to 1,000."),
    "interest_grace": (0, 1000, "The number of periods must be 0 to 1,000."),
    "interest_free": (0, 1000, "The number of periods must be 0 to 1,000."),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything a schedule follows from. Rates in percent a year, amounts in KES.

    `principal_grace`, `interest_grace` and `interest_free` count periods from the first;
    `grace_interest` says what becomes of the interest of the `interest_grace` periods: billed as
    it falls due, capitalised (a flat loan has nothing to compound, so there it is accrued),
    accrued to the first paying instalment, or free. With `day_count` "periodic" each period costs
    the annual rate over the periods of a year, a first period of another length the actual days
    over 365. A due date moved off a Sunday or holiday moves no interest with it.

    `principal` is paid out on the day of the disbursement, `tranches` after it. A tranche bears
    interest from its day: in the period it falls into by the day count, where that is "periodic"
    by actual days over 365. Paid out on a due date it counts from the next period. Fees in percent
    are on all that is lent, and those added to the principal are added to the first disbursement.

    Raises Refused, naming the field, for terms that cannot be.
    """

    principal: Decimal
    annual_rate: Decimal
    method: str
    number_of_repayments: int
    repay_every: int
    unit: str
    disbursed_on: date
    first_due: date | None = None
    day_count: str = "periodic"
    principal_grace: int = 0
    interest_grace: int = 0
    interest_free: int = 0
    grace_interest: str = "billed"
    fees: tuple[Fee, ...] = ()
    instalment_multiple: Decimal = Decimal(1)
    interest_multiple: Decimal = CENT
    rounding_mode: str = "half_up"
    fixed_instalment: Decimal | None = None
    holidays: frozenset[date] = field(default_factory=frozenset)
    holiday_rule: str = "keep"
    tranches: tuple[Tranche, ...] = ()

    @property
    def disbursed(self) -> Decimal:
        """All that is paid out over the life of the loan (KES), without fees added to it."""
        return sum((tranche.amount for tranche in self.tranches), self.principal)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise Refused(f"{getattr(self, name)!r} is not one of {allowed}.", field=name)
        self._check_amounts()
        self._check_counts()
        self._check_days()
        if not all(isinstance(fee, Fee) for fee in self.fees):
            raise Refused("Each fee is a Fee.", field="fees")
        if self.tranches:
            self._check_tranches()

    def _check_amounts(self) -> None:
        for name, sentence in AMOUNTS.items():
            value = getattr(self, name)
            if value is None and name == "fixed_instalment":
                continue
            if not isinstance(value, NUMBER):
                raise Refused("Money and rates are Decimal, never float.", field=name)
            if not _is_payable(value):
                raise Refused(sentence, field=name)
        if not _within(self.annual_rate, 0, 100_000):
            raise Refused("The rate is a Decimal from 0% to 100,000% a year.", field="annual_rate")
        if self.fixed_instalment is not None and self.method not in METHODS[:2]:
            raise Refused(
                "Only a flat loan or one of equal instalments can have a fixed instalment.",
                field="fixed_instalment",
            )

    def _check_counts(self) -> None:
        for name, (least, most, sentence) in COUNTS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not least <= value <= most:
                raise Refused(sentence, field=name)
        if self.principal_grace >= self.number_of_repayments:
            raise Refused("At least one repayment must pay principal.", field="principal_grace")
        if self.interest_grace >= self.number_of_repayments:
            raise Refused("At least one repayment must follow the grace.", field="interest_grace")

    def _check_days(self) -> None:
        for name in ("disbursed_on", "first_due"):
            day = getattr(self, name)
            if day is None and name == "first_due":
                continue
            if not is_day(day):
                raise Refused("Days are plain dates.", field=name)
        if self.first_due is not None and self.first_due <= self.disbursed_on:
            raise Refused(
                "The first instalment falls due after the disbursement.", field="first_due"
            )

    def _check_tranches(self) -> None:
        if self.method == "flat":
            raise Refused(
                "A flat loan bears interest on one principal for the whole term: it cannot be paid "
                "out in tranches.",
                field="tranches",
            )
        for tranche in self.tranches:
            if not isinstance(tranche, Tranche) or not is_day(tranche.paid_on):
                raise Refused("Each tranche is a Tranche with a plain date.", field="tranches")
            if not _is_payable(tranche.amount):
                raise Refused(
                    "A tranche is a Decimal of more than KES 0.00, in whole cents.",
                    field="tranches",
                )
        days = [self.disbursed_on, *(tranche.paid_on for tranche in self.tranches)]
        if any(a >= b for a, b in pairwise(days)):
            raise Refused(
                "Tranches are paid out after the disbursement, each on a later day than the one "
                "before it.",
                field="tranches",
            )
        if self.disbursed > LARGEST:
            raise Refused("The tranches come to more than a loan can be.", field="tranches")


def fee_sum(terms: Terms, when: str) -> FeeSum:
    """Return the fees taken at one time, and their excise, in KES."""
    taken = [fee for fee in terms.fees if fee.when == when]
    return FeeSum(
        sum((fee.amount(terms.disbursed) for fee in taken), ZERO),
        sum((fee.excise(terms.disbursed) for fee in taken), ZERO),
    )
