"""Results of what was asked: every body of the corpus, posted, stored, applied; its effect."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from lms import dates, jobs
from lms.dates import EAT
from lms.ledger.models import Transfer
from lms.mpesa.models import Callback, Inquiry, MpesaBalance, MpesaPayment
from lms.payments.models import Payment
from tests import books, factories
from tests.mpesa.conftest import AT, PHONE, TODAY, c2b_body, pushed
from tests.mpesa.test_callbacks import CORPUS, body_of

pytestmark = pytest.mark.django_db
BODIES = sorted(path for path in CORPUS.glob("*.json") if path.name.startswith(("bal", "stat")))
SECRET = "5ec2e7" * 6
RECEIPT = "UKL7AB12CD"
CONVERSATION = "AG_20261121_2010abcdef"


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(dates, "now", lambda: AT + timedelta(minutes=5))
    factories.branch()


def asked(kind: str, **fields) -> Inquiry:
    """Return a question that Safaricom took at 10:30."""
    return Inquiry.objects.create(
        **{
            "kind": kind,
            "shortcode": "174379",
            "receipt": RECEIPT if kind == "status" else "",
            "status": Inquiry.Status.SENT,
            "asked_at": AT,
            "conversation_id": CONVERSATION,
            "originator_id": "16740-34861180-1",
            **fields,
        }
    )


def case_of(name: str) -> dict:
    return json.loads((CORPUS / f"{name}.json").read_text())


def post(client, case: dict) -> dict:
    answer = client.post(
        f"/daraja/{SECRET}/{case['kind']}/", body_of(case), content_type="application/json"
    )
    assert answer.status_code == 200
    return answer.json()


def deliver(client, name: str) -> Callback:
    """Post a body of the corpus and do the worker's job."""
    post(client, case_of(name))
    callback = Callback.objects.order_by("pk").last()
    jobs.apply_callback(callback.pk)
    callback.refresh_from_db()
    return callback


def paid_in() -> dict[str, str]:
    return {payment.reference: str(payment.amount) for payment in Payment.objects.all()}


def test_the_corpus_is_not_lost():
    assert len(BODIES) >= 80


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_a_result_does_what_its_file_says_and_twice_no_more(client, path):
    case = json.loads(path.read_text())
    inquiry = asked(case["kind"].partition("-")[0])

    assert post(client, case) == case["answer"]
    assert post(client, case) == case["answer"]
    for callback in Callback.objects.order_by("pk"):
        jobs.apply_callback(callback.pk)
        jobs.apply_callback(callback.pk)

    effect = case["effect"]
    inquiry.refresh_from_db()
    first = Callback.objects.order_by("pk").first()
    assert (first.status, inquiry.status) == (effect["callback"], effect["inquiry"])
    held = MpesaBalance.objects.latest_known().values_list("account", "current")
    assert {account: str(current) for account, current in held} == effect.get("balances", {})
    assert MpesaBalance.objects.count() == len(effect.get("balances", {}))
    assert paid_in() == effect.get("payments", {})
    assert Transfer.objects.count() == len(effect.get("payments", {}))


# --- Balances ------------------------------------------------------------------------------------
def test_a_balance_says_when_it_was_so_and_who_asked(client):
    inquiry = asked("balance")

    callback = deliver(client, "balance_all_accounts")

    working = MpesaBalance.objects.get(account="Working Account")
    assert working.as_of == datetime(2026, 11, 21, 10, 30, tzinfo=EAT)
    assert (working.inquiry, callback.inquiry) == (inquiry, inquiry)
    assert working.is_latest


def test_the_latest_balance_is_the_one_of_the_latest_instant_not_the_last_to_arrive(client):
    old = asked("balance", conversation_id="AG_old", originator_id=None)
    MpesaBalance.objects.create(
        shortcode="174379",
        account="Utility Account",
        current=Decimal(9),
        as_of=AT + timedelta(minutes=1),
        is_latest=True,
        inquiry=old,
    )
    asked("balance")

    deliver(client, "balance_all_accounts")

    latest = MpesaBalance.objects.latest_known().get(account="Utility Account")
    assert latest.current == Decimal(9)
    assert MpesaBalance.objects.filter(account="Utility Account").count() == 2


def test_a_late_answer_counts_after_a_timeout_and_a_late_timeout_does_not(client):
    inquiry = asked("balance")

    deliver(client, "balance_timeout_wrapped")
    inquiry.refresh_from_db()
    assert inquiry.status == Inquiry.Status.UNKNOWN
    deliver(client, "balance_all_accounts")
    deliver(client, "balance_timeout_wrapped")

    inquiry.refresh_from_db()
    assert inquiry.status == Inquiry.Status.ANSWERED


