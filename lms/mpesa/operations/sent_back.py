"""What Safaricom says of money that it was asked to send back, and what the books make of it.

Each is called with its callback locked, inside the transaction that applies it. Locks are taken
in one order: callback, request, inquiry, reversal, payment.
"""

from datetime import datetime

from django.db import transaction

from lms.dates import day_of
from lms.errors import Refused
from lms.money import kes
from lms.mpesa.models import Callback, Reversal
from lms.mpesa.operations.inbox import of_nobody, settle
from lms.mpesa.results import Found, Result
from lms.mpesa.reversal_codes import explain
from lms.mpesa.reversal_results import ReversalResult
from lms.payments.models import Payment
from lms.payments.operations import end_going_back, undo_sent_back

Status = Reversal.Status
Fate = Callback.Status
NOT_OURS = "No reversal of ours has this ConversationID."
SAID = ("result_code", "result_desc", "transaction_id", "confirmed_at")


def apply_reversal(callback: Callback, said: ReversalResult, *, at: datetime) -> None:
    """Do what the result of a reversal says: undo the receipt in the books, or let go of it."""
    result = said.result
    callback.conversation_id = result.conversation_id or result.originator_id
    callback.receipt, callback.amount = said.original, said.amount
    callback.paid_at = said.completed_at
    nameless = Reversal.objects.nameless(at=callback.received_at).exists()
    row = _named(result) or _unnamed(said)
    if row is None:
        return of_nobody(callback, NOT_OURS, some_nameless=nameless, at=at)
    callback.reversal = row
    callback.receipt = callback.receipt or row.receipt
    if not said.sent_back:
        return _fail(callback, row, result, at=at)
    if said.original not in ("", row.receipt):
        note = f"{row.number} is about {row.receipt}, not {said.original}."
        return settle(callback, Fate.REVIEW, note, at=at)
    if said.amount not in (None, row.amount):
        note = f"{row.number} is about {kes(row.amount)}, not {kes(said.amount)}."
        return settle(callback, Fate.REVIEW, note, at=at)
    if not row.conversation_id and result.conversation_id:
        row.conversation_id = result.conversation_id
        row.originator_id = row.originator_id or result.originator_id or None
        row.note(by=None, reason="Its result came", fields=("conversation_id", "originator_id"))
    row.result_code, row.result_desc = result.result_code, result.result_desc
    row.transaction_id = said.transaction_id
    return _succeed(callback, row, at=at)


def apply_reversal_timeout(callback: Callback, result: Result, *, at: datetime) -> None:
    """Write down that Safaricom did not get round to a reversal: whether it worked is unknown."""
    callback.conversation_id = result.conversation_id or result.originator_id
    nameless = Reversal.objects.nameless(at=callback.received_at).exists()
    row = _named(result)
    if row is None:
        return of_nobody(callback, NOT_OURS, some_nameless=nameless, at=at)
    callback.reversal, callback.receipt = row, row.receipt
    if row.can_become(Status.UNKNOWN):
        row.move_to(Status.UNKNOWN, by=None, reason="Timed out at Safaricom")
    note = f"{row.number} timed out at Safaricom: whether it worked is asked."
    return settle(callback, Fate.IGNORED, note, at=at)


def apply_status_of_reversed(callback: Callback, found: Found, *, at: datetime) -> bool:
    """Take the word "Reversed" for a receipt as the success of the reversal that asked for it.

    Returns False, and does nothing, where no reversal of ours is about it or says something else.
    """
    if found.status.lower() != "reversed":
        return False
    rows = Reversal.objects.select_for_update().filter(receipt=found.receipt)
    row = rows.exclude(status=Status.DONE).order_by("-pk").first()
    if row is None or found.amount not in (None, row.amount):
        return False
    callback.reversal = row
    _succeed(callback, row, at=at)
    return True


def _named(result: Result) -> Reversal | None:
    """Return, locked, the reversal that a result names."""
    found = Reversal.objects.answered_by(
        conversation_id=result.conversation_id, originator_id=result.originator_id
    )
    keys = list(found.values_list("pk", flat=True)[:2])
    if len(keys) != 1:
        return None
    return Reversal.objects.select_for_update().get(pk=keys[0])


def _unnamed(said: ReversalResult) -> Reversal | None:
    """Return, locked, the sent reversal of the receipt of a success whose id we never learnt."""
    if not said.original or said.amount is None:
        return None
    rows = Reversal.objects.select_for_update().filter(
        receipt=said.original, amount=said.amount, conversation_id=None, sent_at__isnull=False
    )
    return rows.order_by("-pk").first()


