import hashlib
from datetime import date, timedelta
from decimal import Decimal

import pytest

from lms.loans.operations.collection import reverse_payment
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations import (
    apply,
    attach,
    push,
    query_push,
)
from lms.payments.models import Payment
from lms.payments.operations import receive
from tests import factories
from tests.mpesa.conftest import AT, PHONE, TODAY, book, c2b_body, pushed, received, stk_body

pytestmark = pytest.mark.django_db
Status = MpesaPayment.Status


def stk(**changes) -> Callback:
    return received("stk", stk_body(**changes))


def confirmation(**changes) -> Callback:
    return received("confirmation", c2b_body(**changes))


def status_of(row: MpesaPayment) -> str:
    row.refresh_from_db()
    return row.status


# --- First


def test_a_success_becomes_money_once_and_the_request_is_paid(wanjiku):
    row = pushed(customer=wanjiku)
    callback = stk()

    money = apply(callback, at=AT)

    assert (money.receipt, money.amount, money.value_date) == (
        "UKL7AB12CD",
        Decimal("500.00"),
        TODAY,
    )
    assert (money.account, money.phone) == ("LN000123", PHONE)
    assert (money.customer_id, money.push_id) == (wanjiku.pk, row.pk)
    callback.refresh_from_db()
    assert callback.status == Callback.Status.RECEIVED

    book(callback)

    row.refresh_from_db()
    payment = Payment.objects.get()
    assert (row.status, row.receipt, row.payment) == (Status.PAID, "UKL7AB12CD", payment)
    assert (callback.status, callback.payment, callback.push) == (
        Callback.Status.APPLIED,
        payment,
        row,
    )
    assert callback.note == f"Booked as {payment.number}."


def test_a_confirmation_of_an_unknown_account_is_money_too():
    callback = book(confirmation(BillRefNumber="school fees"))

    payment = Payment.objects.get()
    assert callback.status == Callback.Status.APPLIED
    assert (payment.account, payment.payer_name) == ("school fees", "WANJIKU MWANGI")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (1, Status.FAILED),
        (1032, Status.CANCELLED),
        (1037, Status.TIMED_OUT),
        ("SFC_IC0003", Status.FAILED),
    ],
)
def test_a_failure_moves_the_request_and_no_money(code, status):
    row = pushed()

    callback = book(stk(code=code))

    assert status_of(row) == status
    assert row.result_code == str(code)
    assert row.next_query_at is None
    assert callback.status == Callback.Status.IGNORED
    assert not Payment.objects.exists()


# --- Repeat


def test_the_same_result_five_times_is_one_payment():
    pushed()

    statuses = [book(stk()).status for _ in range(5)]

    assert statuses == ["applied", "duplicate", "duplicate", "duplicate", "duplicate"]
    assert Payment.objects.count() == 1


def test_a_job_run_twice_changes_nothing():
    pushed()
    callback = book(stk())

    assert apply(callback, at=AT) is None
    assert attach(callback, Payment.objects.get(), at=AT).status == Callback.Status.APPLIED


@pytest.mark.parametrize("first", ["stk", "confirmation"])
def test_an_stk_result_and_its_confirmation_are_one_payment_in_either_order(first):
    row = pushed()
    callbacks = [stk(), confirmation()]
    if first == "confirmation":
        callbacks.reverse()

    statuses = [book(callback).status for callback in callbacks]

    assert statuses == ["applied", "duplicate"]
    assert Payment.objects.count() == 1
    row.refresh_from_db()
    assert (row.status, row.payment) == (Status.PAID, Payment.objects.get())
    if first == "stk":
        assert Callback.objects.get(kind="confirmation").push == row


def test_a_receipt_that_a_cashier_typed_before_is_not_booked_again(mutua):
    row = pushed()
    typed = receive(
        method="mpesa",
        amount=Decimal(500),
        reference="ukl7ab12cd",
        value_date=TODAY,
        account="LN000123",
        branch=factories.branch(),
        by=mutua,
        on=TODAY,
    )

    callback = book(stk())

    assert (callback.payment, status_of(row), row.payment) == (typed, Status.PAID, typed)
    assert Payment.objects.count() == 1


