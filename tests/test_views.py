import json
import logging
from io import BytesIO

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from lms import views
from lms.mpesa.models import Callback
from lms.mpesa.models.inbox import GIVEN
from tests.mpesa.conftest import c2b_body, stk_body

pytestmark = pytest.mark.django_db
SECRET = "5ec2e7" * 6
SUCCESS = {"ResultCode": 0, "ResultDesc": "Success"}


def post(client, body, *, kind="stk", secret=SECRET, **extra):
    return client.post(
        f"/daraja/{secret}/{kind}/", data=body, content_type="application/json", **extra
    )


def test_a_callback_is_stored_in_line_and_answered(client):
    answer = post(client, stk_body(), HTTP_USER_AGENT="Safaricom", REMOTE_ADDR="196.201.214.200")

    callback = Callback.objects.get()
    assert (answer.status_code, answer.json()) == (200, SUCCESS)
    assert (bytes(callback.body), callback.kind, callback.status) == (
        stk_body(),
        "stk",
        "received",
    )
    assert callback.remote_addr == "196.201.214.200"
    assert callback.headers["User-Agent"] == "Safaricom"
    assert list(Callback.objects.due(at=callback.received_at)) == [callback]


def test_storing_a_callback_is_one_statement(client, django_assert_num_queries):
    with django_assert_num_queries(1):
        post(client, c2b_body(), kind="confirmation")


def test_what_is_stored_is_what_a_row_begins_as(client):
    post(client, c2b_body(), kind="confirmation")

    stored = Callback.objects.get()
    made = Callback.objects.create(kind="confirmation", received_at=stored.received_at)
    begun = [f.attname for f in Callback._meta.concrete_fields if f.name not in ("id", *GIVEN)]
    assert [getattr(stored, name) for name in begun] == [getattr(made, name) for name in begun]
    assert (stored.due_at, made.due_at) == (stored.received_at, stored.received_at)


def test_a_callback_goes_past_what_only_pages_need(client):
    answer = post(client, c2b_body(), kind="confirmation")

    assert not answer.cookies
    assert "Vary" not in answer
    assert "X-Frame-Options" not in answer
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Length"] == str(len(answer.content))


def test_a_callback_to_a_host_that_is_not_ours_is_not_found(client, settings, caplog):
    settings.ALLOWED_HOSTS = ["office.example.co.ke"]

    answer = post(client, c2b_body(), kind="confirmation", HTTP_HOST="evil.example")

    assert (answer.status_code, Callback.objects.count()) == (404, 0)
    assert "ALLOWED_HOSTS" in caplog.text
    assert SECRET not in caplog.text


def test_an_address_nobody_knows_is_not_found_and_not_told_to_the_log(client, caplog):
    answer = client.post(f"/daraja/{SECRET}/stk/again/")

    assert answer.status_code == 404
    assert SECRET not in caplog.text


def test_safaricom_needs_no_csrf_token():
    strict = Client(enforce_csrf_checks=True)

    assert post(strict, c2b_body(), kind="confirmation").status_code == 200


@pytest.mark.parametrize(
    "secret", ["wrong", SECRET[:-1], SECRET.upper(), SECRET + "0", "\u0660", "%00", "%ff"]
)
def test_a_wrong_secret_is_not_found_and_nothing_is_stored(client, secret, caplog):
    caplog.set_level(logging.WARNING)

    answer = post(client, stk_body(), secret=secret)

    assert answer.status_code == 404
    assert not Callback.objects.exists()
    assert "A callback with a wrong secret came from 127.0.0.1." in caplog.messages
    assert SECRET not in caplog.text


def test_an_office_without_a_secret_takes_no_callbacks(client, settings):
    settings.DARAJA_CALLBACK_SECRET = ""

    assert post(client, stk_body(), secret=SECRET).status_code == 404
    assert client.post("/daraja//stk/").status_code == 404


@pytest.mark.parametrize("kind", ["b2b", "STK", "stk%00", "validation2"])
def test_an_unknown_kind_is_not_found(client, kind):
    assert post(client, b"{}", kind=kind).status_code == 404
    assert not Callback.objects.exists()


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head", "options"])
def test_only_post_is_allowed(client, method, caplog):
    answer = getattr(client, method)(f"/daraja/{SECRET}/stk/")

    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert not Callback.objects.exists()
    assert SECRET not in caplog.text


@pytest.mark.parametrize("kind", ["stk", "confirmation"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe\x00",
        bytes(range(256)),
        b'{"Body": NaN}',
        b"[" * 60_000,
        b'{"TransID": "\\u0000\\ud800"}',
        "ẞ".encode("utf-16"),
        b"a" * 64 * 1024,
    ],
    ids=lambda body: f"{body[:6]!r}x{len(body)}",
)
def test_garbage_is_stored_and_answered_like_the_rest(client, kind, body):
    answer = post(client, body, kind=kind)

    assert (answer.status_code, answer.json()) == (200, SUCCESS)
    assert bytes(Callback.objects.get().body) == body


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data", "x" * 500, ""])
def test_any_content_type_is_taken(client, content_type):
    answer = client.post(f"/daraja/{SECRET}/stk/", data=stk_body(), content_type=content_type)

    assert answer.status_code == 200
    assert bytes(Callback.objects.get().body) == stk_body()


def test_a_body_over_64_kb_is_refused_without_being_kept(client, caplog):
    answer = post(client, b"a" * (64 * 1024 + 1))

    assert (answer.status_code, answer.json()["ResultCode"]) == (413, 1)
    assert SECRET not in caplog.text
    assert not Callback.objects.exists()


