"""What lateness costs when the last due date, on which it may end, moves."""

from datetime import date
from decimal import Decimal

import pytest

from lms.loans.operations import changes, instalments, lateness, relief, rescheduling, rows
from tests import factories
from tests.books import prove
from tests.nights import charge

pytestmark = pytest.mark.django_db
D = Decimal
UNTIL_MATURITY = {
    "penalty_base": "instalment",
    "penalty_value": D("0.5"),
    "penalty_frequency": "daily",
    "penalty_stop": "maturity",
}
MAY = date(2026, 5, 10)


@pytest.fixture
def loan():
    """Three instalments of 3,468 to 15 April, of which nothing is paid; 10 May is begun."""
    product = factories.product(number_of_repayments=3, code="LATE", **UNTIL_MATURITY)
    loan = factories.active(D(10_000), product=product)
    charge(on=date(2026, 5, 9))
    return loan


def penalties(loan):
    return list(loan.repayments.order_by("number").values_list("penalties", flat=True))


def bring_up(loan, *, on):
    lateness.bring_up_to(rows.lock(loan.pk), on=on)


def add(loan, due_date=date(2026, 6, 15)):
    return instalments.add(
        loan, number=4, due_date=due_date, principal=D(0), interest=D(100), fees=D(0),
        reason="Agreed", by=factories.kamau(), on=MAY,
    )  # fmt: skip


def push(loan):
    return rescheduling.reschedule(
        loan, from_number=3, shift_days=60, reason="Agreed", by=factories.kamau(), on=MAY
    )


# By maturity, 15 April: 59 days and 31 days of 17.34.
BY_MATURITY = [D(1023), D(538)]


@pytest.mark.parametrize("move", [add, push])
def test_days_between_the_old_and_the_new_maturity_are_not_charged_behind_the_change(loan, move):
    assert penalties(loan)[:2] == BY_MATURITY

    move(loan)
    bring_up(loan, on=MAY)
    assert penalties(loan)[:2] == BY_MATURITY

    charge(on=MAY)
    assert penalties(loan)[:2] == [D(1041), D(555)]
    prove()


def test_a_maturity_that_moves_twice_on_a_day_is_charged_once(loan):
    row = add(loan)
    instalments.change(
        row, due_date=date(2026, 7, 1), principal=D(0), interest=D(100), fees=D(0),
        reason="Agreed", by=factories.kamau(), on=MAY,
    )  # fmt: skip
    relief.cancel(row, reason="Agreed", by=factories.kamau(), on=MAY)
    charge(on=MAY)

    assert penalties(loan)[:2] == BY_MATURITY
    prove()


def test_undoing_a_move_of_the_maturity_leaves_lateness_as_it_was(loan):
    since = list(loan.repayments.order_by("number").values_list("penalties_since", flat=True))
    push(loan)

    changes.undo_last(loan, reason="Mistake", by=factories.kamau(), on=date(2026, 5, 12))

    found = loan.repayments.order_by("number").values_list("penalties_since", flat=True)
    assert list(found) == since
    charge(on=date(2026, 5, 13))
    assert penalties(loan)[:2] == BY_MATURITY
    prove()
