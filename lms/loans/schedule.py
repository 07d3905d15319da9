"""Repayment schedules. Pure: no Django, no clock, no database.

Inside, amounts are whole cents and rates exact fractions, so nothing drifts; every rounding is
half up (or up, where the terms say so) at the moment an amount becomes payable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, compress, count, pairwise
from math import gcd
from operator import sub
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
FEE_KINDS = ("amount", "percent")
FEE_TIMES = ("deducted", "paid_before", "added_to_principal", "first_instalment", "spread")
HOLIDAY_RULES = ("keep", "next", "previous")
UNITS = ("days", "weeks", "months")

# What a money column holds.
LARGEST = Decimal("999999999999.99")
NUMBER = (Decimal, int)
SUNDAY = 6
FINEST_RATE = 10**12  # the largest denominator of a yearly rate in percent


def _within(value: Decimal, least: Decimal | int, most: Decimal | int) -> bool:
    return isinstance(value, NUMBER) and Decimal(value).is_finite() and least <= value <= most


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


CHOICES = {
    "method": METHODS,
    "unit": UNITS,
    "day_count": rates.DAY_COUNTS,
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
    over 365. A due date moved off a Sunday or holiday moves no interest with it. Raises Refused,
    naming the field, for terms that cannot be.
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
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise Refused(f"{getattr(self, name)!r} is not one of {allowed}.", field=name)
        self._check_amounts()
        self._check_counts()
        self._check_days()
        if not all(isinstance(fee, Fee) for fee in self.fees):
            raise Refused("Each fee is a Fee.", field="fees")

    def _check_amounts(self) -> None:
        for name, sentence in AMOUNTS.items():
            value = getattr(self, name)
            if value is None and name == "fixed_instalment":
                continue
            if not isinstance(value, NUMBER):
                raise Refused("Money and rates are Decimal, never float.", field=name)
            if not _within(value, CENT, LARGEST) or value * 100 % 1:
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
            if not isinstance(day, date) or isinstance(day, datetime):
                raise Refused("Days are plain dates.", field=name)
        if self.first_due is not None and self.first_due <= self.disbursed_on:
            raise Refused(
                "The first instalment falls due after the disbursement.", field="first_due"
            )


def fee_sum(terms: Terms, when: str) -> FeeSum:
    """Return the fees taken at one time, and their excise, in KES."""
    taken = [fee for fee in terms.fees if fee.when == when]
    return FeeSum(
        sum((fee.amount(terms.principal) for fee in taken), ZERO),
        sum((fee.excise(terms.principal) for fee in taken), ZERO),
    )


def schedule(terms: Terms) -> list[Row]:
    """Return the instalments of a loan. Rows on which nothing is due are left out.

    Σ principal is the principal lent, with fees added to it and interest capitalised in grace.
    Raises Refused, naming the field, when the rounding leaves the last instalment with nothing to
    pay, a fixed instalment does not fit, or holidays push two instalments onto one day.
    """
    ends = _period_ends(terms)
    costs, per = _rates(terms, ends)
    if terms.method == "single_payment":
        ends, costs = ends[-1:], [sum(costs)]
    lent = _cents(terms.principal)
    if terms.fees:
        lent += _cents(fee_sum(terms, "added_to_principal").total)
    principals, interests = _METHODS[terms.method](_Work(terms, lent, costs, per))
    return _rows(terms.disbursed_on, _due_dates(terms, ends), principals, interests, _fees(terms))


def period_rates(terms: Terms) -> list[tuple[date, Fraction]]:
    """Return the due date of each period and what the period costs of the balance."""
    ends = _period_ends(terms)
    costs, per = _rates(terms, ends)
    if terms.method == "single_payment":
        ends, costs = ends[-1:], [sum(costs)]
    parts = (Fraction(cost, per) for cost in costs)
    return list(zip(_due_dates(terms, ends), parts, strict=True))


def _rows(
    start: date, due: list[date], principals: list[int], interests: list[int], fees: list[int]
) -> list[Row]:
    """Return the columns, in cents, as rows in KES."""
    totals = [p + i + f for p, i, f in zip(principals, interests, fees, strict=True)]
    balances = list(accumulate(principals, sub, initial=sum(principals)))[1:]
    columns = [principals, interests, fees, totals, balances]
    if 0 in totals:
        due = list(compress(due, totals))
        columns = [list(compress(column, totals)) for column in columns]
    days = [(end - begin).days for begin, end in pairwise([start, *due])]
    return list(map(Row, count(1), due, days, *(map(_kes, column) for column in columns)))


def _period_ends(terms: Terms) -> list[date]:
    """Return the nominal due dates, counted from one anchor: 31 Jan → 28 Feb → 31 Mar."""
    anchor, first = (terms.first_due, 0) if terms.first_due else (terms.disbursed_on, 1)
    every, unit = terms.repay_every, terms.unit
    steps = range(first * every, (first + terms.number_of_repayments) * every, every)
    try:
        return [dates.add_period(anchor, step, unit) for step in steps]
    except (ValueError, OverflowError):
        raise Refused(
            "The last instalment would fall due after the year 9999.",
            field="number_of_repayments",
        ) from None


def _rates(terms: Terms, ends: list[date]) -> tuple[list[int], int]:
    """Return what each period costs of the balance, in parts, and how many parts are the whole."""
    free = terms.interest_free
    if terms.grace_interest == "free":
        free = max(free, terms.interest_grace)
    free = min(free, len(ends))
    if terms.day_count == "periodic":
        parts, whole = _periodic(terms, ends)
    else:
        days = [terms.disbursed_on, *ends]
        if terms.method == "single_payment":
            # 30/360 counts a month end within the term differently from one at its end.
            days = [*days[: free + 1], days[-1]][: len(days)]
        parts = [rates.year_part(a, b, terms.day_count).parts for a, b in pairwise(days)]
        whole = rates.PARTS_A_YEAR[terms.day_count]
    parts[:free] = [0] * free
    # No Decimal holds the yearly rate of 10% over 7 months: the nearest fraction of small numbers
    # restores it, so that a half shilling is still a half when it is rounded.
    yearly = Fraction(terms.annual_rate).limit_denominator(FINEST_RATE)
    percent, of = yearly.as_integer_ratio()
    common = gcd(percent, of * 100 * whole)
    return [part * (percent // common) for part in parts], of * 100 * whole // common


def _periodic(terms: Terms, ends: list[date]) -> tuple[list[int], int]:
    """Return each period in parts of a year. A first one of odd length counts its days over 365."""
    part, whole = rates.regular_period(terms.repay_every, terms.unit)
    start, first = terms.disbursed_on, terms.first_due
    if first is None or first == dates.add_period(start, terms.repay_every, terms.unit):
        return [part] * len(ends), whole
    return [(ends[0] - start).days * whole, *[part * 365] * (len(ends) - 1)], whole * 365


def _due_dates(terms: Terms, ends: list[date]) -> list[date]:
    """Return the contractual due dates: the ends of the periods, moved off Sundays and holidays."""
    if terms.holiday_rule == "keep":
        return ends
    due = [_working_day(end, terms) for end in ends]
    if any(a >= b for a, b in pairwise([terms.disbursed_on, *due])):
        raise Refused(
            "Sundays and holidays push two instalments onto one day, or one onto the day of the "
            "disbursement: keep the due dates, or collect less often.",
            field="holiday_rule",
        )
    return due


def _working_day(day: date, terms: Terms) -> date:
    step = timedelta(days=1 if terms.holiday_rule == "next" else -1)
    while day in terms.holidays or day.weekday() == SUNDAY:
        day += step
    return day


def _fees(terms: Terms) -> list[int]:
    """Return the fees and excise that each instalment bills, in cents."""
    size = 1 if terms.method == "single_payment" else terms.number_of_repayments
    if not terms.fees:
        return [0] * size
    fees = _cut(_cents(fee_sum(terms, "spread").total), [1] * size, 1)
    fees[0] += _cents(fee_sum(terms, "first_instalment").total)
    return fees


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


# Cents as KES with two places. A bound method, because `map` then stays out of Python.
_kes = CENT.__mul__


def _half_up(numerator: int, denominator: int, unit: int) -> int:
    """Return numerator/denominator as a multiple of unit, halves up."""
    step = denominator * unit
    return (2 * numerator + step) // (2 * step) * unit


def _cut(total: int, weights: Sequence[int], unit: int) -> list[int]:
    """Return a multiple of `unit` cut by weight into parts of 0 or more that sum to it.

    Equal weights give equal parts, the last absorbing the rounding. Where the weights differ, or
    the others would leave the last less than nothing, the cuts are made on the running total.
    """
    weight, size = weights[0], len(weights)
    if all(other == weight for other in weights):
        each = _half_up(total, size, unit)
        if each * (size - 1) <= total:
            return [each] * (size - 1) + [total - each * (size - 1)]
    whole = sum(weights)
    reached = [_half_up(total * seen, whole, unit) for seen in accumulate(weights)]
    return [after - before for before, after in pairwise([0, *reached])]


Amounts = tuple[list[int], list[int]]


class _Work:
    """One schedule in the making, in cents: the periods before principal is paid are done.

    Period k costs `rates[k] / per` of the balance. `first` is the first that pays principal,
    `balance` what is then owed, `waiting` the interest that it bills on top of its own.
    """

    def __init__(self, terms: Terms, lent: int, costs: list[int], per: int) -> None:
        self.terms, self.lent, self.rates, self.per = terms, lent, costs, per
        self.interest_unit = _cents(terms.interest_multiple)
        self.instalment_unit = _cents(terms.instalment_multiple)
        waits = terms.grace_interest in ("capitalised", "accrued")
        single = terms.method == "single_payment"
        self.unbilled = terms.interest_grace if waits and not single else 0
        self.first = 0 if single else max(terms.principal_grace, self.unbilled)
        self.balance, self.waiting, self.interests = lent, 0, []
        for k in range(self.first):
            self._pass(k)

    def _pass(self, k: int) -> None:
        """Go through a period without principal: bill its interest, keep it or capitalise it."""
        interest = self.interest(self.balance, self.rates[k])
        if k >= self.unbilled:
            self.interests.append(interest + self.waiting)
            self.waiting = 0
            return
        self.interests.append(0)
        if self.terms.grace_interest == "capitalised":
            self.balance += interest
        else:
            self.waiting += interest

    def interest(self, balance: int, rate: int) -> int:
        """Return a period's interest on the balance, rounded as the terms say."""
        return _half_up(balance * rate, self.per, self.interest_unit)

    def instalment(self, numerator: int, denominator: int) -> int:
        """Return the fixed instalment, or the fraction rounded as the terms say."""
        if self.terms.fixed_instalment is not None:
            return _cents(self.terms.fixed_instalment)
        if self.terms.rounding_mode == "up":
            return -(-numerator // (denominator * self.instalment_unit)) * self.instalment_unit
        return _half_up(numerator, denominator, self.instalment_unit)

    def pay_down(self, each: int, *, with_interest: bool) -> Amounts:
        """Pay `each` a period, interest within it or on top; the last period pays the balance."""
        principals, interests = [0] * self.first, self.interests
        balance, unit = self.balance, self.interest_unit
        step = self.per * unit
        for rate in self.rates[self.first : -1]:
            interest = (2 * balance * rate + step) // (2 * step) * unit
            principal = each - interest if with_interest else each
            if not 0 <= principal < balance:
                raise self.misfit(principal)
            principals.append(principal)
            interests.append(interest)
            balance -= principal
        principals.append(balance)
        interests.append(self.interest(balance, self.rates[-1]))
        interests[self.first] += self.waiting
        return principals, interests

    def misfit(self, principal: int) -> Refused:
        """Return the refusal of an instalment that pays this much principal too soon or never."""
        if self.terms.fixed_instalment is None:
            return Refused(
                "Rounding leaves nothing for the last instalment: "
                "round instalments to a smaller amount, or lend over fewer repayments.",
                field="instalment_multiple",
            )
        sentence = (
            "The instalment does not cover the interest."
            if principal <= 0
            else "The instalment pays the loan off before the last repayment: "
            "lower it, or lend over fewer repayments."
        )
        return Refused(sentence, field="fixed_instalment")


def _equal_instalments(work: _Work) -> Amounts:
    """Annuity: A = P·i / (1 − (1+i)^−n), and where the periods differ P / Σ Π (1+i)^−1."""
    paying, per = work.rates[work.first :], work.per
    growth, size = per + paying[0], len(paying)
    if paying[0] and paying.count(paying[0]) == size:
        grown = growth**size
        worth, annuity = paying[0] * grown, per * (grown - per**size)
    else:
        worth, annuity = 1, 0
        for k, rate in enumerate(paying, start=1):
            worth *= per + rate
            annuity = annuity * (per + rate) + per**k
    each = work.instalment(work.balance * worth, annuity)
    if work.terms.fixed_instalment is not None and size > 1:
        first = work.interest(work.balance, paying[0])
        if each <= first:
            raise work.misfit(each - first)
    return work.pay_down(each, with_interest=True)


def _equal_principal(work: _Work) -> Amounts:
    each = work.instalment(work.balance, len(work.rates) - work.first)
    return work.pay_down(each, with_interest=False)


def _interest_only(work: _Work) -> Amounts:
    return work.pay_down(0, with_interest=False)


def _flat(work: _Work) -> Amounts:
    """Interest on the principal lent for the whole term, in equal parts."""
    size, lent = len(work.rates), work.lent
    total = work.interest(lent, sum(work.rates))
    bearing = [k for k, rate in enumerate(work.rates) if rate]
    interests = [0] * size
    if total:
        cut = _cut(total, [work.rates[k] for k in bearing], work.interest_unit)
        for k, part in zip(bearing, cut, strict=True):
            interests[k] = part
    if work.unbilled:
        interests[work.unbilled] += sum(interests[: work.unbilled])
        interests[: work.unbilled] = [0] * work.unbilled
    paying = size - work.first
    each = work.instalment(lent * size + total * paying, paying * size)
    principal = each - _half_up(lent * sum(work.rates), work.per * size, work.interest_unit)
    principals = [0] * work.first + [principal] * (paying - 1)
    principals.append(lent - sum(principals))
    if (principal < 0 and paying > 1) or principals[-1] <= 0:
        raise work.misfit(principal)
    return principals, interests


_METHODS: dict[str, Callable[[_Work], Amounts]] = {
    "flat": _flat,
    "declining_equal_instalments": _equal_instalments,
    "declining_equal_principal": _equal_principal,
    "interest_only": _interest_only,
    "single_payment": _interest_only,
}
