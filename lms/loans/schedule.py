"""Repayment schedules. Pure: no Django, no clock, no database.

Inside, amounts are whole cents and rates exact fractions, so nothing drifts; every rounding is
half up (or up, where the terms say so) at the moment an amount becomes payable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from lms import dates, money
from lms.errors import Refused
from lms.loans import interest as rates
from lms.money import CENT, ZERO

METHODS = (
    "flat",
    "declining_equal_instalments",
    "declining_equal_principal",
    "interest_only",
    "single_payment",
)
GRACE_INTEREST = ("billed", "capitalised", "accrued", "free")
FEE_TIMES = ("deducted", "paid_before", "added_to_principal", "first_instalment", "spread")
HOLIDAY_RULES = ("keep", "next", "previous")
UNITS = ("days", "weeks", "months")


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee: KES or percent of the principal, when it is taken, and the excise on top (percent)."""

    name: str
    kind: str
    value: Decimal
    when: str
    excise_rate: Decimal = ZERO

    def amount(self, principal: Decimal) -> Decimal:
        """Return the fee in KES, without excise."""
        return money.money(principal * self.value / 100 if self.kind == "percent" else self.value)

    def excise(self, principal: Decimal) -> Decimal:
        """Return the excise duty on the fee in KES. Source: Excise Duty Act, 20% since July 2022."""
        return money.money(self.amount(principal) * self.excise_rate / 100)


class FeeSum(NamedTuple):
    """Fees of one kind together, and the excise on them, in KES."""

    fee: Decimal
    excise: Decimal

    @property
    def total(self) -> Decimal:
        return self.fee + self.excise


