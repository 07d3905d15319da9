"""Rates and day counts: which part of a year a period is, as an exact fraction of two integers."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

PERIODS_A_YEAR = {"days": 365, "weeks": 52, "months": 12}

# What the parts of a year are counted in, for each day count. Dividing by one number for a whole
# schedule keeps its arithmetic in integers.
PARTS_A_YEAR = {
    "actual/365": 365,
    "actual/360": 360,
    "30/360": 360,
    "actual/actual": 365 * 366,
}
DAY_COUNTS = ("periodic", *PARTS_A_YEAR)


FINEST_RATE = 10**12  # the largest denominator of a yearly rate in percent


class YearPart(NamedTuple):
    """A part of a year: `parts` of the `whole` that make one year."""

    parts: int
    whole: int


def days_30_360(start: date, end: date) -> int:
    """Return the days from start to end when every month has 30 (US, NASD).

    Source: 30/360 US: a start on the 31st counts as the 30th; so does an end on the 31st when the
    start falls on the 30th or later.
    """
    first = min(start.day, 30)
    last = 30 if end.day == 31 and first == 30 else end.day
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first


def year_part(start: date, end: date, day_count: str) -> YearPart:
    """Return the part of a year from start (included) to end (excluded).

    Source: actual/actual is ISDA: days in a leap year over 366, the others over 365.
    Raises ValueError for a day count that needs no dates, or an unknown one.
    """
    if day_count not in PARTS_A_YEAR:
        raise ValueError(f"{day_count!r} is not a day count over dates.")
    if day_count == "30/360":
        parts = days_30_360(start, end)
    elif day_count == "actual/actual":
        parts = _actual_actual(start, end)
    else:
        parts = (end - start).days
    return YearPart(parts, PARTS_A_YEAR[day_count])


def _actual_actual(start: date, end: date) -> int:
    """Return the days in parts of 365 × 366 a year: a day of a leap year weighs 365, else 366."""
    parts = 0
    while start < end:
        until = min(end, date(start.year + 1, 1, 1))
        parts += (until - start).days * (365 if _is_leap(start.year) else 366)
        start = until
    return parts


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@lru_cache(maxsize=1024)
def cost(annual_rate: Decimal, parts: int, whole: int) -> tuple[int, int]:
    """Return what parts of a year cost of the balance, at percent a year, as an exact fraction.

    No Decimal holds the yearly rate of 10% over 7 months: the nearest fraction of small numbers
    restores it, so that a half shilling is still a half when it is rounded.
    """
    yearly = Fraction(annual_rate).limit_denominator(FINEST_RATE) / 100
    return (yearly * Fraction(parts, whole)).as_integer_ratio()
