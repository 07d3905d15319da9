"""Money that one branch received and another one's loan is paid with: each branch balances."""

from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.closing import proofs
from lms.ledger import chart
from lms.loans.operations import collection, transfers
from lms.payments import operations as payments
from lms.payments.models import Payment
from tests import factories
from tests.books import balances, prove

D = Decimal
DAY = date(2026, 2, 15)
HELD = (chart.UNALLOCATED, chart.CUSTOMER_CREDIT, chart.BETWEEN_BRANCHES, chart.MPESA_PAYBILL)


@pytest.fixture
def kisumu(db):
    return factories.branch("KSM", "Kisumu")


@pytest.fixture
def theirs(loan, kisumu, kamau):
    transfers.transfer([loan], branch=kisumu, officer=None, reason="Moved", by=kamau, on=DAY)
    loan.refresh_from_db()
    return loan


@pytest.fixture
def astray(theirs, kamau):
    """An M-Pesa receipt with a mistyped account: head office holds it."""
    return payments.receive(
        method="mpesa",
        amount=D(130_000),
        reference="UKL7AB12CD",
        value_date=DAY,
        account="LN99999X",
        branch=factories.branch(),
        by=kamau,
        on=DAY,
    )


def held(branch) -> list[Decimal]:
    found = balances(branch=branch)
    return [found[code] for code in HELD]


def test_a_receipt_of_head_office_pays_a_loan_of_a_branch(theirs, astray, kamau, kisumu):
    moved = balances()[chart.BETWEEN_BRANCHES], held(kisumu)[2]

    routing.match(astray, theirs, by=kamau, on=DAY)

    credit = Payment.objects.get(pk=astray.pk).credited
    spent = 130_000 - credit
    assert credit > 0
    assert held(factories.branch()) == [0, -credit, -moved[1] - spent, 130_000]
    assert held(kisumu) == [0, 0, moved[1] + spent, 0]
    prove()


def test_taken_back_it_waits_where_it_was_received(theirs, astray, kamau, njeri, kisumu):
    before = held(factories.branch()), held(kisumu)
    routing.match(astray, theirs, by=kamau, on=DAY)

    collection.take_back(astray, reason="Wrong loan", by=njeri, on=DAY)

    assert (held(factories.branch()), held(kisumu)) == before
    prove()


def test_credit_is_used_and_paid_back_out_of_the_branch_that_holds_it(
    theirs, astray, kamau, njeri, mutua, kisumu
):
    routing.match(astray, theirs, by=kamau, on=DAY)
    second = factories.active(
        D(10_000), customer=theirs.customer, product=factories.product(), branch=kisumu
    )
    collection.apply_credit(second, by=kamau, on=date(2026, 4, 1))
    prove()

    left = Payment.objects.get(pk=astray.pk).credited
    payments.refund_credit(
        theirs.customer, amount=left, method="bank", reference="RTGS77", by=mutua, on=DAY
    )

    assert held(factories.branch())[:2] == [0, 0]
    assert held(kisumu)[:2] == [0, 0]
    prove()


def test_money_booked_in_the_wrong_branch_is_found(theirs, astray, kisumu):
    Payment.objects.filter(pk=astray.pk).update(received_in=kisumu)

    off = [proved for proved in proofs.prove() if not proved.holds]

    assert [(proved.name, proved.books) for proved in off] == [
        ("Branches that hold money others received", 2)
    ]
