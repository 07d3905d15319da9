"""Money that leaves, by hand or promised to be sent; and undoing it."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from lms import history
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.books import must_be_open
from lms.ledger.operations import COMMON, Accounts, Line, post, reverse
from lms.money import ZERO, kes
from lms.payments.models import Payout, normal_reference
from lms.payments.operations.checking import place_of
from lms.tills.models import DrawerMovement
from lms.tills.operations import cash


def pay_out(
    *,
    method: str,
    amount: Decimal,
    reference: str | None,
    customer_id: int,
    subject: str,
    branch_id: int,
    by,
    on: date,
    narration: str,
    lines: Iterable[Line],
    key: str,
    kind: str = Payout.Kind.DISBURSEMENT,
    debit: str = chart.LOAN_PRINCIPAL,
    accounts: Accounts = COMMON,
) -> Payout:
    """Record money that left, or is about to (method B2C), and post its entry.

    Inside the caller's transaction. What is to be sent by M-Pesa is owed until it arrives. `lines`
    are the other transfers of the same event; the one that pays `amount` KES from where money of
    `method` lies against `debit` is added here. `key` names the event; `accounts` take the place of
    those of the chart. Cash of a drawer stands in the books from its opening on at the earliest.
    Raises Refused when the reference was used before, for a day of a closed month, and as
    `cash.drawer_of` does.
    """
    reference = normal_reference(reference)
    drawer, place = place_of(method, by=by, branch_id=branch_id)
    if (day := cash.booked_on(drawer, on)) != on:
        must_be_open(on)
    entry = post(
        kind=kind,
        reference=key,
        on=day,
        narration=narration,
        lines=[Line(debit, place, amount), *lines],
        branch_id=branch_id,
        by=by,
        subject=subject,
        accounts=accounts,
        on_that_day=True,
    )
    cash.count_in(
        drawer,
        -amount,
        kind=DrawerMovement.Kind.PAYOUT,
        entry=entry,
        branch_id=branch_id,
    )
    is_promised = method == Payout.Method.B2C
    payout = Payout(
        kind=kind,
        method=method,
        status=Payout.Status.ON_ITS_WAY if is_promised else Payout.Status.PAID,
        reference=reference,
        amount=amount,
        arrived=ZERO if is_promised else amount,
        customer_id=customer_id,
        subject=subject,
        paid_on=on,
        branch_id=branch_id,
        entry=entry,
        paid_by=by,
    )
    return _written_down(payout, by=by)


def _written_down(payout: Payout, *, by) -> Payout:
    """Save a new payout. Raises Refused when its reference was used before."""
    try:
        # No savepoint: whoever is refused here ends the transaction it belongs to.
        with transaction.atomic(savepoint=False):
            history.create([payout], by=by, reason="Paid out")
    except IntegrityError as error:
        raise Refused(
            f"Reference {payout.reference} was used for another payout.", field="reference"
        ) from error
    return payout


def lock_payout(pk: int) -> Payout:
    """Return a payout with its entry, locked until the transaction ends."""
    rows = Payout.objects.select_for_update(of=("self",)).select_related("entry", "customer")
    return rows.get(pk=pk)


def undo_payout(payout: Payout, *, reason: str, by, on: date) -> Payout:
    """Reverse a payout whose money is back or never left, with everything that its entry booked.

    Runs inside the caller's transaction. Raises Refused when it is reversed already. What Safaricom
    was asked to pay is reversed only when it says that nothing of it arrives: what arrived cannot
    be called back, and what the customer brings back is a payment.
    """
    payout = lock_payout(payout.pk)
    if payout.reversed_on:
        raise Refused(f"{payout} was reversed on {payout.reversed_on:%d %b %Y} already.")
    if payout.arrived and payout.method == Payout.Method.B2C:
        raise Refused(
            f"{kes(payout.arrived)} of {payout.number} arrived by M-Pesa and cannot be called "
            "back: what the customer brings back is taken as a payment."
        )
    if Payout.Status.REVERSED not in Payout.NEXT.get(payout.status, ()):
        raise Refused(
            f"{payout} is {payout.get_status_display().lower()}: it can be taken back once "
            "Safaricom says that nothing of it arrives."
        )
    on = max(on, payout.entry.date)
    mirror = reverse(payout.entry, reason=reason, on=on, by=by)
    cash.undo(payout.entry, mirror, reason=reason, by=by, on=on)
    payout.reversed_on, payout.status = on, Payout.Status.REVERSED
    payout._history_user, payout._change_reason = by, reason[:100]
    payout.save(update_fields=["reversed_on", "status"])
    return payout
