"""What Safaricom says of a request before its answer to that request is written down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection

from lms import jobs
from lms.mpesa.models import Callback, Inquiry, MpesaPayment, Reversal
from lms.mpesa.operations import apply
from lms.mpesa.operations.inbox import WAITS_FOR_NAME, named_at_last
from lms.payments.models import Payment
from tests.mpesa.conftest import AT, book, pushed, received, stk_body
from tests.mpesa.test_answers import CONVERSATION, asked, deliver
from tests.mpesa.test_reversals import _office, approve, ask, paid  # noqa: F401
from tests.mpesa.test_reversals import deliver as deliver_all

pytestmark = pytest.mark.django_db
RECEIVED, REVIEW = Callback.Status.RECEIVED, Callback.Status.REVIEW


@contextmanager
def right_after(part: str, do: Callable[[], object]) -> Iterator[None]:
    """Do something once, after the first statement that holds a text, as another process would."""
    done = []

    def look(execute, sql, *rest):
        result = execute(sql, *rest)
        if part in sql and not done:
            done.append(part)
            do()
        return result

    with connection.execute_wrapper(look):
        yield
    assert done


def being_sent(**fields) -> MpesaPayment:
    return pushed(status="requested", checkout_request_id=None, **fields)


def accept(row: MpesaPayment) -> int:
    """Write down that Safaricom accepted a push, and the name it gave it."""
    rows = MpesaPayment.objects.filter(pk=row.pk)
    return rows.update(status="sent", checkout_request_id="ws_CO_1")


def test_a_failure_that_comes_first_waits_for_its_request_to_be_named():
    row = being_sent()
    callback = book(received("stk", stk_body(code=1032)))
    assert (callback.status, callback.checkout_id) == (RECEIVED, "ws_CO_1")

    accept(row)
    apply(callback, at=AT)

    row.refresh_from_db()
    assert row.status == MpesaPayment.Status.CANCELLED


@pytest.mark.parametrize("code", [0, 1032])
def test_a_push_named_while_its_result_is_read_keeps_that_in_line(code):
    row = being_sent()
    callback = received("stk", stk_body(code=code))

    with right_after('"checkout_request_id" =', lambda: accept(row)):
        book(callback)

    callback.refresh_from_db()
    assert callback.status == RECEIVED
    assert book(callback).status == (Callback.Status.APPLIED if code == 0 else "ignored")
    assert Payment.objects.count() == (1 if code == 0 else 0)


def test_a_push_that_others_hold_for_unanswered_may_still_be_named():
    row = pushed(status="unknown", checkout_request_id=None, requested_at=AT - timedelta(minutes=3))

    callback = book(received("stk", stk_body(code=1032)))

    assert callback.status == RECEIVED
    assert (row.status, callback.checkout_id) == ("unknown", "ws_CO_1")


@pytest.mark.parametrize(
    "other",
    [
        {"requested_at": AT + timedelta(seconds=10)},
        {"requested_at": AT - timedelta(minutes=11)},
        {"response_code": "1"},
    ],
)
def test_a_push_that_cannot_be_meant_keeps_no_result_waiting(other):
    being_sent(amount=900, **other)

    assert book(received("stk", stk_body())).status == REVIEW


def test_a_name_that_nobody_has_is_looked_at_by_a_person_after_two_minutes():
    being_sent(amount=900)
    callback = received("stk", stk_body())
    assert book(callback).status == RECEIVED

    being_sent(amount=900, requested_at=AT + timedelta(minutes=1), phone="254799000001")
    apply(callback, at=AT + WAITS_FOR_NAME)

    callback.refresh_from_db()
    assert (callback.status, callback.receipt, callback.amount) == (REVIEW, "UKL7AB12CD", 500)
    assert callback.note == "No request of ours has this CheckoutRequestID."


def test_what_went_to_a_person_before_its_request_was_named_is_put_back_in_line():
    callback = book(received("stk", stk_body(code=1032)))
    assert callback.status == REVIEW

    assert named_at_last(["stk"], push=None, checkout_id="ws_CO_1", at=AT) == 1
    pushed()

    assert book(callback).status == "ignored"
    assert named_at_last(["stk"], push=None, checkout_id="ws_CO_1", at=AT) == 0


def test_a_question_named_while_its_answer_is_read_keeps_that_in_line(client):
    inquiry = asked("status", status="asked", conversation_id=None, originator_id=None)
    rows = Inquiry.objects.filter(pk=inquiry.pk)

    with right_after(
        '"mpesa_inquiry"."conversation_id" =',
        lambda: rows.update(status="sent", conversation_id=CONVERSATION),
    ):
        callback = deliver(client, "status_completed")

    assert callback.status == RECEIVED
    jobs.apply_callback(callback.pk)
    assert Payment.objects.get().reference == "UKL7AB12CD"


def test_a_reversal_named_while_its_failure_is_read_keeps_that_in_line(daraja, door):
    payment = paid(daraja, door, amount=900)
    Payment.objects.filter(pk=payment.pk).update(amount=800)  # not what Safaricom took
    payment.refresh_from_db()
    row = approve(ask(payment))
    rows = Reversal.objects.filter(pk=row.pk)
    rows.update(status="sending", conversation_id=None, originator_id=None, response_code="")

    with right_after(
        '"mpesa_reversal"."conversation_id" =',
        lambda: rows.update(status="sent", conversation_id=row.conversation_id),
    ):
        (callback,) = deliver_all(daraja, door)

    assert callback.status == RECEIVED
    jobs.apply_callback(callback.pk)
    row.refresh_from_db()
    assert (row.status, row.result_code) == (Reversal.Status.FAILED, "R000002")
