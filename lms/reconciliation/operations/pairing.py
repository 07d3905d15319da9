"""Match lines of statements with entries of the books: by the program, by hand, and undone."""

from collections.abc import Iterable, Sequence
from datetime import date

from django.db import transaction
from simple_history.utils import bulk_create_with_history

from lms import dates
from lms.errors import Refused
from lms.ledger.models import JournalEntry, Transfer
from lms.money import ZERO, kes
from lms.reconciliation import books, matching
from lms.reconciliation.matching import Line, Pair
from lms.reconciliation.models import (
    Match,
    MatchedEntry,
    MatchedLine,
    Reconciliation,
    StatementLine,
)
from lms.reconciliation.operations.beginning import locked

How = Match.How
# Rows written in one statement.
BATCH = 500


def match_again(reconciliation: Reconciliation, *, by, on: date) -> int:
    """Match whatever can be matched without a person; return how many pairs are new.

    Run twice it finds nothing the second time. What a person took apart stays apart.
    """
    with transaction.atomic():
        return pair_up(locked(reconciliation), by=by)


def pair_up(reconciliation: Reconciliation, *, by) -> int:
    """Do the same under the lock that the caller holds.

    An entry that was taken off its line and then reversed goes with its reversal.
    """
    account = reconciliation.account_id
    apart = MatchedLine.objects.filter(match__is_live=False, line__account=account)
    lines = (
        StatementLine.objects.unmatched()
        .filter(account=account, day__lte=reconciliation.last)
        .exclude(pk__in=apart.values("line"))
    )
    torn = dict(
        MatchedEntry.objects.filter(match__is_live=False, account=account).values_list(
            "entry", "match__how"
        )
    )
    rows = books.free(account, date__lte=reconciliation.last)
    items = [entry.item for entry in books.entries(rows)]
    pairs = matching.undone(
        item
        for item in items
        if (item.pk in torn or item.reverses in torn) and torn.get(item.pk) != How.REVERSED
    )
    gone = {item.pk for pair in pairs for item in pair.items} | torn.keys()
    pairs += matching.match(map(line_of, lines), (item for item in items if item.pk not in gone))
    keep(reconciliation, pairs, by=by)
    return len(pairs)


def line_of(line: StatementLine) -> Line:
    return Line(
        line.pk,
        line.day,
        line.amount,
        line.reference,
        line.linked,
        line.narration,
        line.is_charge,
        line.repeats,
    )


def keep(
    reconciliation: Reconciliation, pairs: Sequence[Pair], *, by, reason: str = ""
) -> list[Match]:
    """Write pairs under the lock that the caller holds, each where all of it is seen first.

    With a reason they are decisions, which have a history; without, the program found them.
    """
    account = reconciliation.account_id
    periods = list(Reconciliation.objects.of(account).open())
    matches = [
        Match(
            reconciliation=home(periods, pair.day),
            how=pair.how,
            difference=pair.difference,
            reason=reason[:200],
            made_by=by,
        )
        for pair in pairs
    ]
    if reason:
        matches = bulk_create_with_history(
            matches, Match, batch_size=BATCH, default_user=by, default_change_reason=reason[:100]
        )
    else:
        matches = Match.objects.bulk_create(matches, batch_size=BATCH)
    both = list(zip(matches, pairs, strict=True))
    MatchedLine.objects.bulk_create(
        (MatchedLine(match=match, line_id=line.pk) for match, pair in both for line in pair.lines),
        batch_size=BATCH,
    )
    MatchedEntry.objects.bulk_create(
        (
            MatchedEntry(match=match, account_id=account, entry_id=item.pk, amount=item.amount)
            for match, pair in both
            for item in pair.items
        ),
        batch_size=BATCH,
    )
    return matches


def home(periods: Iterable[Reconciliation], day: date) -> Reconciliation:
    """Return the first open period that ends on or after the day. Raises Refused for none."""
    for period in periods:
        if period.last >= day:
            return period
    raise Refused(f"No open period reaches {dates.show(day)}: begin the next one first.")


def match_by_hand(
    reconciliation: Reconciliation,
    *,
    lines: Iterable[StatementLine],
    entries: Iterable[JournalEntry],
    reason: str,
    by,
    on: date,
    how: str = How.MANUAL,
) -> Match:
    """Declare lines and entries to be one event. Their sums must agree to the cent.

    Lines that cancel each other out need no entry, and entries no line. Raises Refused for another
    account, for what is matched already, for a difference, and without a reason.
    """
    if not (reason := reason.strip()):
        raise Refused("Say why these belong together: it stays on the record.", field="reason")
    with transaction.atomic():
        reconciliation = locked(reconciliation)
        return link(
            reconciliation,
            lines=[line.pk for line in lines],
            entries=[entry.pk for entry in entries],
            reason=reason,
            how=how,
            by=by,
        )


def link(
    reconciliation: Reconciliation,
    *,
    lines: Sequence[int],
    entries: Sequence[int],
    reason: str,
    how: str,
    by,
) -> Match:
    """Match lines and entries given by their keys, under the lock that the caller holds."""
    account = reconciliation.account_id
    told = list(StatementLine.objects.unmatched().filter(pk__in=lines, account=account))
    moved = list(books.entries(books.free(account, entry_id__in=entries)))
    if _are_before_the_start(account, entries):
        raise Refused(
            f"Entries before {dates.show(books.start_of(account))} stand in the balance with "
            "which reconciliation began.",
            field="entries",
        )
    if len(told) != len(set(lines)) or len(moved) != len(set(entries)):
        raise Refused(
            "Something of this is matched already, was not completed, or is not of "
            f"{reconciliation.account}: look again.",
        )
    if len(told) + len(moved) < 2:
        raise Refused("Choose at least one entry.", field="entries")
    pair = Pair(how, tuple(map(line_of, told)), tuple(entry.item for entry in moved))
    if pair.difference != ZERO:
        raise Refused(
            f"The statement says {kes(sum((line.amount for line in told), ZERO))}, the books say "
            f"{kes(sum((item.amount for item in moved), ZERO))}: {kes(abs(pair.difference))} "
            "apart. Choose what adds up.",
            field="entries",
        )
    return keep(reconciliation, [pair], by=by, reason=reason)[0]


def _are_before_the_start(account: str, entries: Sequence[int]) -> bool:
    """Tell whether one of the entries is in the balance with which reconciliation began."""
    known = Transfer.objects.filter(entry__in=entries)
    return known.exclude(books.asked(account)).exists()


def unmatch(match: Match, *, reason: str, by, on: date) -> Match:
    """Take a match apart; what was booked from the line stays booked.

    Its lines and entries are never again paired by the program, only by a person. Raises Refused
    without a reason, twice, and once its reconciliation is signed off.
    """
    if not (reason := reason.strip()):
        raise Refused("Say why these do not belong together.", field="reason")
    with transaction.atomic():
        locked(match.reconciliation)
        match = Match.objects.select_for_update().get(pk=match.pk)
        if not match.is_live:
            raise Refused("This match was taken apart already.")
        match.lines.update(is_live=False)
        match.entries.update(is_live=False)
        match.is_live = False
        match._history_user, match._change_reason = by, reason[:100]
        match.save(update_fields=["is_live"])
    return match
