from datetime import UTC, date, datetime

import pytest

from lms import dates


def test_the_kenyan_day_starts_three_hours_before_utc():
    assert dates.day_of(datetime(2026, 1, 31, 21, 0, tzinfo=UTC)) == date(2026, 2, 1)
    assert dates.day_of(datetime(2026, 1, 31, 20, 59, 59, tzinfo=UTC)) == date(2026, 1, 31)
    assert dates.day_of("2026-01-31T21:00:00+00:00") == date(2026, 2, 1)
    assert dates.day_of("2026-01-31") == date(2026, 1, 31)


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        dates.day_of("2026-01-31T21:00:00")


def test_months_are_counted_from_the_anchor_day():
    anchor = date(2026, 1, 31)

    assert [dates.add_months(anchor, n) for n in range(4)] == [
        date(2026, 1, 31),
        date(2026, 2, 28),
        date(2026, 3, 31),
        date(2026, 4, 30),
    ]
    assert dates.add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert dates.add_months(date(2026, 12, 15), 1) == date(2027, 1, 15)


def test_days_are_shown_as_staff_read_them():
    assert dates.show(date(2026, 11, 1)) == "1 Nov 2026"
    assert dates.show(None) == "-"
