"""How fast a schedule is made: `python -m tests.benchmarks.schedules`.

Declining equal instalments of 12 and 60 months, each loan with an amount and a day of its own, on
one core, in rounds that take turns so that a noisy machine slows all three alike:

ours     RepaymentCalculator(terms).schedule(), from terms that were checked when they were made;
bare     the same loop written by hand over integer cents, an exact rate and real dates;
naive    the formula as it stands in a book, in Decimal, relativedelta and dicts;
checked  ours with the checks of the terms, for the record.

A day has 20 loans, as the day of a branch or an import does: ours keeps the due dates that they
share, and forgets them before each round. The bare loop must give the same cents and days. Exits
with 1 when a figure misses its goal.
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from statistics import median

from dateutil.relativedelta import relativedelta

from lms import dates
from lms.loans import interest, schedule
from lms.loans.calculator import RepaymentCalculator, Row, Terms
from tests.benchmarks import common

DAYS, LOANS_A_DAY = 50, 20
ROUNDS = 31
LEAST_OF_BARE = 0.5
LEAST_TIMES_NAIVE = 5

RATE = 24  # percent a year, by the month
Loan = tuple[int, date, int]  # cents, day of the disbursement, instalments


def terms_of(loan: Loan) -> Terms:
    """Return the terms of a loan, checked."""
    cents, start, size = loan
    return Terms(
        principal=Decimal(cents).scaleb(-2),
        annual_rate=Decimal(RATE),
        method="declining_equal_instalments",
        number_of_repayments=size,
        repay_every=1,
        unit="months",
        disbursed_on=start,
    )


def ours(terms: Terms) -> list[Row]:
    """Make the schedule as the office does."""
    return RepaymentCalculator(terms).schedule()


def bare(loan: Loan) -> list[tuple[int, date, int, int, int, int, int]]:
    """Make it in integers: number, due date, days, principal, interest, total, balance."""
    balance, start, size = loan
    per, rate = 1200, RATE
    grown = (per + rate) ** size
    numerator, denominator = balance * rate * grown, per * (grown - per**size)
    each = (2 * numerator + denominator * 100) // (2 * denominator * 100) * 100
    rows = []
    before = start
    for number in range(1, size + 1):
        due = dates.add_months(start, number)
        interest = (2 * balance * rate + per) // (2 * per)
        principal = each - interest if number < size else balance
        balance -= principal
        total = principal + interest
        rows.append((number, due, (due - before).days, principal, interest, total, balance))
        before = due
    return rows


def naive(loan: Loan) -> list[dict[str, object]]:
    """Make it the way of a textbook."""
    cents, start, size = loan
    balance = principal = Decimal(cents) / 100
    rate = Decimal(RATE) / 100 / 12
    exact = principal * rate / (1 - (1 + rate) ** -size)
    each = exact.quantize(Decimal("1"), rounding=ROUND_HALF_UP)
    rows = []
    for number in range(1, size + 1):
        interest = (balance * rate).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        part = each - interest if number < size else balance
        balance -= part
        rows.append(
            {
                "number": number,
                "due_date": start + relativedelta(months=number),
                "principal": part.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
                "interest": interest,
                "total": (part + interest).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
                "balance": balance.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
            }
        )
    return rows


def checked(loan: Loan) -> list[Row]:
    """Make terms and schedule."""
    return ours(terms_of(loan))


SIDES: dict[str, Callable[..., list]] = {
    "ours": ours,
    "bare": bare,
    "naive": naive,
    "checked": checked,
}


KEPT = (schedule._calendar, schedule._days, schedule._level_factor, interest.cost)


def loans(size: int) -> list[Loan]:
    """Return loans of every day of the month, of amounts that differ in their cents."""
    start = date(2023, 1, 1)
    numbers = range(DAYS * LOANS_A_DAY)
    return [
        (1_000_000 + 123_457 * k, start + timedelta(days=k // LOANS_A_DAY), size) for k in numbers
    ]


def differing(book: list[Loan]) -> int:
    """Return how many schedules of ours differ from the bare loop by a cent or a day."""

    def in_cents(row: Row) -> tuple[int, date, int, int, int, int, int]:
        amounts = (row.principal, row.interest, row.total, row.balance)
        return (row.number, row.due_date, row.days, *(int(amount * 100) for amount in amounts))

    return sum([in_cents(row) for row in checked(loan)] != bare(loan) for loan in book)


def measure(book: list[Loan]) -> dict[str, list[float]]:
    """Return schedules a second of each side, round by round."""
    terms = [terms_of(loan) for loan in book]
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side, make in SIDES.items():
            for kept in KEPT:
                kept.cache_clear()
            work = partial(_each, make, terms if side == "ours" else book)
            taken[side].append(common.timed(work))
    return {side: [len(book) / each for each in seconds] for side, seconds in taken.items()}


def times(speed: dict[str, list[float]], side: str) -> float:
    """Return how many times the speed of a side ours has: the median over the rounds."""
    return median(a / b for a, b in zip(speed["ours"], speed[side], strict=True))


def _each(make: Callable[..., list], loans: list) -> None:
    for loan in loans:
        make(loan)


def main() -> None:
    """Measure both sizes, compare them with the goals and with the bare loop's cents."""
    lines, misses = [], []
    for size in (12, 60):
        book = loans(size)
        if wrong := differing(book):
            misses.append(f"{wrong} of {len(book)} schedules of {size} differ from the bare loop")
        speed = measure(book)
        of_bare, times_naive = times(speed, "bare"), times(speed, "naive")
        lines.append(
            [
                f"{size} instalments",
                *(f"{median(speed[side]):,.0f}/s" for side in SIDES),
                f"{of_bare:.2f} ×",
                f"{times_naive:.1f} ×",
            ]
        )
        if of_bare < LEAST_OF_BARE:
            misses.append(f"{size} instalments run at {of_bare:.2f} of the bare loop's speed")
        if times_naive < LEAST_TIMES_NAIVE:
            misses.append(f"{size} instalments run at {times_naive:.1f} times naive Decimal")
    common.table(
        "Schedules of declining equal instalments",
        ["", *SIDES, "ours ÷ bare, at least 0.5", "ours ÷ naive, at least 5"],
        lines,
    )
    common.finish(misses)


if __name__ == "__main__":
    main()
