"""The lender's own money between bank, M-Pesa accounts and vault, and what the way costs."""

from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.beginning import must_be_in_books
from lms.ledger.operations import Line, post, reverse
from lms.staff.models import Branch
from lms.tills.models import FundsTransfer, Place
from lms.tills.operations.cash import must_be_money, must_lie_in_vault

# What the one that charges for a way is; the vault charges nothing.
CHARGES = {
    Place.BANK: chart.BANK_CHARGES,
    Place.PAYBILL: chart.MPESA_CHARGES,
    Place.UTILITY: chart.MPESA_CHARGES,
    Place.WORKING: chart.MPESA_CHARGES,
}
# Cash reaches other places by the banking slip alone, so the vault is only a destination.
WAYS = {
    Place.BANK: {Place.VAULT, Place.PAYBILL, Place.UTILITY, Place.WORKING},
    Place.PAYBILL: {Place.BANK, Place.UTILITY, Place.WORKING},
    Place.UTILITY: {Place.BANK, Place.PAYBILL, Place.WORKING},
    Place.WORKING: {Place.BANK, Place.PAYBILL, Place.UTILITY},
}


def transfer(
    *,
    source: str,
    destination: str,
    amount: Decimal,
    charge: Decimal,
    reference: str,
    branch: Branch,
    by,
    on: date,
    today: date,
) -> FundsTransfer:
    """Book money moved on day `on`: `amount` arrives, and the source also pays the `charge` (KES).

    Raises Refused for a way that there is not, a day after `today` or before the books begin, and
    a reference used before.
    """
    reference = reference.strip().upper()
    if destination not in WAYS.get(source, ()):
        raise Refused(_no_way(source, destination), field="destination")
    must_be_money(amount)
    if charge < 0:
        raise Refused("A charge is not less than nothing.", field="charge")
    if on > today:
        raise Refused("Money cannot be moved in the future.", field="moved_on")
    must_be_in_books(on, field="moved_on")
    if not reference:
        raise Refused("Type the M-Pesa receipt or bank reference.", field="reference")
    moved = FundsTransfer(
        branch=branch,
        source=source,
        destination=destination,
        amount=amount,
        charge=charge,
        reference=reference,
        moved_on=on,
        moved_by=by,
    )
    moved._history_user, moved._change_reason = by, "Moved"
    with transaction.atomic():
        try:
            with transaction.atomic():
                moved.save()
        except IntegrityError as error:
            raise Refused(f"Reference {reference} was booked before.", field="reference") from error
        moved.entry = post(
            kind="funds_transfer",
            reference=f"funds_transfer:{moved.pk}",
            on=on,
            narration=f"{Place(source).label} to {Place(destination).label}, {reference}",
            lines=[Line(destination, source, amount), Line(CHARGES[source], source, charge)],
            branch_id=branch.pk,
            by=by,
            subject=reference[:16],
        )
        moved.skip_history_when_saving = True
        moved.save(update_fields=["entry"])
        del moved.skip_history_when_saving
    return moved


def undo_transfer(moved: FundsTransfer, *, reason: str, by, on: date) -> FundsTransfer:
    """Reverse a transfer that was booked wrongly, with its charge.

    Raises Refused without a reason, when it is reversed already, and for cash that has left the
    vault since.
    """
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        moved = FundsTransfer.objects.select_for_update().get(pk=moved.pk)
        if moved.reversed_on:
            raise Refused(f"{moved} was reversed on {moved.reversed_on:%d %b %Y} already.")
        if moved.destination == Place.VAULT:
            must_lie_in_vault(moved.branch, moved.amount)
        reverse(moved.entry, reason=reason, on=on, by=by)
        moved.reversed_on = on
        moved._history_user, moved._change_reason = by, reason[:100]
        moved.save(update_fields=["reversed_on"])
    return moved


def _no_way(source: str, destination: str) -> str:
    if source == Place.VAULT:
        return "Cash goes to the bank with a banking slip."
    if source == destination:
        return "Choose another account to move the money to."
    return f"{Place(source).label} cannot be moved to {Place(destination).label.lower()} directly."
