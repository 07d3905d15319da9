from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.models import Loan
from lms.loans.operations import collection, transfers
from tests import factories
from tests.books import balances, prove
from tests.loans.test_settling import pay

D = Decimal
DAY = date(2026, 3, 1)


@pytest.fixture
def kisumu(db):
    return factories.branch("KSM", "Kisumu")


@pytest.fixture
def otieno(kisumu):
    return factories.staff("ochieng", "Loan officer", branch=kisumu)


def standing(branch):
    return {code: sum_ for code, sum_ in balances(branch=branch).items() if sum_}


def test_a_portfolio_moves_to_another_officer_without_touching_the_books(loan, kamau, njeri):
    other = factories.staff("wairimu", "Loan officer")
    before = Transfer.objects.count()

    moved = transfers.transfer([loan], officer=other, reason="Leave", by=kamau, on=DAY)

    loan.refresh_from_db()
    assert [each.pk for each in moved] == [loan.pk]
    assert (loan.loan_officer, loan.history.first().history_change_reason) == (
        other,
        "Moved: Leave",
    )
    assert Transfer.objects.count() == before


def test_what_is_owed_moves_to_the_books_of_the_new_branch(loan, kamau, kisumu, otieno):
    pay(loan, 9_456, on=date(2026, 2, 15))

    transfers.transfer([loan], branch=kisumu, officer=otieno, reason="Moved", by=kamau, on=DAY)

    assert standing(kisumu) == {
        chart.LOAN_PRINCIPAL: D(92_544),
        chart.INTEREST_RECEIVABLE: D(11_470),
        chart.UNEARNED_INTEREST: -D(11_470),
        chart.BETWEEN_BRANCHES: -D(92_544),
    }
    assert standing(factories.branch()) == {
        chart.CASH: -D(100_000) + 9_456,
        chart.INTEREST_INCOME: -D(2_000),
        chart.BETWEEN_BRANCHES: D(92_544),
    }
    assert balances()[chart.BETWEEN_BRANCHES] == 0
    prove()


def test_a_reversal_in_the_old_branch_is_gathered_into_the_new_one(loan, kamau, kisumu, otieno):
    payment = pay(loan, 9_456, on=date(2026, 2, 15))
    transfers.transfer([loan], branch=kisumu, officer=otieno, reason="Moved", by=kamau, on=DAY)

    collection.take_back(payment, reason="Bounced", by=kamau, on=DAY)

    assert standing(kisumu)[chart.LOAN_PRINCIPAL] == D(100_000)
    assert chart.LOAN_PRINCIPAL not in standing(factories.branch())
    before = Transfer.objects.count()
    assert transfers.gather(Loan.objects.get(pk=loan.pk), by=kamau, on=DAY) == []
    assert Transfer.objects.count() == before
    prove()


def test_customers_follow_where_that_is_wanted(loan, kamau, kisumu, otieno):
    transfers.transfer(
        [loan], branch=kisumu, officer=otieno, with_customers=True, reason="x", by=kamau, on=DAY
    )

    loan.customer.refresh_from_db()
    assert (loan.customer.branch, loan.customer.loan_officer) == (kisumu, otieno)


def test_all_of_them_move_or_none(loan, kamau, kisumu, otieno):
    closed = factories.active(D(5_000), customer=factories.otieno())
    Loan.objects.filter(pk=closed.pk).update(status="closed")

    with pytest.raises(Refused, match="is closed: it stays where it is"):
        transfers.transfer(
            [loan, closed], branch=kisumu, officer=otieno, reason="x", by=kamau, on=DAY
        )

    loan.refresh_from_db()
    assert loan.branch == factories.branch()
    assert not Transfer.objects.filter(branch=kisumu).exists()


def test_an_officer_is_of_the_branch_of_their_loans(kamau, njeri, kisumu, otieno):
    loan = factories.active(loan_officer=njeri)

    with pytest.raises(Refused, match="name an officer of that branch") as refusal:
        transfers.transfer([loan], branch=kisumu, reason="x", by=kamau, on=DAY)
    assert refusal.value.field == "officer"
    with pytest.raises(Refused, match="name an officer of that branch"):
        transfers.transfer([loan], officer=otieno, reason="x", by=kamau, on=DAY)
    with pytest.raises(Refused, match="They are all there already"):
        transfers.transfer([loan], officer=njeri, reason="x", by=kamau, on=DAY)
    with pytest.raises(Refused, match="Name an officer or a branch"):
        transfers.transfer([loan], reason="x", by=kamau, on=DAY)
