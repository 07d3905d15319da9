"""What pays a loan off before its term, and what is left to pay after money ahead of time.

Pure: no Django, no clock, no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from operator import mul
from typing import NamedTuple

from lms import money
from lms.errors import Refused
from lms.loans import allocation, apr
from lms.loans import interest as rates
from lms.loans.schedule import Row, Terms, fee_sum, period_rates, schedule
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


class Capitalised(NamedTuple):
    """Interest (KES) that the principal of a loan's instalments holds, earned by the day `on`."""

    amount: Decimal
    on: date


def capitalised_by(terms: Terms) -> Capitalised | None:
    """Return the interest that the terms capitalise in their first periods; None without."""
    if (
        terms.grace_interest != "capitalised"
        or not terms.interest_grace
        or terms.method in ("flat", "single_payment")
    ):
        return None
    lent = terms.disbursed + fee_sum(terms, "added_to_principal").total
    amount = sum((row.principal for row in schedule(terms)), ZERO) - lent
    return Capitalised(amount, period_rates(terms)[terms.interest_grace - 1][0])


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
    capitalised: Capitalised | None = None,
) -> Quote:
    """Return what pays the loan off on a day. `dues` are all of its instalments, paid or not.

    What is due by `on` is owed in full, and so are the principal and the penalties of later
    instalments, and their fees unless `keep_fees` is False. Of later interest is owed:

    - `declining`: what the principal not yet due earned since the last due date, by actual days
      over 365 where `day_count` counts no days, never more than the period's scheduled interest;
    - otherwise the interest of the later periods less the `rebate`. A period begins the day after
      the due date before it, and counts whole as soon as it has begun.

    Of `capitalised` interest only what has accrued by `on` is principal; the rest is rebate.
    Interest paid ahead counts towards what is owed of its own instalment; none is given back. The
    interest asked for is rounded to `unit`. The quote holds for `valid_days`, and ends earlier
    before the next due date, before another period begins, and where a period's interest is
    full. Raises Refused, naming the field, for a day before the loan or an unknown rebate.
    """
    if rebate not in REBATES:
        raise Refused(f"A rebate is one of {REBATES}, not {rebate!r}.", field="rebate")
    if not dues or on < min(due.starts_on for due in dues):
        raise Refused("A loan is paid off on or after the day of its disbursement.", field="on")
    past = [due for due in dues if due.due_date <= on]
    later = sorted((due for due in dues if due.due_date > on), key=lambda due: due.due_date)
    until = on + timedelta(days=valid_days)
    scheduled, unearned = _owing(later, "interest"), ZERO
    if declining and later:
        grown = _Growth(on, annual_rate, day_count, unit, until)
        if capitalised and on < capitalised.on:
            earned, unearned = ZERO, grown.unearned(dues, capitalised)
        else:
            earned = grown.interest(later, since=capitalised.on if capitalised else None)
        per_day, until = grown.per_day, grown.until
    else:
        earned, per_day = max(scheduled - _rebate(dues, rebate, on), ZERO), ZERO
        earned = min(money.money(earned, unit), scheduled)
        until = min([until, *(_holds_until(due, rebate, on) for due in later)])
    fees = _owing(later, "fees")
    return Quote(
        on=on,
        good_through=until,
        principal=_owing(dues, "principal") - unearned,
        interest=_owing(past, "interest") + earned,
        fees=_owing(past, "fees") + (fees if keep_fees else ZERO),
        penalties=_owing(dues, "penalties"),
        rebate=scheduled - earned + unearned,
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


class _Growth:
    """Interest that grows by the day: after a question, what a day adds and until when it does."""

    def __init__(
        self, on: date, annual_rate: Decimal, day_count: str, unit: Decimal, until: date
    ) -> None:
        self.on, self.unit, self.until, self.per_day = on, unit, until, ZERO
        self.rate = {"annual_rate": annual_rate, "day_count": day_count}

    def interest(self, later: Sequence[Due], *, since: date | None) -> Decimal:
        """Return what is accrued and unpaid of the current period; `since` a day, if later."""
        current = later[0]
        start = max(current.starts_on, since or current.starts_on)
        owing = current.owing.get("interest", ZERO)
        paid = current.interest - owing
        self.until = min(self.until, current.due_date - timedelta(days=1))
        accrued = self._grow(_owing(later, "principal"), start, paid, current.interest)
        return min(money.money(max(accrued - paid, ZERO), self.unit), owing)

    def unearned(self, dues: Sequence[Due], capitalised: Capitalised) -> Decimal:
        """Return what is not yet earned of the interest that the principal holds."""
        lent = sum((due.principal for due in dues), ZERO) - capitalised.amount
        self.until = min(self.until, capitalised.on - timedelta(days=1))
        start = min(due.starts_on for due in dues)
        accrued = self._grow(lent, start, ZERO, capitalised.amount)
        return capitalised.amount - min(money.money(accrued, self.unit), capitalised.amount)

    def _grow(self, balance: Decimal, start: date, paid: Decimal, most: Decimal) -> Decimal:
        """Return the interest accrued since the start, at most `most`, and set what a day adds.

        That ends when what has accrued reaches what is paid of it, and when it reaches the most.
        """
        accrued = accrual(balance, start=start, end=self.on, **self.rate)
        if accrued >= most:
            return most
        tomorrow = self.on + timedelta(days=1)
        per_day = accrual(balance, start=max(self.on, start), end=tomorrow, **self.rate)
        if per_day:
            days = ((paid if accrued < paid else most) - accrued) / per_day
            self.until = min(self.until, self.on + timedelta(days=int(min(days, 10_000))))
        self.per_day = ZERO if accrued < paid else money.money(per_day)
        return accrued


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
    charged at each period's rate on the new balance, and on `extra` for the days until `on`, which
    the next row bills on top of an instalment that falls and within one that stays. The interest
    of a flat loan was agreed on the principal lent, so all of it stays, except the share of the
    `rebate` that `extra` is of the principal not yet due. Raises Refused, naming the field, for an
    amount that is nothing or pays the loan off, and in periods that capitalise interest.
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
    """Return the parts as rows on the due dates of the old ones, with the fees of all of them.

    Rows on which nothing is due are left out.
    """
    fees = [row.fees for row in later]
    fees[len(parts) - 1] += sum(fees[len(parts) :], ZERO)
    balance = sum((principal for principal, _ in parts), ZERO)
    begin = later[0].due_date - timedelta(days=later[0].days)
    rows = []
    for row, (principal, interest), fee in zip(later, parts, fees, strict=False):
        if total := principal + interest + fee:
            balance -= principal
            days = (row.due_date - begin).days
            rows.append(
                Row(row.number, row.due_date, days, principal, interest, fee, total, balance)
            )
            begin = row.due_date
    return rows


def _declining_parts(
    terms: Terms, later: Sequence[Row], left: Decimal, on: date, keep: str
) -> Parts:
    started_on = later[0].due_date - timedelta(days=later[0].days)
    if capitalised := capitalised_by(terms):
        if on < capitalised.on:
            raise Refused(
                "While interest is capitalised the principal is not settled: prepay after that.",
                field="on",
            )
        started_on = max(started_on, capitalised.on)
    periods = period_rates(terms)
    if terms.grace_interest == "accrued" and terms.method != "single_payment":
        bills_on = periods[terms.interest_grace][0]
        periods = [(bills_on if on < due < bills_on else due, rate) for due, rate in periods]
    within = [
        [rate for due, rate in periods if start < due <= end] or [Fraction(0)]
        for start, end in pairwise([started_on, *(row.due_date for row in later)])
    ]
    costs = [rates[-1] for rates in within]
    # The periods before the last of a row bill their interest with it, on top of the instalment.
    earlier = [sum(rates[:-1], Fraction(0)) for rates in within]

    first = next(k for k, row in enumerate(later) if row.principal > 0)
    each = _each(terms, later[first:], costs[first:], left, keep)
    spent = _spent(terms, later[0], left, started_on, on, costs[0] + earlier[0])
    parts = []
    for k, row in enumerate(later):
        before = row.balance + row.principal
        interest = _interest(terms, left, costs[k])
        waited = (
            row.interest - _interest(terms, before, costs[k]) - _interest(terms, before, earlier[k])
        )
        on_top = _interest(terms, left, earlier[k]) + max(waited, ZERO)
        if k == 0 and keep == "instalment":
            interest += spent
        elif k == 0:
            on_top += spent
        principal = ZERO
        if k == len(later) - 1:
            principal = left
        elif k >= first:
            kept = interest if terms.method == "declining_equal_instalments" else ZERO
            principal = min(max(each - kept, ZERO), left)
        parts.append((principal, interest + on_top))
        left -= principal
        if not left:
            break
    return parts


def _interest(terms: Terms, balance: Decimal, rate: Fraction) -> Decimal:
    """Return a period's interest on the balance, rounded as the terms say."""
    return money.money(balance * rate.numerator / rate.denominator, terms.interest_multiple)


def _spent(terms: Terms, row: Row, left: Decimal, start: date, on: date, rate: Fraction) -> Decimal:
    """Return the interest on what is prepaid for its days, at most that of the whole period."""
    extra = row.balance + row.principal - left
    spent = accrual(
        extra, start=start, end=on, annual_rate=terms.annual_rate, day_count=terms.day_count
    )
    most = extra * rate.numerator / rate.denominator
    return money.money(min(spent, most), terms.interest_multiple)


def _each(
    terms: Terms, paying: Sequence[Row], costs: Sequence[Fraction], left: Decimal, keep: str
) -> Decimal:
    """Return what each row pays: its principal, or of equal instalments principal and interest."""
    if terms.method in ("interest_only", "single_payment"):
        return ZERO
    equal = terms.method == "declining_equal_instalments"
    if keep == "instalment":
        k = 1 if len(paying) > 2 else 0
        interest = _interest(terms, paying[k].balance + paying[k].principal, costs[k])
        return paying[k].principal + (interest if equal else ZERO)
    if not equal:
        return _rounded(terms, left / len(paying))
    # A = P / Σ Π (1+i)^−1
    worths = accumulate((1 + rate for rate in costs), mul)
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
    kept = charged / agreed if agreed else ZERO
    for row in later[: -len(paying)]:
        interest = min(money.money(row.interest * kept, terms.interest_multiple), rest)
        parts.append((ZERO, interest))
        rest -= interest
    owed = left + rest
    each = _rounded(terms, owed / len(paying))
    for row in paying:
        total = each if keep == "term" else row.principal + row.interest
        total = owed if row is paying[-1] else min(total, owed)
        # The interest is cut in proportion, and leaves no later row with more than its total.
        interest = money.money(rest * total / owed, terms.interest_multiple)
        interest = max(min(interest, rest, total), rest - (owed - total))
        parts.append((total - interest, interest))
        rest, owed = rest - interest, owed - total
        if not owed:
            break
    return parts
