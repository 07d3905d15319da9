"""What Safaricom answers to our questions: balances are kept, a payment we lack is booked.

Each is called with its callback locked, inside the transaction that applies it.
"""

from datetime import datetime

from lms.money import kes
from lms.mpesa.callbacks import MalformedCallback, is_phone_of
from lms.mpesa.models import B2cPayment, Callback, Inquiry, MpesaBalance, MpesaPayment
from lms.mpesa.operations.inbox import Receipt, money, of_nobody, settle
from lms.mpesa.operations.inquiries import our_shortcodes
from lms.mpesa.operations.payout_answers import apply_fate
from lms.mpesa.operations.payouts import note_known_there
from lms.mpesa.operations.sent_back import apply_status_of_reversed
from lms.mpesa.results import (
    Found,
    Held,
    Result,
    Standing,
    balances_of,
    completed_at,
    fate_of,
    name_of,
    number_of,
    payment_of,
)
from lms.payments.models import Payment

Status = Inquiry.Status
BALANCES = (Inquiry.Kind.BALANCE,)
FATES = (Inquiry.Kind.STATUS, Inquiry.Kind.PAYOUT)
Fate = Callback.Status
UNKNOWN_THERE = "SFC_IC0003"  # Safaricom has no such payment


def apply_balances(callback: Callback, result: Result, *, at: datetime) -> None:
    """Keep the balances that a result tells."""
    inquiry = _answered(callback, result, kinds=BALANCES, at=at)
    if inquiry is None:
        return None
    if not result.success:
        return _fail(callback, inquiry, result, at=at)
    try:
        held = balances_of(result)
    except MalformedCallback as error:
        return _unreadable(callback, inquiry, error, at=at)
    if inquiry.status == Status.ANSWERED:
        return settle(callback, Fate.DUPLICATE, f"{inquiry.number} was answered before.", at=at)
    as_of = min(completed_at(result) or callback.received_at, callback.received_at)
    for one in held:
        _keep(one, inquiry=inquiry, as_of=as_of)
    _close(inquiry, Status.ANSWERED, result, at=at, reason="Balances received")
    note = "; ".join(f"{one.account} {kes(one.current)}" for one in held)
    return settle(callback, Fate.APPLIED, note, at=at)


def apply_status(callback: Callback, result: Result, *, at: datetime) -> Receipt | None:
    """Write down what Safaricom knows of a payment; return its money where it was paid to us.

    The result says nothing of the account that the customer typed: that of the request which the
    payment answers is taken, or none.
    """
    inquiry = _answered(callback, result, kinds=FATES, at=at)
    if inquiry is None:
        return None
    if not result.success:
        if inquiry.b2c_id and result.result_code == UNKNOWN_THERE:
            note_known_there(inquiry.b2c, is_known=False)
        return _fail(callback, inquiry, result, at=at)
    try:
        found = fate_of(result) if inquiry.b2c_id else payment_of(result)
    except MalformedCallback as error:
        return _unreadable(callback, inquiry, error, at=at)
    if inquiry.receipt and found.receipt != inquiry.receipt:
        note = f"{inquiry.number} asked about {inquiry.receipt}, not {found.receipt}."
        return settle(callback, Fate.REVIEW, note, at=at)
    callback.receipt, callback.amount, callback.paid_at = found.receipt, found.amount, found.paid_at
    callback.phone = number_of(found.payer) or found.payer.partition(" - ")[0][:64]
    callback.payer_name = name_of(found.payer)
    _write_down(inquiry, found, result, at=at)
    if inquiry.b2c_id:
        return apply_fate(callback, inquiry, found, at=at)
    if apply_status_of_reversed(callback, found, at=at):
        return None
    return _weigh(callback, inquiry, found, at=at)


def _write_down(inquiry: Inquiry, found: Found, result: Result, *, at: datetime) -> None:
    if inquiry.can_become(Status.ANSWERED):
        inquiry.transaction_status, inquiry.amount = found.status, found.amount
        inquiry.payer, inquiry.payee, inquiry.paid_at = found.payer, found.payee, found.paid_at
        _close(
            inquiry,
            Status.ANSWERED,
            result,
            at=at,
            reason=f"Safaricom says {found.status}",
            fields=("transaction_status", "amount", "payer", "payee", "paid_at"),
        )


def apply_timeout(callback: Callback, result: Result, *, at: datetime) -> None:
    """Write down that Safaricom did not get round to a question: nothing is known."""
    kinds = BALANCES if callback.kind == Callback.Kind.BALANCE_TIMEOUT else FATES
    inquiry = _answered(callback, result, kinds=kinds, at=at)
    if inquiry is None:
        return None
    if inquiry.can_become(Status.UNKNOWN):
        _close(inquiry, Status.UNKNOWN, result, at=at, reason="Timed out at Safaricom")
    note = f"{inquiry.number} timed out at Safaricom: nothing is known. Ask again."
    return settle(callback, Fate.IGNORED, note, at=at)


