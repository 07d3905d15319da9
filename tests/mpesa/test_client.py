import base64
import json
import logging
import socket
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import requests
import responses

from lms.errors import Refused
from lms.mpesa.client import NOT_SENT, Daraja, State
from lms.mpesa.models import AccessToken
from tests.mpesa.conftest import AT, PHONE

pytestmark = pytest.mark.django_db

URL = "https://daraja.test"
PUSH = f"{URL}/mpesa/stkpush/v1/processrequest"
QUERY = f"{URL}/mpesa/stkpushquery/v1/query"
TAKEN = {
    "MerchantRequestID": "29115-34620561-1",
    "CheckoutRequestID": "ws_CO_1",
    "ResponseCode": "0",
    "ResponseDescription": "Success. Request accepted for processing",
}


def ask(**changes):
    return Daraja().stk_push(
        **{
            "phone": PHONE,
            "amount": Decimal("500.00"),
            "account": "LN000123",
            "description": "Loan",
            "callback_url": "https://office.example.co.ke/daraja/5ec2e7/stk/",
            "at": AT,
            **changes,
        }
    )


@pytest.fixture
def wire(settings):
    """Daraja as a list of answers; the token is there already."""
    settings.DARAJA_URL = URL
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{URL}/oauth/v1/generate", json={"access_token": "first", "expires_in": "3599"})
        yield mock


def posts(wire) -> list:
    return [call.request for call in wire.calls if call.request.method == "POST"]


def test_a_push_is_accepted_and_never_called_paid(daraja):
    outcome = ask(callback_url="http://127.0.0.1:9/daraja/5ec2e7/stk/")

    assert outcome.state == State.ACCEPTED
    assert outcome.answer["CheckoutRequestID"].startswith("ws_CO_")


def test_the_request_is_spelt_as_safaricom_documents_it(wire):
    wire.post(PUSH, json=TAKEN)

    ask(at=datetime(2026, 11, 21, 21, 30, tzinfo=UTC))

    (request,) = posts(wire)
    assert request.headers["Authorization"] == "Bearer first"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "BusinessShortCode": "174379",
        "Password": base64.b64encode(b"174379passkey20261122003000").decode(),
        "Timestamp": "20261122003000",
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 500,
        "PartyA": PHONE,
        "PartyB": "174379",
        "PhoneNumber": PHONE,
        "CallBackURL": "https://office.example.co.ke/daraja/5ec2e7/stk/",
        "AccountReference": "LN000123",
        "TransactionDesc": "Loan",
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": Decimal("500.50")}, "amount"),
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal(-5)}, "amount"),
        ({"amount": Decimal(250_001)}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("Infinity")}, "amount"),
        ({"phone": "0712345678"}, "phone"),
        ({"phone": "255712345678"}, "phone"),
        ({"account": "LN00000012345"}, "account"),
        ({"account": ""}, "account"),
        ({"account": "LN 000123"}, "account"),
        ({"description": "Fourteen chars"}, "description"),
        ({"description": "Ñandú"}, "description"),
        ({"callback_url": "https://office.co.ke/MPESA/stk/"}, None),
        ({"callback_url": "https://exec.co.ke/stk/"}, None),
        ({"callback_url": "https://office.co.ke/a b/"}, None),
        ({"callback_url": "office.co.ke/stk/"}, None),
    ],
)
def test_what_safaricom_would_not_take_is_refused_and_not_sent(wire, changes, field):
    with pytest.raises(Refused) as refusal:
        ask(**changes)

    assert refusal.value.field == field
    assert len(wire.calls) == 0


