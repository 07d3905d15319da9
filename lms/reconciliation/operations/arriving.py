"""Book what a statement of the bank tells of our own papers: slips that arrived, cheques."""

from collections.abc import Iterable
from datetime import date

from django.db import transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post, reverse
from lms.money import ZERO, kes
from lms.payments.models import Payment
from lms.reconciliation import documents
from lms.reconciliation.models import ClearedCheque, Match, StatementLine
from lms.reconciliation.operations.beginning import locked
from lms.reconciliation.operations.booking import BOOKED, CLEARED, must_be_free, period_of
from lms.reconciliation.operations.pairing import link
from lms.tills.models import Banking
from lms.tills.operations import banking


def confirm_slip(line: StatementLine, *, by, on: date) -> Banking:
    """Confirm on the day of a line that the cash of its slip arrived; match the two.

    Raises Refused without such a slip, for another amount, and as `banking.confirm` does.
    """
    with transaction.atomic():
        reconciliation = locked(period_of(line))
        must_be_free(reconciliation, line)
        slip = documents.slip_of(line)
        if slip is None:
            raise Refused("No banking slip on its way has the reference of this line.")
        if slip.amount != line.amount:
            raise Refused(
                f"Slip {slip.slip_number} is of {kes(slip.amount)}, but the bank says "
                f"{kes(line.amount)}: ask the bank, or bring the slip back and bank it anew."
            )
        slip = banking.confirm(slip, arrived_on=line.day, by=by, on=on)
        link(
            reconciliation,
            lines=[line.pk],
            entries=[slip.arrived_entry_id],
            reason=f"Slip {slip.slip_number} arrived",
            how=BOOKED,
            by=by,
        )
    return slip


def clear_cheques(
    line: StatementLine, *, cheques: Iterable[Payment], by, on: date, day: date | None = None
) -> Match:
    """Book the money of cheques from clearing to the bank, an entry each; match them with the line.

    It counts from the day of the line, unless told another. Raises Refused for money that left,
    for cheques that cleared or were reversed, and where they do not add up to the line.
    """
    day = day or line.day
    if line.amount <= 0:
        raise Refused("Money left on this line: a cheque that clears brings money in.")
    if day > on:
        raise Refused("An entry cannot be dated in the future.", field="day")
    keys = {cheque.pk for cheque in cheques}
    with transaction.atomic():
        reconciliation = locked(period_of(line))
        must_be_free(reconciliation, line)
        if reconciliation.is_mpesa:
            raise Refused("Cheques clear at the bank, not at M-Pesa.")
        found = list(
            documents.waiting_cheques()
            .select_for_update(of=("self",))
            .filter(pk__in=keys)
            .order_by("pk")
        )
        _must_add_up(found, keys, line)
        entries = [_clear(cheque, line, on=day, by=by) for cheque in found]
        return link(
            reconciliation,
            lines=[line.pk],
            entries=[entry.pk for entry in entries],
            reason="Cleared: " + ", ".join(cheque.reference for cheque in found),
            how=BOOKED,
            by=by,
        )


def _must_add_up(found: list[Payment], keys: set[int], line: StatementLine) -> None:
    if not keys:
        raise Refused("Choose the cheques that cleared.", field="cheques")
    if len(found) != len(keys):
        raise Refused(
            "One of these cheques cleared or was reversed meanwhile: look again.", field="cheques"
        )
    amount = sum((cheque.amount for cheque in found), ZERO)
    if amount != line.amount:
        raise Refused(
            f"The statement says {kes(line.amount)}, these cheques are {kes(amount)}: choose "
            "what adds up.",
            field="cheques",
        )


def _clear(cheque: Payment, line: StatementLine, *, on: date, by) -> JournalEntry:
    entry = post(
        kind=CLEARED,
        reference=f"cheque:{cheque.pk}:{1 + cheque.clearings.count()}",
        on=on,
        narration=f"Cheque {cheque.reference} cleared",
        lines=[Line(line.account_id, chart.CHEQUES, cheque.amount)],
        branch_id=cheque.received_in_id,
        by=by,
        subject=cheque.number,
    )
    ClearedCheque.objects.create(payment=cheque, entry=entry)
    return entry


def return_cheque(line: StatementLine, *, cheque: Payment, by, on: date) -> JournalEntry:
    """Reverse the clearing of a cheque that the bank took back, and match it with the line.

    Raises Refused while the payment stands, for a cheque that did not clear on this account, and
    for another amount.
    """
    with transaction.atomic():
        reconciliation = locked(period_of(line))
        must_be_free(reconciliation, line)
        cleared = returnable(line).filter(payment=cheque).first()
        if cleared is None:
            raise Refused(
                f"Cheque {cheque.reference} of {kes(cheque.amount)} did not clear on this account, "
                "or is not of the amount of this line.",
                field="cheque",
            )
        if cheque.status != Payment.Status.REVERSED:
            raise Refused(
                f"Reverse {cheque.number} first: a cheque that came back unpaid paid nothing.",
                field="cheque",
            )
        mirror = reverse(
            cleared.entry, reason=f"cheque {cheque.reference} came back", on=line.day, by=by
        )
        link(
            reconciliation,
            lines=[line.pk],
            entries=[mirror.pk],
            reason=f"Cheque {cheque.reference} came back",
            how=BOOKED,
            by=by,
        )
    return mirror


def returnable(line: StatementLine):
    """Return the cheques that cleared on the account of a line and have its amount."""
    return (
        ClearedCheque.objects.standing()
        .filter(
            payment__amount=-line.amount,
            entry__transfers__debit=line.account_id,
        )
        .select_related("payment", "entry")
        .order_by("-pk")
    )
