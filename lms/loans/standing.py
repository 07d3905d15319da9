"""How late a loan is, which class that puts it in, and how good a portfolio is.

Pure: no Django, no clock, no database.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import accumulate, pairwise

from lms import money
from lms.errors import Refused
from lms.loans.allocation import Due
from lms.money import ZERO

# An instalment of which no more than this (KES) is unpaid does not make a loan late.
TOLERANCE = Decimal(10)

# Name, first day and last day past due, both included. None is without end.
BUCKETS = (
    ("current", 0, 0),
    ("1-30", 1, 30),
    ("31-60", 31, 60),
    ("61-90", 61, 90),
    ("91-180", 91, 180),
    (">180", 181, None),
)


def days_past_due(
    dues: Iterable[Due],
    *,
    on: date,
    tolerance: Decimal = TOLERANCE,
    components: Sequence[str] = ("principal", "interest"),
) -> int:
    """Return the days since the oldest instalment fell due that is unpaid by more than `tolerance`.

    Day 1 is the day after the due date. Of an instalment the `components` count: principal and
    interest unless told, so that fees and penalties alone make no loan late.
    """
    unpaid = (
        due.due_date
        for due in dues
        if due.due_date < on
        and sum((due.owing.get(name, ZERO) for name in components), ZERO) > tolerance
    )
    oldest = min(unpaid, default=on)
    return (on - oldest).days


def bucket(days: int) -> str:
    """Return the name of the bucket: 30 days past due are still 1-30."""
    return next(name for name, first, last in BUCKETS if last is None or first <= days <= last)


@dataclass(frozen=True, slots=True)
class Band:
    """A class of loans: from and to (None: without end) so many days past due, both included.

    `rate` is the percent of the outstanding principal that is provided for.
    """

    name: str
    from_days: int
    to_days: int | None
    rate: Decimal


def _bands(*bands: tuple[str, int, int | None, int]) -> tuple[Band, ...]:
    return tuple(Band(name, first, last, Decimal(rate)) for name, first, last, rate in bands)


# Defaults to start from; a lender's own tables stand in the database.
# Source of the days of CBK: Prudential Guideline CBK/PG/04. The other days and all rates are in use
# among Kenyan lenders, to be confirmed against the text in force before a return is filed.
CBK = _bands(
    ("Normal", 0, 30, 1),
    ("Watch", 31, 90, 3),
    ("Substandard", 91, 180, 20),
    ("Doubtful", 181, 360, 100),
    ("Loss", 361, None, 100),
)
# Source: Microfinance (Deposit-Taking Microfinance Institutions) Regulations 2008.
MICROFINANCE = _bands(
    ("Normal", 0, 0, 1),
    ("Watch", 1, 30, 5),
    ("Substandard", 31, 60, 25),
    ("Doubtful", 61, 90, 75),
    ("Loss", 91, None, 100),
)
# Source: SACCO Societies (Deposit-Taking Sacco Business) Regulations 2010.
SASRA = _bands(
    ("Performing", 0, 0, 1),
    ("Watch", 1, 30, 5),
    ("Substandard", 31, 180, 25),
    ("Doubtful", 181, 360, 50),
    ("Loss", 361, None, 100),
)
# Source: our choice. The buckets of the arrears report, so that staff read one set of limits; it
# grows with each bucket and provides in full when a loan is half a year late.
MANAGEMENT = _bands(
    ("Current", 0, 0, 1),
    ("Watch", 1, 30, 5),
    ("Substandard", 31, 60, 25),
    ("Doubtful", 61, 90, 50),
    ("Bad", 91, 180, 75),
    ("Loss", 181, None, 100),
)
TABLES = {"management": MANAGEMENT, "cbk": CBK, "microfinance": MICROFINANCE, "sasra": SASRA}


def check(bands: Sequence[Band]) -> None:
    """Refuse bands that leave a day out, count one twice, or end. They come in order of days."""
    if not bands or bands[0].from_days != 0:
        raise Refused("The first class starts at 0 days past due.", field="from_days")
    for before, after in pairwise(bands):
        if before.to_days is None or after.from_days != before.to_days + 1:
            raise Refused(
                f"{after.name} must start the day after {before.name} ends.", field="from_days"
            )
        if before.to_days < before.from_days:
            raise Refused(f"{before.name} ends before it starts.", field="to_days")
    if bands[-1].to_days is not None:
        raise Refused(f"{bands[-1].name} is the last class, so it has no end.", field="to_days")
    if not all(0 <= band.rate <= 100 for band in bands):
        raise Refused("A provision is from 0% to 100%.", field="rate")


def classify(days: int, bands: Sequence[Band]) -> Band:
    """Return the class of a loan so many days past due."""
    return next(
        band
        for band in bands
        if band.from_days <= days and (band.to_days is None or days <= band.to_days)
    )


def provision(principal: Decimal, days: int, bands: Sequence[Band]) -> Decimal:
    """Return what is provided for (KES) against a principal so many days past due."""
    return money.money(principal * classify(days, bands).rate / 100)


@dataclass(frozen=True, slots=True)
class Standing:
    """A loan in its portfolio: principal outstanding and past due (KES), days past due."""

    principal: Decimal
    days: int
    past_due: Decimal = ZERO
    is_restructured: bool = False


def portfolio_at_risk(
    loans: Sequence[Standing], over: int = 0, *, with_restructured: bool = False
) -> Decimal:
    """Return the percent of principal on loans more than `over` days past due.

    With `with_restructured` every restructured loan is at risk, however late. Source: CGAP/SEEP
    consensus definitions, 2003.
    """
    at_risk = (
        loan.principal
        for loan in loans
        if loan.days > over or (with_restructured and loan.is_restructured)
    )
    return percent(sum(at_risk, ZERO), _gross(loans))


def arrears_ratio(loans: Sequence[Standing]) -> Decimal:
    """Return the amounts past due in percent of all principal: not the portfolio at risk."""
    return percent(sum((loan.past_due for loan in loans), ZERO), _gross(loans))


def _gross(loans: Iterable[Standing]) -> Decimal:
    return sum((loan.principal for loan in loans), ZERO)


def percent(part: Decimal | int, whole: Decimal | int) -> Decimal:
    """Return part ÷ whole in percent with two places; of nothing it is 0.

    So are told: on-time repayment (collected of current dues by the due date ÷ due), risk coverage
    (allowance ÷ PAR30) and roll rates (balance that enters a bucket ÷ balance in the one before it
    a month ago).
    """
    return money.money(Decimal(part) * 100 / whole) if whole else ZERO


def average(opening: Decimal, closing: Decimal) -> Decimal:
    """Return the average of a portfolio, or of borrowers, over a time."""
    return (opening + closing) / 2


def annual_percent(part: Decimal, whole: Decimal, *, months: int) -> Decimal:
    """Return what came in so many months, in percent a year of an average.

    So are told: portfolio yield (income received), the write-off ratio (written off, less what was
    recovered where it is net) and the operating expense ratio.
    """
    return percent(part * 12 / months, whole)


def collection_efficiency(
    *, current: Decimal, arrears: Decimal, due: Decimal, prepaid: Decimal = ZERO
) -> Decimal:
    """Return what was collected on current dues and arrears in percent of what fell due.

    Prepayments flatter it, so they count only where they are told.
    """
    return percent(current + arrears + prepaid, due)


def dropout_rate(*, opening: int, new: int, closing: int) -> Decimal:
    """Return the clients who left in percent of those who were there or came."""
    return percent(opening + new - closing, opening + new)


def vintage(newly_late: Sequence[Decimal], disbursed: Decimal) -> list[Decimal]:
    """Return, by month on book, the percent of a cohort that has ever been more than 30 days late.

    `newly_late` is the principal disbursed of the loans first so late in each month.
    """
    return [percent(late, disbursed) for late in accumulate(newly_late)]