def _succeed(callback: Callback, row: Reversal, *, at: datetime) -> None:
    """Undo the receipt of a payment that went back, unless that was done before."""
    if row.status == Status.DONE:
        return settle(callback, Fate.DUPLICATE, f"{row.number} was done before.", at=at)
    row.confirmed_at = row.confirmed_at or callback.paid_at or callback.received_at
    payment = Payment.objects.select_for_update().get(pk=row.payment_id)
    callback.payment = payment
    if payment.status == Payment.Status.REVERSED:
        return _reversed_before(callback, row, payment, at=at)
    try:
        with transaction.atomic():
            undo_sent_back(
                payment,
                reason=" ".join(filter(None, ["Sent back to the payer", row.transaction_id])),
                by=row.approved_by,
                on=day_of(at),
            )
    except Refused as refusal:
        return _cannot_be_booked(callback, row, payment, refusal, at=at)
    row.move_to(Status.DONE, by=None, reason="Safaricom sent it back", fields=SAID)
    note = f"{payment.number} went back to its payer: the books have it."
    return settle(callback, Fate.APPLIED, note, at=at, fields=("payment",))


def _reversed_before(callback: Callback, row: Reversal, payment: Payment, *, at: datetime) -> None:
    """Close a reversal whose payment the books have reversed already: once, whoever was first."""
    done = payment.reversals.filter(status=Status.DONE).exclude(pk=row.pk).first()
    if done is None:
        row.move_to(Status.DONE, by=None, reason=f"{payment.number} was reversed", fields=SAID)
    elif row.can_become(Status.FAILED):
        row.confirmed_at = None
        row.move_to(Status.FAILED, by=None, reason=f"{done.number} sent it back", fields=SAID)
    note = f"{payment.number} is reversed in the books already."
    return settle(callback, Fate.DUPLICATE, note, at=at, fields=("payment",))


def _cannot_be_booked(
    callback: Callback, row: Reversal, payment: Payment, refusal: Refused, *, at: datetime
) -> None:
    """Show a person money that is gone while the books cannot say so."""
    payment.refresh_from_db()
    row.review = (
        f"Safaricom sent {kes(row.amount)} back, but in the books {payment.number} cannot be "
        f"reversed: {refusal.message} Take it off its loan, then apply the callback again."
    )[:300]
    reason = "Sent back, but not in the books"
    if row.can_become(Status.UNRESOLVED):
        row.move_to(Status.UNRESOLVED, by=None, reason=reason, fields=(*SAID, "review"))
    else:
        row.note(by=None, reason=reason, fields=(*SAID, "review"))
    return settle(callback, Fate.REVIEW, row.review, at=at, fields=("payment",))


def _fail(callback: Callback, row: Reversal, result: Result, *, at: datetime) -> None:
    """Let go of a payment that Safaricom did not send back; never where it proved that it did.

    A code that proves no failure frees nothing: whether it went back is asked.
    """
    explained = explain(result.result_code)
    meaning = explained.meaning
    if not explained.is_certain and row.status not in (Status.DONE, Status.FAILED):
        row.result_code, row.result_desc = result.result_code, result.result_desc
        row.next_query_at = at
        fields = ("result_code", "result_desc", "next_query_at")
        if row.can_become(Status.UNKNOWN):
            row.move_to(Status.UNKNOWN, by=None, reason=meaning, fields=fields)
        else:
            row.note(by=None, reason=meaning, fields=fields)
        note = f"{row.number}: {meaning} Whether it went back is asked."
        return settle(callback, Fate.IGNORED, note, at=at)
    if row.confirmed_at is not None or not row.can_become(Status.FAILED):
        note = f"{row.number} is {row.get_status_display().lower()}: {meaning}"
        return settle(callback, Fate.IGNORED, note, at=at)
    row.result_code, row.result_desc = result.result_code, result.result_desc
    row.move_to(Status.FAILED, by=None, reason=meaning, fields=("result_code", "result_desc"))
    let_go(row, reason=meaning)
    note = f"{row.number}: {meaning} {explain(result.result_code).advice}"
    return settle(callback, Fate.IGNORED, note, at=at)


def let_go(row: Reversal, *, reason: str, by=None) -> None:
    """Free the payment of a locked reversal that failed."""
    payment = Payment.objects.select_for_update().get(pk=row.payment_id)
    end_going_back(payment, by=by, reason=f"{row.number}: {reason}")