ERROR = {"requestId": "1", "errorMessage": "As documented"}


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        ({"json": TAKEN}, State.ACCEPTED, "0"),
        ({"json": {**TAKEN, "ResponseCode": 0}}, State.ACCEPTED, "0"),
        ({"json": {**TAKEN, "ResponseCode": "1"}}, State.REJECTED, "1"),
        ({"json": {**TAKEN, "ResponseCode": False}}, State.UNKNOWN, "no-code"),
        ({"json": {**TAKEN, "CheckoutRequestID": ""}}, State.UNKNOWN, "no-id"),
        ({"json": {"ResponseCode": "0"}}, State.UNKNOWN, "no-id"),
        ({"json": TAKEN, "status": 500}, State.UNKNOWN, "HTTP 500"),
        ({"json": {**ERROR, "errorCode": "400.002.02"}, "status": 400}, State.REJECTED, None),
        ({"json": {**ERROR, "errorCode": "400.002.02"}}, State.REJECTED, "400.002.02"),
        ({"json": {**TAKEN, "errorCode": "400.002.02"}}, State.REJECTED, "400.002.02"),
        ({"json": {**ERROR, "errorCode": "500.001.1001"}, "status": 500}, State.REJECTED, None),
        ({"json": {**ERROR, "errorCode": "500.003.02"}, "status": 500}, State.REJECTED, None),
        ({"json": {**ERROR, "errorCode": "500.002.1001"}, "status": 500}, State.UNKNOWN, None),
        ({"json": {**ERROR, "errorCode": "500.002.1001"}}, State.UNKNOWN, "500.002.1001"),
        ({"body": "<html>Bad Gateway</html>", "status": 502}, State.UNKNOWN, "HTTP 502"),
        ({"body": "<html>Forbidden</html>", "status": 403}, State.REJECTED, "HTTP 403"),
        ({"body": "<html>ok</html>"}, State.UNKNOWN, "HTTP 200"),
        ({"body": ""}, State.UNKNOWN, "HTTP 200"),
        ({"body": "", "status": 504}, State.UNKNOWN, "HTTP 504"),
        ({"body": "", "status": 408}, State.UNKNOWN, "HTTP 408"),
        ({"body": "", "status": 429}, State.REJECTED, "HTTP 429"),
        ({"body": "[]"}, State.UNKNOWN, "HTTP 200"),
        ({"body": "null"}, State.UNKNOWN, "HTTP 200"),
        ({"body": '{"ResponseCode": NaN}'}, State.UNKNOWN, "HTTP 200"),
        ({"body": "[" * 100_000}, State.UNKNOWN, "HTTP 200"),
        ({"body": b"\xff\xfe\x00"}, State.UNKNOWN, "HTTP 200"),
        ({"body": requests.ReadTimeout("slow")}, State.UNKNOWN, "ReadTimeout"),
        ({"body": requests.ConnectionError("Connection aborted.")}, State.UNKNOWN, None),
        ({"body": requests.exceptions.ChunkedEncodingError("cut")}, State.UNKNOWN, None),
        ({"body": requests.ConnectTimeout("far")}, State.REJECTED, NOT_SENT),
        ({"body": requests.exceptions.InvalidURL("odd")}, State.REJECTED, NOT_SENT),
    ],
)
def test_an_answer_becomes_one_of_three_outcomes_and_is_never_retried(wire, answer, state, code):
    wire.post(PUSH, **answer)

    outcome = ask()

    assert outcome.state == state
    if code is not None:
        assert outcome.code == code
    assert len(posts(wire)) == 1


def test_a_redirect_is_not_followed(wire):
    wire.post(PUSH, status=307, headers={"Location": "http://169.254.169.254/"})

    outcome = ask()

    assert (outcome.state, outcome.code) == (State.REJECTED, "HTTP 307")
    assert len(posts(wire)) == 1


def test_a_refused_connection_was_certainly_not_sent(settings):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.DARAJA_URL = f"http://127.0.0.1:{closed.getsockname()[1]}"
    AccessToken.objects.create(
        url=settings.DARAJA_URL,
        key_hash="2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683",
        token="first",
        expires_at=datetime(2099, 1, 1, tzinfo=UTC),
    )

    outcome = ask()

    assert (outcome.state, outcome.code) == (State.REJECTED, NOT_SENT)


