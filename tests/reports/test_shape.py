"""How figures are written."""

from datetime import date
from decimal import Decimal

import pytest

from lms.reports.shape import Cell, Row, Window, report_target, row, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1234567.80"), "1,234,567.80"),
        (Decimal("-1234.50"), "(1,234.50)"),
        (Decimal("0.00"), "-"),
        (date(2026, 11, 21), "21 Nov 2026"),
        ("Wanjiku", "Wanjiku"),
        (None, ""),
    ],
)
def test_a_value_is_written_as_accountants_read_it(value, text):
    assert shown(value) == text


def test_a_row_takes_values_and_cells():
    assert row("Cash", Cell(Decimal(5))) == Row((Cell("Cash"), Cell(Decimal(5))))


def test_a_way_to_a_report_leaves_out_what_nobody_answered():
    target = report_target("account", account="1010", branch=None, first=date(2026, 1, 1))

    assert target.answers == (("account", "1010"), ("first", "2026-01-01"))


@pytest.mark.parametrize(
    ("window", "part"),
    [(Window(), [1, 2, 3, 4]), (Window(0, 2), [1, 2]), (Window(2, 5), [3, 4]), (Window(9, 2), [])],
)
def test_a_window_is_a_part_of_the_lines(window, part):
    assert window.of([1, 2, 3, 4]) == part
