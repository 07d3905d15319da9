"""The whole story of a payment: asked for, told, booked, placed, taken back, paid back."""

import re
from datetime import date
from decimal import Decimal

import pytest

from lms import dates, jobs, routing
from lms.loans.operations import collection
from lms.mpesa import operations as mpesa
from lms.mpesa.models import MpesaPayment
from lms.payments import operations as payments
from lms.payments.models import Payment, Payout
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, queries_of, url_of
from tests.mpesa.conftest import stk_body

D = Decimal
MODEL = "payments.payment"
TODAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


def story(client, payment: Payment) -> str:
    """Return the story as it reads, one event a line."""
    page = client.get(url_of(MODEL, "story", payment.pk)).content.decode()
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    return "\n".join(re.sub(r"<[^>]+>", " ", row) for row in rows)


def paid(loan, **fields) -> Payment:
    return routing.take(
        **{
            "method": "mpesa",
            "amount": D(9456),
            "reference": "UKL2CC0001",
            "value_date": TODAY,
            "account": loan.number,
            "by": None,
            "on": TODAY,
            **fields,
        }
    )


def test_a_push_is_told_from_the_request_to_the_loan(as_staff, mutua, kamau, loan):
    push = MpesaPayment.objects.create(
        phone="254712345678", amount=500, account=loan.number, purpose="Loan", status="sent",
        customer=loan.customer, requested_by=mutua, requested_at=dates.now(),
        checkout_request_id="ws_CO_1",
    )  # fmt: skip
    key = mpesa.record_callback(
        kind="stk", body=stk_body(), headers={}, remote_addr=None, at=dates.now()
    )
    jobs.apply_callback(key)
    payment = Payment.objects.get()

    told = story(as_staff(kamau), payment)

    assert f"Asked by M-Pesa (STK): {push.number}" in told
    assert f"KES 500.00 for {loan.number}, by Mutua" in told
    assert "Paid with UKL7AB12CD" in told
    assert "Safaricom sent: STK result" in told
    assert "Booked: M-Pesa UKL7AB12CD" in told
    assert f"Booked: {payment.number} on {loan.number}" in told
    assert f"{loan.number}: " in told


def test_what_was_placed_on_a_loan_and_taken_back_is_told_with_who_and_why(as_staff, kamau, loan):
    payment = paid(loan, amount=D(500))
    collection.take_back(payment, reason="Not hers", by=kamau, on=TODAY)
    collection.reverse_payment(payment, reason="Reversed by Safaricom", by=kamau, on=TODAY)

    told = story(as_staff(kamau), payment)

    assert f"Allocated to {loan.number}" in told
    assert "KES 500.00 on loans" in told
    assert "Not hers" in told
    assert "Reversed: " in told
    assert "Reversed by Safaricom" in told
    assert "Unallocated, by Kamau" in told


def test_credit_that_was_paid_back_is_told(as_staff, kamau, loan):
    payment = paid(loan, amount=D(200_000))
    payment.refresh_from_db()
    payments.refund_credit(
        loan.customer, amount=D(100), method="bank", reference="FT1", by=kamau, on=TODAY
    )

    told = story(as_staff(kamau), payment)

    assert f"Paid back to the customer: {Payout.objects.get(kind='refund')}" in told
    assert "KES 100.00 of this payment, by Kamau" in told
    assert "held as credit" in told


def test_links_lead_only_where_the_person_may_look(as_staff, loan):
    payment = paid(loan)
    entry = f"/ledger/journalentry/{payment.entry_id}/"

    def links(person) -> bool:
        page = as_staff(person).get(url_of(MODEL, "story", payment.pk))
        return entry in page.content.decode()

    seen = {person.username: links(person) for person in (factories.achieng(), factories.njeri())}

    assert seen == {
        name: factories.staff(name).has_perm("ledger.view_journalentry") for name in seen
    }
    assert len(set(seen.values())) == 2


def test_the_story_of_another_branchs_payment_is_not_told(as_staff, loan):
    payment = paid(loan)
    there = factories.staff("akinyi", "Cashier", branch=factories.branch("KSM", "Kisumu"))

    assert as_staff(there).get(url_of(MODEL, "story", payment.pk)).status_code == 404


def test_a_long_story_takes_as_many_queries_as_a_short_one(as_staff, kamau, loan):
    client = as_staff(kamau)
    short = paid(loan, amount=D(500))
    collection.take_back(short, reason="Again", by=kamau, on=TODAY)
    routing.match(short, loan, by=kamau, on=TODAY)
    page = url_of(MODEL, "story", short.pk)
    few = queries_of(client, page)
    for _ in range(3):
        short.refresh_from_db()
        collection.take_back(short, reason="Again", by=kamau, on=TODAY)
        routing.match(short, loan, by=kamau, on=TODAY)

    assert queries_of(client, page) == few <= MOST_QUERIES
