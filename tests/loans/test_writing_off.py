from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.ledger.operations import Line, post
from lms.loans.models import NonPerforming, Position, Waiver
from lms.loans.operations import collection, instalments, writing_off
from lms.loans.operations.night import accrual
from tests import factories
from tests.books import balances, prove
from tests.loans.test_settling import pay
from tests.nights import EVERYBODY

D = Decimal
DAY = date(2026, 9, 1)


def provide(amount, *, by):
    """The branch has set so much aside for losses."""
    post(
        kind="provision", reference=f"provision:{amount}", on=DAY, narration="Provision",
        lines=[Line(chart.PROVISION_EXPENSE, chart.ALLOWANCE, D(amount))],
        branch_id=factories.branch().pk, by=by,
    )  # fmt: skip


def test_a_whole_loan_uses_the_allowance_up_and_is_a_loss_beyond_it(loan, kamau):
    pay(loan, 9_456, on=date(2026, 2, 15))
    row = loan.repayments.get(number=2)
    instalments.charge_penalty(row, amount=D(200), rule="Field visit", by=kamau, on=DAY)
    provide(60_000, by=kamau)

    change = writing_off.write_off(loan, reason="Shop burnt down", by=kamau, on=DAY)

    loan.refresh_from_db()
    assert (loan.status, loan.position.outstanding) == ("written_off", 0)
    assert change.amount == D("104214.00")  # 92,544 + 11,470 of interest + 200
    assert set(loan.repayments.values_list("status", flat=True)) == {"completed", "written_off"}
    booked = balances()
    assert booked[chart.ALLOWANCE] == 0
    assert booked[chart.LOANS_WRITTEN_OFF] == D(32_544) + 200
    assert booked[chart.UNEARNED_INTEREST] == 0
    assert booked[chart.INTEREST_INCOME] == -2_000
    assert collection.still_owed(loan) == D("104214.00")
    prove()


def test_some_instalments_are_written_off_and_the_loan_runs_on(loan, kamau):
    rows = list(loan.repayments.filter(number__in=(1, 2)))

    writing_off.write_off(loan, reason="Agreed in court", repayments=rows, by=kamau, on=DAY)

    loan.refresh_from_db()
    assert loan.status == "active"
    assert loan.position.outstanding == D(113_470) - 2 * 9_456
    assert collection.still_owed(loan) == 2 * 9_456
    assert loan.position.overdue_since == date(2026, 4, 15)
    prove()


def test_a_loan_whose_other_instalments_are_paid_ends_as_written_off(loan, kamau):
    rows = list(loan.repayments.filter(number__in=(1, 2)))
    writing_off.write_off(loan, reason="Agreed in court", repayments=rows, by=kamau, on=DAY)

    payment = pay(loan, 113_470 - 2 * 9_456, on=DAY)

    loan.refresh_from_db()
    assert (loan.status, collection.still_owed(loan)) == ("written_off", 2 * 9_456)
    prove()
    recovered = pay(loan, 456, on=DAY)
    assert (recovered.allocated, collection.still_owed(loan)) == (456, 18_456)
    collection.take_back(payment, reason="Bounced", by=kamau, on=DAY)
    loan.refresh_from_db()
    assert loan.status == "active"
    prove()


def test_a_write_off_stays_while_money_is_recovered_on_it(loan, kamau):
    writing_off.write_off(loan, reason="Gone", by=kamau, on=DAY)
    payment = pay(loan, 456, on=DAY)

    with pytest.raises(Refused, match=r"KES 456\.00 was recovered since"):
        writing_off.undo_write_off(loan, reason="Back", by=kamau, on=DAY)
    collection.take_back(payment, reason="x", by=kamau, on=DAY)
    writing_off.undo_write_off(loan, reason="Back", by=kamau, on=DAY)

    prove()


