"""Cash from one drawer to another. On the way it is nobody's: `chart.CASH_IN_TRANSIT`."""

from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import post
from lms.tills.models import DrawerMovement, DrawerSession, TillTransfer
from lms.tills.operations.cash import (
    drawer_of,
    flow,
    lock,
    move,
    must_be_money,
    must_be_open,
    must_hold,
)

Kind = DrawerMovement.Kind
Status = TillTransfer.Status


def send(
    session: DrawerSession, *, recipient, amount: Decimal, key: str, by, on: date
) -> TillTransfer:
    """Hand cash to a colleague of the same branch, who counts and accepts it.

    A repeated `key` is refused, as is more than the drawer holds.
    """
    must_be_money(amount)
    with transaction.atomic():
        session = lock(session)
        must_be_open(session)
        if by.pk != session.cashier_id:
            raise Refused(f"Only {session.cashier} sends cash out of this drawer.")
        if recipient.pk == by.pk:
            raise Refused("Choose a colleague: this is your own drawer.", field="recipient")
        if recipient.branch_id not in (None, session.branch_id):
            raise Refused(f"{recipient} is not of {session.branch}.", field="recipient")
        must_hold(session, amount)
        transfer = TillTransfer(
            key=key,
            sender=session,
            branch=session.branch,
            recipient=recipient,
            amount=amount,
            sent_on=on,
        )
        transfer._history_user, transfer._change_reason = by, "Sent"
        try:
            with transaction.atomic():
                transfer.save()
        except IntegrityError as error:
            raise Refused("This was sent already. Open the form anew for another.") from error
        entry = _post(transfer, "sent", -amount, on=on, by=by)
        move(session, -amount, kind=Kind.SENT, entry=entry)
    return transfer


def accept(transfer: TillTransfer, *, by, on: date) -> TillTransfer:
    """Take cash that was sent into one's own open drawer. Raises Refused for anybody else."""
    with transaction.atomic():
        transfer = _waiting(transfer)
        if by.pk != transfer.recipient_id:
            raise Refused(f"This was sent to {transfer.recipient}: only they accept it.")
        session = drawer_of(by, branch_id=transfer.branch_id)
        if session is None or session.branch_id != transfer.branch_id:
            raise Refused(f"Open your drawer in {transfer.branch} first.")
        entry = _post(transfer, "accepted", transfer.amount, on=on, by=by)
        move(session, transfer.amount, kind=Kind.ACCEPTED, entry=entry)
        transfer.receiver = session
        _end(transfer, Status.ACCEPTED, by=by, reason="Accepted")
    return transfer


def take_back(transfer: TillTransfer, *, reason: str, by, on: date) -> TillTransfer:
    """Put cash that is not accepted back into the drawer it came from.

    The sender does so, or the one it was sent to, who found another sum.
    """
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        transfer = _waiting(transfer)
        if by.pk not in (transfer.recipient_id, transfer.sender.cashier_id):
            raise Refused("Only the two cashiers of this transfer can end it.")
        session = lock(transfer.sender)
        entry = _post(transfer, "taken_back", transfer.amount, on=on, by=by)
        move(session, transfer.amount, kind=Kind.TAKEN_BACK, entry=entry)
        _end(transfer, Status.TAKEN_BACK, by=by, reason=reason)
    return transfer


def _waiting(transfer: TillTransfer) -> TillTransfer:
    transfer = (
        TillTransfer.objects.select_for_update(of=("self",))
        .select_related("sender", "recipient", "branch")
        .get(pk=transfer.pk)
    )
    if transfer.status != Status.WAITING:
        raise Refused(f"{transfer} is {transfer.get_status_display().lower()} already.")
    return transfer


def _post(transfer: TillTransfer, event: str, amount: Decimal, *, on: date, by) -> JournalEntry:
    """Post cash into a drawer, or out of it when `amount` is below zero."""
    return post(
        kind="till_transfer",
        reference=f"till_transfer:{transfer.pk}:{event}",
        on=on,
        narration=f"{transfer.sender.number} to {transfer.recipient}: {event.replace('_', ' ')}",
        lines=[flow(chart.TILL_CASH, chart.CASH_IN_TRANSIT, amount)],
        branch_id=transfer.branch_id,
        by=by,
        subject=transfer.sender.number,
    )


def _end(transfer: TillTransfer, status: str, *, by, reason: str) -> None:
    transfer.status = status
    transfer._history_user, transfer._change_reason = by, reason[:100]
    transfer.save(update_fields=["status", "receiver"])
