from datetime import timedelta
from decimal import Decimal

import pytest
import responses
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations import push, query_push
from tests import factories
from tests.mpesa.conftest import AT, PHONE, pushed, received, stk_body

pytestmark = pytest.mark.django_db
Status = MpesaPayment.Status


def ask(by=None, **changes):
    return push(
        **{
            "phone": "0712 345 678",
            "amount": Decimal(500),
            "account": "LN000123",
            "description": "Loan",
            "customer": None,
            "by": by,
            "at": AT,
            **changes,
        }
    )


def reasons(row) -> list[str]:
    return [line.history_change_reason for line in row.history.order_by("history_id")]


# --- Sending


def test_a_push_is_saved_sent_and_remembered(daraja, door, kamau):
    row = ask(kamau)

    assert daraja.wait_until_quiet()
    assert row.status == Status.SENT
    assert row.checkout_request_id == next(iter(daraja.books.prompts))
    assert row.next_query_at == AT + timedelta(seconds=90)
    assert reasons(row) == ["Requested", "Request accepted"]
    assert {line.history_user for line in row.history.all()} == {kamau}
    assert next(path for path, _ in door.posted) == f"/daraja/{'5ec2e7' * 6}/stk/"


def test_the_same_form_twice_sends_one_prompt(daraja):
    first = ask(request_key="form-1")
    second = ask(request_key="form-1", at=AT + timedelta(hours=1))

    assert second.pk == first.pk
    assert len(daraja.books.prompts) == 1


def test_a_form_sent_twice_with_another_amount_is_refused(daraja):
    ask(request_key="form-1")

    with pytest.raises(Refused, match="This form was sent before"):
        ask(request_key="form-1", amount=Decimal(600), at=AT + timedelta(hours=1))


def test_a_second_prompt_within_a_minute_is_refused(daraja):
    ask()

    with pytest.raises(Refused, match="less than a minute ago"):
        ask(amount=Decimal(600), at=AT + timedelta(seconds=59))

    assert MpesaPayment.objects.count() == 1


def test_after_a_minute_the_customer_can_be_asked_again(daraja):
    ask()

    daraja.wait_until_quiet()
    assert ask(amount=Decimal(600), at=AT + timedelta(seconds=61)).status == Status.SENT


def test_a_prompt_that_failed_does_not_make_anyone_wait(daraja):
    pushed(status=Status.CANCELLED)

    assert ask(at=AT + timedelta(seconds=5)).status == Status.SENT


def test_a_request_that_a_crash_left_behind_blocks_nobody(daraja):
    lost = pushed(status=Status.REQUESTED, checkout_request_id=None)

    assert ask(at=AT + timedelta(seconds=61)).status == Status.SENT

    lost.refresh_from_db()
    assert lost.status == Status.UNKNOWN


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"phone": "0612345678"}, "phone"),
        ({"amount": Decimal("10.50")}, "amount"),
        ({"amount": Decimal(0)}, "amount"),
        ({"account": "LN00000012345"}, "account"),
        ({"description": ""}, "description"),
    ],
)
def test_bad_values_are_refused_and_nothing_is_saved(daraja, changes, field):
    with pytest.raises(Refused) as refusal:
        ask(**changes)

    assert refusal.value.field == field
    assert not MpesaPayment.objects.exists()


@pytest.mark.parametrize(
    "name", ["DARAJA_CONSUMER_KEY", "DARAJA_PASSKEY", "DARAJA_CALLBACK_SECRET"]
)
def test_an_office_without_keys_is_told_what_is_missing(settings, name):
    setattr(settings, name, "")

    with pytest.raises(Refused, match=name):
        ask()


def test_a_rejected_push_says_why(daraja, settings):
    settings.DARAJA_PASSKEY = "another"

    row = ask()

    assert row.status == Status.FAILED
    assert (row.response_code, row.response_description) == ("500.001.1001", "Wrong credentials")
    assert row.next_query_at is None


def test_a_push_without_an_answer_is_unknown_and_not_sent_again(settings):
    settings.DARAJA_URL = "https://daraja.test"
    with responses.RequestsMock() as wire:
        wire.get("https://daraja.test/oauth/v1/generate", json={"access_token": "a"})
        sent = wire.post("https://daraja.test/mpesa/stkpush/v1/processrequest", body="", status=504)
        row = ask()

    assert row.status == Status.UNKNOWN
    assert sent.call_count == 1


def test_a_callback_that_overtakes_the_answer_is_put_back_in_line(settings):
    early = received("stk", stk_body(code=1032))
    Callback.objects.filter(pk=early.pk).update(
        status=Callback.Status.REVIEW, checkout_id="ws_CO_1"
    )
    settings.DARAJA_URL = "https://daraja.test"
    with responses.RequestsMock() as wire:
        wire.get("https://daraja.test/oauth/v1/generate", json={"access_token": "a"})
        wire.post(
            "https://daraja.test/mpesa/stkpush/v1/processrequest",
            json={"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1"},
        )
        ask()

    early.refresh_from_db()
    assert early.status == Callback.Status.RECEIVED