def test_a_part_falls_on_the_oldest_charges_first(loan, kamau):
    writing_off.write_off(loan, reason="Agreed", amount=D(10_000), by=kamau, on=DAY)

    made = Waiver.objects.order_by("pk").values_list("repayment__number", "component", "amount")
    assert list(made) == [
        (1, "interest", 2_000),
        (1, "principal", 7_456),
        (2, "interest", 544),
    ]
    assert loan.repayments.get(number=1).status == "written_off"
    prove()


def test_an_undone_write_off_leaves_everything_as_it_was(loan, kamau):
    pay(loan, 9_456, on=date(2026, 2, 15))
    provide(50_000, by=kamau)
    before = balances()
    writing_off.write_off(loan, reason="Shop burnt down", by=kamau, on=DAY)

    writing_off.undo_write_off(loan, reason="He came back", by=kamau, on=DAY)

    loan.refresh_from_db()
    assert (loan.status, loan.position.outstanding) == ("active", D(113_470) - 9_456)
    assert {k: v for k, v in balances().items() if v} == {k: v for k, v in before.items() if v}
    assert collection.still_owed(loan) == 0
    prove()


def accruing():
    """A loan that earns by time, in default since August: what is unpaid waits in suspense."""
    loan = factories.active(product=factories.product(income_basis="accrual"))
    pay(loan, 9_456, on=date(2026, 2, 15))
    NonPerforming.objects.create(loan=loan, since=date(2026, 8, 1), principal=D(92_544))
    accrual.accrue(*EVERYBODY, on=DAY)
    return loan


def test_interest_in_suspense_is_written_off_without_a_loss(kamau):
    loan = accruing()
    before = balances()
    assert before[chart.SUSPENDED_INTEREST] < 0

    writing_off.write_off(loan, reason="Gone", by=kamau, on=DAY)

    booked = balances()
    assert (booked[chart.SUSPENDED_INTEREST], booked[chart.UNEARNED_INTEREST]) == (0, 0)
    assert booked[chart.LOANS_WRITTEN_OFF] == D(92_544)
    assert booked[chart.INTEREST_INCOME] == -2_000
    prove()
    writing_off.undo_write_off(loan, reason="Back", by=kamau, on=DAY)
    assert {k: v for k, v in balances().items() if v} == {k: v for k, v in before.items() if v}
    assert accrual.accrue(*EVERYBODY, on=DAY) == 0


def test_the_night_takes_the_income_of_a_lost_instalment_back(kamau):
    loan = accruing()
    rows = list(loan.repayments.filter(number=2))

    writing_off.write_off(loan, reason="Court", repayments=rows, by=kamau, on=DAY)
    accrual.accrue(*EVERYBODY, on=DAY)

    position = Position.objects.get(pk=loan.pk)
    owed = position.interest
    assert -balances()[chart.UNEARNED_INTEREST] == owed + 2_000 - position.interest_earned
    assert -balances()[chart.SUSPENDED_INTEREST] == position.interest_suspended
    prove()


def test_the_officer_of_a_loan_does_not_write_it_off(njeri):
    loan = factories.active(loan_officer=njeri)
    before = Transfer.objects.count()

    with pytest.raises(Refused, match="is your own loan: someone else must write it off"):
        writing_off.write_off(loan, reason="Gone", by=njeri, on=DAY)

    assert Transfer.objects.count() == before
    assert not Waiver.objects.exists()


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [("113470.01", "Only KES 113,470.00 is owed."), ("0", "must be more than KES 0.00")],
)
def test_an_amount_that_is_not_owed_is_refused(loan, kamau, amount, sentence):
    with pytest.raises(Refused, match=sentence):
        writing_off.write_off(loan, reason="Gone", amount=D(amount), by=kamau, on=DAY)

    assert not Waiver.objects.exists()


def test_instalments_that_are_settled_are_refused(loan, kamau):
    pay(loan, 9_456, on=date(2026, 2, 15))

    with pytest.raises(Refused, match="Choose open instalments"):
        writing_off.write_off(
            loan, reason="Gone", repayments=[loan.repayments.get(number=1)], by=kamau, on=DAY
        )
