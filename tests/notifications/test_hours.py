from datetime import UTC, datetime

import pytest

from lms import dates
from lms.notifications import hours


def eat(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, second, tzinfo=dates.EAT)


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [
        (eat(2, 8), eat(2, 8)),
        (eat(2, 19, 59, 59), eat(2, 19, 59, 59)),
        (eat(2, 20), eat(3, 8)),
        (eat(2, 23, 59, 59), eat(3, 8)),
        (eat(3, 0), eat(3, 8)),
        (eat(3, 7, 59, 59), eat(3, 8)),
        (eat(31, 21), datetime(2026, 4, 1, 8, tzinfo=dates.EAT)),
    ],
)
def test_the_night_is_quiet_from_eight_to_eight(moment, allowed):
    assert hours.next_allowed(moment) == allowed
    assert hours.is_allowed(moment) == (moment == allowed)


def test_the_night_is_the_one_in_kenya_whatever_the_zone_of_the_instant():
    assert hours.next_allowed(datetime(2026, 3, 2, 17, tzinfo=UTC)) == eat(3, 8)
    assert hours.is_allowed(datetime(2026, 3, 2, 5, tzinfo=UTC)) is True