def _answered(
    callback: Callback, result: Result, *, kinds: tuple[str, ...], at: datetime
) -> Inquiry | None:
    """Return, locked, the question that a result answers; without one the callback is settled.

    While one may be it whose name nobody knows yet, the callback waits its turn.
    """
    callback.conversation_id = result.conversation_id or result.originator_id
    asked = Inquiry.objects.filter(kind__in=kinds)
    nameless = asked.nameless(at=callback.received_at).exists()
    ours = asked.answered_by(
        conversation_id=result.conversation_id, originator_id=result.originator_id
    )
    found = list(ours[:2])
    if len(found) != 1:
        # Balances are asked for again anyway; a payment is not.
        status = Fate.IGNORED if kinds == BALANCES else Fate.REVIEW
        note = "No question of ours has this ConversationID."
        return of_nobody(callback, note, some_nameless=nameless, at=at, status=status)
    push_id = found[0].push_id
    if push_id:  # Requests are locked before questions.
        callback.push = MpesaPayment.objects.select_for_update().get(pk=push_id)
    if b2c_id := found[0].b2c_id:
        callback.b2c = B2cPayment.objects.select_for_update().get(pk=b2c_id)
    callback.inquiry = Inquiry.objects.select_for_update().get(pk=found[0].pk)
    callback.inquiry.b2c = callback.b2c
    return callback.inquiry


def _weigh(callback: Callback, inquiry: Inquiry, found: Found, *, at: datetime) -> Receipt | None:
    """Decide whether what Safaricom knows of a payment is money for the books."""
    ours = our_shortcodes()
    booked = Payment.objects.standing().filter(reference=found.receipt).first()
    if found.standing != Standing.COMPLETED:
        note = f"Safaricom says {found.status}: no money came."
        if booked and found.standing == Standing.FAILED:
            note = f"{booked.number} is in the books, but Safaricom says {found.status}."
            return settle(callback, Fate.REVIEW, note, at=at)
        return settle(callback, Fate.IGNORED, note, at=at)
    if number_of(found.payer) in ours:
        note = f"{kes(found.amount)} was paid out by us, to {found.payee}."
        return settle(callback, Fate.IGNORED, note, at=at)
    if number_of(found.payee) not in ours:
        note = f"{kes(found.amount)} was paid to {found.payee or 'nobody named'}, not to us."
        return settle(callback, Fate.REVIEW, note, at=at)
    row = callback.push
    if row is None or not _pays(found, row):
        return money(callback, customer_id=None, at=at)
    callback.account = row.account
    if row.can_become(MpesaPayment.Status.PAID):
        row.receipt, row.paid_at = found.receipt, found.paid_at
        row.move_to(
            MpesaPayment.Status.PAID,
            by=None,
            reason=f"Safaricom knows {found.receipt} as paid",
            fields=("receipt", "paid_at"),
        )
    return money(callback, customer_id=row.customer_id, at=at)


def _pays(found: Found, row: MpesaPayment) -> bool:
    """Tell whether a payment can be the one that a request asked for."""
    phone = found.payer.partition(" - ")[0].strip()
    in_time = found.paid_at is not None and (
        row.requested_at - MpesaPayment.BETWEEN_PROMPTS
        <= found.paid_at
        <= row.requested_at + MpesaPayment.SAME_PAYMENT_WITHIN
    )
    is_free = not MpesaPayment.objects.filter(receipt=found.receipt).exclude(pk=row.pk).exists()
    return (
        in_time
        and is_free
        and row.receipt in (None, found.receipt)
        and row.amount == found.amount
        and is_phone_of(phone, phone=row.phone)
    )


def _keep(one: Held, *, inquiry: Inquiry, as_of: datetime) -> None:
    """Keep the balance of one account; the latest is known by its instant, not by its arrival."""
    last = (
        MpesaBalance.objects.select_for_update()
        .filter(shortcode=inquiry.shortcode, account=one.account, is_latest=True)
        .first()
    )
    is_latest = last is None or last.as_of <= as_of
    if last is not None and is_latest:
        last.is_latest = False
        last.save(update_fields=["is_latest"])
    MpesaBalance.objects.create(
        shortcode=inquiry.shortcode,
        account=one.account,
        current=one.current,
        available=one.available,
        reserved=one.reserved,
        uncleared=one.uncleared,
        as_of=as_of,
        is_latest=is_latest,
        inquiry=inquiry,
    )


def _fail(callback: Callback, inquiry: Inquiry, result: Result, *, at: datetime) -> None:
    """Write down that Safaricom could or would not answer."""
    said = " ".join(filter(None, [result.result_code, result.result_desc]))
    if inquiry.can_become(Status.FAILED):
        _close(inquiry, Status.FAILED, result, at=at, reason="Safaricom did not answer it")
    return settle(callback, Fate.IGNORED, f"{inquiry.number} was not answered: {said}", at=at)


def _unreadable(
    callback: Callback, inquiry: Inquiry, error: MalformedCallback, *, at: datetime
) -> None:
    if inquiry.can_become(Status.FAILED):
        inquiry.message, inquiry.answered_at = str(error)[:200], at
        inquiry.move_to(
            Status.FAILED,
            by=None,
            reason="The answer cannot be read",
            fields=("message", "answered_at"),
        )
    return settle(callback, Fate.REVIEW, f"Not readable: {error}", at=at)


def _close(
    inquiry: Inquiry,
    status: str,
    result: Result,
    *,
    at: datetime,
    reason: str,
    fields: tuple[str, ...] = (),
) -> None:
    inquiry.code, inquiry.message = result.result_code[:40], result.result_desc
    inquiry.answered_at = at
    inquiry.move_to(
        status, by=None, reason=reason, fields=("code", "message", "answered_at", *fields)
    )
