"""Rates and day counts: what one period of a loan costs, as an exact fraction of the balance."""

from datetime import date
from fractions import Fraction

PERIODS_A_YEAR = {"days": 365, "weeks": 52, "months": 12}
DAY_COUNTS = ("periodic", "30/360", "actual/365", "actual/360", "actual/actual")


def days_30_360(start: date, end: date) -> int:
    """Return the days from start to end when every month has 30 (US, NASD).

    Source: 30/360 US: a start on the 31st counts as the 30th; so does an end on the 31st when the
    start falls on the 30th or later.
    """
    first = min(start.day, 30)
    last = 30 if end.day == 31 and first == 30 else end.day
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first


def year_fraction(start: date, end: date, day_count: str) -> Fraction:
    """Return the part of a year from start (included) to end (excluded).

    Source: actual/actual is ISDA: days in a leap year over 366, the others over 365.
    Raises ValueError for a day count that needs no dates, or an unknown one.
    """
    if day_count == "actual/365":
        return Fraction((end - start).days, 365)
    if day_count == "actual/360":
        return Fraction((end - start).days, 360)
    if day_count == "30/360":
        return Fraction(days_30_360(start, end), 360)
    if day_count == "actual/actual":
        return _actual_actual(start, end)
    raise ValueError(f"{day_count!r} is not a day count over dates.")


def _actual_actual(start: date, end: date) -> Fraction:
    total = Fraction(0)
    while start < end:
        until = min(end, date(start.year + 1, 1, 1))
        total += Fraction((until - start).days, 366 if _is_leap(start.year) else 365)
        start = until
    return total


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def regular_period(every: int, unit: str) -> Fraction:
    """Return one repayment period as part of a year of 12 months, 52 weeks or 365 days."""
    return Fraction(every, PERIODS_A_YEAR[unit])
