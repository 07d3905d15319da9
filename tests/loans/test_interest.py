from datetime import date
from decimal import Decimal

import pytest

from lms import money
from lms.loans.interest import year_part

# Interest on 100,000 at 18% for three periods, worked by hand for each day count.
PERIODS = {
    "over a leap February": (date(2024, 1, 31), date(2024, 2, 29)),
    "over a year end into a leap year": (date(2023, 12, 15), date(2024, 3, 15)),
    "January": (date(2026, 1, 1), date(2026, 2, 1)),
}
WORKED = {
    "over a leap February": ("1450.00", "1430.14", "1450.00", "1426.23"),
    "over a year end into a leap year": ("4500.00", "4487.67", "4550.00", "4477.70"),
    "January": ("1500.00", "1528.77", "1550.00", "1528.77"),
}
DAY_COUNTS = ("30/360", "actual/365", "actual/360", "actual/actual")


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("column", range(4))
def test_each_day_count_gives_its_worked_interest(period, column):
    part = year_part(*PERIODS[period], DAY_COUNTS[column])

    interest = Decimal(18_000) * part.parts / part.whole
    assert money.money(interest) == Decimal(WORKED[period][column])


def test_a_day_count_without_dates_has_no_year_part():
    with pytest.raises(ValueError, match="periodic"):
        year_part(date(2026, 1, 1), date(2026, 2, 1), "periodic")
