"""Prepaying principal from the loan page: both ways shown, then one of them taken."""

from datetime import date
from decimal import Decimal

import pytest

from lms import dates, routing
from lms.ledger.models import Transfer
from lms.loans.models import Loan, LoanChange
from lms.payments.models import Payment
from lms.payments.operations import receive
from tests import factories
from tests.backoffice.pages import answer, ask, url_of, went_through
from tests.books import prove

MODEL, TODAY = "loans.loan", date(2026, 5, 15)
D = Decimal
CASH = {
    "amount": 20_000, "method": "cash", "reference": "", "value_date": "2026-05-15",
    "keep": "instalment", "request_key": "once",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def running(loan):
    """Wanjiku's loan with four instalments paid on time."""
    for month in (2, 3, 4, 5):
        routing.take(
            method="cash", amount=D(9456), reference=None, value_date=date(2026, month, 15),
            account=loan.number, by=factories.mutua(), on=date(2026, month, 15),
        )  # fmt: skip
    return Loan.objects.get(pk=loan.pk)


def would(client, loan, **answers):
    return client.post(url_of(MODEL, "change_preview", loan.pk, "prepay"), answers).content.decode()


def test_asking_shows_both_ways_and_changes_nothing(as_staff, kamau, running):
    client, before = as_staff(kamau), Transfer.objects.count()

    assert ask(client, MODEL, "prepay", running.pk).status_code == 200
    shown = would(client, running, **CASH)

    assert "Fewer instalments" in shown
    assert "Lower instalments" in shown
    assert "KES 6,726.00" in shown
    assert Transfer.objects.count() == before
    assert not LoanChange.objects.exists()


def test_what_cannot_be_prepaid_is_said_in_the_preview(as_staff, kamau, running):
    shown = would(as_staff(kamau), running, **{**CASH, "amount": 90_000})

    assert "to pay it all, settle the loan" in shown


def test_answering_twice_prepays_once(as_staff, kamau, running):
    client = as_staff(kamau)

    assert went_through(answer(client, MODEL, "prepay", running.pk, **CASH))
    assert went_through(answer(client, MODEL, "prepay", running.pk, **CASH))

    change = LoanChange.objects.get()
    assert (change.kind, change.amount, change.made_by) == ("prepayment", 20_000, kamau)
    assert running.repayments.unpaid().count() == 6
    assert Payment.objects.count() == 5
    prove()


def test_a_payment_that_waits_prepays(as_staff, kamau, running):
    waiting = receive(
        method="cash", amount=D(20_000), reference=None, value_date=TODAY, account="",
        branch=running.branch, customer=running.customer, by=factories.mutua(), on=TODAY,
    )  # fmt: skip
    nothing = dict.fromkeys(("amount", "reference", "method", "value_date"), "")
    answers = {**CASH, **nothing, "keep": "term", "waiting": waiting.pk}

    shown = would(as_staff(kamau), running, **answers)
    assert went_through(answer(as_staff(kamau), MODEL, "prepay", running.pk, **answers))

    assert "KES 6,726.00" in shown
    assert LoanChange.objects.get().payment == waiting
    assert running.repayments.unpaid().count() == 8
    prove()


def test_a_refusal_is_shown_and_no_money_is_received(as_staff, kamau, running):
    page = answer(as_staff(kamau), MODEL, "prepay", running.pk, **{**CASH, "amount": 90_000})

    assert not went_through(page)
    assert "settle the loan" in page.content.decode()
    assert Payment.objects.count() == 4


def test_an_officer_may_not_prepay(as_staff, njeri, running):
    client = as_staff(njeri)

    assert ask(client, MODEL, "prepay", running.pk).status_code == 403
    preview = client.post(url_of(MODEL, "change_preview", running.pk, "prepay"), CASH)
    assert preview.status_code == 403
    assert not LoanChange.objects.exists()
