"""The proof of the books: it holds after everything an office does, and finds what is off."""

from datetime import date, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from lms import dates
from lms.closing import operations, proofs
from lms.closing.models import Proof
from lms.ledger import chart, periods
from lms.ledger.models import Period, PeriodBalance
from lms.ledger.operations import Line, post
from lms.loans.models import Position, Repayment
from lms.notifications.models import Message
from lms.payments.models import Payment
from lms.staff.models import Staff
from tests import factories
from tests.loans.test_replay import pay

pytestmark = pytest.mark.django_db
DAY = date(2026, 2, 20)


def off() -> dict[str, Decimal]:
    """Return the proofs that do not hold, with their differences."""
    return {proved.name: proved.difference for proved in proofs.prove() if not proved.holds}


def wrongly_post(debit: str, credit: str, amount: str) -> None:
    """Post what no operation would."""
    post(
        kind="mistake",
        reference=f"mistake:{debit}:{credit}",
        on=DAY,
        narration="Past the operations",
        lines=[Line(debit, credit, Decimal(amount))],
        branch_id=factories.branch().pk,
        by=None,
    )


@pytest.fixture
def paid(loan):
    """A loan of which something is paid, and something lies in credit and in the queue."""
    pay(loan, "9456.00", value_date=date(2026, 2, 15))
    pay(loan, "120.00", value_date=date(2026, 2, 16))
    return loan


def test_the_books_of_an_office_hold(paid):
    assert off() == {}
    assert len(proofs.prove()) == 23


@pytest.mark.parametrize(
    ("debit", "credit", "name", "difference"),
    [
        (chart.LOAN_PRINCIPAL, chart.CASH, "Loans: principal owed", "7.10"),
        (chart.CASH, chart.INTEREST_RECEIVABLE, "Loans: interest owed", "-7.10"),
        (chart.FEES_RECEIVABLE, chart.CASH, "Loans: fees owed", "7.10"),
        (chart.PENALTIES_RECEIVABLE, chart.CASH, "Loans: penalties owed", "7.10"),
        (chart.CASH, chart.UNALLOCATED, "Unallocated receipts", "7.10"),
        (chart.CASH, chart.CUSTOMER_CREDIT, "Customer credit", "7.10"),
        (chart.CASH, chart.SUSPENDED_INTEREST, "Loans: interest in suspense", "7.10"),
        (chart.TILL_CASH, chart.CASH, "Cash in tills", "7.10"),
        (chart.CASH_IN_TRANSIT, chart.CASH, "Cash in transit", "7.10"),
        (chart.BETWEEN_BRANCHES, chart.CASH, "Owed between branches", "7.10"),
        (chart.REFINANCE_CLEARING, chart.CASH, "Loans paid off by new loans", "7.10"),
        (chart.CASH, chart.CHAMA_FUNDS, "Funds held for chamas", "7.10"),
    ],
)
def test_what_is_posted_past_the_operations_shows_in_its_account(
    paid, debit, credit, name, difference
):
    wrongly_post(debit, credit, "7.10")

    assert off() == {name: Decimal(difference)}


def test_a_position_that_drifted_is_found_with_its_loan(paid):
    Position.objects.filter(loan=paid).update(interest=Decimal("1.00"))

    found = {proved.name: proved.detail for proved in proofs.prove() if not proved.holds}
    assert found == {"Positions and their instalments": paid.number}


@pytest.mark.parametrize(
    "change",
    [{"overdue_since": date(2026, 1, 1)}, {"principal": Decimal(1)}, {"unscheduled": Decimal(5)}],
)
def test_every_column_of_a_position_is_proved(paid, change):
    Position.objects.filter(loan=paid).update(**change)

    assert "Positions and their instalments" in off()


def test_a_disbursed_loan_without_a_position_is_found(paid):
    Position.objects.filter(loan=paid).delete()

    assert "Positions and their instalments" in off()


