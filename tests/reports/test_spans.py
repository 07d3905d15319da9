"""Which days stand beside which."""

from datetime import date

import pytest

from lms.reports import spans
from lms.reports.spans import Scope, Span


@pytest.mark.parametrize(
    ("first", "last", "before", "year_before"),
    [
        # A month: the month before, the same month last year.
        ((2026, 3, 1), (2026, 3, 31), ((2026, 2, 1), (2026, 2, 28)), ((2025, 3, 1), (2025, 3, 31))),
        # February of a leap year ends where February ends.
        ((2025, 2, 1), (2025, 2, 28), ((2025, 1, 1), (2025, 1, 31)), ((2024, 2, 1), (2024, 2, 29))),
        # A quarter and a year are months too.
        ((2026, 4, 1), (2026, 6, 30), ((2026, 1, 1), (2026, 3, 31)), ((2025, 4, 1), (2025, 6, 30))),
        (
            (2026, 1, 1),
            (2026, 12, 31),
            ((2025, 1, 1), (2025, 12, 31)),
            ((2025, 1, 1), (2025, 12, 31)),
        ),
        # Part of a month: as many days.
        ((2026, 3, 1), (2026, 3, 9), ((2026, 2, 20), (2026, 2, 28)), ((2025, 3, 1), (2025, 3, 9))),
        ((2026, 3, 9), (2026, 3, 9), ((2026, 3, 8), (2026, 3, 8)), ((2025, 3, 9), (2025, 3, 9))),
    ],
)
def test_the_days_before_are_as_long_and_whole_months_stay_whole(first, last, before, year_before):
    first, last = date(*first), date(*last)

    assert spans.before(first, last) == tuple(date(*day) for day in before)
    assert spans.year_before(first, last) == tuple(date(*day) for day in year_before)


@pytest.mark.parametrize(
    ("first", "last", "title"),
    [
        ((2026, 3, 1), (2026, 3, 31), "Mar 2026"),
        ((2026, 1, 1), (2026, 12, 31), "2026"),
        ((2026, 3, 1), (2026, 3, 9), "1 Mar 2026 to 9 Mar 2026"),
    ],
)
def test_a_heading_says_the_days_shortly(first, last, title):
    assert spans.between(date(*first), date(*last)) == title


def test_branches_stand_side_by_side_with_their_total():
    first, last = date(2026, 3, 1), date(2026, 3, 31)

    assert spans.by_branch(first, last, Scope(), [(1, "Nairobi"), (2, "Kisumu")]) == [
        Span("Nairobi", first, last, Scope((1,), "Nairobi")),
        Span("Kisumu", first, last, Scope((2,), "Kisumu")),
        Span("Total", first, last, Scope()),
    ]