@pytest.mark.parametrize("code", ["404.001.03", "400.003.01", "401.002.01", "401.001"])
def test_an_expired_token_is_renewed_once_and_the_request_sent_once_more(wire, code):
    refused = {"requestId": "1", "errorCode": code, "errorMessage": "Invalid Access Token"}
    wire.post(PUSH, json=refused, status=404)
    wire.post(PUSH, json=refused, status=404)

    outcome = ask()

    assert (outcome.state, outcome.code) == (State.REJECTED, code)
    assert len(posts(wire)) == 2


def test_a_token_that_another_office_killed_is_replaced(daraja):
    assert ask(callback_url="http://127.0.0.1:9/stk/").state == State.ACCEPTED
    daraja.books.new_token()

    outcome = ask(phone="254712345679", callback_url="http://127.0.0.1:9/stk/")

    assert outcome.state == State.ACCEPTED
    assert daraja.books.tokens_made == 3


def test_without_a_token_nothing_is_sent(wire):
    wire.replace(
        responses.GET,
        f"{URL}/oauth/v1/generate",
        json={"errorCode": "400.008.01", "errorMessage": "Invalid Authentication passed"},
        status=400,
    )

    outcome = ask()

    assert (outcome.state, outcome.code) == (State.REJECTED, NOT_SENT)
    assert "400.008.01" in outcome.message
    assert posts(wire) == []


@pytest.mark.parametrize(
    ("answer", "pending"),
    [
        ({"json": {**ERROR, "errorCode": "500.001.1001"}, "status": 500}, False),
        (
            {
                "json": {
                    "errorCode": "500.001.1001",
                    "errorMessage": "The transaction is being processed",
                },
                "status": 500,
            },
            True,
        ),
        ({"json": {**TAKEN, "ResultCode": "4999", "ResultDesc": "processing"}}, True),
        ({"json": {**TAKEN, "ResultCode": "0", "ResultDesc": "ok"}}, False),
    ],
)
def test_a_query_tells_pending_from_the_rest(wire, answer, pending):
    wire.post(QUERY, **answer)

    assert Daraja().stk_query("ws_CO_1", at=AT).is_pending is pending


def test_the_log_tells_the_story_without_secrets_or_phones(wire, caplog):
    caplog.set_level(logging.DEBUG)
    wire.post(PUSH, json={**TAKEN, "ResponseDescription": "ok\r\nforged line"})

    ask()

    text = caplog.text
    assert "LN000123" in text
    assert "29115-34620561-1" in text
    for secret in ("passkey", "first", "5ec2e7", PHONE, "secret", "forged line\n"):
        assert secret not in text.replace("\\r\\nforged line", "")
    assert base64.b64encode(b"174379passkey").decode()[:12] not in text


# --- Simulated payments --------------------------------------------------------------------------
def test_a_simulated_payment_is_spelt_as_safaricom_documents_it(wire):
    wire.post(f"{URL}/mpesa/c2b/v2/simulate", json={"ResponseCode": "0"})

    outcome = Daraja().simulate_c2b(phone=PHONE, amount=Decimal(500), account="LN000123")

    assert outcome.state == State.ACCEPTED
    assert json.loads(wire.calls[-1].request.body) == {
        "ShortCode": "174379",
        "CommandID": "CustomerPayBillOnline",
        "Amount": 500,
        "Msisdn": PHONE,
        "BillRefNumber": "LN000123",
    }


@pytest.mark.parametrize(
    "host",
    ["https://api.safaricom.co.ke", "https://API.safaricom.co.ke/", "https://safaricom.co.ke"],
)
def test_nothing_is_simulated_where_money_is_real(settings, host):
    settings.DARAJA_URL = host

    with responses.RequestsMock(), pytest.raises(Refused, match="on the sandbox only"):
        Daraja().simulate_c2b(phone=PHONE, amount=Decimal(500), account="LN000123")


@pytest.mark.parametrize("changes", [{"amount": Decimal("0.50")}, {"phone": "0712345678"}])
def test_a_simulated_payment_that_safaricom_would_not_take_is_not_sent(wire, changes):
    with pytest.raises(Refused):
        Daraja().simulate_c2b(
            **{"phone": PHONE, "amount": Decimal(500), "account": "LN000123", **changes}
        )