def test_paid_beside_the_allocations_is_found(paid):
    row = paid.repayments.get(number=2)
    Repayment.objects.filter(pk=row.pk).update(principal_paid=row.principal_paid + 50)

    found = off()
    assert found["Instalments and their allocations"] == 1
    assert found["Loans: principal owed"] == 50


def test_allocated_beside_the_allocations_is_found(paid):
    payment = Payment.objects.order_by("pk").first()
    Payment.objects.filter(pk=payment.pk).update(allocated=payment.allocated - 1)

    found = {proved.name: proved.detail for proved in proofs.prove() if not proved.holds}
    assert found["Payments and what they paid"] == payment.number
    assert "Unallocated receipts" in found


def test_rows_without_an_entry_are_found(paid):
    Payment.objects.filter(pk=Payment.objects.first().pk).update(entry=None)

    assert off() == {"Receipts that were not booked": 1}


def test_a_night_keeps_its_proofs_and_tells_who_closes_the_books_once(paid, kamau):
    Staff.objects.filter(pk=kamau.pk).update(email="kamau@example.co.ke")
    wrongly_post(chart.CASH, chart.CUSTOMER_CREDIT, "7.10")

    operations.close_day(DAY)
    operations.close_day(DAY, again=True)

    kept = Proof.objects.filter(day=DAY)
    assert kept.count() == len(proofs.prove())
    assert [str(proof) for proof in kept.filter(holds=False)] == ["Customer credit on 2026-02-20"]
    assert operations.broken_proofs()[0].difference == Decimal("7.10")
    (told,) = Message.objects.filter(occasion="books_off")
    assert told.recipient == "kamau@example.co.ke"
    assert told.subject == "The books of 20 Feb 2026 do not agree"
    assert "Customer credit: off by 7.10." in told.body


def test_a_night_that_holds_tells_nobody(paid):
    operations.close_day(DAY)

    assert operations.broken_proofs() == []
    assert not Message.objects.filter(occasion="books_off").exists()


def test_the_command_prints_each_proof_and_fails_on_one_that_is_off(paid):
    out = StringIO()
    call_command("prove_books", stdout=out)
    assert "Loans: principal owed" in out.getvalue()
    assert "All 23 proofs hold." in out.getvalue()

    wrongly_post(chart.CASH, chart.CUSTOMER_CREDIT, "7.10")
    with pytest.raises(CommandError, match="1 proof of 23 did not hold"):
        call_command("prove_books", stdout=out)
    assert "OFF BY 7.10" in out.getvalue()


def test_a_past_day_is_proved_by_its_snapshots_whatever_was_posted_for_it_since(paid):
    operations.close_day(DAY)
    pay(paid, "500.00", value_date=DAY, on=DAY + timedelta(days=3))

    found = {proved.name: proved for proved in proofs.prove(DAY)}
    assert all(proved.holds for proved in found.values())
    interest = found["Loans: interest owed"]
    assert interest.detail == "KES -500.00 was posted for it after the night"
    assert interest.rows == sum(
        row.interest - row.interest_paid for row in paid.repayments.all()
    ) + Decimal(500)


def test_the_command_refuses_a_day_that_is_not_over():
    with pytest.raises(CommandError, match="is not over"):
        call_command("prove_books", "--date", dates.today().isoformat())
    with pytest.raises(CommandError, match="is not a day"):
        call_command("prove_books", "--date", "yesterday")


def test_what_closed_months_carry_is_proved_by_the_transfers(paid, kamau):
    periods.prepare(on=date(2026, 3, 2))
    periods.close_period(Period.objects.get(first=date(2026, 1, 1)), by=kamau, on=date(2026, 3, 2))
    assert off() == {}

    PeriodBalance.objects.filter(account=chart.CASH).update(credit=Decimal("99999.00"))

    found = {proved.name: proved.detail for proved in proofs.prove() if not proved.holds}
    assert found["Balances carried by closed months"] == "account 1010"
    assert "Debits and credits" in found