def test_a_body_without_a_length_is_read_where_the_server_ends_it():
    request = RequestFactory().post(f"/daraja/{SECRET}/stk/")
    request.META.pop("CONTENT_LENGTH")
    request.META |= {"wsgi.input": BytesIO(stk_body()), "wsgi.input_terminated": True}

    answer = views.daraja_callback(request, SECRET, "stk")

    assert answer.status_code == 200
    assert bytes(Callback.objects.get().body) == stk_body()


def test_a_sender_who_hangs_up_is_no_error_of_ours():
    class Cut(BytesIO):
        def read(self, *args):
            raise OSError("connection reset")

    request = RequestFactory().post(f"/daraja/{SECRET}/stk/")
    request.META.pop("CONTENT_LENGTH")
    request.META |= {"wsgi.input": Cut(), "wsgi.input_terminated": True}

    assert views.daraja_callback(request, SECRET, "stk").status_code == 400


def test_odd_headers_do_no_harm(client):
    answer = post(
        client,
        stk_body(),
        HTTP_USER_AGENT="a\x00b\r\n" + "x" * 5000,
        HTTP_X_FORWARDED_FOR="1.2.3.4",
        REMOTE_ADDR="",
    )

    callback = Callback.objects.get()
    assert answer.status_code == 200
    assert callback.headers["User-Agent"] == ("ab" + "x" * 198)
    assert (callback.remote_addr, callback.headers["X-Forwarded-For"]) == (None, "1.2.3.4")


def test_when_storing_fails_safaricom_is_asked_to_try_again(client, monkeypatch):
    def fail(**fields):
        raise OperationalError("disk full")

    monkeypatch.setattr(Callback.objects, "store", fail)

    assert post(client, stk_body()).status_code == 503


def test_a_validation_of_a_running_loan_is_accepted(client, loan):
    answer = post(client, c2b_body(BillRefNumber=loan.number.lower()), kind="validation")

    callback = Callback.objects.get()
    assert answer.json() == {"ResultCode": "0", "ResultDesc": "Accepted"}
    assert (callback.status, callback.note) == ("ignored", "Answered 0 Accepted.")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (c2b_body(BillRefNumber="LN999999"), "C2B00012"),
        (c2b_body(BillRefNumber="LN" + "9" * 30), "C2B00012"),
        (c2b_body(TransAmount="-1"), "C2B00013"),
        (b"garbage", "C2B00016"),
    ],
)
def test_a_validation_that_fails_is_rejected_and_stored(client, body, code):
    answer = post(client, body, kind="validation")

    assert (answer.status_code, answer.json()) == (
        200,
        {"ResultCode": code, "ResultDesc": "Rejected"},
    )
    assert Callback.objects.get().note == f"Answered {code} Rejected."


def test_health_is_ok_while_the_database_answers(client):
    answer = client.get("/healthz")

    assert (answer.status_code, answer.content) == (200, b"ok")


def test_health_is_bad_while_it_does_not(client, monkeypatch):
    def fail():
        raise OperationalError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(connection, "cursor", fail)
        answer = client.get("/healthz")

    assert answer.status_code == 503


def test_answers_are_json_in_utf_8(client):
    answer = post(client, stk_body())

    assert answer["Content-Type"] == "application/json"
    assert json.loads(answer.content) == SUCCESS


# --- From where ----------------------------------------------------------------------------------
SAFARICOM = "196.201.214.200"


@pytest.fixture
def fenced(settings):
    """An office behind one proxy that takes callbacks from two of Safaricom's networks."""
    settings.DARAJA_SOURCES = ["196.201.214.200", "196.201.213.0/24"]
    settings.TRUSTED_PROXIES = ["10.0.0.1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"REMOTE_ADDR": SAFARICOM},
        {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": SAFARICOM},
        {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"1.2.3.4, {SAFARICOM}"},
        {"REMOTE_ADDR": "::ffff:10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{SAFARICOM}:443"},
    ],
)
@pytest.mark.usefixtures("fenced")
def test_safaricom_is_let_in_and_its_own_address_is_kept(client, headers):
    assert post(client, stk_body(), **headers).status_code == 200
    assert Callback.objects.get().remote_addr == SAFARICOM


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        ({"REMOTE_ADDR": "203.0.113.9"}, "203.0.113.9"),
        ({"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": SAFARICOM}, "203.0.113.9"),
        (
            {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{SAFARICOM}, 203.0.113.9"},
            "203.0.113.9",
        ),
        ({"REMOTE_ADDR": "10.0.0.1"}, "10.0.0.1"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{SAFARICOM}, x"}, "None"),
        ({"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": SAFARICOM}, "None"),
    ],
)
@pytest.mark.usefixtures("fenced")
def test_anybody_else_finds_nothing_and_leaves_one_line(client, caplog, headers, sender):
    caplog.set_level(logging.WARNING)

    for secret in (SECRET, "wrong"):
        caplog.clear()
        answer = post(client, stk_body(), secret=secret, **headers)

        assert (answer.status_code, answer.content) == (404, b"")
        assert caplog.messages == [f"A callback came from {sender}, which is not Safaricom's."]
        assert SECRET not in caplog.text
    assert not Callback.objects.exists()


def test_without_a_list_callbacks_come_from_anywhere(client):
    assert post(client, stk_body(), REMOTE_ADDR="203.0.113.9").status_code == 200
    assert Callback.objects.get().remote_addr == "203.0.113.9"