def test_a_result_that_overtakes_the_answer_to_its_question_waits_for_it(client):
    inquiry = asked(
        "balance", status="asked", conversation_id=None, originator_id=None, asked_at=dates.now()
    )
    callback = deliver(client, "balance_all_accounts")
    assert callback.status == Callback.Status.RECEIVED

    Inquiry.objects.filter(pk=inquiry.pk).update(conversation_id=CONVERSATION, status="sent")
    jobs.apply_callback(callback.pk)

    assert MpesaBalance.objects.count() == 5


def test_a_result_of_the_wrong_kind_is_not_taken(client):
    asked("status")

    assert deliver(client, "balance_all_accounts").status == Callback.Status.IGNORED
    assert MpesaBalance.objects.count() == 0


# --- A payment -----------------------------------------------------------------------------------
def test_a_payment_that_the_books_lack_is_booked_and_waits_for_its_owner(client):
    inquiry = asked("status")

    callback = deliver(client, "status_completed")

    payment = Payment.objects.get()
    assert (payment.amount, payment.status) == (Decimal(500), Payment.Status.UNALLOCATED)
    assert (payment.value_date, payment.payer_name) == (TODAY, "WANJIKU MWANGI")
    assert callback.payment == payment
    inquiry.refresh_from_db()
    assert (inquiry.payment, inquiry.transaction_status) == (payment, "Completed")
    assert inquiry.finding == "Completed at Safaricom: KES 500.00"


def test_it_pays_the_request_it_was_asked_for(client, loan):
    row = pushed(status=MpesaPayment.Status.UNRESOLVED, account=loan.number, customer=loan.customer)
    asked("status", push=row)

    deliver(client, "status_completed")

    payment = Payment.objects.get()
    row.refresh_from_db()
    assert (row.status, row.receipt, row.payment) == (MpesaPayment.Status.PAID, RECEIPT, payment)
    assert payment.status == Payment.Status.ALLOCATED
    books.prove()


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 600},
        {"phone": "254722000111"},
        {"requested_at": AT - timedelta(hours=2)},
        {"receipt": "UKL0OTHER0", "status": MpesaPayment.Status.PAID},
    ],
)
def test_a_payment_that_is_not_the_requests_is_booked_without_it(client, loan, changes):
    row = pushed(**{"status": MpesaPayment.Status.UNRESOLVED, "account": loan.number, **changes})
    asked("status", push=row)

    deliver(client, "status_completed")

    before = row.status
    row.refresh_from_db()
    assert row.status == before
    assert Payment.objects.get().status == Payment.Status.UNALLOCATED


def confirm(client, **changes) -> Callback:
    client.post(
        f"/daraja/{SECRET}/confirmation/", c2b_body(**changes), content_type="application/json"
    )
    callback = Callback.objects.order_by("pk").last()
    jobs.apply_callback(callback.pk)
    callback.refresh_from_db()
    return callback


def test_one_receipt_is_one_payment_whichever_brings_it_first(client, loan):
    asked("status")

    assert confirm(client, BillRefNumber=loan.number).status == Callback.Status.APPLIED
    assert deliver(client, "status_completed").status == Callback.Status.DUPLICATE

    assert Payment.objects.get().status == Payment.Status.ALLOCATED
    books.prove()


def test_a_confirmation_that_comes_later_tells_whose_the_money_is(client, loan):
    asked("status")

    deliver(client, "status_completed")
    assert Payment.objects.get().status == Payment.Status.UNALLOCATED
    assert confirm(client, BillRefNumber=loan.number).status == Callback.Status.DUPLICATE

    payment = Payment.objects.get()
    assert (payment.account, payment.status) == (loan.number, Payment.Status.ALLOCATED)
    books.prove()


def test_money_in_the_books_that_safaricom_reversed_is_shown_to_a_person(client):
    confirm(client)
    asked("status")

    callback = deliver(client, "status_is_reversed")

    assert callback.status == Callback.Status.REVIEW
    assert "is in the books, but Safaricom says Reversed" in callback.note


def test_a_receipt_typed_with_another_amount_is_shown_to_a_person(client):
    confirm(client, TransAmount="600.00")
    asked("status")

    assert deliver(client, "status_completed").status == Callback.Status.REVIEW
    assert paid_in() == {RECEIPT: "600.00"}


def test_the_payers_phone_is_kept(client):
    asked("status")

    deliver(client, "status_completed")

    assert Payment.objects.get().payer_phone == PHONE
