"""M-Pesa in the office: the push from a loan and an instalment, its fate, the inbox."""

import json
import re
from datetime import date
from decimal import Decimal

import pytest

from lms import dates, jobs, routing
from lms.loans.operations import collection
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment, Callback, MpesaPayment
from lms.mpesa.reviewing import Outcome
from lms.mpesa.simulator import Simulator
from lms.payments.models import Payment
from tests import books, factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

D = Decimal
TODAY = date(2026, 2, 15)
PUSH = "mpesa.mpesapayment"
INBOX = "mpesa.callback"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def loan(committed):
    return factories.active()


@pytest.fixture
def daraja(settings):
    with Simulator(
        port=0,
        shortcode=settings.DARAJA_SHORTCODE,
        passkey=settings.DARAJA_PASSKEY,
        consumer_key=settings.DARAJA_CONSUMER_KEY,
        consumer_secret=settings.DARAJA_CONSUMER_SECRET,
        callback_delay=3600,
    ) as running:
        settings.DARAJA_URL = running.url
        settings.DARAJA_CALLBACK_BASE = "http://127.0.0.1:9"
        yield running


def tell(response) -> str:
    return response.content.decode()


def confirmation(receipt="UKL2CC0001", account="WRONG1", **fields) -> Callback:
    body = {
        "TransactionType": "Pay Bill",
        "TransID": receipt,
        "TransTime": "20260215101500",
        "TransAmount": "500.00",
        "BusinessShortCode": "174379",
        "BillRefNumber": account,
        "MSISDN": "2547 ***** 678",
        "FirstName": "WANJIKU",
        **fields,
    }
    return Callback.objects.create(
        kind="confirmation", body=json.dumps(body).encode(), received_at=dates.now()
    )


# --- The push ------------------------------------------------------------------------------------
def test_the_dialog_is_filled_in_with_the_phone_and_what_is_due(as_staff, loan):
    client = as_staff(factories.mutua())

    for model, pk in (("loans.loan", loan.pk), ("loans.repayment", loan.repayments.first().pk)):
        page = tell(ask(client, model, "stk_push", pk))
        assert "0712 345 678" in page
        assert 'value="9456"' in page

    assert MpesaPayment.objects.count() == 0


def test_asking_a_phone_sends_one_prompt_and_shows_its_page(as_staff, loan, daraja):
    client = as_staff(factories.mutua())
    answers = {"phone": "0712 345 678", "amount": "1000", "request_key": "one"}

    first = answer(client, "loans.loan", "stk_push", loan.pk, **answers)
    second = answer(client, "loans.loan", "stk_push", loan.pk, **answers)

    push = MpesaPayment.objects.get()
    assert (push.status, push.account, push.amount) == ("sent", loan.number, D(1000))
    assert push.requested_by == factories.mutua()
    target = url_of("loans.loan", "change", loan.pk)
    assert first.headers["HX-Redirect"] == second.headers["HX-Redirect"] == target
    fate = tell(client.get(url_of(PUSH, "fate", push.pk)))
    assert "Waiting for the customer" in fate
    assert "every 2s" in fate


def test_a_customer_is_asked_for_one_of_the_running_loans(as_staff, loan, daraja):
    client = as_staff(factories.mutua())
    other = factories.active(D(50_000))
    foreign = factories.active(customer=factories.otieno())
    pk = loan.customer_id
    answers = {"phone": "0712 345 678", "amount": "1000", "request_key": "one"}

    dialog = tell(ask(client, "customers.customer", "stk_push", pk))
    assert f"{loan.number}: KES 9,456.00 is due" in dialog
    assert f"{other.number}: KES 4,728.00 is due" in dialog
    assert foreign.number not in dialog
    forged = answer(client, "customers.customer", "stk_push", pk, account=foreign.number, **answers)
    assert "Select a valid choice" in tell(forged)
    assert MpesaPayment.objects.count() == 0

    assert went_through(
        answer(client, "customers.customer", "stk_push", pk, account=other.number, **answers)
    )
    assert MpesaPayment.objects.get().account == other.number


