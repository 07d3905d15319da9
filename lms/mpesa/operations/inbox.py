"""What Daraja sends: stored first, applied once, tied to the payment that books its money.

The room above books: `apply` (in applying.py) returns the money, `attach` ends the story. Each
step may run again: the M-Pesa receipt decides what was done already. Locks are taken in one order:
callback, request or payment to a customer, inquiry, reversal, payment or payout.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from lms import phones
from lms.dates import day_of
from lms.errors import Refused
from lms.money import kes
from lms.mpesa.callbacks import (
    C2bPayment,
    MalformedCallback,
    StkResult,
    is_phone_of,
    parse_c2b,
)
from lms.mpesa.models import Callback, Inquiry, MpesaPayment
from lms.mpesa.result_codes import explain
from lms.payments.models import Payment
from lms.payments.operations import learn_account

Status = MpesaPayment.Status

WAITS_FOR_NAME = timedelta(minutes=2)

# What reading a body writes on its row.
READ = (
    "checkout_id", "conversation_id", "receipt", "amount", "account", "phone", "payer_name",
    "paid_at", "push", "inquiry", "b2c", "reversal",
)  # fmt: skip


# What settling it writes.
SETTLED = ("status", "note", "processed_at", *READ)


@dataclass(frozen=True)
class Receipt:
    """Money that arrived by M-Pesa, for the room above to book. `amount` is in KES."""

    callback_id: int
    receipt: str
    amount: Decimal
    value_date: date
    account: str
    phone: str
    payer_name: str
    customer_id: int | None
    push_id: int | None


def record_callback(
    *, kind: str, body: bytes, headers: Mapping[str, str], remote_addr: str | None, at: datetime
) -> int:
    """Store what Daraja sent, byte for byte, before a word of it is believed; one INSERT.

    Returns its key. It stands in line from then on: who applies callbacks finds it there.
    """
    return Callback.objects.store(
        kind=kind, body=body, headers=dict(headers), remote_addr=remote_addr, at=at
    )


def validate(body: bytes, *, knows_account: Callable[[str], bool]) -> dict[str, Any]:
    """Answer Safaricom's question whether a customer may make a payment to the paybill.

    Rejects an account number nobody has, an impossible amount, another paybill and what cannot be
    read, with Safaricom's own codes. No money has moved yet.
    """
    try:
        wanted = parse_c2b(body)
    except MalformedCallback as error:
        rejection = "C2B00013" if error.field == "TransAmount" else "C2B00016"
        return {"ResultCode": rejection, "ResultDesc": "Rejected"}
    if wanted.shortcode != str(settings.DARAJA_SHORTCODE):
        return {"ResultCode": "C2B00015", "ResultDesc": "Rejected"}
    if not knows_account(wanted.account):
        return {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}
    return {"ResultCode": "0", "ResultDesc": "Accepted"}


def record_answer(callback_id: int, answer: Mapping[str, Any], *, at: datetime) -> None:
    """Write on a stored validation what Safaricom was told."""
    note = f"Answered {answer['ResultCode']} {answer['ResultDesc']}."
    Callback.objects.filter(pk=callback_id).update(
        status=Callback.Status.IGNORED, note=note, processed_at=at
    )


def attach(callback: Callback, payment: Payment, *, at: datetime) -> Callback:
    """Tie a callback, and the request it answers, to the payment that books its money.

    The first callback of a payment is marked applied, each further one duplicate. One that differs
    from what was booked under its receipt is set aside for review. A repeat changes nothing.
    """
    with transaction.atomic():
        callback = lock(callback.pk)
        if callback.status == Callback.Status.RECEIVED:
            _tie(callback, payment.pk, at=at)
    return callback


def _tie(callback: Callback, payment_id: int, *, at: datetime) -> None:
    if callback.push is None and callback.kind in Callback.WITH_ACCOUNT:
        callback.push = push_awaiting(callback)
    row = (
        MpesaPayment.objects.select_for_update()
        .filter(receipt=callback.receipt, payment=None)
        .first()
    )
    if callback.inquiry_id is not None:  # Whoever reads another answer to it locks it first too.
        callback.inquiry = Inquiry.objects.select_for_update().get(pk=callback.inquiry_id)
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    booked = (payment.method, payment.reference, payment.amount)
    if booked != (Payment.Method.MPESA, callback.receipt, callback.amount):
        note = f"{payment.number} is {kes(payment.amount)} by {payment.method} {payment.reference}."
        return settle(callback, Callback.Status.REVIEW, note, at=at)
    first = not payment.callbacks.filter(status=Callback.Status.APPLIED).exists()
    if first and payment.status == Payment.Status.REVERSED:
        note = f"{payment.number} has this receipt and was reversed: is the money there after all?"
        return settle(callback, Callback.Status.REVIEW, note, at=at)
    if row is not None:
        row.payment = payment
        row.note(by=None, reason=f"Booked as {payment.number}", fields=("payment",))
    if callback.kind in Callback.WITH_ACCOUNT:
        learn_account(
            payment,
            account=callback.account,
            payer_name=callback.payer_name,
            reason="Its confirmation came",
        )
    inquiry = callback.inquiry
    if inquiry is not None and inquiry.payment_id is None:
        inquiry.payment = payment
        inquiry._change_reason = f"Booked as {payment.number}"
        inquiry.save(update_fields=["payment"])
    status = Callback.Status.APPLIED if first else Callback.Status.DUPLICATE
    callback.payment = payment
    return settle(callback, status, f"Booked as {payment.number}.", at=at, fields=("payment",))


def set_aside(callback: Callback, reason: str, *, at: datetime) -> Callback:
    """Leave a received callback for a person, with a sentence that says why."""
    with transaction.atomic():
        callback = lock(callback.pk)
        if callback.status == Callback.Status.RECEIVED:
            settle(callback, Callback.Status.REVIEW, reason, at=at)
    return callback


def reopen(callback: Callback, *, by, at: datetime) -> Callback:
    """Put a callback that was set aside or failed back in line, to be applied again.

    Raises Refused for one that is done.
    """
    with transaction.atomic():
        callback = lock(callback.pk)
        if callback.status not in (Callback.Status.REVIEW, Callback.Status.FAILED):
            raise Refused(f"{callback} is {callback.get_status_display().lower()}: nothing to do.")
        callback.attempts, callback.due_at = 0, at
        note = f"To be applied again: {by}."
        settle(callback, Callback.Status.RECEIVED, note, at=at, fields=("attempts", "due_at"))
    return callback


def lock(callback_id: int) -> Callback:
    """Return a callback, locked until the transaction ends."""
    return Callback.objects.select_for_update().get(pk=callback_id)


def settle(
    callback: Callback, status: str, note: str, *, at: datetime, fields: tuple[str, ...] = ()
) -> None:
    """Write what was made of a callback: its state, why, and what was read in it."""
    callback.status, callback.note, callback.processed_at = status, note[:300], at
    callback.save(update_fields=[*SETTLED, *fields])


def of_nobody(
    callback: Callback,
    note: str,
    *,
    some_nameless: bool,
    at: datetime,
    status: str = Callback.Status.REVIEW,
) -> None:
    """Settle a callback that names no request of ours, unless it may name one still nameless.

    Safaricom names a request when it accepts it, and what became of it may come before that
    answer: then the callback stays in line for two minutes. Whether some are nameless must be
    asked before the name is looked for: one that is accepted in between has its name by then.
    """
    if some_nameless and at < callback.received_at + WAITS_FOR_NAME:
        callback.save(update_fields=READ)
        return None
    return settle(callback, status, note, at=at)


def named_at_last(kinds: Iterable[str], *, at: datetime, **name: str) -> int:
    """Put what waits for a person back in line, now that somebody knows whom it names.

    It came before the answer to the request, which took longer than it waits for that. Returns how
    many: 0 nearly always.
    """
    waiting = Callback.objects.filter(kind__in=kinds, status=Callback.Status.REVIEW, **name)
    return waiting.line_up(at=at)


def read_stk(callback: Callback, result: StkResult) -> None:
    """Take what an STK result says onto its row. Does not save."""
    callback.checkout_id = result.checkout_request_id
    callback.receipt = result.receipt or ""
    callback.amount = result.amount
    callback.phone = result.phone
    callback.paid_at = result.paid_at


def read_confirmation(callback: Callback, payment: C2bPayment) -> None:
    """Take what a confirmation says onto its row. Does not save."""
    callback.receipt = payment.receipt
    callback.amount = payment.amount
    callback.account = payment.account
    callback.phone = payment.msisdn
    callback.payer_name = payment.payer_name
    callback.paid_at = payment.at


def apply_stk(callback: Callback, result: StkResult, *, at: datetime) -> Receipt | None:
    """Move the request that an STK result answers; return its money. `callback` is locked."""
    read_stk(callback, result)
    nameless = MpesaPayment.objects.nameless(at=callback.received_at).exists()
    row = _push_of(result, at=callback.received_at)
    if row is None:
        note = "No request of ours has this CheckoutRequestID."
        return of_nobody(callback, note, some_nameless=nameless, at=at)
    callback.push = row
    callback.account = row.account
    if not result.success:
        return _apply_failure(callback, row, result, at=at)
    if result.amount != row.amount:
        note = f"{row.number} asked for {kes(row.amount)}, not {kes(result.amount)}."
        return settle(callback, Callback.Status.REVIEW, note, at=at)
    if row.receipt not in (None, result.receipt):
        note = f"{row.number} was paid with receipt {row.receipt}."
        return settle(callback, Callback.Status.REVIEW, note, at=at)
    if row.status != Status.PAID:
        if MpesaPayment.objects.filter(receipt=result.receipt).exclude(pk=row.pk).exists():
            note = f"Receipt {result.receipt} paid another request."
            return settle(callback, Callback.Status.REVIEW, note, at=at)
        _mark_paid(row, result)
    return money(callback, customer_id=row.customer_id, at=at)


def _push_of(result: StkResult, *, at: datetime) -> MpesaPayment | None:
    """Return, locked, the request that a result answers: by its id, else by phone and amount.

    The second way serves a request of the last 15 minutes whose id we never learnt.
    """
    rows = MpesaPayment.objects.select_for_update()
    named = rows.filter(checkout_request_id=result.checkout_request_id).first()
    if named is not None or not result.success:
        return named
    alike = list(
        rows.filter(
            checkout_request_id=None,
            receipt=None,
            phone=phones.parse(result.phone),
            amount=result.amount,
            requested_at__range=(
                at - MpesaPayment.SAME_PAYMENT_WITHIN,
                at + MpesaPayment.BETWEEN_PROMPTS,
            ),
        )
    )
    return alike[0] if len(alike) == 1 else None


def _apply_failure(
    callback: Callback, row: MpesaPayment, result: StkResult, *, at: datetime
) -> None:
    meant = explain(result.result_code)
    status = MpesaPayment.STATUS_OF.get(meant.fate)
    if status is None or not row.can_become(status):
        note = f"{row.number} is {row.get_status_display().lower()}: {meant.meaning}"
        return settle(callback, Callback.Status.IGNORED, note, at=at)
    row.result_code, row.result_desc = result.result_code, result.result_desc
    row.move_to(status, by=None, reason=meant.meaning, fields=("result_code", "result_desc"))
    return settle(callback, Callback.Status.IGNORED, meant.meaning, at=at)


PAID_FIELDS = (
    "checkout_request_id", "merchant_request_id", "result_code", "result_desc", "receipt",
    "paid_at",
)  # fmt: skip


def _mark_paid(row: MpesaPayment, result: StkResult) -> None:
    read_paid(row, result)
    row.move_to(Status.PAID, by=None, reason=f"Paid with {row.receipt}", fields=PAID_FIELDS)


def read_paid(row: MpesaPayment, result: StkResult) -> None:
    """Take what the result of a paid push says onto its request. Does not save."""
    row.checkout_request_id = result.checkout_request_id
    row.merchant_request_id = result.merchant_request_id or row.merchant_request_id
    row.result_code, row.result_desc = result.result_code, result.result_desc
    row.receipt, row.paid_at = result.receipt, result.paid_at


def apply_confirmation(callback: Callback, payment: C2bPayment, *, at: datetime) -> Receipt | None:
    """Return the money that a confirmation tells of. `callback` is locked."""
    read_confirmation(callback, payment)
    if payment.shortcode != str(settings.DARAJA_SHORTCODE):
        note = f"It was paid to {payment.shortcode}, which is not our paybill."
        return settle(callback, Callback.Status.REVIEW, note, at=at)
    callback.push = push_awaiting(callback)
    customer_id = callback.push.customer_id if callback.push else None
    return money(callback, customer_id=customer_id, at=at)


def push_awaiting(callback: Callback) -> MpesaPayment | None:
    """Return the request that a confirmation pays: by receipt, else the one that awaits it."""
    rows = MpesaPayment.objects.select_for_update()
    if named := rows.filter(receipt=callback.receipt).first():
        return named
    paid_at = callback.paid_at or callback.received_at
    waiting = rows.filter(
        status=Status.CONFIRMED,
        account__iexact=callback.account,
        amount=callback.amount,
        requested_at__range=(
            paid_at - MpesaPayment.SAME_PAYMENT_WITHIN,
            paid_at + MpesaPayment.BETWEEN_PROMPTS,
        ),
    )
    fits = [row for row in waiting if is_phone_of(callback.phone, phone=row.phone)]
    if len(fits) != 1:
        return None
    row = fits[0]
    row.receipt, row.paid_at = callback.receipt, callback.paid_at
    row.move_to(
        Status.PAID,
        by=None,
        reason=f"Confirmation {callback.receipt} fits",
        fields=("receipt", "paid_at"),
    )
    return row


def money(callback: Callback, *, customer_id: int | None, at: datetime) -> Receipt | None:
    """Return the money of a callback, which stays received until it is booked.

    Money booked before under the same receipt is tied at once. It counts from the day it was paid,
    never from a day that is still to come.
    """
    booked = Payment.objects.filter(reference=callback.receipt).values_list("pk", flat=True).first()
    if booked is not None:
        return _tie(callback, booked, at=at)
    callback.save(update_fields=list(READ))
    return receipt_of(callback, customer_id=customer_id)


def receipt_of(callback: Callback, *, customer_id: int | None) -> Receipt:
    """Return the money that a callback was read to tell of."""
    arrived = day_of(callback.received_at)
    return Receipt(
        callback_id=callback.pk,
        receipt=callback.receipt,
        amount=callback.amount,
        value_date=min(day_of(callback.paid_at), arrived) if callback.paid_at else arrived,
        account=callback.account,
        phone=callback.phone,
        payer_name=callback.payer_name,
        customer_id=customer_id,
        push_id=callback.push_id,
    )
