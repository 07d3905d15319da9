"""Sending a customer's payment back: two people agree, one process sends it, once.

The row is saved before Safaricom is asked. Whoever takes it from "to be sent" to "being sent",
and commits that, is the only one to send it: what dies before is sent by the watchdog, what dies
after is unknown and asked about, never sent again.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.ledger import chart
from lms.money import kes
from lms.mpesa.callbacks import clean
from lms.mpesa.client import Daraja, Outcome, State, whole_shillings
from lms.mpesa.models import Callback, Inquiry, Reversal
from lms.mpesa.operations.addresses import answer_addresses
from lms.mpesa.operations.inbox import named_at_last
from lms.mpesa.operations.inquiries import JustAsked, ask_payment
from lms.mpesa.operations.sent_back import let_go
from lms.payments.models import Payment
from lms.payments.operations import begin_going_back, must_not_be_going_back, undo_sent_back
from lms.staff import operations as staff
from lms.staff.models import Approval

Status = Reversal.Status
KIND = "reverse_mpesa"
STILL_BEING_SENT = timedelta(minutes=2)  # what is not answered by then was left by a crash
TAKEN_UP_AFTER = timedelta(minutes=1)  # what is not sent by then was left by a crash
# When to ask about money that nobody told of, counted from the request; then a person looks.
QUERY_AFTER = (
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=45),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=24),
)


# --- Two people ----------------------------------------------------------------------------------
def ask_reversal(payment: Payment, *, reason: str, by, on: date) -> Approval:
    """Ask for a payment to be sent back to its payer; a second person decides.

    Raises Refused for money that did not come by M-Pesa, is placed, reversed or on its way back,
    for cents, without a reason, and while Safaricom cannot be asked from this machine.
    """
    _addresses()
    must_be_sendable(payment)
    whose = payment.payer_name or payment.payer_phone or "its payer"
    return staff.ask(
        KIND,
        subject=payment.number,
        summary=f"Send {kes(payment.amount)} of {payment.reference} back to {whose}",
        reason=reason,
        by=by,
        payload={
            "payment": payment.pk,
            "receipt": payment.reference,
            "amount": str(payment.amount),
        },
        diff=(
            f"{payment.number} is reversed once Safaricom sent it back:\n"
            f"  {chart.UNALLOCATED} unallocated receipts  -{kes(payment.amount)}\n"
            f"  {chart.MPESA_PAYBILL} M-Pesa paybill  -{kes(payment.amount)}"
        ),
        branch_id=payment.branch_id,
    )


def carry_out(approval: Approval, *, reason: str, by, on: date) -> Reversal:
    """Approve and send, in that order; return the reversal as it stands then.

    Raises Refused for one's own request, for whoever typed the payment in, for a payment that has
    changed since, and while Safaricom cannot be asked: then nothing is decided.
    """
    _addresses()
    with transaction.atomic(durable=True):
        approval = staff.decide(approval, approve=True, reason=reason, by=by)
        payment = Payment.objects.select_for_update().get(pk=approval.payload["payment"])
        must_be_sendable(payment)
        if payment.taken_by_id is not None and payment.taken_by_id == by.pk:
            raise Refused(f"You took {payment.number} yourself: someone else must approve this.")
        asked = (approval.payload["receipt"], Decimal(approval.payload["amount"]))
        if (payment.reference, payment.amount) != asked:
            raise Refused(f"{payment.number} has changed since this was asked: ask for it anew.")
        row = Reversal(
            payment=payment,
            receipt=payment.reference,
            amount=payment.amount,
            shortcode=str(settings.DARAJA_SHORTCODE),
            approval=approval,
            asked_by=approval.asked_by,
            approved_by=by,
            reason=approval.reason,
            requested_at=dates.now(),
        )
        row._history_user, row._change_reason = by, f"Approved: {approval.reason}"[:100]
        row.save()
        begin_going_back(payment, by=by, reason=f"{row.number}: sent back to the payer")
    return send(row, at=dates.now())


def must_be_sendable(payment: Payment) -> None:
    """Raise Refused for a payment that Safaricom could not send back, or must not now."""
    if payment.method != Payment.Method.MPESA or not payment.reference:
        raise Refused(f"{payment.number} did not come by M-Pesa: Safaricom cannot send it back.")
    must_not_be_going_back(payment)
    if payment.status != Payment.Status.UNALLOCATED or payment.unallocated != payment.amount:
        raise Refused(
            f"{payment.number} is {payment.get_status_display().lower()}: only money that waits "
            "unallocated, all of it, can be sent back."
        )
    if open_one := payment.reversals.open().first():
        raise Refused(f"{open_one.number} is about {payment.number} and is not settled yet.")
    whole_shillings(payment.amount)


# --- One sending ---------------------------------------------------------------------------------
def send(reversal: Reversal, *, at: datetime) -> Reversal:
    """Send a reversal to Safaricom, unless somebody did; return it as it stands then.

    However many call it at once, and however often, one request leaves at most.
    """
    urls = _addresses()
    claimed = _claim(reversal, at=at)
    if claimed is None:
        reversal.refresh_from_db()
        return reversal
    outcome = Daraja(by=claimed.approved_by, about=claimed.number).reversal(
        claimed.receipt, amount=claimed.amount, shortcode=claimed.shortcode, **urls
    )
    return _record_outcome(claimed, outcome)


def _claim(reversal: Reversal, *, at: datetime) -> Reversal | None:
    """Take a reversal as the one who sends it, and commit that; None when somebody else did."""
    with transaction.atomic(durable=True):
        row = Reversal.objects.select_for_update().get(pk=reversal.pk)
        if row.status != Status.REQUESTED:
            return None
        payment = Payment.objects.select_for_update().get(pk=row.payment_id)
        if not payment.is_going_back:
            row.move_to(Status.FAILED, by=None, reason=f"{payment.number} is no longer held")
            return None
        row.sent_at, row.next_query_at = at, at + QUERY_AFTER[0]
        row.move_to(Status.SENDING, by=None, reason="Taken to be sent", fields=("sent_at",))
    return row


def _record_outcome(sent: Reversal, outcome: Outcome) -> Reversal:
    """Write down what Safaricom answered; its result may have come before."""
    answer = outcome.answer
    with transaction.atomic():
        row = Reversal.objects.select_for_update().get(pk=sent.pk)
        row.response_code = outcome.code[:40]
        row.response_description = outcome.message[:200]
        fields = ("response_code", "response_description")
        if outcome.state == State.ACCEPTED and not row.conversation_id:
            row.conversation_id = clean(answer.get("ConversationID"), 100) or None
            row.originator_id = clean(answer.get("OriginatorConversationID"), 100) or None
            fields += ("conversation_id", "originator_id")
        status = {
            State.ACCEPTED: Status.SENT,
            State.REJECTED: Status.FAILED,
            State.UNKNOWN: Status.UNKNOWN,
        }[outcome.state]
        reason = f"Request {outcome.state}"
        if row.status == Status.SENDING:
            row.move_to(status, by=None, reason=reason, fields=fields)
            if status == Status.FAILED:
                let_go(row, reason=f"not sent. {outcome.message}")
        else:
            row.note(by=None, reason=reason, fields=fields)
    if row.conversation_id:
        kinds = (Callback.Kind.REVERSAL, Callback.Kind.REVERSAL_TIMEOUT)
        named_at_last(kinds, reversal=None, conversation_id=row.conversation_id, at=sent.sent_at)
    return row


# --- Following it --------------------------------------------------------------------------------
def follow_reversals(*, clock: Callable[[], datetime]) -> list[Reversal]:
    """Send what a crash left unsent, and ask about what nobody told of; return what was touched.

    Asked about with growing pauses for a day, then left for a person. Safe to run at any time.
    `clock` tells when each is sent.
    """
    now = clock()
    waiting = Reversal.objects.filter(
        status=Status.REQUESTED, requested_at__lte=now - TAKEN_UP_AFTER
    )
    touched = [send(row, at=clock()) for row in waiting.order_by("pk")[:50]]
    lost = Reversal.objects.filter(status=Status.SENDING, sent_at__lte=now - STILL_BEING_SENT)
    touched += [_lose(row) for row in lost.order_by("pk")[:50]]
    due = list(Reversal.objects.due_for_query(now=now)[:50])
    return touched + [_query(row, now=now) for row in due]


def _lose(reversal: Reversal) -> Reversal:
    """Mark what a crash left "being sent" as unknown: it may have left, or not."""
    with transaction.atomic():
        row = Reversal.objects.select_for_update().get(pk=reversal.pk)
        if row.status == Status.SENDING:
            row.move_to(Status.UNKNOWN, by=None, reason="Never heard whether it was sent")
    return row


def _query(reversal: Reversal, *, now: datetime) -> Reversal:
    """Ask what became of the receipt, and plan the next time, or leave it for a person."""
    with transaction.atomic(durable=True):
        row = Reversal.objects.select_for_update().get(pk=reversal.pk)
        if row.next_query_at is None or row.next_query_at > now:
            return row
        later = [row.sent_at + pause for pause in QUERY_AFTER if row.sent_at + pause > now]
        row.queries += 1
        row.queried_at, row.next_query_at = now, later[0] if later else None
        fields = ("queries", "queried_at", "next_query_at", "review")
        if later:
            row.note(by=None, reason="Asked Safaricom about the receipt", fields=fields)
        else:
            row.review = (
                "Safaricom did not say within a day whether it was sent back. Look in its portal, "
                "then settle this by hand."
            )
            row.move_to(Status.UNRESOLVED, by=None, reason="No result within a day", fields=fields)
    ask_about_reversal(row, by=None, at=now)
    return row


def ask_about_reversal(reversal: Reversal, *, by, at: datetime) -> Inquiry | None:
    """Ask what became of the receipt: “Reversed” settles the reversal when the answer comes.

    Returns None where the same was asked a moment ago. Raises Refused as `ask_payment`.
    """
    try:
        return ask_payment(reversal.receipt, by=by, at=at, payment=reversal.payment)
    except JustAsked:
        return None


# --- A person's word -----------------------------------------------------------------------------
def settle_by_hand(reversal: Reversal, *, went_back: bool, reason: str, by, on: date) -> Reversal:
    """Close a reversal that nobody could clear up, by what a person saw in Safaricom's portal.

    Raises Refused unless it needs review, for the person who asked for it, without a reason, and
    for one that Safaricom proved to have gone back where the person says it did not.
    """
    if not reason.strip():
        raise Refused("Say what you saw: it stays on the record.", field="reason")
    with transaction.atomic():
        row = Reversal.objects.select_for_update().get(pk=reversal.pk)
        if row.status != Status.UNRESOLVED:
            raise Refused(
                f"{row.number} is {row.get_status_display().lower()}: it needs no person's word."
            )
        if row.asked_by_id == by.pk:
            raise Refused("You asked for this yourself: somebody else must settle it.")
        payment = Payment.objects.select_for_update().get(pk=row.payment_id)
        if not went_back:
            if row.confirmed_at is not None:
                raise Refused(f"Safaricom says that {row.receipt} went back: see its callbacks.")
            row.move_to(Status.FAILED, by=by, reason=f"By hand: {reason}")
            let_go(row, reason=reason, by=by)
            return row
        row.confirmed_at = row.confirmed_at or dates.instant(on)
        if payment.status != Payment.Status.REVERSED:
            undo_sent_back(payment, reason=f"Sent back to the payer: {reason}", by=by, on=on)
        row.move_to(Status.DONE, by=by, reason=f"By hand: {reason}", fields=("confirmed_at",))
    return row


def _addresses() -> dict[str, str]:
    return answer_addresses(Callback.Kind.REVERSAL, Callback.Kind.REVERSAL_TIMEOUT)
