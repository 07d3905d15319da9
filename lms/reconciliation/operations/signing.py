"""Sign a reconciliation off, which freezes it; reopen it, which takes two people."""

from datetime import date
from itertools import pairwise

from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.ledger.models import JournalEntry
from lms.money import kes
from lms.reconciliation import proof
from lms.reconciliation.models import Match, Reconciliation, StatementFile
from lms.reconciliation.operations.beginning import locked
from lms.reconciliation.operations.booking import BOOKINGS
from lms.staff import operations as staff
from lms.staff.models import Approval

Status = Reconciliation.Status
REOPEN = "reopen_reconciliation"


def prepared_by(reconciliation: Reconciliation) -> set[int]:
    """Return the keys of those who had a hand in it: none of them signs it off.

    Whoever began it, stated its balances, brought a statement, took one in, out or set it aside,
    matched or booked a line, took a match apart, or reversed a booking. What the program matched
    is nobody's doing, whoever started it.
    """
    files = StatementFile.history.filter(reconciliation=reconciliation.pk)
    matches = Match.history.filter(reconciliation=reconciliation.pk)
    by_hand = reconciliation.matches.filter(how__in=Match.BY_A_PERSON)
    reversals = JournalEntry.objects.filter(
        reverses__kind__in=BOOKINGS,
        reconciled__match__reconciliation=reconciliation,
    )
    found = {
        reconciliation.made_by_id,
        *_stated_balances(reconciliation),
        *files.values_list("history_user", flat=True),
        *matches.values_list("history_user", flat=True),
        *by_hand.values_list("made_by", flat=True),
        *reversals.values_list("posted_by", flat=True),
    }
    return found - {None}


def _stated_balances(reconciliation: Reconciliation) -> set[int | None]:
    """Return who changed its balances; to sign it or to reopen it changes none."""
    rows = reconciliation.history.order_by("history_date", "history_id")
    kept = rows.values_list("opening", "closing", "history_user")
    return {
        after[2]
        for before, after in pairwise(kept)
        if (before[0], before[1]) != (after[0], after[1])
    }


def sign_off(reconciliation: Reconciliation, *, by, on: date, note: str = "") -> Reconciliation:
    """Freeze a reconciliation whose balances prove, with the proof as it is at this moment.

    What is still listed as a difference stays listed, and goes over into the next period.
    Raises Refused for whoever prepared it, before the period ended, while the one before is open
    or its closing balance is another, while files wait, and while anything is unexplained.
    """
    with transaction.atomic():
        reconciliation = locked(reconciliation)
        if by.pk in prepared_by(reconciliation):
            raise Refused("You prepared this reconciliation: somebody else must sign it off.")
        _must_be_ready(reconciliation, on=on)
        found = proof.work_out(reconciliation)
        if not found.holds:
            raise Refused(
                f"{kes(abs(found.unexplained))} are unexplained: lines of the statement are "
                "missing here. Bring the whole statement of the period."
            )
        reconciliation.proof = found.as_json()
        reconciliation.signed_by, reconciliation.signed_at = by, dates.now()
        _keep_the_start(reconciliation)
        reconciliation.move_to(
            Status.SIGNED_OFF,
            by=by,
            reason=note.strip() or "Signed off",
            fields=("proof", "signed_by", "signed_at", "books_before", "books_before_at"),
        )
    return reconciliation


def _keep_the_start(reconciliation: Reconciliation) -> None:
    """Keep with the first sign-off of an account what the books said before its first day."""
    first = Reconciliation.objects.of(reconciliation.account_id)[0]
    if first.pk == reconciliation.pk and reconciliation.books_before is None:
        reconciliation.books_before = proof.books_before(reconciliation)
        reconciliation.books_before_at = reconciliation.signed_at


def _must_be_ready(reconciliation: Reconciliation, *, on: date) -> None:
    if reconciliation.last > on:
        raise Refused(f"The period ends on {dates.show(reconciliation.last)}: wait until then.")
    if reconciliation.opening is None or reconciliation.closing is None:
        raise Refused("The balances of the statement are not here: bring it, or type them.")
    if reconciliation.files.filter(status=StatementFile.Status.READ).exists():
        raise Refused("A statement was read but not taken in: take it in, or set it aside.")
    before = (
        Reconciliation.objects.of(reconciliation.account_id)
        .filter(first__lt=reconciliation.first)
        .last()
    )
    if before is None:
        return
    if before.is_open:
        raise Refused(f"{before} is still open: sign that one off first.")
    if before.closing != reconciliation.opening:
        raise Refused(
            f"The statement opens with {kes(reconciliation.opening)}, but the one before closed "
            f"with {kes(before.closing)}."
        )


def ask_to_reopen(reconciliation: Reconciliation, *, reason: str, by, on: date) -> Approval:
    """Ask a second person to open a signed-off reconciliation again.

    Raises Refused without a reason, while it is open, and when a later period is signed off.
    """
    with transaction.atomic():
        reconciliation = locked(reconciliation, must_be_open=False)
        _must_be_the_last_signed(reconciliation)
        return staff.ask(
            REOPEN,
            subject=reconciliation.number,
            summary=f"Reopen the reconciliation of {reconciliation}"[:200],
            payload={"reconciliation": reconciliation.pk},
            diff=f"Signed off by {reconciliation.signed_by} on "
            f"{dates.show(dates.day_of(reconciliation.signed_at))}; "
            f"closing balance {kes(reconciliation.closing)}",
            reason=reason,
            by=by,
        )


def reopen(approval: Approval, *, reason: str, by, on: date) -> Reconciliation:
    """Open a reconciliation again that somebody else asked for. Raises Refused for one's own."""
    with transaction.atomic():
        asked = Reconciliation.objects.get(pk=approval.payload["reconciliation"])
        reconciliation = locked(asked, must_be_open=False)
        _must_be_the_last_signed(reconciliation)
        staff.decide(approval, approve=True, reason=reason, by=by)
        reconciliation.proof = reconciliation.signed_by = reconciliation.signed_at = None
        reconciliation.move_to(
            Status.OPEN,
            by=by,
            reason=f"Reopened: {approval.reason}",
            fields=("proof", "signed_by", "signed_at"),
        )
    return reconciliation


def _must_be_the_last_signed(reconciliation: Reconciliation) -> None:
    if reconciliation.is_open:
        raise Refused(f"{reconciliation} is open.")
    later = Reconciliation.objects.of(reconciliation.account_id).filter(
        first__gt=reconciliation.last, status=Status.SIGNED_OFF
    )
    if (last := later.last()) is not None:
        raise Refused(f"{last} is signed off on top of this one: reopen that one first.")