def test_a_receipt_booked_with_another_amount_is_set_aside():
    book(confirmation())

    callback = book(confirmation(TransAmount="5000.00"))

    assert callback.status == Callback.Status.REVIEW
    assert callback.note.endswith("is KES 500.00 by mpesa UKL7AB12CD.")
    assert Payment.objects.get().amount == Decimal("500.00")


def test_money_under_the_receipt_of_a_reversed_payment_is_shown_to_a_person(kamau):
    row = pushed()
    typed = receive(
        method="mpesa", amount=Decimal(500), reference="UKL7AB12CD", value_date=TODAY, account="",
        branch=factories.branch(), by=factories.mutua(), on=TODAY,
    )  # fmt: skip
    reverse_payment(typed, reason="Mistyped", by=kamau, on=TODAY)

    callback = book(stk())

    assert callback.status == Callback.Status.REVIEW
    assert callback.note.startswith(f"{typed.number} has this receipt and was reversed")
    row.refresh_from_db()
    assert row.payment is None


def test_a_crash_between_booking_and_attaching_is_healed_by_running_again():
    row = pushed()
    callback = stk()
    money = apply(callback, at=AT)
    receive(
        method="mpesa",
        amount=money.amount,
        reference=money.receipt,
        value_date=money.value_date,
        account=money.account,
        branch=factories.branch(),
        by=None,
        on=TODAY,
    )

    book(callback)

    assert callback.status == Callback.Status.APPLIED
    assert Payment.objects.count() == 1
    row.refresh_from_db()
    assert row.payment == Payment.objects.get()


def test_a_crash_after_applying_leaves_the_callback_waiting():
    pushed()
    callback = stk()
    apply(callback, at=AT)

    assert list(Callback.objects.due(at=AT + timedelta(seconds=2))) == [callback]
    assert list(Callback.objects.due(at=AT + timedelta(seconds=1))) == []


def test_a_callback_that_kills_its_job_is_given_up():
    pushed()
    callback = stk()

    for _ in range(8):
        assert apply(callback, at=AT) is not None
    assert apply(callback, at=AT) is None

    callback.refresh_from_db()
    assert callback.status == Callback.Status.FAILED
    assert list(Callback.objects.needing_review()) == [callback]


# --- Garbage


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("stk", b""),
        ("stk", b"\xff\x00"),
        ("stk", b"[" * 60_000),
        ("stk", stk_body(amount=-1)),
        ("stk", stk_body(code=False)),
        ("confirmation", b"<html>"),
        ("confirmation", c2b_body(TransAmount="NaN")),
        ("confirmation", c2b_body(TransID=None)),
    ],
)
def test_garbage_is_set_aside_with_a_reason_and_moves_nothing(kind, body):
    row = pushed()

    callback = book(received(kind, body))

    assert callback.status == Callback.Status.REVIEW
    assert callback.note.startswith("Not readable: ")
    assert status_of(row) == Status.SENT
    assert not Payment.objects.exists()


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (
            stk_body(checkout_id="ws_CO_forged", amount=400),
            "No request of ours has this CheckoutRequestID.",
        ),
        (stk_body(amount=5000), "asked for KES 500.00, not KES 5,000.00."),
        (stk_body(amount="499.99"), "asked for KES 500.00, not KES 499.99."),
    ],
)
def test_a_result_that_we_did_not_ask_for_moves_no_money(body, note):
    row = pushed()

    callback = book(received("stk", body))

    assert (callback.status, callback.note.endswith(note)) == (Callback.Status.REVIEW, True)
    assert status_of(row) == Status.SENT
    assert not Payment.objects.exists()


def test_a_confirmation_for_another_paybill_moves_no_money():
    callback = book(confirmation(BusinessShortCode="600000"))

    assert callback.status == Callback.Status.REVIEW
    assert callback.note == "It was paid to 600000, which is not our paybill."
    assert not Payment.objects.exists()


def test_a_second_receipt_for_one_request_is_set_aside():
    pushed()
    book(stk())

    callback = book(stk(receipt="UKL7AB12CE"))

    assert callback.status == Callback.Status.REVIEW
    assert Payment.objects.count() == 1


def test_one_receipt_for_two_requests_is_set_aside():
    pushed()
    other = pushed(checkout_request_id="ws_CO_2")
    book(stk())

    callback = book(stk(checkout_id="ws_CO_2"))

    assert callback.status == Callback.Status.REVIEW
    assert status_of(other) == Status.SENT


