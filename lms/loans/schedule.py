"""Repayment schedules. Pure: no Django, no clock, no database.

Inside, amounts are whole cents and rates exact fractions, so nothing drifts; every rounding is
half up (or up, where the terms say so) at the moment an amount becomes payable.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, compress, pairwise, repeat
from math import lcm
from operator import add, sub
from typing import NamedTuple

from lms import dates, money
from lms.errors import Refused
from lms.loans import interest as rates
from lms.loans.terms import LARGEST, Terms, Tranche, fee_sum, is_day
from lms.money import CENT, ZERO

SUNDAY = 6
HUNDRED = Decimal(100)


class Row(NamedTuple):
    """One instalment: amounts in KES; `days` since the row before.

    `balance` is the principal still to pay after it, of what is paid out by its due date.
    """

    number: int
    due_date: date
    days: int
    principal: Decimal
    interest: Decimal
    fees: Decimal
    total: Decimal
    balance: Decimal


def schedule(terms: Terms) -> list[Row]:
    """Return the instalments of a loan. Rows on which nothing is due are left out.

    Σ principal is all that is paid out, with fees added to it and interest capitalised in grace.
    Each tranche makes a new level from the first instalment after it: what is then owed over the
    repayments that remain, unless the terms fix the instalment; then the last takes the rest.
    Raises Refused, naming the field, when the rounding leaves the last instalment with nothing to
    pay, a fixed instalment does not fit, holidays push two instalments onto one day, or a tranche
    comes after the last of them.
    """
    ends = _period_ends(terms)
    costs, per = _rates(terms, ends)
    is_single = terms.method == "single_payment"
    due = _due_dates(terms, ends[-1:] if is_single else ends)
    draws: Draws = {}
    if terms.tranches:
        draws, costs, per = _draws(terms, ends, due, costs, per)
    if is_single:
        costs = [sum(costs)]
    lent = _cents(terms.principal)
    if terms.fees:
        lent += _cents(fee_sum(terms, "added_to_principal").total)
    principals, interests = _METHODS[terms.method](_Work(terms, lent, costs, per, draws))
    return _rows(terms, due, principals, interests)


def period_rates(terms: Terms) -> list[tuple[date, Fraction]]:
    """Return the due date of each period and what the period costs of the balance."""
    ends = _period_ends(terms)
    costs, per = _rates(terms, ends)
    if terms.method == "single_payment":
        ends, costs = ends[-1:], [sum(costs)]
    parts = (Fraction(cost, per) for cost in costs)
    return list(zip(_due_dates(terms, ends), parts, strict=True))


def check_schedule(
    rows: Sequence[Row],
    *,
    principal: Decimal,
    disbursed_on: date,
    tranches: Sequence[Tranche] = (),
) -> None:
    """Hold a schedule that was written by hand to what every schedule keeps.

    Numbers and due dates rise, the first due date after the disbursement; amounts are whole cents
    of 0 or more, each total the sum of its parts; the principals sum to the principal and the
    tranches, and each balance is what is left of those paid out by the due date. Raises Refused
    with the instalment and its field.
    """
    if not rows:
        raise Refused("A schedule has at least one instalment.", field="number")
    lent = sum((tranche.amount for tranche in tranches), principal)
    number, day, paid = 0, disbursed_on, ZERO
    for row in rows:
        _check_kinds(row)
        if row.number <= number:
            raise _misstep(row, "number", f"its number must be more than {number}.")
        if row.due_date <= day:
            before = "the disbursement" if day == disbursed_on else "the instalment before it"
            raise _misstep(row, "due_date", f"it must fall due after {before}, {dates.show(day)}.")
        parts = row.principal + row.interest + row.fees
        if row.total != parts:
            raise _misstep(row, "total", f"the total must be {money.kes(parts)}, its parts summed.")
        number, day, paid = row.number, row.due_date, paid + row.principal
        owed = lent - sum(tranche.amount for tranche in tranches if tranche.paid_on > day) - paid
        if owed < 0:
            raise _misstep(row, "principal", f"it pays {money.kes(-owed)} more than is then owed.")
        if row.balance != owed:
            raise _misstep(row, "balance", f"the balance after it must be {money.kes(owed)}.")
    if paid != lent:
        short = money.kes(lent - paid)
        raise _misstep(rows[-1], "balance", f"it is the last, and leaves {short} of principal.")


def _check_kinds(row: Row) -> None:
    """Refuse a cell that is no number, day or payable amount."""
    if not isinstance(row.number, int):
        raise Refused(f"{row.number!r} is not the number of an instalment.", field="number")
    if not is_day(row.due_date):
        raise _misstep(row, "due_date", "its due date is not a plain date.")
    for name in ("principal", "interest", "fees", "total", "balance"):
        amount = getattr(row, name)
        if not isinstance(amount, Decimal) or not amount.is_finite():
            raise _misstep(row, name, f"its {name} is not a Decimal amount.")
        if not 0 <= amount <= LARGEST:
            raise _misstep(row, name, f"its {name} must be KES 0.00 or more.")
        if amount % CENT:
            raise _misstep(row, name, f"its {name} must be in whole cents.")


def _misstep(row: Row, field: str, sentence: str) -> Refused:
    return Refused(f"Instalment {row.number}: {sentence}", field=field)


# A last instalment of more than these many others is not what "equal" promises.
MOST_INSTALMENTS_AT_THE_END = Decimal("1.5")
SMALLER_UNITS = (Decimal(10), Decimal(5), Decimal(1), CENT)


def rounding_warning(terms: Terms) -> str | None:
    """Return a sentence where the rounding of instalments makes the last one far too large.

    That is: more than one and a half of the one before it, which a smaller unit would cure. A last
    instalment that the terms make large, as a balloon does, is no matter of rounding.
    """
    rows = schedule(terms)
    if not _ends_heavily(rows, terms):
        return None
    for unit in SMALLER_UNITS:
        finer = replace(terms, instalment_multiple=min(unit, terms.instalment_multiple))
        try:
            is_cured = not _ends_heavily(schedule(finer), finer)
        except Refused:
            continue
        if is_cured:
            return (
                f"Rounded to {money.kes(terms.instalment_multiple)}, the last instalment would be "
                f"{money.kes(rows[-1].total)}, far more than the others: round instalments to "
                f"{money.kes(finer.instalment_multiple)}."
            )
    return None


def _ends_heavily(rows: list[Row], terms: Terms) -> bool:
    if len(rows) == 1:
        return terms.number_of_repayments > 1
    *_, before, last = (row.principal + row.interest for row in rows)
    return last > MOST_INSTALMENTS_AT_THE_END * before


def _rows(
    terms: Terms, due: Sequence[date], principals: list[int], interests: list[int]
) -> list[Row]:
    """Return the columns, in cents, as rows in KES."""
    lent = _kes(sum(principals))
    principals, interests = list(map(_kes, principals)), list(map(_kes, interests))
    balances = list(accumulate(principals, sub, initial=lent))[1:]
    if terms.tranches:
        later = [_paid_out_after(day, terms) for day in due]
        balances = list(map(sub, balances, later))
    totals = list(map(add, principals, interests))
    fees = [ZERO] * len(totals)
    if terms.fees:
        fees = list(map(_kes, _fees(terms)))
        totals = list(map(add, totals, fees))
    columns = [principals, interests, fees, totals, balances]
    if not all(totals):
        due = list(compress(due, totals))
        columns = [list(compress(column, totals)) for column in columns]
    days = _days(terms.disbursed_on, tuple(due))
    cells = zip(range(1, len(due) + 1), due, days, *columns, strict=True)
    return list(map(tuple.__new__, repeat(Row), cells))


def _paid_out_after(day: date, terms: Terms) -> Decimal:
    return sum((tranche.amount for tranche in terms.tranches if tranche.paid_on > day), ZERO)


def _period_ends(terms: Terms) -> Sequence[date]:
    """Return the nominal due dates. The days of a single payment are counted as one period."""
    try:
        ends = _calendar(
            terms.disbursed_on,
            terms.first_due,
            terms.number_of_repayments,
            terms.repay_every,
            terms.unit,
        )
    except (ValueError, OverflowError):
        raise Refused(
            "The last instalment would fall due after the year 9999.",
            field="number_of_repayments",
        ) from None
    if terms.method == "single_payment" and terms.day_count != "periodic":
        # All days that cost are counted at once: 30/360 takes a month end within differently.
        free = min(_free_periods(terms), len(ends) - 1)
        return [*ends[:free], ends[-1]]
    return ends


# The loans that a product makes on one day share their due dates: making dates costs more than the
# arithmetic on them, so the last ones are kept.
@lru_cache(maxsize=1024)
def _calendar(
    start: date, first_due: date | None, size: int, every: int, unit: str
) -> tuple[date, ...]:
    """Return the days counted from one anchor: 31 Jan → 28 Feb → 31 Mar."""
    anchor, first = (first_due, 0) if first_due else (start, 1)
    steps = range(first * every, (first + size) * every, every)
    return tuple(dates.add_period(anchor, step, unit) for step in steps)


@lru_cache(maxsize=1024)
def _days(start: date, due: tuple[date, ...]) -> tuple[int, ...]:
    """Return the days of each period."""
    return tuple((end - begin).days for begin, end in pairwise((start, *due)))


def _rates(terms: Terms, ends: Sequence[date]) -> tuple[list[int], int]:
    """Return what each period costs of the balance, in parts, and how many parts are the whole."""
    start, first, size = terms.disbursed_on, terms.first_due, len(ends)
    every, year = terms.repay_every, rates.PERIODS_A_YEAR[terms.unit]
    if terms.day_count != "periodic":
        days = pairwise([start, *ends])
        parts = [rates.year_part(a, b, terms.day_count).parts for a, b in days]
        cost, per = rates.cost(terms.annual_rate, 1, rates.PARTS_A_YEAR[terms.day_count])
        costs = [part * cost for part in parts]
    elif first is None or first == dates.add_period(start, every, terms.unit):
        cost, per = rates.cost(terms.annual_rate, every, year)
        costs = [cost] * size
    else:  # A first period of odd length counts its days over 365.
        cost, per = rates.cost(terms.annual_rate, 1, year * 365)
        costs = [(ends[0] - start).days * year * cost, *[every * 365 * cost] * (size - 1)]
    if free := _free_periods(terms):
        costs[:free] = [0] * min(free, size)
    return costs, per


def _free_periods(terms: Terms) -> int:
    is_free = terms.grace_interest == "free"
    return max(terms.interest_free, terms.interest_grace) if is_free else terms.interest_free


# Period: what is paid out in it, in cents, and its interest in cents × parts above or below that of
# the whole period.
Draws = dict[int, tuple[int, int]]


def _draws(
    terms: Terms, ends: Sequence[date], due: Sequence[date], costs: list[int], per: int
) -> tuple[Draws, list[int], int]:
    """Return what each period pays out, with the costs of `_rates` in parts fine enough for both.

    Raises Refused for a tranche on or after the last due date.
    """
    is_single = terms.method == "single_payment"
    # A due date moved forward closes its period: no instalment pays what is not yet paid out.
    closing = [*ends[: -len(due)], *map(min, ends[-len(due) :], due)]
    begins = [terms.disbursed_on, *ends]
    found: list[tuple[int, int, Fraction]] = []
    for tranche in terms.tranches:
        k = bisect_right(closing, tranche.paid_on)
        if k == len(closing):
            raise Refused(
                f"The tranche of {dates.show(tranche.paid_on)} must be paid out before the last "
                f"instalment falls due on {dates.show(due[-1])}.",
                field="tranches",
            )
        whole = sum(costs) if is_single else costs[k]
        full = sum(costs[k + 1 :]) if is_single else 0
        until = ends[k]
        if tranche.paid_on <= begins[k]:
            full, until = full + costs[k], begins[k]
        more = Fraction(full - whole, per)
        if costs[k]:
            day_count = "actual/365" if terms.day_count == "periodic" else terms.day_count
            days = rates.year_part(tranche.paid_on, until, day_count)
            more += Fraction(*rates.cost(terms.annual_rate, *days))
        found.append((0 if is_single else k, _cents(tranche.amount), more))
    finest = lcm(per, *(more.denominator for _, _, more in found))
    draws: Draws = {}
    for k, cents, more in found:
        amount, parts = draws.get(k, (0, 0))
        draws[k] = (amount + cents, parts + cents * int(more * finest))
    return draws, [cost * (finest // per) for cost in costs], finest


def _due_dates(terms: Terms, ends: Sequence[date]) -> Sequence[date]:
    """Return the contractual due dates: the ends of the periods, moved off Sundays and holidays."""
    if terms.holiday_rule == "keep":
        return ends
    due = [working_day(end, terms) for end in ends]
    if any(a >= b for a, b in pairwise([terms.disbursed_on, *due])):
        raise Refused(
            "Sundays and holidays push two instalments onto one day, or one onto the day of the "
            "disbursement: keep the due dates, or collect less often.",
            field="holiday_rule",
        )
    return due


def working_day(day: date, terms: Terms) -> date:
    """Return the day, moved off a Sunday or holiday as the rule of the terms says."""
    step = timedelta(days=1 if terms.holiday_rule == "next" else -1)
    while day in terms.holidays or day.weekday() == SUNDAY:
        day += step
    return day


def _fees(terms: Terms) -> list[int]:
    """Return the fees and excise that each instalment bills, in cents.

    What is spread is cut as interest is rounded, so that a loan in shillings stays in them.
    """
    size = 1 if terms.method == "single_payment" else terms.number_of_repayments
    spread, unit = _cents(fee_sum(terms, "spread").total), _cents(terms.interest_multiple)
    fees = _cut(spread - spread % unit, [1] * size, unit)
    fees[-1] += spread % unit
    fees[0] += _cents(fee_sum(terms, "first_instalment").total)
    return fees


def _cents(amount: Decimal) -> int:
    return int(amount * HUNDRED)


# Cents as KES with two places. A bound method, because `map` then stays out of Python.
_kes = CENT.__mul__


def half_up(numerator: int, denominator: int, unit: int) -> int:
    """Return numerator/denominator as a multiple of unit, halves up."""
    step = denominator * unit
    return (numerator + step // 2) // step * unit  # an odd step has no exact half


def _cut(total: int, weights: Sequence[int], unit: int) -> list[int]:
    """Return a multiple of `unit` cut by weight into parts of 0 or more that sum to it.

    Equal weights give equal parts, the last absorbing the rounding. Where the weights differ, or
    the others would leave the last less than nothing, the cuts are made on the running total.
    """
    weight, size = weights[0], len(weights)
    if all(other == weight for other in weights):
        each = half_up(total, size, unit)
        if each * (size - 1) <= total:
            return [each] * (size - 1) + [total - each * (size - 1)]
    whole = sum(weights)
    reached = [half_up(total * seen, whole, unit) for seen in accumulate(weights)]
    return [after - before for before, after in pairwise([0, *reached])]


Amounts = tuple[list[int], list[int]]
Level = Callable[["_Work", int, int], int]  # what each period pays from the one that begins a level


class _Work:
    """One schedule in the making, in cents: the periods before principal is paid are done.

    Period k costs `rates[k] / per` of the balance. `first` is the first that pays principal,
    `balance` what is then owed, `waiting` the interest that it bills on top of its own.
    """

    def __init__(self, terms: Terms, lent: int, costs: list[int], per: int, draws: Draws) -> None:
        self.terms, self.lent, self.rates, self.per, self.draws = terms, lent, costs, per, draws
        self.interest_unit = _cents(terms.interest_multiple)
        self.instalment_unit = _cents(terms.instalment_multiple)
        self.first = self.unbilled = 0
        if terms.method != "single_payment":
            if terms.grace_interest in ("capitalised", "accrued"):
                self.unbilled = terms.interest_grace
            self.first = max(terms.principal_grace, self.unbilled)
        self.balance, self.waiting, self.interests = lent, 0, []
        for k in range(self.first):
            self._pass(k)

    def _pass(self, k: int) -> None:
        """Go through a period without principal: bill its interest, keep it or capitalise it."""
        more = self.draw(k)
        interest = self.interest(self.balance, self.rates[k], more)
        if k >= self.unbilled:
            self.interests.append(interest + self.waiting)
            self.waiting = 0
            return
        self.interests.append(0)
        if self.terms.grace_interest == "capitalised":
            self.balance += interest
        else:
            self.waiting += interest

    def draw(self, k: int) -> int:
        """Pay out the tranches of a period; return their interest beside that of the balance."""
        amount, more = self.draws.get(k, (0, 0))
        self.balance += amount
        return more

    def interest(self, balance: int, rate: int, more: int = 0) -> int:
        """Return a period's interest on the balance, rounded as the terms say."""
        return half_up(balance * rate + more, self.per, self.interest_unit)

    def instalment(self, numerator: int, denominator: int) -> int:
        """Return the fixed instalment, or the fraction rounded as the terms say."""
        if self.terms.fixed_instalment is not None:
            return _cents(self.terms.fixed_instalment)
        if self.terms.rounding_mode == "up":
            return -(-numerator // (denominator * self.instalment_unit)) * self.instalment_unit
        return half_up(numerator, denominator, self.instalment_unit)

    def pay_down(self, level: Level, *, with_interest: bool) -> Amounts:
        """Pay level by level, interest within it or on top; the last period pays the balance."""
        principals, interests = [0] * self.first, self.interests
        unit, last = self.interest_unit, len(self.rates) - 1
        step = self.per * unit
        half = step // 2  # half_up, written out in the loop
        later = sorted(k for k in self.draws if k > self.first) if self.draws else ()
        for begin, end in pairwise((self.first, *later, last + 1)):
            more = self.draw(begin)
            each = level(self, begin, more)
            balance, plus = self.balance, half + more
            for rate in self.rates[begin : min(end, last)]:
                interest = (balance * rate + plus) // step * unit
                principal = each - interest if with_interest else each
                if not 0 <= principal < balance:
                    raise self.misfit(principal)
                principals.append(principal)
                interests.append(interest)
                balance -= principal
                plus = half
            self.balance = balance
        principals.append(balance)
        interests.append((balance * self.rates[-1] + plus) // step * unit)
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
    return work.pay_down(_annuity, with_interest=True)


def _annuity(work: _Work, begin: int, more: int) -> int:
    """A = P·i / (1 − (1+i)^−n), and where the periods differ P / Σ Π (1+i)^−1.

    P is the balance; `more` interest at the end of the first period counts as it would grow.
    """
    paying, per = work.rates[begin:], work.per
    rate, size = paying[0], len(paying)
    if rate and paying.count(rate) == size:
        worth, annuity = _level_factor(rate, per, size)
    else:
        worth, annuity = 1, per
        for k, later in enumerate(paying[1:], start=2):
            worth *= per + later
            annuity = annuity * (per + later) + per**k
    owed = work.balance * (per + rate) + more
    each = work.instalment(owed * worth, annuity)
    if work.terms.fixed_instalment is not None and size > 1:
        first = work.interest(work.balance, rate, more)
        if each <= first:
            raise work.misfit(each - first)
    return each


@lru_cache(maxsize=1024)
def _level_factor(rate: int, per: int, size: int) -> tuple[int, int]:
    """Return what a level instalment is of the first one's principal and interest, as a fraction.

    It is kept, because the loans of a product share it and its powers are what costs time.
    """
    grown = (per + rate) ** (size - 1)
    return rate * grown, per * (grown * (per + rate) - per**size)


def _equal_principal(work: _Work) -> Amounts:
    return work.pay_down(_equal_share, with_interest=False)


def _equal_share(work: _Work, begin: int, _: int) -> int:
    return work.instalment(work.balance, len(work.rates) - begin)


def _interest_only(work: _Work) -> Amounts:
    return work.pay_down(lambda *_: 0, with_interest=False)


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
    principal = each - half_up(lent * sum(work.rates), work.per * size, work.interest_unit)
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
