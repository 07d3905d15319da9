"""What Safaricom says became of the payments we sent, by result or when it is asked.

Each is called with its callback locked, inside the transaction that applies it. Only a payment of
ours with the right amount, receiver and id is believed; the rest waits for a person.
"""

from datetime import date, datetime

from lms import phones
from lms.dates import day_of
from lms.money import kes
from lms.mpesa.callbacks import MalformedCallback, is_phone_of
from lms.mpesa.models import B2cPayment, Callback, Inquiry
from lms.mpesa.operations import payouts
from lms.mpesa.operations.inbox import of_nobody, settle
from lms.mpesa.result_codes import Fate as Meaning
from lms.mpesa.result_codes import explain_payout
from lms.mpesa.results import (
    Found,
    PaidOut,
    Result,
    Standing,
    name_of,
    number_of,
    payout_of,
)
from lms.payments.models import Payment, Payout

Status = B2cPayment.Status
Fate = Callback.Status


def apply_b2c(callback: Callback, result: Result, *, at: datetime) -> None:
    """Write down what became of the payment that a result answers."""
    row = _payment_of(callback, result, at=at)
    if row is None:
        return None
    if not result.success:
        return _apply_failure(callback, row, result, at=at)
    try:
        paid = payout_of(result)
    except MalformedCallback as error:
        return settle(callback, Fate.REVIEW, f"Not readable: {error}", at=at)
    return apply_paid(
        callback, row, paid, code=result.result_code, description=result.result_desc, at=at
    )


def apply_b2c_timeout(callback: Callback, result: Result, *, at: datetime) -> None:
    """Write down that Safaricom did not get round to a payment: nothing is known of it."""
    row = _payment_of(callback, result, at=at)
    if row is None:
        return None
    _now_unknown(row, reason="Timed out at Safaricom", at=at)
    note = f"{row.number} timed out at Safaricom: whether it is paid is asked."
    return settle(callback, Fate.IGNORED, note, at=at)


def apply_fate(callback: Callback, inquiry: Inquiry, found: Found, *, at: datetime) -> None:
    """Write down what Safaricom knows of a payment it was asked about."""
    row = callback.b2c
    payouts.note_known_there(row, is_known=True)
    if found.standing == Standing.COMPLETED:
        paid = PaidOut(found.receipt, found.amount, found.payee, found.paid_at)
        said = f"Safaricom says {found.status}"
        return apply_paid(callback, row, paid, code="0", description=said, at=at)
    note = f"{row.number}: Safaricom says {found.status}."
    if found.standing != Standing.FAILED:
        return settle(callback, Fate.IGNORED, note, at=at)
    if row.status == Status.PAID:
        return settle(callback, Fate.REVIEW, f"{note} It is paid in the books.", at=at)
    if row.can_become(Status.FAILED):
        payouts.fail(
            row, code="", description=found.status, by=None, reason=f"Safaricom says {found.status}"
        )
    return settle(callback, Fate.APPLIED, note, at=at)


def apply_paid(
    callback: Callback,
    row: B2cPayment,
    paid: PaidOut,
    *,
    code: str,
    description: str,
    at: datetime,
) -> None:
    """Book that a locked payment was paid, where amount, receiver and receipt can be believed."""
    callback.receipt, callback.amount, callback.paid_at = paid.receipt, paid.amount, paid.paid_at
    callback.phone, callback.payer_name = number_of(paid.receiver), name_of(paid.receiver)
    if paid.amount != row.amount:
        note = f"{row.number} is {kes(row.amount)}, not {kes(paid.amount)}."
        return settle(callback, Fate.REVIEW, note, at=at)
    receiver = paid.receiver.partition(" - ")[0].strip()
    is_ours = is_phone_of(receiver, phone=row.phone) or phones.parse(receiver) == row.phone
    if receiver and not is_ours:
        note = f"{row.number} was sent to {row.phone}, not to {receiver}."
        return settle(callback, Fate.REVIEW, note, at=at)
    if row.status == Status.PAID:
        same = row.receipt == paid.receipt
        note = f"{row.number} was paid with {row.receipt} before."
        return settle(callback, Fate.DUPLICATE if same else Fate.REVIEW, note, at=at)
    if _is_of_something_else(paid.receipt, row):
        note = f"Receipt {paid.receipt} is that of something else in the books."
        return settle(callback, Fate.REVIEW, note, at=at)
    payouts.pay(
        row,
        receipt=paid.receipt,
        receiver=paid.receiver,
        paid_at=paid.paid_at,
        code=code,
        description=description,
        on=_day_of(callback, paid.paid_at),
    )
    note = f"{row.number} is paid."
    if row.is_adrift:
        note = f"{row.number} was paid though {row.payout.number} was no longer owed: in suspense."
    return settle(callback, Fate.APPLIED, note, at=at)


def _is_of_something_else(receipt: str, row: B2cPayment) -> bool:
    """Tell whether a receipt is booked already: money that came in, or that went out otherwise."""
    others = Payout.objects.filter(reference=receipt).exclude(pk=row.payout_id)
    return (
        B2cPayment.objects.filter(receipt=receipt).exclude(pk=row.pk).exists()
        or Payment.objects.filter(reference=receipt).exists()
        or others.exists()
    )


def _day_of(callback: Callback, paid_at: datetime | None) -> date:
    """Return the day on which a payment is booked: when it was paid, never a day to come."""
    arrived = day_of(callback.received_at)
    return min(day_of(paid_at), arrived) if paid_at else arrived


def _apply_failure(callback: Callback, row: B2cPayment, result: Result, *, at: datetime) -> None:
    if result.result_code == "":
        return settle(callback, Fate.REVIEW, "Not readable: ResultCode is missing.", at=at)
    meant = explain_payout(result.result_code)
    if meant.fate == Meaning.PENDING:
        _now_unknown(row, reason=meant.meaning, at=at)
        note = f"{row.number}: {meant.meaning} Whether it is paid is asked."
        return settle(callback, Fate.IGNORED, note, at=at)
    if not row.can_become(Status.FAILED):
        note = f"{row.number} is {row.get_status_display().lower()}: {meant.meaning}"
        return settle(callback, Fate.IGNORED, note, at=at)
    payouts.fail(
        row,
        code=result.result_code,
        description=result.result_desc,
        by=None,
        reason=meant.meaning,
    )
    return settle(callback, Fate.APPLIED, meant.meaning, at=at)


def _now_unknown(row: B2cPayment, *, reason: str, at: datetime) -> None:
    """Let a payment be asked about at once, where nobody knows whether it is paid."""
    if row.can_become(Status.UNKNOWN):
        row.next_query_at = at
        row.move_to(Status.UNKNOWN, by=None, reason=reason, fields=("next_query_at",))


def _payment_of(callback: Callback, result: Result, *, at: datetime) -> B2cPayment | None:
    """Return, locked, the payment that a result answers; without one the callback is settled.

    Version 1 of the API makes an id of its own, which is not known while the request is on its
    way: the callback then waits its turn.
    """
    callback.conversation_id = result.conversation_id or result.originator_id
    nameless = B2cPayment.objects.nameless(at=callback.received_at).exists()
    found = list(
        B2cPayment.objects.answered_by(
            conversation_id=result.conversation_id, originator_id=result.originator_id
        )[:2]
    )
    if len(found) != 1:
        note = "No payout of ours has these IDs."
        return of_nobody(callback, note, some_nameless=nameless, at=at)
    callback.b2c = B2cPayment.objects.select_for_update().get(pk=found[0].pk)
    return callback.b2c
