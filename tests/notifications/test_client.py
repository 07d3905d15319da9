import json
import logging
import smtplib
import socket
from decimal import Decimal
from threading import Thread
from urllib.parse import parse_qs

import pytest
import requests
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.locmem import EmailBackend

from lms.notifications import client
from lms.notifications.client import Accepted, Rejected, Unclear, Unreachable
from tests.notifications.conftest import answer

PHONE = "254712345678"


def send(body: str = "Dear Wanjiku") -> Accepted:
    return client.sender("sms")(PHONE, "", body)


def test_the_sandbox_is_asked_as_its_documents_say(africastalking, settings):
    settings.AFRICASTALKING_SENDER_ID = "PESAKWANZA"

    accepted = send("Dear Wanjiku, KES 4,500 & more is due: 50%")

    (call,) = africastalking.calls
    assert accepted == Accepted(provider_id="ATXid_1", cost=Decimal("0.8000"))
    assert call.request.url == "https://api.sandbox.africastalking.com/version1/messaging"
    assert call.request.headers["apiKey"] == "atsk_test"
    assert call.request.headers["Accept"] == "application/json"
    assert call.request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(call.request.body) == {
        "username": ["sandbox"],
        "to": ["+254712345678"],
        "message": ["Dear Wanjiku, KES 4,500 & more is due: 50%"],
        "from": ["PESAKWANZA"],
    }
    assert call.request.req_kwargs["timeout"] == (5, 20)


@pytest.mark.parametrize(
    ("username", "url", "expected"),
    [
        ("pesakwanza", "", "https://api.africastalking.com/version1/messaging"),
        ("pesakwanza", "https://sms.example.test/send", "https://sms.example.test/send"),
        ("sandbox", "https://sms.example.test/send", "https://sms.example.test/send"),
    ],
)
def test_a_live_account_goes_to_the_live_address_unless_told(
    silent, settings, username, url, expected
):
    settings.AFRICASTALKING_USERNAME, settings.AFRICASTALKING_URL = username, url
    silent.post(expected, json=answer(), status=201)

    send()

    (call,) = silent.calls
    assert call.request.url == expected
    assert "from" not in parse_qs(call.request.body)


@pytest.mark.parametrize(("code", "words"), [(100, "Processed"), (101, "Sent"), ("102", "Queued")])
def test_processed_sent_and_queued_are_accepted(silent, code, words):
    silent.post(client.SANDBOX, json=answer(code, words, cost="0"), status=201)

    assert send() == Accepted(provider_id="ATXid_1", cost=None)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (402, "InvalidSenderId"),
        (403, "InvalidPhoneNumber"),
        (404, "UnsupportedNumberType"),
        (405, "InsufficientBalance"),
        (406, "UserInBlacklist"),
        (407, "CouldNotRoute"),
        (409, "DoNotDisturbRejection"),
        (502, "RejectedByGateway"),
    ],
)
def test_a_recipient_turned_down_is_rejected(silent, code, words):
    silent.post(client.SANDBOX, json=answer(code, words, messageId="None"), status=201)

    with pytest.raises(Rejected) as refusal:
        send()

    assert str(refusal.value) == f"Africa's Talking: {words} ({code})"


def test_a_request_turned_down_whole_is_rejected_with_its_reason(silent):
    body = {"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}
    silent.post(client.SANDBOX, json=body, status=201)

    with pytest.raises(Rejected, match="InvalidSenderId"):
        send()


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (401, "The supplied authentication is invalid", Unreachable),
        (403, "forbidden", Unreachable),
        (404, "no such page", Unreachable),
        (429, "slow down", Unreachable),
        (302, "", Unreachable),
        (400, "Request is missing required form field 'to'", Rejected),
        (500, "oops", Unclear),
        (504, "gateway timeout", Unclear),
        (500, json.dumps(answer()), Unclear),
        (201, "", Unclear),
        (201, "<html>", Unclear),
        (201, "null", Unclear),
        (201, "[]", Unclear),
        (201, '{"SMSMessageData": null}', Unclear),
        (201, '{"SMSMessageData": {"Recipients": {}}}', Unclear),
        (201, '{"SMSMessageData": {"Message": "x", "Recipients": [1]}}', Unclear),
        (201, '{"SMSMessageData": {"Recipients": [{"statusCode": "soon"}]}}', Unclear),
        (201, json.dumps(answer(401, "RiskHold")), Unclear),
        (201, json.dumps(answer(500, "InternalServerError")), Unclear),
        (201, json.dumps(answer(999, "News")), Unclear),
    ],
)
def test_only_a_definite_no_counts_as_not_sent(silent, status, body, meaning):
    silent.post(client.SANDBOX, body=body, status=status, headers={"Location": "http://x.test"})

    with pytest.raises(client.NotAccepted) as outcome:
        send()

    assert type(outcome.value) is meaning
    assert len(silent.calls) == 1


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (requests.ConnectTimeout(), Unreachable),
        (requests.exceptions.ProxyError(), Unreachable),
        (requests.exceptions.InvalidURL(), Unreachable),
        (requests.ReadTimeout(), Unclear),
        (requests.ConnectionError("reset by peer"), Unclear),
        (requests.exceptions.ChunkedEncodingError(), Unclear),
        (requests.exceptions.SSLError("bad record"), Unclear),
    ],
)
def test_a_broken_connection_is_unclear_unless_nothing_was_sent(silent, error, meaning):
    silent.post(client.SANDBOX, body=error)

    with pytest.raises(client.NotAccepted) as outcome:
        send()

    assert type(outcome.value) is meaning