# --- Asking what became of it


def sent_to(daraja, phone: str):
    row = ask(phone=phone)
    assert daraja.wait_until_quiet()
    return row


def test_only_what_is_due_is_asked_about():
    pushed(next_query_at=AT + timedelta(seconds=90))
    pushed(checkout_request_id="2", next_query_at=AT, status=Status.PAID, receipt="UKL7AB12CE")

    due = MpesaPayment.objects.due_for_query

    assert due(now=AT + timedelta(seconds=89)).count() == 0
    assert due(now=AT + timedelta(seconds=90)).count() == 1


def test_a_pending_push_is_asked_about_with_growing_pauses_and_then_left(daraja):
    daraja.callback_delay = 60
    row = ask()

    asked = []
    while row.next_query_at:
        asked.append((row.next_query_at - AT).total_seconds())
        row = query_push(row, now=row.next_query_at)

    assert asked == [90, 180, 600, 1800, 3600, 7200]
    assert (row.status, row.queries) == (Status.UNRESOLVED, 6)


def test_a_query_that_says_paid_makes_no_payment_without_a_receipt(daraja):
    row = sent_to(daraja, "254712345608")

    row = query_push(row, now=AT + timedelta(seconds=90))

    assert (row.status, row.receipt, row.payment_id) == (Status.CONFIRMED, None, None)
    assert row.next_query_at is None
    assert list(MpesaPayment.objects.needing_review()) == [row]


def test_a_failure_counts_only_after_the_window(daraja):
    row = sent_to(daraja, "254712345601")

    early = query_push(row, now=AT + timedelta(seconds=90))
    late = query_push(row, now=AT + timedelta(seconds=180))

    assert (early.status, early.next_query_at) == (Status.SENT, AT + timedelta(seconds=180))
    assert (late.status, late.result_code) == (Status.CANCELLED, "1032")
    assert late.explanation.meaning == "The customer cancelled the request."


def test_a_query_never_undoes_what_is_paid(daraja):
    row = sent_to(daraja, "254712345601")
    MpesaPayment.objects.filter(pk=row.pk).update(status=Status.PAID, receipt="UKL7AB12CD")

    row = query_push(row, now=AT + timedelta(minutes=10))

    assert (row.status, row.queries) == (Status.PAID, 0)


def test_a_push_whose_id_was_never_learnt_is_left_for_a_person(settings):
    row = pushed(status=Status.REQUESTED, checkout_request_id=None, next_query_at=AT)

    row = query_push(row, now=AT + timedelta(minutes=2))
    assert (row.status, row.next_query_at) == (Status.UNKNOWN, AT + timedelta(minutes=3))

    row = query_push(row, now=AT + timedelta(hours=3))
    assert (row.status, row.queries) == (Status.UNRESOLVED, 0)


def test_a_daraja_that_is_away_is_asked_again_later(settings):
    settings.DARAJA_URL = "http://127.0.0.1:9"
    row = pushed(next_query_at=AT)

    row = query_push(row, now=AT + timedelta(minutes=5))

    assert (row.status, row.next_query_at) == (Status.SENT, AT + timedelta(minutes=10))


# --- States


def test_every_pair_of_states():
    allowed = {(old, new) for old in Status for new in MpesaPayment.NEXT.get(old, ())}
    failures = {Status.FAILED, Status.CANCELLED, Status.TIMED_OUT}

    for old in Status:
        for new in Status:
            row = MpesaPayment(status=old)
            assert row.can_become(new) is ((old, new) in allowed)
    assert {new for old, new in allowed if old == Status.PAID} == set()
    assert {new for old, new in allowed if old == Status.CONFIRMED} == {Status.PAID}
    for failure in failures:
        assert {new for old, new in allowed if old == failure} == {Status.CONFIRMED, Status.PAID}


def test_a_wrong_step_is_refused():
    row = pushed(status=Status.PAID, receipt="UKL7AB12CD")

    with pytest.raises(Refused, match="is paid, so it cannot become failed"):
        row.move_to(Status.FAILED, by=None, reason="late failure")


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "paid"},
        {"amount": 0},
        {"phone": "0712345678"},
    ],
)
def test_the_database_refuses_impossible_requests(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        pushed(**fields)


def test_staff_see_the_requests_of_their_branch_and_their_own(kamau, wanjiku):
    other = factories.staff("moraa", branch=factories.branch("MSA", "Mombasa"))
    ours = pushed(customer=wanjiku, checkout_request_id="1")
    own = pushed(requested_by=other, checkout_request_id="2", phone="254712345679")

    assert list(MpesaPayment.objects.seen_by(kamau)) == [ours]
    assert list(MpesaPayment.objects.seen_by(other)) == [own]


def test_a_request_is_found_by_its_number():
    row = pushed()

    assert list(MpesaPayment.objects.numbered(row.number.lower())) == [row]
    assert not MpesaPayment.objects.numbered("MP²").exists()
    assert str(row) == f"{row.number} · KES 500.00 from 0712 345 678"
    assert row.phone == PHONE
