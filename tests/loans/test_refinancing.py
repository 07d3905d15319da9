"""A new loan that pays off an old one."""

from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Loan
from lms.loans.operations import changes, collection, lifecycle, refinancing, undoing
from lms.payments.models import Payment, Payout
from tests import factories
from tests.books import balances
from tests.loans import test_actual
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


def test_undoing_the_disbursement_opens_the_old_loan_again(old, kamau):
    was, owed = everything(old), old.position.outstanding
    booked = {code: sum_ for code, sum_ in balances().items() if sum_}
    new = disburse(approved(old, 120_000))

    undoing.undo_disbursement(new, reason="Wrong phone", by=kamau, on=date(2026, 5, 26))

    old = Loan.objects.get(pk=old.pk)
    new.refresh_from_db()
    assert (new.status, new.refinances) == ("approved", old)
    assert (old.status, old.closed_on, old.position.outstanding) == ("active", None, owed)
    again = everything(old)
    assert again[0] == was[0]
    for row in (*again[1], *was[1]):
        del row["penalties_since"]  # it owed nothing late in between
    assert again[1] == was[1]
    assert Payment.objects.get(method="refinance").status == "reversed"
    assert changes.last_of(old) is None
    assert {code: sum_ for code, sum_ in balances().items() if sum_} == booked
    books_agree(old)


def test_it_is_paid_out_again_and_pays_the_old_loan_off_again(old, kamau):
    new = disburse(approved(old, 120_000))
    undoing.undo_disbursement(new, reason="Wrong phone", by=kamau, on=ON)

    disburse(new)

    old.refresh_from_db()
    assert (old.status, old.closed_on) == ("closed", ON)
    states = Payment.objects.filter(method="refinance").order_by("pk")
    assert list(states.values_list("status", "amount")) == [
        ("reversed", D("69725.00")),
        ("allocated", D("69725.00")),
    ]
    books_agree(old)


def test_it_is_not_undone_once_the_old_loan_was_touched(old, kamau):
    new = disburse(approved(old, 120_000))
    last = Payment.objects.filter(method="cash").order_by("-pk").first()
    collection.reverse_payment(last, reason="Bounced", by=kamau, on=date(2026, 5, 26))
    before = balances()

    with pytest.raises(Refused, match="since"):
        undoing.undo_disbursement(new, reason="Wrong phone", by=kamau, on=date(2026, 5, 26))

    assert balances() == before
    new.refresh_from_db()
    assert new.status == "active"


def refinanced(old, on):
    new = refinancing.refinance(old, principal=D(150_000), by=factories.njeri(), on=on)
    lifecycle.submit(new, by=factories.njeri(), on=on)
    lifecycle.approve(new, by=factories.kamau(), on=on)
    return lifecycle.disburse(new, method="cash", reference=None, by=factories.mutua(), on=on)


DAILY = {"penalty_base": "instalment", "penalty_value": D(1), "penalty_frequency": "daily"}


def test_lateness_of_nights_that_did_not_run_is_paid_off_too(db):
    old = factories.active(product=factories.product(**DAILY))

    new = refinanced(old, date(2026, 2, 25))

    old.refresh_from_db()
    assert (old.status, old.position.outstanding) == ("closed", 0)
    assert balances()[chart.REFINANCE_CLEARING] == 0
    books_agree(new)


def test_interest_that_follows_the_balance_is_paid_off_as_it_was_earned(db):
    old = test_actual.lend()

    new = refinanced(old, test_actual.MARCH)

    old.refresh_from_db()
    assert old.status == "closed"
    assert balances()[chart.CUSTOMER_CREDIT] == 0
    books_agree(new)


def test_a_refinancing_is_undone_days_later_where_lateness_is_charged_daily(db, kamau):
    old = factories.active(product=factories.product(**DAILY))
    new = refinanced(old, date(2026, 2, 25))

    undoing.undo_disbursement(new, reason="Not taken", by=kamau, on=date(2026, 2, 28))

    old.refresh_from_db()
    assert old.status == "active"
    books_agree(old)