@pytest.fixture
def loopback(settings):
    """A listening socket that Africa's Talking's address points to."""
    settings.SMS_CHANNEL, settings.AFRICASTALKING_API_KEY = "africastalking", "atsk_test"
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.AFRICASTALKING_URL = f"http://127.0.0.1:{server.getsockname()[1]}/"
        yield server


def test_a_refused_connection_means_not_sent(loopback):
    loopback.close()

    with pytest.raises(Unreachable, match=r"Africa's Talking cannot be reached"):
        send()


def test_a_connection_cut_after_the_request_is_unclear(loopback):
    def hang_up():
        connection, _ = loopback.accept()
        connection.recv(65536)
        connection.close()

    gateway = Thread(target=hang_up)
    gateway.start()
    with pytest.raises(Unclear, match="Africa's Talking did not answer"):
        send()
    gateway.join()


def test_the_console_shows_the_words_and_hides_the_number(settings, caplog):
    settings.SMS_CHANNEL = "console"

    with caplog.at_level(logging.INFO, logger="lms.notifications.client"):
        assert send("Dear Wanjiku,\nERROR root forged") == Accepted(provider_id="console")

    assert caplog.messages == ["Message to 2547*****678: Dear Wanjiku, ERROR root forged"]


def test_addresses_are_masked():
    assert client.mask("wanjiku@example.com") == "w***@example.com"
    assert client.mask("254712345678") == "2547*****678"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (
            {"SMS_CHANNEL": "pigeon"},
            "SMS_CHANNEL is “pigeon”: it is one of console, africastalking.",
        ),
        ({"SMS_CHANNEL": "africastalking"}, "AFRICASTALKING_API_KEY is not set."),
    ],
)
def test_a_wrong_setting_is_named(settings, changed, complaint):
    settings.AFRICASTALKING_API_KEY = ""
    for name, value in changed.items():
        setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured) as refusal:
        client.sender("sms")

    assert str(refusal.value) == complaint


class Postman(EmailBackend):
    """A mail server that answers what the test tells it to."""

    opening: Exception | None = None
    sending: Exception | None = None

    def open(self):
        if self.opening:
            raise self.opening

    def send_messages(self, messages):
        if self.sending:
            raise self.sending
        return super().send_messages(messages)


@pytest.fixture
def postman(settings, monkeypatch):
    settings.EMAIL_CHANNEL = "django"
    settings.EMAIL_BACKEND = "tests.notifications.test_client.Postman"

    def says(*, opening=None, sending=None):
        monkeypatch.setattr(Postman, "opening", opening)
        monkeypatch.setattr(Postman, "sending", sending)

    return says


def write() -> Accepted:
    return client.sender("email")("wanjiku@example.com", "Loan LN000123", "Dear Wanjiku")


def test_an_email_goes_through_django(postman, settings):
    settings.DEFAULT_FROM_EMAIL = "office@pesakwanza.co.ke"

    assert write() == Accepted()

    (letter,) = mail.outbox
    assert letter.to == ["wanjiku@example.com"]
    assert (letter.subject, letter.body) == ("Loan LN000123", "Dear Wanjiku")
    assert letter.from_email == "office@pesakwanza.co.ke"


@pytest.mark.parametrize(
    ("server", "meaning"),
    [
        ({"opening": ConnectionRefusedError()}, Unreachable),
        ({"opening": TimeoutError()}, Unreachable),
        ({"opening": smtplib.SMTPAuthenticationError(535, b"bad password")}, Unreachable),
        ({"sending": smtplib.SMTPRecipientsRefused({"w": (550, b"no such user")})}, Rejected),
        ({"sending": smtplib.SMTPRecipientsRefused({"w": (450, b"greylisted")})}, Unreachable),
        ({"sending": smtplib.SMTPDataError(554, b"spam")}, Rejected),
        ({"sending": smtplib.SMTPSenderRefused(451, b"later", "office")}, Unreachable),
        ({"sending": smtplib.SMTPServerDisconnected("gone")}, Unclear),
        ({"sending": TimeoutError()}, Unclear),
        ({"sending": mail.BadHeaderError("newline")}, Rejected),
    ],
)
def test_what_the_mail_server_says_decides_whether_it_may_be_tried_again(postman, server, meaning):
    postman(**server)

    with pytest.raises(client.NotAccepted) as outcome:
        write()

    assert type(outcome.value) is meaning