def test_money_dated_in_the_future_counts_from_the_day_it_arrived():
    money = apply(confirmation(TransTime="20261231235959"), at=AT)

    assert money.value_date == TODAY


def test_money_counts_from_the_kenyan_day_it_was_paid():
    money = apply(confirmation(TransTime="20261120235959"), at=AT)

    assert money.value_date == date(2026, 11, 20)


# --- Out of order


@pytest.mark.parametrize(
    "status",
    [Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.UNRESOLVED, Status.CONFIRMED],
)
def test_a_late_success_wins(status):
    row = pushed(status=status)

    book(stk())

    assert status_of(row) == Status.PAID
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("status", [Status.PAID, Status.CONFIRMED])
def test_a_late_failure_never_undoes_what_is_paid(status):
    row = pushed(status=status, receipt="UKL7AB12CD" if status == Status.PAID else None)

    callback = book(stk(code=1037))

    assert status_of(row) == status
    assert callback.status == Callback.Status.IGNORED


@pytest.mark.parametrize("status", [Status.REQUESTED, Status.UNKNOWN])
def test_a_success_before_its_id_is_known_is_bound_by_phone_and_amount(status):
    row = pushed(status=status, checkout_request_id=None)

    book(stk(checkout_id="ws_CO_new"))

    row.refresh_from_db()
    assert (row.status, row.checkout_request_id) == (Status.PAID, "ws_CO_new")
    assert row.payment == Payment.objects.get()


@pytest.mark.parametrize(
    "others",
    [
        [{"checkout_request_id": None, "status": Status.UNKNOWN}],
        [
            {"checkout_request_id": None, "status": Status.UNKNOWN, "amount": 500},
            {"checkout_request_id": None, "status": Status.FAILED, "amount": 500},
        ],
    ],
)
def test_a_success_that_fits_none_or_two_requests_is_set_aside(others):
    for fields in others:
        pushed(**{"amount": 499, **fields})
    callback = stk(checkout_id="ws_CO_new")

    apply(callback, at=AT + timedelta(minutes=2))

    callback.refresh_from_db()
    assert callback.status == Callback.Status.REVIEW
    assert not Payment.objects.exists()


def test_a_request_older_than_fifteen_minutes_is_not_guessed():
    pushed(status=Status.UNKNOWN, checkout_request_id=None, requested_at=AT - timedelta(minutes=16))

    assert book(stk(checkout_id="ws_CO_new")).status == Callback.Status.REVIEW


# --- Paid by query, receipt by confirmation


def test_a_confirmation_gives_a_request_proved_paid_its_receipt():
    row = pushed(status=Status.CONFIRMED)

    book(confirmation())

    row.refresh_from_db()
    assert (row.status, row.receipt, row.payment) == (
        Status.PAID,
        "UKL7AB12CD",
        Payment.objects.get(),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"TransAmount": "501.00"},
        {"BillRefNumber": "LN000124"},
        {"MSISDN": "2547 ***** 999"},
        {"TransTime": "20261121104600"},
        {"TransTime": "20261121102800"},
    ],
)
def test_a_confirmation_of_something_else_does_not(changes):
    row = pushed(status=Status.CONFIRMED)

    callback = book(confirmation(**changes))

    assert (status_of(row), callback.push) == (Status.CONFIRMED, None)
    assert Payment.objects.count() == 1


def test_a_confirmation_that_fits_two_requests_is_not_guessed():
    rows = [pushed(status=Status.CONFIRMED, checkout_request_id=str(n)) for n in (1, 2)]

    book(confirmation())

    assert [status_of(row) for row in rows] == [Status.CONFIRMED] * 2


def test_a_query_finds_the_confirmation_that_came_before(daraja):
    hashed = hashlib.sha256(b"254712345603").hexdigest()
    row = push(
        phone="254712345603",
        amount=Decimal(500),
        account="LN000123",
        description="Loan",
        customer=None,
        by=None,
        at=AT,
    )
    daraja.wait_until_quiet()
    callback = book(confirmation(MSISDN=hashed))

    row = query_push(row, now=AT + timedelta(seconds=90))

    callback.refresh_from_db()
    assert (row.status, row.receipt, row.payment) == (
        Status.PAID,
        "UKL7AB12CD",
        Payment.objects.get(),
    )
    assert callback.push == row
