"""Our side of the account: what each journal entry moved on it, and which statement answers to it.

An entry counts once whatever number of its transfers touch the account, because a statement shows
one line for one event. Amounts are signed KES: money into the account is more than zero.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import (
    Case,
    CharField,
    DecimalField,
    Exists,
    F,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from lms import money
from lms.ledger.models import Transfer
from lms.reconciliation.matching import Item
from lms.reconciliation.models import Match, MatchedEntry, MatchedLine, Reconciliation

# Where the reference of an entry stands: on its document, or on that of the entry undone.
DOCUMENTS = tuple(
    f"{entry}__{document}"
    for entry in ("entry", "entry__reverses")
    for document in (
        "payment__reference",
        "payout__reference",
        "b2c_payment__receipt",
        "funds_transfer__reference",
        "arrived_slip__slip_number",
    )
)
OWN_TRANSFER = "own_transfer"  # the kind of own money that is booked from a line
# Kinds of entries that move money of our own from one place to another.
OWN_MONEY = ("funds_transfer", "banking", OWN_TRANSFER)
REVERSAL = "_reversal"
SHOWN = ("entry_id", "date", "entry__kind", "entry__narration", "entry__reverses_id")


class Entry(NamedTuple):
    """One entry as the page shows it."""

    pk: int
    day: date
    amount: Decimal
    reference: str
    kind: str
    narration: str
    reverses: int | None

    @property
    def item(self) -> Item:
        return Item(
            self.pk, self.day, self.amount, self.reference, self.reverses, is_own=self.is_own
        )

    @property
    def is_own(self) -> bool:
        return self.kind.removesuffix(REVERSAL) in OWN_MONEY

    @property
    def number(self) -> str:
        return f"JE{self.pk:06d}"


def start_of(account_id: str) -> date:
    """Return the first day of the account's first reconciliation."""
    return Reconciliation.objects.of(account_id).values_list("first", flat=True)[0]


def asked(account_id: str) -> Q:
    """Return which entries a statement has to answer to, whenever they were posted.

    Those since the first day of the first reconciliation, and those before it that were posted
    after it was signed off: they are not in the balance with which the account came.
    """
    first, kept_at = Reconciliation.objects.of(account_id).values_list("first", "books_before_at")[
        0
    ]
    since = Q(date__gte=first)
    return since if kept_at is None else since | Q(entry__posted_at__gt=kept_at)


def moved(account_id: str):
    """Return transfers of the account grouped by entry, with `moved` and `document` of each."""
    sign = Case(
        When(debit=account_id, then=F("amount")),
        default=-F("amount"),
        output_field=DecimalField(max_digits=14, decimal_places=2),
    )
    document = Coalesce(*DOCUMENTS, _line_booked(), Value(""), output_field=CharField())
    return (
        Transfer.objects.filter(Q(debit=account_id) | Q(credit=account_id))
        .order_by()
        .annotate(document=document)
        .values(*SHOWN, "document")
        .annotate(moved=money.total(sign))
        .exclude(moved=money.ZERO)
    )


def _line_booked() -> Subquery:
    """Return the reference of the line that an entry was booked from, for its other account."""
    booked = MatchedLine.objects.filter(
        match__how=Match.How.BOOKED, match__entries__entry=OuterRef("entry_id")
    )
    return Subquery(booked.order_by("pk").values("line__reference")[:1])


def unmatched(reconciliation: Reconciliation):
    """Return the entries up to the end of a period that no line of a statement answers to.

    A match made in a later reconciliation does not count, nor does an entry that was posted
    after this one was signed off: it stays what it was on that day.
    """
    account = reconciliation.account_id
    matched = MatchedEntry.objects.filter(
        account=account,
        entry=OuterRef("entry_id"),
        is_live=True,
        match__reconciliation__last__lte=reconciliation.last,
    )
    rows = moved(account).filter(asked(account), ~Exists(matched), date__lte=reconciliation.last)
    if reconciliation.signed_at:
        rows = rows.filter(entry__posted_at__lte=reconciliation.signed_at)
    return rows.order_by("date", "entry_id")


def free(account_id: str, **only):
    """Return the entries of the account that a statement has to answer to and that none does."""
    live = MatchedEntry.objects.filter(account=account_id, entry=OuterRef("entry_id"), is_live=True)
    return moved(account_id).filter(asked(account_id), ~Exists(live), **only)


def entries(rows) -> Iterator[Entry]:
    """Yield the rows of `moved` as entries."""
    for row in rows:
        yield Entry(
            row["entry_id"],
            row["date"],
            row["moved"],
            "".join(row["document"].split()).upper(),
            row["entry__kind"],
            row["entry__narration"],
            row["entry__reverses_id"],
        )
