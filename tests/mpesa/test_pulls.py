"""Pulling missed payments: windows, pages, and one payment a receipt whoever tells of it first."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
import requests
import responses

from lms import dates, jobs, routing
from lms.dates import EAT
from lms.errors import Refused
from lms.mpesa import operations as mpesa
from lms.mpesa import pulled
from lms.mpesa.callbacks import MalformedCallback
from lms.mpesa.models import Callback, DarajaRequest, Inquiry, MpesaPayment, Pull
from lms.mpesa.operations import pulls
from lms.payments.models import Payment
from tests import books, factories
from tests.mpesa.conftest import AT, PHONE, TODAY, c2b_body, pushed, stk_body

pytestmark = pytest.mark.django_db
URL = "https://daraja.test"
QUERY, REGISTER = f"{URL}/pulltransactions/v1/query", f"{URL}/pulltransactions/v1/register"
ROW = {
    "transactionId": "UKL7AB12CD",
    "trxDate": "2026-11-21T10:30:45Z",
    "msisdn": "2547 ***** 678",
    "sender": "WANJIKU MWANGI",
    "transactiontype": "c2b-pay-bill-debit",
    "billreference": "LN000123",
    "amount": "500.00",
    "organizationname": "PESA KWANZA",
}


@pytest.fixture(autouse=True)
def _office(settings, monkeypatch):
    settings.DARAJA_PULL_NUMBER = "254700000001"
    clock(monkeypatch, AT)
    factories.branch()


@pytest.fixture
def wire(settings):
    settings.DARAJA_URL = URL
    settings.DARAJA_SHORTCODE = "174379"
    settings.DARAJA_CALLBACK_BASE = "https://office.example.co.ke"
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{URL}/oauth/v1/generate", json={"access_token": "token"})
        yield mock


def clock(monkeypatch, at: datetime) -> None:
    monkeypatch.setattr(dates, "now", lambda: at)


def bodies_sent(wire) -> list[dict]:
    return [json.loads(call.request.body) for call in wire.calls if call.request.method == "POST"]


def page_of(*rows, code="1000", nested=True) -> dict:
    return {
        "ResponseRefID": "26178-42530161-2",
        "ResponseCode": code,
        "ResponseMessage": "Success",
        "Response": [list(rows)] if nested else list(rows),
    }


def row(number: int) -> dict:
    return {**ROW, "transactionId": f"UKL{number:07d}"}


# --- What is sent --------------------------------------------------------------------------------
def test_it_registers_as_safaricom_documents_it(wire, settings):
    wire.post(REGISTER, json={"ResponseRefID": "1", "Response Status": "1000"})

    mpesa.register_pull(by=None)

    door = f"https://office.example.co.ke/daraja/{settings.DARAJA_CALLBACK_SECRET}"
    assert bodies_sent(wire) == [
        {
            "ShortCode": "174379",
            "RequestType": "Pull",
            "NominatedNumber": "254700000001",
            "CallBackURL": f"{door}/pull-notice/",
        }
    ]
    assert DarajaRequest.objects.get(kind="pull_reg").outcome == "accepted"


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [
        ({"json": {"ResponseStatus": "1001", "ResponseDescription": "Already"}}, True),
        ({"json": {"ResponseStatus": 1000}}, True),
        ({"json": {"ResponseStatus": "1002"}}, False),
        ({"json": {"errorCode": "400.002.02", "errorMessage": "No"}, "status": 400}, False),
        ({"body": "<html>"}, False),
        ({"json": {}}, False),
    ],
)
def test_registered_before_is_as_good_and_all_else_is_refused(wire, answer, agreed):
    wire.post(REGISTER, **answer)

    if agreed:
        assert mpesa.register_pull(by=None).code in ("1000", "1001")
    else:
        with pytest.raises(Refused, match="Safaricom did not agree"):
            mpesa.register_pull(by=None)


def test_a_number_that_is_no_phone_is_not_nominated(settings):
    settings.DARAJA_PULL_NUMBER = "0700000001"
    with pytest.raises(Refused, match="DARAJA_PULL_NUMBER"):
        mpesa.register_pull(by=None)


def test_the_first_pull_asks_for_all_that_safaricom_tells(wire):
    wire.post(QUERY, json=page_of())

    run = mpesa.pull(by=None, at=AT)

    assert bodies_sent(wire) == [
        {
            "ShortCode": "174379",
            "StartDate": "2026-11-19 10:30:00",
            "EndDate": "2026-11-21 10:30:00",
            "OffSetValue": "0",
        }
    ]
    assert (run.status, run.pages, run.found, run.new) == ("done", 1, 0, 0)


def test_the_next_begins_an_hour_before_the_last_good_one_ended(wire):
    wire.post(QUERY, json=page_of())
    mpesa.pull(by=None, at=AT - timedelta(hours=3))
    Pull.objects.create(
        started_at=AT, since=AT, until=AT - timedelta(hours=2), status=Pull.Status.FAILED
    )

    run = mpesa.pull(by=None, at=AT)

    assert (run.since, run.until) == (AT - timedelta(hours=4), AT)


def test_it_never_asks_for_what_safaricom_has_forgotten(wire):
    wire.post(QUERY, json=page_of())
    mpesa.pull(by=None, at=AT - timedelta(days=9))

    assert mpesa.pull(by=None, at=AT).since == AT - timedelta(hours=48)


# --- Pages ---------------------------------------------------------------------------------------
def test_page_after_page_until_one_is_not_full(wire):
    rows = [row(number) for number in range(250)]
    for start in (0, 100, 200):
        wire.post(QUERY, json=page_of(*rows[start : start + 100]))

    run = mpesa.pull(by=None, at=AT)

    assert [body["OffSetValue"] for body in bodies_sent(wire)] == ["0", "100", "200"]
    assert (run.pages, run.found, run.new) == (3, 250, 250)


def test_a_page_that_repeats_itself_ends_the_run(wire):
    wire.post(QUERY, json=page_of(*[row(number) for number in range(100)]))

    run = mpesa.pull(by=None, at=AT)

    assert (run.status, run.pages, run.found, run.new) == ("done", 2, 100, 100)


def test_a_run_that_breaks_off_keeps_what_it_found_and_is_not_the_last_good_one(wire):
    wire.post(QUERY, json=page_of(*[row(number) for number in range(100)]))
    wire.post(QUERY, body=requests.ReadTimeout("slow"))
    wire.post(QUERY, json=page_of(*[row(number) for number in range(60, 160)]))
    wire.post(QUERY, json=page_of(row(160)))

    broken = mpesa.pull(by=None, at=AT)
    whole = mpesa.pull(by=None, at=AT + timedelta(minutes=30))

    assert (broken.status, broken.code, broken.new) == ("failed", "ReadTimeout", 100)
    assert whole.since == AT + timedelta(minutes=30) - timedelta(hours=48)
    assert (whole.status, whole.found, whole.new) == ("done", 101, 61)


@pytest.mark.parametrize(
    ("answer", "status", "found"),
    [
        ({"json": page_of(ROW)}, "done", 1),
        ({"json": page_of(ROW, nested=False)}, "done", 1),
        ({"json": {**page_of(), "Response": ROW}}, "done", 1),
        ({"json": {**page_of(), "Response": [[ROW], []]}}, "done", 1),
        ({"json": page_of(ROW, ROW)}, "done", 1),
        ({"json": page_of(code="1001")}, "done", 0),
        ({"json": {"ResponseCode": 1001}}, "done", 0),
        ({"json": {**page_of(), "Response": ""}}, "done", 0),
        ({"json": {**page_of(), "Response": [[[[[[ROW]]]]]]}}, "failed", 0),
        ({"json": page_of(ROW, code="1002")}, "failed", 0),
        ({"json": {"errorCode": "500.003.02", "errorMessage": "Busy"}, "status": 500}, "failed", 0),
        ({"body": "<html>Bad Gateway</html>", "status": 502}, "failed", 0),
        ({"body": "<html>ok</html>"}, "failed", 0),
        ({"body": '{"ResponseCode": "1000", "Response": [NaN]}'}, "failed", 0),
        ({"body": "null"}, "failed", 0),
        ({"body": ""}, "failed", 0),
        ({"body": requests.ConnectionError("reset")}, "failed", 0),
    ],
)
def test_an_answer_of_any_shape_is_read_or_told(wire, answer, status, found):
    wire.post(QUERY, **answer)

    run = mpesa.pull(by=None, at=AT)

    assert (run.status, run.found) == (status, found)
    assert run.finished_at is not None


def test_two_do_not_pull_at_once_and_a_dead_run_is_buried(wire):
    wire.post(QUERY, json=page_of())
    dead = Pull.objects.create(started_at=AT, since=AT, until=AT)

    with pytest.raises(Refused, match="is at it"):
        mpesa.pull(by=None, at=AT + timedelta(minutes=5))
    mpesa.pull(by=None, at=AT + timedelta(minutes=11))

    dead.refresh_from_db()
    assert (dead.status, dead.code) == ("failed", "died")


# --- What comes of a row -------------------------------------------------------------------------
def test_a_missed_payment_lands_on_its_loan(wire, loan):
    wire.post(QUERY, json=page_of({**ROW, "billreference": loan.number.lower()}))

    run = jobs.pull(by=None)

    payment = Payment.objects.get()
    callback = Callback.objects.get()
    assert (payment.reference, payment.amount) == ("UKL7AB12CD", Decimal(500))
    assert (payment.status, payment.value_date) == (Payment.Status.ALLOCATED, TODAY)
    assert payment.payer_name == "WANJIKU MWANGI"
    assert (callback.kind, callback.status, callback.pull) == ("pull", "applied", run)
    assert json.loads(bytes(callback.body))["organizationname"] == "PESA KWANZA"
    assert run.new == 1
    books.prove()


def test_what_is_known_is_only_counted(wire, loan):
    wire.post(QUERY, json=page_of(ROW))
    for minutes in (0, 30, 60):
        run = mpesa.pull(by=None, at=AT + timedelta(minutes=minutes))
    jobs.apply_waiting_callbacks()

    assert Callback.objects.count() == 1
    assert (run.found, run.new) == (1, 0)


@pytest.mark.parametrize(
    "broken",
    [
        {**ROW, "transactionId": None},
        {"hello": "world"},
        "a text",
        {**ROW, "amount": "NaN"},
        {**ROW, "transactiontype": "c2b-reversal"},
    ],
)
def test_a_row_that_cannot_be_read_is_kept_once_for_a_person(wire, broken):
    wire.post(QUERY, json=page_of(broken, row(1)))

    for minutes in (0, 30):
        clock_at = AT + timedelta(minutes=minutes)
        mpesa.pull(by=None, at=clock_at)
    for callback in Callback.objects.filter(status="received"):
        jobs.apply_callback(callback.pk)

    assert sorted(Callback.objects.values_list("status", flat=True)) == ["applied", "review"]
    assert Payment.objects.get().reference == "UKL0000001"


@pytest.mark.parametrize(
    ("told", "day"),
    [
        ("2026-11-21T10:30:45Z", TODAY),
        ("2026-11-20T23:59:59Z", date(2026, 11, 20)),
        ("2026-11-20 23:59:59.123+00:00", date(2026, 11, 20)),
        ("2026-11-22T01:00:00Z", TODAY),  # never a day to come
        ("20261120235959", date(2026, 11, 20)),
        ("yesterday", TODAY),
        ("2026-99-99T00:00:00Z", TODAY),
        (None, TODAY),
    ],
)
def test_its_digits_are_kenyas_clock(wire, told, day):
    wire.post(QUERY, json=page_of({**ROW, "trxDate": told}))

    jobs.pull(by=None)

    assert Payment.objects.get().value_date == day


ORDER = ("stk", "confirmation", "pull", "status", "cashier")


@pytest.mark.parametrize("order", [*permutations(ORDER, 5)][::3])
def test_one_receipt_is_one_payment_whoever_tells_of_it_first(wire, loan, order):
    wire.post(QUERY, json=page_of({**ROW, "billreference": loan.number}))
    pushed(account=loan.number, customer=loan.customer)
    Inquiry.objects.create(
        kind="status", shortcode="174379", receipt="UKL7AB12CD", status="sent", asked_at=AT,
        conversation_id="AG_1",
    )  # fmt: skip

    for each in order:
        tell(each, loan)

    payment = Payment.objects.get()
    assert (payment.amount, payment.status) == (Decimal(500), Payment.Status.ALLOCATED)
    assert not Callback.objects.needing_review().exists()
    assert MpesaPayment.objects.get().payment == payment
    books.prove()


def tell(who: str, loan) -> None:
    if who == "pull":
        jobs.pull(by=None)
    elif who == "cashier":
        if not Payment.objects.exists():
            routing.take(
                method="mpesa", amount=Decimal(500), reference="UKL7AB12CD", value_date=TODAY,
                account=loan.number, by=factories.mutua(), on=TODAY,
            )  # fmt: skip
    else:
        body = {
            "stk": stk_body(),
            "confirmation": c2b_body(BillRefNumber=loan.number),
            "status": status_body(),
        }[who]
        callback = Callback.objects.create(kind=who, body=body, received_at=AT)
        jobs.apply_callback(callback.pk)


def status_body() -> bytes:
    values = {
        "DebitPartyName": f"{PHONE} - WANJIKU MWANGI",
        "CreditPartyName": "174379 - PESA KWANZA",
        "FinalisedTime": 20261121103045,
        "TransactionStatus": "Completed",
        "Amount": "500.00",
        "ReceiptNo": "UKL7AB12CD",
    }
    listed = [{"Key": key, "Value": value} for key, value in values.items()]
    return json.dumps(
        {
            "Result": {
                "ResultCode": 0,
                "ConversationID": "AG_1",
                "ResultParameters": {"ResultParameter": listed},
            }
        }
    ).encode()


# --- The notification ----------------------------------------------------------------------------
def noticed(body) -> Callback:
    callback = Callback.objects.create(
        kind="pull-notice", body=json.dumps(body).encode(), received_at=AT
    )
    jobs.apply_callback(callback.pk)
    callback.refresh_from_db()
    return callback


def test_a_notification_of_several_payments_stores_each_and_books_each(monkeypatch):
    callback = noticed(page_of(row(1), row(2), row(2)))
    assert callback.note == "3 payments in it, 2 new to us."

    clock(monkeypatch, AT + timedelta(minutes=3))
    jobs.apply_waiting_callbacks()

    references = Payment.objects.order_by("pk").values_list("reference", flat=True)
    assert list(references) == ["UKL0000001", "UKL0000002"]


# --- The job -------------------------------------------------------------------------------------
def test_the_job_does_nothing_where_nobody_is_nominated(settings):
    settings.DARAJA_PULL_NUMBER = ""

    assert jobs.pull_missed() == "No number is nominated: nothing was pulled."
    with pytest.raises(Refused, match="DARAJA_PULL_NUMBER is empty"):
        mpesa.pull(by=None, at=AT)
    assert not Pull.objects.exists()


def test_the_job_counts_as_failed_when_safaricom_does_not_tell_all(wire):
    wire.post(QUERY, json={"errorCode": "500.003.02", "errorMessage": "Busy"}, status=500)

    with pytest.raises(Refused, match=r"PL\d+: 500\.003\.02 Busy"):
        jobs.pull_missed()


# --- On the loopback -----------------------------------------------------------------------------
@pytest.mark.parametrize("script", ["", "odd", "twice"])
def test_the_loopback_tells_what_confirmations_did_not(daraja, door, script, monkeypatch):
    daraja.confirmation_url = ""
    daraja.pay(account="FEES", amount=700, phone=PHONE)
    daraja.pay(account="FEES", amount=800, phone=PHONE)
    mpesa.register_pull(by=None)
    mpesa.register_pull(by=None)
    daraja.next_answers += [script] if script else []
    monkeypatch.undo()  # the loopback has a clock of its own
    run = jobs.pull(by=None)

    assert (run.found, run.new) == (2, 2)
    assert {payment.amount for payment in Payment.objects.all()} == {Decimal(700), Decimal(800)}


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [("html", "failed", "HTTP 500"), ("timeout", "failed", "500.003.02"), ("drop", "done", "1001")],
)
def test_the_loopback_fails_as_it_is_told(daraja, script, status, code):
    mpesa.register_pull(by=None)
    daraja.next_answers.append(script)

    run = mpesa.pull(by=None, at=AT)

    assert (run.status, run.code) == (status, code)


def test_the_loopback_wants_a_registration_first(daraja):
    assert mpesa.pull(by=None, at=AT).message == "The short code is not registered for pull"


@pytest.mark.parametrize(
    "changes",
    [
        {"ShortCode": "600000"},
        {"StartDate": "20261121"},
        {"EndDate": "2026-11-18 10:00:00"},
        {"OffSetValue": "-1"},
        {"OffSetValue": None},
    ],
)
def test_the_loopback_is_strict(daraja, changes):
    mpesa.register_pull(by=None)
    body = {
        "ShortCode": "174379", "StartDate": "2026-11-19 10:00:00",
        "EndDate": "2026-11-21 10:00:00", "OffSetValue": "0", **changes,
    }  # fmt: skip
    key = requests.get(
        f"{daraja.url}/oauth/v1/generate?grant_type=client_credentials",
        auth=("key", "secret"), timeout=5,
    ).json()["access_token"]  # fmt: skip

    answer = requests.post(
        f"{daraja.url}/pulltransactions/v1/query", json=body,
        headers={"Authorization": f"Bearer {key}"}, timeout=5,
    )  # fmt: skip

    assert (answer.status_code, answer.json()["errorCode"]) == (400, "400.002.02")


# --- Pure ----------------------------------------------------------------------------------------
def test_a_page_has_an_end():
    with pytest.raises(MalformedCallback, match="longer than a page"):
        pulled.rows_of({"Response": [{}] * 1001})


def test_the_day_of_a_row_is_read_in_kenya():
    assert pulled.payment_of(ROW).at == datetime(2026, 11, 21, 10, 30, 45, tzinfo=EAT)
    assert pulls.PAGE == 100