def test_a_customer_who_owes_nothing_is_not_asked(as_staff, committed):
    client = as_staff(factories.mutua())
    wanjiku = factories.wanjiku()

    page = tell(client.get(url_of("customers.customer", "change", wanjiku.pk)))
    assert url_of("customers.customer", "stk_push", wanjiku.pk) not in page
    answered = answer(
        client, "customers.customer", "stk_push", wanjiku.pk,
        account="LN000001", phone="0712345678", amount="1", request_key="one",
    )  # fmt: skip
    assert "Select a valid choice" in tell(answered)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"phone": "12345"}, "not a Kenyan mobile number"),
        ({"amount": "0"}, "greater than or equal to 1"),
        ({"amount": "10.50"}, "Enter a whole number"),
        ({"amount": "250001"}, "less than or equal to 250000"),
    ],
)
def test_what_m_pesa_would_not_take_is_refused_in_the_dialog(
    as_staff, loan, daraja, answers, sentence
):
    client = as_staff(factories.mutua())

    response = answer(
        client,
        "loans.loan",
        "stk_push",
        loan.pk,
        **{"phone": "0712345678", "amount": "100", "request_key": "one", **answers},
    )

    assert sentence in tell(response)
    assert MpesaPayment.objects.count() == 0


def test_a_paid_instalment_is_not_collected_again(as_staff, loan, daraja):
    row = loan.repayments.first()
    loan.repayments.filter(pk=row.pk).update(status="completed")

    response = answer(
        as_staff(factories.mutua()),
        "loans.repayment",
        "stk_push",
        row.pk,
        phone="0712345678",
        amount="100",
        request_key="one",
    )

    assert "Repayment is already paid." in tell(response)
    assert MpesaPayment.objects.count() == 0


def test_who_may_not_collect_is_not_offered_it_and_refused_when_forged(as_staff, loan):
    client = as_staff(factories.achieng())

    assert ask(client, "loans.loan", "stk_push", loan.pk).status_code == 403
    page = tell(client.get(url_of("loans.loan", "change", loan.pk)))
    assert url_of("loans.loan", "stk_push", loan.pk) not in page


def test_safaricom_is_asked_at_once_when_staff_cannot_wait(as_staff, loan, daraja):
    client = as_staff(factories.mutua())
    answer(
        client, "loans.loan", "stk_push", loan.pk,
        phone="0712345678", amount="100", request_key="one",
    )  # fmt: skip
    push = MpesaPayment.objects.get()

    assert went_through(answer(client, PUSH, "ask_safaricom", push.pk))

    push.refresh_from_db()
    assert push.queries == 1


# --- The inbox -----------------------------------------------------------------------------------
def test_the_inbox_shows_the_body_as_it_came(as_staff, loan):
    callback = confirmation(FirstName="<script>alert(1)</script>")
    client = as_staff(factories.kamau())

    page = tell(client.get(url_of(INBOX, "change", callback.pk)))

    assert "&quot;TransID&quot;: &quot;UKL2CC0001&quot;" in page
    assert "<script>alert(1)" not in page
    assert client.get(url_of(INBOX, "add")).status_code == 403


def test_a_callback_set_aside_is_applied_again_and_posts_once(as_staff, loan, settings):
    callback = confirmation(account=loan.number, BusinessShortCode="600000")
    jobs.apply_callback(callback.pk)
    callback.refresh_from_db()
    assert callback.status == Callback.Status.REVIEW
    client = as_staff(factories.kamau())

    refused = answer(client, INBOX, "apply_again", callback.pk)
    assert "It still cannot be applied" in tell(refused)
    settings.DARAJA_SHORTCODE = "600000"
    assert went_through(answer(client, INBOX, "apply_again", callback.pk))

    assert Payment.objects.get().amount == D(500)
    assert "nothing to do" in tell(answer(client, INBOX, "apply_again", callback.pk))
    assert Payment.objects.count() == 1
    books.prove()


def test_lists_take_the_same_queries_for_one_row_and_for_three(as_staff, loan):
    client = as_staff(factories.kamau())
    confirmation("UKL2CC0001")
    one = queries_of(client, url_of(INBOX, "changelist"))
    confirmation("UKL2CC0002")
    confirmation("UKL2CC0003")

    assert queries_of(client, url_of(INBOX, "changelist")) == one <= MOST_QUERIES


