from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.loans.operations import collection
from lms.payments.models import Payout
from lms.payments.operations import refund_credit, undo_refund
from tests import factories
from tests.books import balances, prove
from tests.loans.test_settling import pay

D = Decimal
DAY = date(2026, 3, 1)


@pytest.fixture
def credit(loan):
    """Two payments after the loan is paid: 300 and 200 stay as Wanjiku's credit."""
    pay(loan, 113_770, on=DAY)
    return [pay(loan, 200, on=DAY)]


def refund(loan, by, amount, **answers):
    return refund_credit(
        loan.customer, amount=D(amount), method="cash", reference=None, by=by, on=DAY, **answers
    )


def test_credit_is_paid_back_from_the_oldest_payment_on(loan, credit, kamau):
    payout = refund(loan, kamau, 350)

    assert (payout.kind, payout.subject, payout.amount) == (
        "refund",
        loan.customer.number,
        350,
    )
    parts = payout.refunds.values_list("amount", "payment__credited", "payment__refunded")
    assert list(parts) == [(300, 0, 300), (50, 150, 50)]
    assert balances()[chart.CUSTOMER_CREDIT] == -150
    prove()


def test_more_than_the_credit_is_refused_and_moves_nothing(loan, credit, kamau):
    with pytest.raises(Refused, match=r"Only KES 500\.00 of credit is held\."):
        refund(loan, kamau, "500.01")

    assert not Payout.objects.filter(kind="refund").exists()
    prove()


def test_who_took_the_money_does_not_pay_it_back(loan, credit, mutua):
    with pytest.raises(Refused, match=r"You took RC\d+ yourself"):
        refund(loan, mutua, 10)

    assert not Payout.objects.filter(kind="refund").exists()


def test_a_payment_stays_while_its_refund_stands(loan, credit, kamau):
    payout = refund(loan, kamau, 400)
    (payment,) = credit
    payment.refresh_from_db()

    for undo in (collection.take_back, collection.reverse_payment):
        with pytest.raises(Refused, match=r"KES 100\.00 of RC\d+ was paid back to the customer"):
            undo(payment, reason="Bounced", by=kamau, on=DAY)
    undo_refund(payout, reason="Never reached her", by=kamau, on=DAY)
    prove()
    collection.reverse_payment(payment, reason="Bounced", by=kamau, on=DAY)

    payout.refresh_from_db()
    assert payout.reversed_on == DAY
    prove()


def test_a_refund_is_undone_once(loan, credit, kamau):
    payout = refund(loan, kamau, 400)
    undo_refund(payout, reason="Never reached her", by=kamau, on=DAY)

    with pytest.raises(Refused, match="was reversed on 01 Mar 2026 already"):
        undo_refund(payout, reason="Again", by=kamau, on=DAY)
    with pytest.raises(Refused, match="is no refund"):
        undo_refund(Payout.objects.get(kind="disbursement"), reason="x", by=kamau, on=DAY)

    assert refund(loan, kamau, 500).amount == 500
    prove()


def test_a_customer_without_credit_gets_nothing(loan, kamau):
    with pytest.raises(Refused, match="has no credit"):
        refund(loan, kamau, 10)
    assert factories.otieno().payouts.count() == 0
