"""Moving due dates: one, all from one on, a holiday; and taking it back."""

from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger.models import Transfer
from lms.loans.models import Loan, LoanChange
from lms.loans.operations import changes, rescheduling
from tests import factories
from tests.loans.test_restructuring import books_agree, everything, pay

D = Decimal
ON = date(2026, 3, 1)


def move(loan, *, on=ON, reason="Flood in Kibera", **answers):
    return rescheduling.reschedule(loan, reason=reason, by=factories.kamau(), on=on, **answers)


def dates_of(loan):
    return list(loan.repayments.order_by("number").values_list("due_date", flat=True))


def test_one_date_moves_alone(loan):
    change = move(loan, from_number=3, shift_days=5, only_one=True)

    assert dates_of(loan)[1:4] == [date(2026, 3, 15), date(2026, 4, 20), date(2026, 5, 15)]
    assert change.summary == "1 due date moved, the first from 15 Apr 2026 to 20 Apr 2026"
    loan.refresh_from_db()
    assert (loan.restructured_on, loan.position.schedule_set_on) == (None, ON)
    books_agree(loan)


def test_dates_move_to_the_days_that_are_named(loan):
    move(loan, to={3: date(2026, 4, 30), 4: date(2026, 5, 31)})

    assert dates_of(loan)[1:5] == [
        date(2026, 3, 15), date(2026, 4, 30), date(2026, 5, 31), date(2026, 6, 15)
    ]  # fmt: skip


def test_a_payment_holiday_moves_every_open_instalment_by_whole_periods(loan):
    pay(loan, 9456, date(2026, 2, 15))

    move(loan, from_number=2, periods=2)

    assert dates_of(loan)[:3] == [date(2026, 2, 15), date(2026, 5, 15), date(2026, 6, 15)]
    assert dates_of(loan)[-1] == date(2027, 3, 15)
    assert sum(row.interest for row in loan.repayments.all()) == D("13470.00")
    books_agree(loan)


def test_a_holiday_keeps_the_end_of_the_month(db):
    loan = factories.active(on=date(2026, 1, 31), number_of_repayments=4)
    assert dates_of(loan)[:2] == [date(2026, 2, 28), date(2026, 3, 31)]

    move(loan, from_number=1, periods=1, on=date(2026, 2, 10))

    assert dates_of(loan)[:3] == [date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31)]


def test_interest_for_the_time_given_is_charged_when_asked(loan):
    pay(loan, 9456, date(2026, 2, 15))

    change = move(loan, from_number=2, periods=1, charge_interest=True)

    # 92,544 at 24% for the 31 days from 15 March to 15 April: 1,886.38, in whole shillings 1,886.
    assert change.amount == D("1886.00")
    assert loan.repayments.get(number=2).interest == D("3737.00")
    books_agree(loan)


def test_moving_what_is_overdue_flags_the_loan_and_keeps_its_class(loan):
    loan.position.classification = "Watch"
    loan.position.save()

    move(loan, from_number=1, shift_days=30)

    loan.refresh_from_db()
    assert loan.restructured_on == ON
    assert loan.position.classification == "Watch"
    assert loan.days_late(on=ON) == 0


def test_undoing_brings_the_dates_and_the_books_back(loan):
    was = everything(loan)

    change = move(loan, from_number=1, shift_days=30, charge_interest=True)
    assert everything(loan) != was
    changes.undo(change, reason="Wrong loan", by=factories.kamau(), on=ON)

    assert everything(loan) == was
    books_agree(loan)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"from_number": 2, "shift_days": 31, "only_one": True}, "instalment 3 would fall due"),
        ({"from_number": 13, "shift_days": 1}, "no open instalment from this one on"),
        ({"from_number": 99, "shift_days": 1, "only_one": True}, "There is no instalment 99"),
        ({"from_number": 1, "shift_days": 1, "only_one": True}, "Instalment 1 is completed"),
        ({"from_number": 2, "shift_days": -20}, "which is past"),
        ({"from_number": 2, "shift_days": 0}, "No due date would change"),
        ({"from_number": 2}, "by how many days or periods"),
        ({"from_number": 2, "shift_days": 1, "periods": 1}, "by how many days or periods"),
        ({"to": {2: date(2026, 1, 10)}}, "which is past"),
        ({"from_number": 2, "shift_days": 1, "reason": " "}, "Give a reason"),
    ],
)
def test_dates_that_cannot_be_are_refused_and_move_nothing(loan, answers, sentence):
    pay(loan, 9456, date(2026, 2, 15))
    before = everything(loan), Transfer.objects.count()

    with pytest.raises(Refused, match=sentence):
        move(loan, **answers)

    assert (everything(loan), Transfer.objects.count()) == before
    assert LoanChange.objects.count() == 0


def test_only_an_active_loan_is_rescheduled(db):
    with pytest.raises(Refused, match="is approved: only the schedule of an active loan changes"):
        move(factories.approved(), from_number=1, shift_days=1)
    assert Loan.objects.get().repayments.count() == 0
