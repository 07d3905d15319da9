"""Cash to the bank: it leaves with a slip, and is in the bank when somebody else has seen it."""

from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post
from lms.staff.models import Branch
from lms.tills.models import Banking, DrawerMovement, DrawerSession
from lms.tills.operations.cash import (
    lock,
    move,
    must_be_money,
    must_be_open,
    must_hold,
    must_lie_in_vault,
)

Status = Banking.Status


def bank(
    *,
    amount: Decimal,
    slip_number: str,
    branch: Branch,
    by,
    on: date,
    session: DrawerSession | None = None,
) -> Banking:
    """Send cash to the bank out of an open drawer, or out of the vault of the branch.

    Raises Refused for a slip that was used before, and for more than the drawer or the vault holds.
    """
    slip_number = slip_number.strip().upper()
    if not slip_number:
        raise Refused("Type the number of the banking slip.", field="slip_number")
    must_be_money(amount)
    with transaction.atomic():
        if session is not None:
            session = lock(session)
            must_be_open(session)
            if by.pk != session.cashier_id:
                raise Refused(f"Only {session.cashier} banks cash of this drawer.")
            must_hold(session, amount)
        else:
            must_lie_in_vault(branch, amount)
        banking = Banking(
            branch=branch if session is None else session.branch,
            session=session,
            slip_number=slip_number,
            amount=amount,
            banked_on=on,
            banked_by=by,
        )
        banking._history_user, banking._change_reason = by, "Left for the bank"
        try:
            with transaction.atomic():
                banking.save()
        except IntegrityError as error:
            raise Refused(f"Slip {slip_number} was banked before.", field="slip_number") from error
        source = chart.CASH if session is None else chart.TILL_CASH
        entry = _post(banking, "left", chart.CASH_IN_TRANSIT, source, on=on, by=by)
        if session is not None:
            move(session, -amount, kind=DrawerMovement.Kind.BANKED, entry=entry)
    return banking


def confirm(banking: Banking, *, arrived_on: date, by, on: date) -> Banking:
    """Confirm that the bank has the cash, as its statement or stamped slip says.

    Raises Refused for the person who banked it, and for a day before it left or after `on`.
    """
    with transaction.atomic():
        banking = _in_transit(banking)
        if by.pk == banking.banked_by_id:
            raise Refused("You banked this yourself: somebody else must confirm it.")
        if not banking.banked_on <= arrived_on <= on:
            raise Refused(
                f"It left on {banking.banked_on:%d %b %Y}: it arrived between then and today.",
                field="arrived_on",
            )
        banking.arrived_entry = _post(
            banking, "arrived", chart.BANK, chart.CASH_IN_TRANSIT, on=arrived_on, by=by
        )
        return _end(banking, Status.CONFIRMED, on=arrived_on, by=by, reason="In the bank")


def bring_back(banking: Banking, *, reason: str, by, on: date) -> Banking:
    """Put cash that the bank did not take into the vault."""
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        banking = _in_transit(banking)
        _post(banking, "back", chart.CASH, chart.CASH_IN_TRANSIT, on=on, by=by)
        return _end(banking, Status.RETURNED, on=on, by=by, reason=reason)


def _in_transit(banking: Banking) -> Banking:
    banking = Banking.objects.select_for_update().get(pk=banking.pk)
    if banking.status != Status.IN_TRANSIT:
        raise Refused(f"{banking} is {banking.get_status_display().lower()} already.")
    return banking


def _post(banking: Banking, event: str, debit: str, credit: str, *, on, by) -> JournalEntry:
    return post(
        kind="banking",
        reference=f"banking:{banking.pk}:{event}",
        on=on,
        narration=f"Banking slip {banking.slip_number}: {event}",
        lines=[Line(debit, credit, banking.amount)],
        branch_id=banking.branch_id,
        by=by,
        subject=banking.slip_number[:16],
    )


def _end(banking: Banking, status: str, *, on: date, by, reason: str) -> Banking:
    banking.status, banking.ended_on, banking.ended_by = status, on, by
    banking._history_user, banking._change_reason = by, reason[:100]
    banking.save(update_fields=["status", "ended_on", "ended_by", "arrived_entry"])
    return banking