# --- What became of each -------------------------------------------------------------------------
def paid_out(loan) -> B2cPayment:
    payout = loan.customer.payouts.get()
    return B2cPayment.objects.create(
        payout=payout, phone=loan.customer.phone, amount=payout.amount, originator_id="ours",
        requested_by=payout.paid_by, requested_on=payout.paid_on, requested_at=dates.now(),
        status="paid", receipt="UKL2CC0007",
    )  # fmt: skip


def sorted_inbox(loan, kamau) -> dict[str, Callback]:
    """Return a callback of every outcome, by the outcome."""
    sent = {
        "auto": confirmation("UKL2CC0001", loan.number),
        "duplicate": confirmation("UKL2CC0001", loan.number),
        "unplaced": confirmation("UKL2CC0002"),
        "by-hand": confirmation("UKL2CC0003"),
        "reversed": confirmation("UKL2CC0004", loan.number),
        "review": confirmation("UKL2CC0005", BusinessShortCode="600000"),
    }
    for callback in sent.values():
        jobs.apply_callback(callback.pk)
    sent["waiting"] = confirmation("UKL2CC0006")
    sent["no-money"] = Callback.objects.create(
        kind="validation", body=b"{}", received_at=dates.now()
    )
    mpesa.record_answer(
        sent["no-money"].pk, {"ResultCode": "0", "ResultDesc": "Accepted"}, at=dates.now()
    )
    sent["payout"] = Callback.objects.create(
        kind="b2c", body=b"{}", received_at=dates.now(), status="applied", b2c=paid_out(loan),
        amount=90_000, receipt="UKL2CC0007",
    )  # fmt: skip
    routing.match(Payment.objects.get(reference="UKL2CC0003"), loan, by=kamau, on=TODAY)
    gone = Payment.objects.get(reference="UKL2CC0004")
    collection.reverse_payment(gone, reason="Reversed by Safaricom", by=kamau, on=TODAY)
    return sent


def test_every_callback_came_to_one_outcome_and_the_tabs_agree(as_staff, loan):
    kamau = factories.kamau()
    sent = sorted_inbox(loan, kamau)

    found = {
        outcome.value: list(Callback.objects.that_came_to(outcome).values_list("pk", flat=True))
        for outcome in Outcome
    }
    shown = {row.pk: row.outcome for row in Callback.objects.with_placer()}

    assert found == {name: [callback.pk] for name, callback in sent.items()}
    assert shown == {callback.pk: name for name, callback in sent.items()}


def test_the_inbox_counts_what_became_of_each_and_adds_up_the_filter(as_staff, loan):
    client, kamau = as_staff(factories.kamau()), factories.kamau()
    sorted_inbox(loan, kamau)

    tabs = tell(client.get(url_of(INBOX, "totals")))
    counts = dict(re.findall(r'/(?:\?outcome=([\w-]+))?"[^>]*>[^<]+ <span[^>]*>(\d+)<', tabs))
    review = tell(client.get(url_of(INBOX, "changelist"), {"outcome": "review"}))

    assert counts == {"": "9"} | {outcome.value: "1" for outcome in Outcome}
    assert "KES 1,500.00" in tabs  # booked: once, and not what was reversed
    assert "UKL2CC0005" in review
    assert "UKL2CC0001" not in review
    assert "When what the note says is mended, press “Apply again”" in review


def test_the_inbox_takes_the_same_queries_whatever_is_in_it(as_staff, loan):
    kamau = factories.kamau()
    client = as_staff(kamau)
    sorted_inbox(loan, kamau)
    pages = [url_of(INBOX, "changelist"), url_of(INBOX, "totals")]
    few = [queries_of(client, page) for page in pages]
    for number in range(7, 10):
        jobs.apply_callback(confirmation(f"UKL2CC000{number}", loan.number).pk)
        jobs.apply_callback(confirmation(f"UKL2CC001{number}", BusinessShortCode="1").pk)

    assert [queries_of(client, page) for page in pages] == few
    assert max(few) <= MOST_QUERIES
