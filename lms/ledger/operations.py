"""The verbs that write to the books: post an entry, reverse an entry."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger.books import must_be_open, open_day, refusing
from lms.ledger.models import JournalEntry, Transfer

# The account posted to by the account of the chart whose place it takes.
Accounts = Mapping[str, str]
COMMON: Accounts = MappingProxyType({})


class Line(NamedTuple):
    """One movement to post. Accounts are codes of the chart, the amount is KES.

    It belongs to the branch of its entry, unless it names another.
    """

    debit: str
    credit: str
    amount: Decimal
    branch_id: int | None = None


class Posting(NamedTuple):
    """One entry of many posted together: its own reference, lines and owner."""

    reference: str
    narration: str
    lines: Iterable[Line]
    branch_id: int
    subject: str
    accounts: Accounts = COMMON


def post(
    *,
    kind: str,
    reference: str,
    on: date,
    narration: str,
    lines: Iterable[Line],
    branch_id: int,
    by,
    subject: str = "",
    accounts: Accounts = COMMON,
    reverses: JournalEntry | None = None,
    on_that_day: bool = False,
) -> JournalEntry:
    """Post one entry of transfers, inside the transaction of the business change it belongs to.

    Lines of zero are left out; `accounts` take the place of those of the chart. `reference` names
    the event. What happened on a day of a closed month stands in the books on the first open day;
    `on_that_day` refuses it instead. Raises Refused when that event is posted already, when
    nothing is left to post, for an account that takes no postings, or for a day before the books
    begin.
    """
    wanted = [line for line in lines if line.amount]
    if not wanted:
        raise Refused("There is nothing to post: every amount is zero.")
    if on_that_day:
        must_be_open(day := on)
    else:
        day = open_day(on)
    try:
        # No savepoint: whoever is refused here ends the transaction it belongs to.
        with refusing(day), transaction.atomic(savepoint=False):
            entry = JournalEntry.objects.create(
                date=day,
                kind=kind,
                reference=reference,
                narration=narration[:200],
                posted_by=by,
                reverses=reverses,
            )
    except IntegrityError as error:
        raise Refused(f"This is posted already ({reference}).") from error
    with refusing(day):
        posting = Posting(reference, narration, wanted, branch_id, subject, accounts)
        Transfer.objects.bulk_create(_transfers(entry, posting))
    return entry


def post_many(postings: Iterable[Posting], *, kind: str, on: date, by) -> list[JournalEntry]:
    """Post many entries of one kind and day in a few statements, inside the caller's transaction.

    Lines of zero are left out; a day of a closed month becomes the first open one. Raises
    IntegrityError when one of the events is posted already, and Refused for an account that takes
    no postings or a day before the books begin.
    """
    postings, day = list(postings), open_day(on)
    with refusing(day):
        entries = JournalEntry.objects.bulk_create(
            (
                JournalEntry(
                    date=day,
                    kind=kind,
                    reference=posting.reference,
                    narration=posting.narration[:200],
                    posted_by=by,
                )
                for posting in postings
            ),
            batch_size=1000,
        )
        Transfer.objects.bulk_create(
            (
                transfer
                for entry, posting in zip(entries, postings, strict=True)
                for transfer in _transfers(entry, posting)
            ),
            batch_size=1000,
        )
    return entries


def _transfers(entry: JournalEntry, posting: Posting) -> Iterator[Transfer]:
    """Yield what a posting moves. Lines of zero are left out."""
    places = posting.accounts
    for line in posting.lines:
        if line.amount:
            yield Transfer(
                entry=entry,
                date=entry.date,
                debit_id=places.get(line.debit, line.debit),
                credit_id=places.get(line.credit, line.credit),
                amount=line.amount,
                branch_id=line.branch_id or posting.branch_id,
                subject=posting.subject,
            )


def reverse(entry: JournalEntry, *, reason: str, on: date, by) -> JournalEntry:
    """Post the mirror image of an entry: same accounts and amounts, debit and credit swapped.

    Raises Refused when the entry is reversed already or is itself a reversal.
    """
    if entry.reverses_id:
        raise Refused(f"{entry} is itself a reversal.")
    transfers = list(entry.transfers.all())
    return post(
        kind=f"{entry.kind}_reversal",
        reference=f"reverse:{entry.pk}",
        on=on,
        narration=f"Reversal: {reason}",
        lines=[Line(row.credit_id, row.debit_id, row.amount, row.branch_id) for row in transfers],
        branch_id=transfers[0].branch_id,
        by=by,
        subject=transfers[0].subject,
        reverses=entry,
    )
