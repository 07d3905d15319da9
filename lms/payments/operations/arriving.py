"""What became of money that Safaricom was asked to pay: it arrived, in time or too late."""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post
from lms.payments.models import Payout, normal_reference
from lms.payments.operations.paying import lock_payout


class Arrival(NamedTuple):
    """What was booked when Safaricom paid: the payout as it stands then, and the entry.

    The money lies in suspense where it was no longer owed.
    """

    payout: Payout
    entry: JournalEntry
    in_suspense: bool = False


def arrive(payout: Payout, *, amount: Decimal, reference: str, on: date) -> Arrival:
    """Book that Safaricom paid `amount` KES of a payout, under its M-Pesa receipt.

    Runs inside the caller's transaction; nobody is asked. What had been taken back before (a
    failure that was none), or is more than was promised, lies in suspense until somebody sees to
    it. Raises Refused when the receipt is booked already.
    """
    payout = lock_payout(payout.pk)
    reference = normal_reference(reference)
    is_reversed = payout.status == Payout.Status.REVERSED
    if is_reversed or payout.arrived + amount > payout.amount:
        late = _book_arrival(
            payout, amount, reference, kind="payout_late", debit=chart.SUSPENSE, on=on
        )
        return late._replace(in_suspense=True)
    arrival = _book_arrival(
        payout,
        amount,
        reference,
        kind="payout_arrived",
        debit=chart.PAYOUTS_ON_THEIR_WAY,
        on=on,
    )
    had_failed = payout.status == Payout.Status.FAILED
    otherwise = Payout.Status.PARTLY if had_failed else payout.status
    _count_in(payout, amount, reference, otherwise=otherwise)
    return arrival


def _book_arrival(
    payout: Payout, amount: Decimal, reference: str, *, kind: str, debit: str, on: date
) -> Arrival:
    entry = post(
        kind=kind,
        reference=f"arrived:{payout.pk}:{reference}",
        on=max(on, payout.entry.date),
        narration=f"{payout.number} paid by M-Pesa {reference}",
        lines=[Line(debit, chart.MPESA_UTILITY, amount)],
        branch_id=payout.branch_id,
        by=None,
        subject=payout.number,
    )
    return Arrival(payout, entry)


def take_up(payout: Payout, late: Payout, *, amount: Decimal, reference: str, on: date) -> Payout:
    """Book that money which left for a payout taken back since pays for another one.

    Runs inside the caller's transaction. `late` was reversed before its money left after all, and
    that money waits in suspense, in the books of the branch of `late`.
    """
    payout = lock_payout(payout.pk)
    owed, lies = payout.branch_id, late.branch_id
    lines = [Line(chart.PAYOUTS_ON_THEIR_WAY, chart.SUSPENSE, amount)]
    if owed != lies:
        lines = [
            Line(chart.PAYOUTS_ON_THEIR_WAY, chart.BETWEEN_BRANCHES, amount, owed),
            Line(chart.BETWEEN_BRANCHES, chart.SUSPENSE, amount, lies),
        ]
    post(
        kind="payout_taken_up",
        reference=f"arrived:{payout.pk}:{reference}",
        on=max(on, payout.entry.date),
        narration=f"{payout.number} was paid by M-Pesa {reference}, sent for {late.number}",
        lines=lines,
        branch_id=payout.branch_id,
        by=None,
        subject=payout.number,
    )
    _count_in(payout, amount, reference, otherwise=Payout.Status.PARTLY)
    return payout


def _count_in(payout: Payout, amount: Decimal, reference: str, *, otherwise: str) -> None:
    """Count what arrived of a locked payout: paid when that is all of it, else `otherwise`."""
    payout.arrived += amount
    if not Payout.objects.filter(reference=reference).exists():
        payout.reference = payout.reference or reference
    payout.status = Payout.Status.PAID if payout.arrived == payout.amount else otherwise
    payout._history_user, payout._change_reason = None, f"Arrived: {reference}"
    payout.save(update_fields=["arrived", "reference", "status"])


def set_payout_status(payout: Payout, status: str, *, reason: str, by=None) -> Payout:
    """Take one step of a payout that is on its way, inside the caller's transaction.

    Raises Refused for a step that `Payout.NEXT` does not allow.
    """
    payout = lock_payout(payout.pk)
    if status not in Payout.NEXT.get(payout.status, ()):
        raise Refused(
            f"{payout} is {payout.get_status_display().lower()}, so it cannot become "
            f"{Payout.Status(status).label.lower()}."
        )
    payout.status = status
    payout._history_user, payout._change_reason = by, reason[:100]
    payout.save(update_fields=["status"])
    return payout
