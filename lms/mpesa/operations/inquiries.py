"""Asking Safaricom what it answers later: balances of our accounts, the fate of one payment.

Asking moves no money, so a question may be asked again; none is sent again by itself.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from lms.errors import Refused
from lms.mpesa.callbacks import MalformedCallback, clean
from lms.mpesa.callbacks import receipt as read_receipt
from lms.mpesa.client import Daraja, Outcome, State
from lms.mpesa.models import B2cPayment, Callback, DarajaRequest, Inquiry, MpesaPayment
from lms.mpesa.operations.addresses import answer_addresses, callback_url_of
from lms.mpesa.operations.inbox import named_at_last
from lms.payments.models import Payment, normal_reference

Kind = Inquiry.Kind
Status = Inquiry.Status
BETWEEN_QUESTIONS = timedelta(seconds=30)
STATUS_OF = {
    State.ACCEPTED: Status.SENT,
    State.REJECTED: Status.FAILED,
    State.UNKNOWN: Status.UNKNOWN,
}


class JustAsked(Refused):
    """The same was asked a moment ago, and the answer will come."""


def our_shortcodes() -> list[str]:
    """Return the paybill, and the shortcode money is paid out of where it is another."""
    paybill = str(settings.DARAJA_SHORTCODE)
    paying_out = str(settings.DARAJA_B2C_SHORTCODE or paybill)
    return [paybill] if paying_out == paybill else [paybill, paying_out]


def ask_balances(*, by, at: datetime) -> list[Inquiry]:
    """Ask for the balances of each of our shortcodes; return the questions as they stand then.

    The answers come as callbacks. Raises Refused while no initiator is set up, and within half a
    minute of a question that is still open.
    """
    urls = answer_addresses(Callback.Kind.BALANCE, Callback.Kind.BALANCE_TIMEOUT)
    _refuse_repeat(Inquiry.objects.filter(kind=Kind.BALANCE), at=at)
    asked = []
    for shortcode in our_shortcodes():
        inquiry = _save(Inquiry(kind=Kind.BALANCE, shortcode=shortcode, asked_by=by, asked_at=at))
        daraja = Daraja(by=by, about=inquiry.number)
        outcome = daraja.account_balance(shortcode=shortcode, **urls)
        asked.append(_record_outcome(inquiry, outcome))
    return asked


def ask_payment(
    receipt: str,
    *,
    by,
    at: datetime,
    push: MpesaPayment | None = None,
    payment: Payment | None = None,
) -> Inquiry:
    """Ask what became of the payment with an M-Pesa receipt; return the question as it stands.

    `push` or `payment` is what the question is about, where it is about one. A completed payment
    to us that the books do not have is booked when the answer comes. Raises Refused for what is
    not a receipt, and as `ask_balances`.
    """
    try:
        receipt = read_receipt(normal_reference(receipt), "receipt")
    except MalformedCallback:
        raise Refused(
            "An M-Pesa receipt is 10 letters and digits, like UKL7AB12CD.", field="receipt"
        ) from None
    urls = answer_addresses(Callback.Kind.STATUS, Callback.Kind.STATUS_TIMEOUT)
    _refuse_repeat(Inquiry.objects.filter(kind=Kind.STATUS, receipt=receipt), at=at)
    shortcode = str(settings.DARAJA_SHORTCODE)
    inquiry = _save(
        Inquiry(
            kind=Kind.STATUS,
            shortcode=shortcode,
            receipt=receipt,
            push=push,
            payment=payment or Payment.objects.filter(reference=receipt).first(),
            asked_by=by,
            asked_at=at,
        )
    )
    daraja = Daraja(by=by, about=inquiry.number)
    outcome = daraja.transaction_status(receipt, shortcode=shortcode, **urls)
    return _record_outcome(inquiry, outcome)


def ask_about(payment: Payment, *, by, at: datetime) -> Inquiry:
    """Ask what Safaricom knows of the receipt of a payment. Raises Refused as `ask_payment`."""
    if payment.method != Payment.Method.MPESA or not payment.reference:
        raise Refused(f"{payment.number} did not come by M-Pesa: Safaricom knows nothing of it.")
    return ask_payment(payment.reference, by=by, at=at, payment=payment)


def ask_payout(part: B2cPayment, *, by, at: datetime, receipt: str = "") -> Inquiry:
    """Ask what became of a payment to a customer, by a receipt or else by our own id.

    `receipt` is what the customer or Safaricom's portal shows. The fate is written down when the
    answer comes. Raises Refused for what is not a receipt, and as `ask_balances`.
    """
    try:
        receipt = read_receipt(normal_reference(receipt), "receipt") if receipt else part.receipt
    except MalformedCallback:
        raise Refused(f"“{receipt}” is not an M-Pesa receipt.", field="receipt") from None
    urls = answer_addresses(Callback.Kind.STATUS, Callback.Kind.STATUS_TIMEOUT)
    _refuse_repeat(Inquiry.objects.filter(kind=Kind.PAYOUT, b2c=part), at=at)
    shortcode = our_shortcodes()[-1]
    inquiry = _save(
        Inquiry(
            kind=Kind.PAYOUT,
            shortcode=shortcode,
            receipt=receipt or "",
            b2c=part,
            asked_by=by,
            asked_at=at,
        )
    )
    outcome = Daraja(by=by, about=inquiry.number).transaction_status(
        receipt or "", originator_id=part.originator_id, shortcode=shortcode, **urls
    )
    return _record_outcome(inquiry, outcome)


def ask_again(inquiry: Inquiry, *, by, at: datetime) -> Inquiry:
    """Ask about the same payment once more, as a question of its own. Raises as `ask_payment`."""
    if inquiry.b2c_id:
        return ask_payout(inquiry.b2c, by=by, at=at)
    return ask_payment(inquiry.receipt, by=by, at=at, push=inquiry.push, payment=inquiry.payment)


def register_addresses(*, unreachable: str, by) -> Outcome:
    """Tell Safaricom where to post payments to the paybill. Raises Refused unless it agrees.

    In production this works once; changing the addresses later is done in Safaricom's portal.
    """
    outcome = Daraja(by=by, about=f"paybill {settings.DARAJA_SHORTCODE}").register_c2b(
        confirmation_url=callback_url_of(Callback.Kind.CONFIRMATION),
        validation_url=callback_url_of(Callback.Kind.VALIDATION),
        unreachable=unreachable,
    )
    if outcome.state != State.ACCEPTED:
        said = " ".join(filter(None, [outcome.code, outcome.message]))
        raise Refused(f"Safaricom did not agree ({outcome.state}): {said}")
    return outcome


def close_unanswered(*, before: datetime) -> int:
    """Mark questions asked before an instant and still open as unanswered; return how many.

    An answer that comes later still counts.
    """
    stale = Inquiry.objects.filter(status__in=Inquiry.OPEN, asked_at__lt=before)
    with transaction.atomic():
        rows = list(stale.select_for_update().order_by("pk"))
        for row in rows:
            row.move_to(Status.UNKNOWN, by=None, reason="No answer came")
    return len(rows)


def forget_requests(*, before: datetime) -> int:
    """Delete the log of requests sent before an instant; return how many there were."""
    return DarajaRequest.objects.filter(sent_at__lt=before).delete()[0]


def _refuse_repeat(alike, *, at: datetime) -> None:
    open_ones = alike.filter(status__in=Inquiry.OPEN, asked_at__gt=at - BETWEEN_QUESTIONS)
    if found := open_ones.first():
        raise JustAsked(f"Safaricom was asked a moment ago ({found.number}): the answer will come.")


def _save(wanted: Inquiry) -> Inquiry:
    """Save a question in a transaction of its own, before it is sent."""
    wanted._history_user, wanted._change_reason = wanted.asked_by, "Asked"
    with transaction.atomic(durable=True):
        wanted.save()
    return wanted


def _record_outcome(asked: Inquiry, outcome: Outcome) -> Inquiry:
    """Write down what Safaricom said to the question."""
    with transaction.atomic():
        row = Inquiry.objects.select_for_update().get(pk=asked.pk)
        row.code, row.message = outcome.code[:40], outcome.message[:200]
        fields = ("code", "message")
        if outcome.state == State.ACCEPTED:
            row.conversation_id = clean(outcome.answer.get("ConversationID"), 100) or None
            row.originator_id = clean(outcome.answer.get("OriginatorConversationID"), 100) or None
            fields += ("conversation_id", "originator_id")
        row.move_to(
            STATUS_OF[outcome.state],
            by=row.asked_by,
            reason=f"Question {outcome.state}",
            fields=fields,
        )
    if row.conversation_id:
        kinds = (Callback.Kind.STATUS, Callback.Kind.STATUS_TIMEOUT)
        named_at_last(kinds, inquiry=None, conversation_id=row.conversation_id, at=asked.asked_at)
    return row
