"""Asking Safaricom: what is sent, what is refused, what is written down."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
import requests
import responses

from lms import dates, jobs
from lms.errors import Refused
from lms.mpesa import operations as mpesa
from lms.mpesa.client import Daraja, State
from lms.mpesa.models import DarajaRequest, Inquiry
from tests.mpesa.conftest import AT, PHONE

pytestmark = pytest.mark.django_db

URL = "https://daraja.test"
BALANCE = f"{URL}/mpesa/accountbalance/v1/query"
STATUS = f"{URL}/mpesa/transactionstatus/v1/query"
REGISTER = f"{URL}/mpesa/c2b/v2/registerurl"
CREDENTIAL = "credential" * 34
TAKEN = {
    "OriginatorConversationID": "515-5258779-3",
    "ConversationID": "AG_20261121_0000",
    "ResponseCode": "0",
    "ResponseDescription": "Accept the service request successfully.",
}
ERROR = {"requestId": "1", "errorMessage": "As documented"}


@pytest.fixture(autouse=True)
def _set_up(settings):
    settings.DARAJA_URL = URL
    settings.DARAJA_SHORTCODE = "174379"
    settings.DARAJA_INITIATOR = "testapi"
    settings.DARAJA_SECURITY_CREDENTIAL = CREDENTIAL
    settings.DARAJA_CALLBACK_BASE = "https://office.example.co.ke"


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{URL}/oauth/v1/generate", json={"access_token": "firsttoken"})
        yield mock


def posts(wire) -> list:
    return [call.request for call in wire.calls if call.request.method == "POST"]


def ask_balances(**changes) -> list[Inquiry]:
    return mpesa.ask_balances(**{"by": None, "at": AT, **changes})


def test_the_question_for_balances_is_spelt_as_safaricom_documents_it(wire, settings):
    wire.post(BALANCE, json=TAKEN)

    (inquiry,) = ask_balances()

    (request,) = posts(wire)
    door = f"https://office.example.co.ke/daraja/{settings.DARAJA_CALLBACK_SECRET}"
    assert json.loads(request.body) == {
        "Initiator": "testapi",
        "SecurityCredential": CREDENTIAL,
        "CommandID": "AccountBalance",
        "PartyA": "174379",
        "IdentifierType": "4",
        "Remarks": "Balance",
        "QueueTimeOutURL": f"{door}/balance-timeout/",
        "ResultURL": f"{door}/balance/",
    }
    assert (inquiry.status, inquiry.conversation_id) == ("sent", "AG_20261121_0000")
    assert inquiry.originator_id == "515-5258779-3"


def test_the_question_for_a_payment_is_spelt_as_safaricom_documents_it(wire):
    wire.post(STATUS, json=TAKEN)

    mpesa.ask_payment(" ukl7 ab12cd ", by=None, at=AT)

    sent = json.loads(posts(wire)[0].body)
    assert (sent["CommandID"], sent["TransactionID"]) == ("TransactionStatusQuery", "UKL7AB12CD")
    assert sent["ResultURL"].endswith("/status/")
    assert sent["QueueTimeOutURL"].endswith("/status-timeout/")
    assert sent["Occasion"] == "Status"


def test_each_shortcode_of_ours_is_asked_for_once(wire, settings):
    settings.DARAJA_B2C_SHORTCODE = "600123"
    wire.post(BALANCE, json=TAKEN)
    wire.post(BALANCE, json={**TAKEN, "ConversationID": "AG_2", "OriginatorConversationID": "2-2"})

    asked = ask_balances()

    assert [inquiry.shortcode for inquiry in asked] == ["174379", "600123"]
    assert [json.loads(request.body)["PartyA"] for request in posts(wire)] == ["174379", "600123"]


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"json": TAKEN}, "sent", "0"),
        ({"json": {**TAKEN, "ResponseCode": 0}}, "sent", "0"),
        ({"json": {**TAKEN, "ResponseCode": "1"}}, "failed", "1"),
        ({"json": {**TAKEN, "ConversationID": ""}}, "unknown", "no-id"),
        ({"json": {**ERROR, "errorCode": "400.002.02"}, "status": 400}, "failed", "400.002.02"),
        ({"json": {**ERROR, "errorCode": "500.003.02"}, "status": 500}, "failed", "500.003.02"),
        ({"json": {**ERROR, "errorCode": "500.003.1001"}, "status": 500}, "unknown", None),
        ({"body": "<html>Bad Gateway</html>", "status": 502}, "unknown", "HTTP 502"),
        ({"body": "<html>Forbidden</html>", "status": 403}, "failed", "HTTP 403"),
        ({"body": "<html>ok</html>"}, "unknown", "HTTP 200"),
        ({"body": ""}, "unknown", "HTTP 200"),
        ({"body": requests.ReadTimeout("slow")}, "unknown", "ReadTimeout"),
        ({"body": requests.ConnectionError("Connection aborted.")}, "unknown", None),
        ({"body": requests.ConnectTimeout("far")}, "failed", "not-sent"),
    ],
)
def test_an_answer_becomes_one_of_three_outcomes_and_is_never_retried(wire, answer, status, code):
    for url in (BALANCE, STATUS):
        wire.post(url, **answer)

    (balances,) = ask_balances()
    Inquiry.objects.update(conversation_id=None, originator_id=None)
    payment = mpesa.ask_payment("UKL7AB12CD", by=None, at=AT)

    assert (balances.status, payment.status) == (status, status)
    if code is not None:
        assert (balances.code, payment.code) == (code, code)
    assert len(posts(wire)) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        {"json": {**ERROR, "errorCode": "404.001.03"}, "status": 404},
        {"json": {**ERROR, "errorCode": "401.002.01"}, "status": 401},
        {"body": "<html>Unauthorized</html>", "status": 401},
    ],
)
def test_a_refused_token_is_renewed_once(wire, refusal):
    wire.replace(
        responses.GET, f"{URL}/oauth/v1/generate", json={"access_token": "t", "expires_in": 3599}
    )
    wire.post(BALANCE, **refusal)
    wire.post(BALANCE, **refusal)

    (inquiry,) = ask_balances()

    assert inquiry.status == "failed"
    assert len(posts(wire)) == 2
    assert DarajaRequest.objects.filter(kind="balance", outcome="rejected").count() == 2
    assert DarajaRequest.objects.filter(kind="token").count() == 2


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("DARAJA_INITIATOR", "", "DARAJA_INITIATOR is empty"),
        ("DARAJA_SECURITY_CREDENTIAL", "", "DARAJA_INITIATOR_PASSWORD is empty"),
        ("DARAJA_CONSUMER_KEY", "", "DARAJA_CONSUMER_KEY is empty"),
        ("DARAJA_CALLBACK_SECRET", "", "DARAJA_CALLBACK_SECRET is empty"),
        ("DARAJA_CALLBACK_BASE", "https://mpesa.example.co.ke", "mpesa"),
    ],
)
def test_what_is_not_set_up_is_named_and_nothing_is_saved(wire, settings, setting, value, sentence):
    setattr(settings, setting, value)

    for ask in (ask_balances, lambda: mpesa.ask_payment("UKL7AB12CD", by=None, at=AT)):
        with pytest.raises(Refused, match=sentence):
            ask()

    assert not Inquiry.objects.exists()
    assert len(wire.calls) == 0


@pytest.mark.parametrize("receipt", ["", "UKL", "UKL7AB12C!", "Ü" * 10])
def test_what_is_not_a_receipt_is_refused(receipt):
    with pytest.raises(Refused, match="10 letters and digits") as refusal:
        mpesa.ask_payment(receipt, by=None, at=AT)

    assert refusal.value.field == "receipt"


def test_an_open_question_is_not_asked_again_at_once_but_later(wire):
    wire.post(STATUS, json=TAKEN)
    wire.post(STATUS, json={**TAKEN, "ConversationID": "AG_2", "OriginatorConversationID": "2-2"})
    mpesa.ask_payment("UKL7AB12CD", by=None, at=AT)

    with pytest.raises(Refused, match="a moment ago"):
        mpesa.ask_payment("UKL7AB12CD", by=None, at=AT + timedelta(seconds=29))
    mpesa.ask_payment("UKL7AB12CD", by=None, at=AT + timedelta(seconds=31))

    assert len(posts(wire)) == 2


def test_the_poll_rests_while_no_initiator_is_set_up(wire, settings):
    settings.DARAJA_INITIATOR = ""

    assert jobs.poll_balances() == "No initiator is set up: nothing was asked."
    assert len(wire.calls) == 0


def test_the_poll_asks(wire):
    wire.post(BALANCE, json=TAKEN)

    assert jobs.poll_balances() == f"{Inquiry.objects.get()}"


def test_the_poll_leaves_a_person_who_just_asked_the_answer(wire):
    wire.post(BALANCE, json=TAKEN)
    mpesa.ask_balances(by=None, at=dates.now())

    assert "a moment ago" in jobs.poll_balances()
    assert len(posts(wire)) == 1


def test_the_poll_fails_aloud_where_the_initiator_is_set_up_by_half(wire, settings):
    settings.DARAJA_SECURITY_CREDENTIAL = ""

    with pytest.raises(Refused, match="DARAJA_INITIATOR_PASSWORD is empty"):
        jobs.poll_balances()


@pytest.mark.parametrize("status", ["asked", "sent"])
def test_a_question_that_nobody_answers_is_closed_after_ten_minutes(settings, status):
    settings.DARAJA_INITIATOR = ""
    fields = {"kind": "balance", "shortcode": "174379", "status": status}
    old = Inquiry.objects.create(asked_at=dates.now() - timedelta(minutes=11), **fields)
    new = Inquiry.objects.create(asked_at=dates.now() - timedelta(minutes=9), **fields)

    jobs.poll_balances()

    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.status, new.status) == ("unknown", status)
    assert old.history.first().history_change_reason == "No answer came"


# --- Registering ---------------------------------------------------------------------------------
def test_addresses_are_registered_by_the_version_of_the_settings(wire, settings):
    settings.DARAJA_C2B_VERSION = "v1"
    wire.post(
        f"{URL}/mpesa/c2b/v1/registerurl",
        json={"OriginatorCoversationID": "1-2", "ResponseCode": "0", "ResponseDescription": "ok"},
    )

    mpesa.register_addresses(unreachable="Completed", by=None)

    door = f"https://office.example.co.ke/daraja/{settings.DARAJA_CALLBACK_SECRET}"
    assert json.loads(posts(wire)[0].body) == {
        "ShortCode": "174379",
        "ResponseType": "Completed",
        "ConfirmationURL": f"{door}/confirmation/",
        "ValidationURL": f"{door}/validation/",
    }


def test_a_second_registration_is_refused_in_safaricoms_words(wire):
    wire.post(
        REGISTER,
        json={"errorCode": "500.003.1001", "errorMessage": "Urls are already registered"},
        status=500,
    )

    with pytest.raises(Refused, match=r"\(rejected\): 500.003.1001 Urls are already registered"):
        mpesa.register_addresses(unreachable="Completed", by=None)


# --- The log -------------------------------------------------------------------------------------
def test_the_log_tells_who_asked_what_about_what_without_secrets(wire, settings, kamau):
    settings.DARAJA_CONSUMER_SECRET = "consumer-secret"
    wire.post(BALANCE, json={**TAKEN, "ResponseDescription": f"for {PHONE} by {CREDENTIAL}"})

    (inquiry,) = ask_balances(by=kamau)

    token, asked = DarajaRequest.objects.order_by("pk")
    assert (token.kind, token.outcome, token.request) == ("token", "accepted", "")
    assert (asked.kind, asked.outcome, asked.code) == ("balance", "accepted", "0")
    assert (asked.about, asked.asked_by) == (inquiry.number, kamau)
    assert json.loads(asked.request)["Initiator"] == "testapi"
    assert "AG_20261121_0000" in asked.answer
    everything = "".join(
        f"{row.request}{row.answer}{row.message}" for row in DarajaRequest.objects.all()
    )
    for secret in (CREDENTIAL, "firsttoken", settings.DARAJA_CALLBACK_SECRET, PHONE):
        assert secret not in everything


def test_a_push_is_in_the_log_without_its_password_and_with_its_phone_masked(wire):
    wire.post(
        f"{URL}/mpesa/stkpush/v1/processrequest",
        json={"CheckoutRequestID": "ws_CO_1", "ResponseCode": "0", "Odd": "\x00\ud800"},
    )

    row = mpesa.push(
        phone=PHONE, amount=Decimal(500), account="LN000123", description="Loan",
        customer=None, by=None, at=AT,
    )  # fmt: skip

    asked = DarajaRequest.objects.get(kind="stk_push")
    body = json.loads(asked.request)
    assert asked.about == row.number
    assert (body["Password"], body["PhoneNumber"]) == ("(hidden)", "2547*****678")
    assert (body["Amount"], body["AccountReference"]) == (500, "LN000123")


def test_what_came_of_a_request_stands_even_where_its_log_cannot_be_written(wire, monkeypatch):
    wire.post(BALANCE, json=TAKEN)
    monkeypatch.setattr("lms.mpesa.exchanges.body_of", lambda fields: None)  # NOT NULL refuses

    (inquiry,) = ask_balances()

    assert inquiry.status == "sent"
    assert not DarajaRequest.objects.exists()


def test_without_a_token_the_log_says_that_nothing_was_sent(wire):
    wire.replace(responses.GET, f"{URL}/oauth/v1/generate", status=400, json={})

    outcome = Daraja().account_balance(
        shortcode="174379", result_url="https://o.ke/r/", timeout_url="https://o.ke/t/"
    )

    assert outcome.state == State.REJECTED
    kinds = DarajaRequest.objects.order_by("pk").values_list("kind", "outcome", "code")
    assert list(kinds) == [("token", "rejected", "HTTP 400"), ("balance", "rejected", "not-sent")]


def test_the_log_is_forgotten_after_its_days(settings):
    settings.DARAJA_LOG_DAYS = 30
    for day in (1, 31):
        DarajaRequest.objects.create(
            kind="token", outcome="accepted", milliseconds=1,
            sent_at=dates.instant(AT.date()) - timedelta(days=day),
        )  # fmt: skip

    assert jobs.forget_daraja_requests(on=AT.isoformat()) == 1
    assert DarajaRequest.objects.count() == 1
