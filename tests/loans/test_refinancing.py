"""A new loan that pays off an old one."""

from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Loan
from lms.loans.operations import collection, lifecycle, refinancing
from lms.payments.models import Payment, Payout
from tests import factories
from tests.books import balances
from tests.loans.test_restructuring import books_agree, everything, pay

D = Decimal
ON = date(2026, 5, 25)


@pytest.fixture
def old(loan):
    """Wanjiku's 100,000 after four instalments: 69,270 owed, and 455 for ten days."""
    for month in (2, 3, 4, 5):
        pay(loan, 9456, date(2026, month, 15))
    return Loan.objects.get(pk=loan.pk)


def approved(old, principal, **answers):
    new = refinancing.refinance(old, principal=D(principal), by=factories.njeri(), on=ON, **answers)
    lifecycle.submit(new, by=factories.njeri(), on=ON)
    return lifecycle.approve(new, by=factories.kamau(), on=ON)


def disburse(new):
    return lifecycle.disburse(new, method="cash", reference=None, by=factories.mutua(), on=ON)


def test_the_customer_receives_what_the_payoff_leaves(old):
    cash = balances()[chart.CASH]

    new = disburse(approved(old, 120_000))

    old.refresh_from_db()
    assert (old.status, old.closed_on, old.refinanced_by) == ("closed", ON, new)
    assert (new.status, new.refinances, new.position.principal) == ("active", old, 120_000)
    payment = Payment.objects.get(method="refinance")
    assert (payment.amount, payment.allocated) == (D("69725.00"), D("69725.00"))
    assert Payout.objects.get(subject=new.number).amount == D("50275.00")
    assert cash - balances()[chart.CASH] == D("50275.00")
    assert balances()[chart.REFINANCE_CLEARING] == 0
    books_agree(new)


def test_fees_come_off_too_and_the_last_shilling_may_go_to_the_old_loan(old):
    new = disburse(approved(old, 69_725))

    assert not Payout.objects.filter(subject=new.number).exists()
    old.refresh_from_db()
    assert old.status == "closed"
    books_agree(new)


def test_a_loan_that_does_not_cover_the_payoff_is_refused_and_moves_nothing(old):
    with pytest.raises(Refused, match=r"KES 69,725\.00 pays LN0*\d+ off today") as refusal:
        refinancing.refinance(old, principal=D(69_724), by=factories.njeri(), on=ON)
    assert refusal.value.field == "principal"

    new = approved(old, 69_725)
    was = everything(old)
    with pytest.raises(Refused, match=r"KES 46\.00 is missing"):
        lifecycle.disburse(
            new, method="cash", reference=None, by=factories.mutua(), on=date(2026, 5, 26)
        )
    assert everything(old) == was
    assert Payment.objects.filter(method="refinance").count() == 0


def test_one_application_at_a_time_pays_a_loan_off(old, kamau):
    new = approved(old, 80_000)
    old.refresh_from_db()
    with pytest.raises(Refused, match=f"{new.number} is to pay {old.number} off already"):
        refinancing.refinance(old, principal=D(80_000), by=factories.njeri(), on=ON)

    lifecycle.reject(new, reason="Too much", by=kamau, on=ON)

    old = Loan.objects.get(pk=old.pk)
    assert approved(old, 90_000).refinances == old


def test_a_closed_loan_is_not_refinanced(old):
    disburse(approved(old, 120_000))
    with pytest.raises(Refused):
        refinancing.refinance(
            Loan.objects.get(pk=old.pk), principal=D(80_000), by=factories.njeri(), on=ON
        )


def test_the_receipt_of_a_refinancing_is_not_taken_back(old, kamau):
    disburse(approved(old, 120_000))
    payment = Payment.objects.get(method="refinance")

    for verb in (collection.take_back, collection.reverse_payment):
        with pytest.raises(Refused, match="came from another loan"):
            verb(payment, reason="Mistake", by=kamau, on=ON)