class Row(NamedTuple):
    """One instalment: amounts in KES; `days` since the row before; `balance` after it is paid."""

    number: int
    due_date: date
    days: int
    principal: Decimal
    interest: Decimal
    fees: Decimal
    total: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything a schedule follows from. Rates in percent a year, amounts in KES.

    `principal_grace`, `interest_grace` and `interest_free` count periods from the first;
    `grace_interest` says what becomes of the interest of the `interest_grace` periods. With
    `day_count` "periodic" each period costs the annual rate over the periods of a year, a first
    period of another length the actual days over 365. Raises Refused, naming the field, for terms
    that cannot be.
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

    def __post_init__(self) -> None:
        choices = {
            "method": METHODS,
            "unit": UNITS,
            "day_count": rates.DAY_COUNTS,
            "grace_interest": GRACE_INTEREST,
            "holiday_rule": HOLIDAY_RULES,
            "rounding_mode": ("half_up", "up"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise Refused(f"{getattr(self, name)!r} is not one of {allowed}.", field=name)
        for name in ("principal", "annual_rate", "instalment_multiple", "interest_multiple"):
            if not isinstance(getattr(self, name), Decimal | int):
                raise Refused("Money and rates are Decimal, never float.", field=name)
        self._check_numbers()

    def _check_numbers(self) -> None:
        checks = (
            (self.principal > 0, "principal", "The amount must be more than KES 0.00."),
            (self.principal == money.money(self.principal), "principal", "No parts of a cent."),
            (0 <= self.annual_rate <= 100_000, "annual_rate", "The rate must be 0% or more."),
            (1 <= self.number_of_repayments <= 1000, "number_of_repayments", "1 to 1,000."),
            (self.repay_every >= 1, "repay_every", "Repayments come every 1 or more periods."),
            (
                0 <= self.principal_grace < self.number_of_repayments,
                "principal_grace",
                "At least one repayment must pay principal.",
            ),
            (
                0 <= self.interest_grace < self.number_of_repayments,
                "interest_grace",
                "At least one repayment must follow the grace.",
            ),
            (self.interest_free >= 0, "interest_free", "The number of periods is 0 or more."),
            (
                self.first_due is None or self.first_due > self.disbursed_on,
                "first_due",
                "The first instalment falls due after the disbursement.",
            ),
            (self.instalment_multiple >= CENT, "instalment_multiple", "At least one cent."),
            (self.interest_multiple >= CENT, "interest_multiple", "At least one cent."),
        )
        for holds, name, sentence in checks:
            if not holds:
                raise Refused(sentence, field=name)


class Period(NamedTuple):
    """One period: when it ends nominally and by contract, and what it costs of the balance."""

    due_date: date
    rate: Fraction
    grace: bool


def periods(terms: Terms) -> list[Period]:
    """Return the periods of the loan: due dates moved off holidays, rates by the day count."""
    first = terms.first_due or dates.add_period(terms.disbursed_on, terms.repay_every, terms.unit)
    # A regular loan counts from the disbursement, so that 31 Jan → 28 Feb → 31 Mar.
    anchor, offset = (terms.disbursed_on, 1) if terms.first_due is None else (first, 0)
    ends = [
        dates.add_period(anchor, terms.repay_every * (k + offset), terms.unit)
        for k in range(terms.number_of_repayments)
    ]
    annual = Fraction(Decimal(terms.annual_rate)) / 100
    regular = rates.regular_period(terms.repay_every, terms.unit)
    found = []
    for k, (start, end) in enumerate(pairwise([terms.disbursed_on, *ends])):
        if terms.day_count != "periodic":
            part = rates.year_fraction(start, end, terms.day_count)
        elif k == 0 and end != dates.add_period(start, terms.repay_every, terms.unit):
            part = Fraction((end - start).days, 365)
        else:
            part = regular
        free = k < terms.interest_free or (
            terms.grace_interest == "free" and k < terms.interest_grace
        )
        found.append(
            Period(
                _working_day(end, terms),
                Fraction(0) if free else annual * part,
                k < terms.interest_grace and terms.grace_interest in ("capitalised", "accrued"),
            )
        )
    if any(a.due_date >= b.due_date for a, b in pairwise(found)):
        raise Refused("Holidays push two instalments onto one day.", field="holiday_rule")
    return found


def _working_day(day: date, terms: Terms) -> date:
    if terms.holiday_rule == "keep":
        return day
    step = timedelta(days=1 if terms.holiday_rule == "next" else -1)
    while day in terms.holidays or day.weekday() == 6:
        day += step
    return day


def schedule(terms: Terms) -> list[Row]:
    """Return the instalments of a loan. Rows on which nothing is due are left out.

    Σ principal is the principal lent, with fees added to it and interest capitalised in grace.
    Raises Refused when the rounding leaves the last instalment with nothing to pay.
    """
    span = periods(terms)
    if terms.method == "single_payment":
        span = [Period(span[-1].due_date, sum(p.rate for p in span), grace=False)]
    lent = _cents(terms.principal + _sum(terms, "added_to_principal").total)
    principals, interests = _METHODS[terms.method](_Engine(terms, lent, span))
    fees = _fees(terms, len(span))
    rows, balance, before = [], sum(principals), terms.disbursed_on
    for period, principal, interest, fee in zip(span, principals, interests, fees, strict=True):
        balance -= principal
        if min(principal, interest, fee) < 0:
            raise _too_coarse()
        if principal or interest or fee:
            rows.append(
                Row(
                    len(rows) + 1,
                    period.due_date,
                    (period.due_date - before).days,
                    _kes(principal),
                    _kes(interest),
                    _kes(fee),
                    _kes(principal + interest + fee),
                    _kes(balance),
                )
            )
            before = period.due_date
    return rows


def _too_coarse() -> Refused:
    return Refused(
        "Rounding leaves nothing for the last instalment: "
        "round instalments to a smaller amount, or lend over fewer repayments.",
        field="instalment_multiple",
    )


def fee_sum(terms: Terms, when: str) -> FeeSum:
    """Return the fees taken at one time, and their excise, in KES."""
    return _sum(terms, when)


def _sum(terms: Terms, when: str) -> FeeSum:
    taken = [fee for fee in terms.fees if fee.when == when]
    return FeeSum(
        sum((fee.amount(terms.principal) for fee in taken), ZERO),
        sum((fee.excise(terms.principal) for fee in taken), ZERO),
    )


def _fees(terms: Terms, count: int) -> list[int]:
    spread = money.split(_sum(terms, "spread").total, count)
    fees = [_cents(part) for part in spread]
    fees[0] += _cents(_sum(terms, "first_instalment").total)
    return fees


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def _kes(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _to_multiple(numerator: int, denominator: int, unit: int, *, up: bool) -> int:
    """Return numerator/denominator rounded to a multiple of unit, halves up (or always up)."""
    step = denominator * unit
    if up:
        return -(-numerator // step) * unit
    return (2 * numerator + step) // (2 * step) * unit


Amounts = tuple[list[int], list[int]]


class _Engine:
    """One schedule in the making: terms, what is lent in cents, the periods, the roundings."""

    def __init__(self, terms: Terms, lent: int, span: Sequence[Period]) -> None:
        self.terms = terms
        self.lent = lent
        self.span = span
        self.up = terms.rounding_mode == "up"
        self.instalment_unit = _cents(terms.instalment_multiple)
        self.interest_unit = _cents(terms.interest_multiple)
        self.grace = min(terms.principal_grace, len(span) - 1)

    def interest(self, balance: int, rate: Fraction) -> int:
        """Return a period's interest on the balance, in cents, rounded as the terms say."""
        return _to_multiple(
            balance * rate.numerator, rate.denominator, self.interest_unit, up=False
        )

    def instalment(self, numerator: int, denominator: int) -> int:
        return _to_multiple(numerator, denominator, self.instalment_unit, up=self.up)

    def declining(self, principal_of: Callable[[int, int, int], int]) -> Amounts:
        """Walk the periods: interest on the balance, then principal by the method's own rule.

        `principal_of(k, balance, interest)` answers for every paying period but the last, which
        takes the balance. Interest in grace is capitalised or waits for the first paying row.
        """
        principals, interests = [], []
        balance, waiting, last = self.lent, 0, len(self.span) - 1
        for k, period in enumerate(self.span):
            interest = self.interest(balance, period.rate)
            if period.grace:
                if self.terms.grace_interest == "capitalised":
                    balance += interest
                else:
                    waiting += interest
                principals.append(0)
                interests.append(0)
                continue
            if k == last:
                principal = balance
            else:
                principal = 0 if k < self.grace else principal_of(k, balance, interest)
            if principal < 0 or principal > balance or (k == last and principal <= 0):
                raise _too_coarse()
            principals.append(principal)
            interests.append(interest + waiting)
            waiting = 0
            balance -= principal
        return principals, interests

    @property
    def paying(self) -> Sequence[Period]:
        """The periods in which principal is paid."""
        first = self.grace
        while first < len(self.span) - 1 and self.span[first].grace:
            first += 1
        return self.span[first:]

    def amortised(self) -> int:
        """Return the balance that the paying periods share, with interest capitalised before."""
        balance = self.lent
        if self.terms.grace_interest == "capitalised":
            for period in self.span:
                if period.grace:
                    balance += self.interest(balance, period.rate)
        return balance


def _equal_instalments(engine: _Engine) -> Amounts:
    """Annuity: A = P·i / (1 − (1+i)^−n), by discounting where the periods differ."""
    fixed = engine.terms.fixed_instalment
    if fixed is not None:
        each = _cents(fixed)
    else:
        discount, annuity = Decimal(1), Decimal(0)
        for period in engine.paying:
            rate = Decimal(period.rate.numerator) / Decimal(period.rate.denominator)
            discount /= 1 + rate
            annuity += discount
        exact = Fraction(Decimal(engine.amortised()) / annuity)
        each = engine.instalment(exact.numerator, exact.denominator)

    def principal(k: int, balance: int, interest: int) -> int:
        if each <= interest and fixed is not None:
            raise Refused("The instalment does not cover the interest.", field="fixed_instalment")
        return each - interest

    return engine.declining(principal)


def _equal_principal(engine: _Engine) -> Amounts:
    each = engine.instalment(engine.amortised(), len(engine.paying))
    return engine.declining(lambda k, balance, interest: each)


def _interest_only(engine: _Engine) -> Amounts:
    return engine.declining(lambda k, balance, interest: 0)


def _flat(engine: _Engine) -> Amounts:
    """Interest on the principal lent for the whole term, in equal parts."""
    whole = sum((period.rate for period in engine.span), Fraction(0))
    total = engine.interest(engine.lent, whole)
    weights = [Decimal(p.rate.numerator) / Decimal(p.rate.denominator) for p in engine.span]
    interests = [0] * len(engine.span)
    if total:
        equal = len({w for w in weights if w}) == 1
        bearing = [k for k, weight in enumerate(weights) if weight]
        unit = engine.terms.interest_multiple
        cut = (
            money.split(_kes(total), len(bearing), unit)
            if equal
            else money.apportion(_kes(total), [weights[k] for k in bearing], unit)
        )
        for k, part in zip(bearing, cut, strict=True):
            interests[k] = _cents(part)
    waiting = 0
    for k, period in enumerate(engine.span):
        if period.grace:
            waiting, interests[k] = waiting + interests[k], 0
        elif waiting:
            interests[k], waiting = interests[k] + waiting, 0
    count = len(engine.paying)
    regular = engine.terms.fixed_instalment
    each = (
        _cents(regular)
        if regular is not None
        else engine.instalment(
            engine.lent * len(engine.span) + total * count, count * len(engine.span)
        )
    )
    share = engine.interest(engine.lent, whole / len(engine.span))
    principal = each - share
    principals = [0] * (len(engine.span) - count) + [principal] * (count - 1)
    principals.append(engine.lent - sum(principals))
    if principal < 0 or principals[-1] <= 0:
        raise _too_coarse()
    return principals, interests


_METHODS: dict[str, Callable[[_Engine], Amounts]] = {
    "flat": _flat,
    "declining_equal_instalments": _equal_instalments,
    "declining_equal_principal": _equal_principal,
    "interest_only": _interest_only,
    "single_payment": _interest_only,
}
