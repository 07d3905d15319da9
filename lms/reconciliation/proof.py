"""The proof of a reconciliation: the statement's balance is that of the books and what is listed.

    balance of the books
    + money on the statement that is not in the books
    − money in the books that is not on the statement
    + where both tell it, the statement's amount less the books'
    + the difference with which the account came into reconciliation
    = balance of the statement

Any other difference means that lines of the statement are not here. Amounts are KES.
"""

from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum

from lms import money
from lms.ledger.balances import balance
from lms.ledger.models import Transfer
from lms.money import ZERO
from lms.reconciliation import books
from lms.reconciliation.models import Reconciliation, Verdict


@dataclass(frozen=True, slots=True)
class Proof:
    """Sums of one reconciliation, and how many rows stand behind each. Amounts KES."""

    on: date
    closing: Decimal | None
    ledger: Decimal
    brought_forward: Decimal
    missing_here: Decimal
    duplicate: Decimal
    missing_there: Decimal
    differs: Decimal
    counts: dict[str, int]

    @property
    def expected(self) -> Decimal:
        """What the statement's closing balance has to be, as far as it is here."""
        return (
            self.ledger
            + self.missing_here
            + self.duplicate
            - self.missing_there
            + self.differs
            + self.brought_forward
        )

    @property
    def unexplained(self) -> Decimal | None:
        return None if self.closing is None else self.closing - self.expected

    @property
    def holds(self) -> bool:
        return self.unexplained == ZERO

    @property
    def open_lines(self) -> int:
        """How many lines and entries wait for somebody."""
        waiting = (Verdict.MISSING_HERE, Verdict.DUPLICATE, Verdict.DIFFERS, Verdict.MISSING_THERE)
        return sum(self.counts[verdict] for verdict in waiting)

    def as_json(self) -> dict[str, Any]:
        """Return it in the form that is kept when the reconciliation is signed off."""
        kept = asdict(self)
        return {
            name: value if value is None or isinstance(value, dict) else str(value)
            for name, value in kept.items()
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Proof":
        read = dict(kept)
        read["on"] = date.fromisoformat(kept["on"])
        for field in fields(cls):
            if field.name not in ("on", "counts") and kept[field.name] is not None:
                read[field.name] = Decimal(kept[field.name])
        return cls(**read)


def of(reconciliation: Reconciliation) -> Proof:
    """Return the proof: as it was signed, or as things stand now while it is open."""
    if reconciliation.proof is not None:
        return Proof.from_json(reconciliation.proof)
    return work_out(reconciliation)


def work_out(reconciliation: Reconciliation) -> Proof:
    """Return the proof from the lines, matches and entries of this moment."""
    lines = reconciliation.lines
    sums, counts = {}, {}
    for verdict in Verdict:
        if verdict != Verdict.MISSING_THERE:
            found = lines.standing(verdict).aggregate(number=Count("pk"), sum=money.total("amount"))
            sums[verdict], counts[verdict] = found["sum"], found["number"]
    there = books.unmatched(reconciliation).values_list("moved", flat=True)
    amounts = list(there)
    counts[Verdict.MISSING_THERE] = len(amounts)
    return Proof(
        on=reconciliation.last,
        closing=reconciliation.closing,
        ledger=balance(reconciliation.account_id, reconciliation.last).net,
        brought_forward=_brought_forward(reconciliation),
        missing_here=sums[Verdict.MISSING_HERE],
        duplicate=sums[Verdict.DUPLICATE],
        missing_there=sum(amounts, ZERO),
        differs=_differences(reconciliation),
        counts={str(verdict): counts[verdict] for verdict in Verdict},
    )


def _differences(reconciliation: Reconciliation) -> Decimal:
    """Return what the statement tells more than the books in pairs that differ.

    Pairs settled with a difference in an earlier period still part the two balances.
    """
    return (
        type(reconciliation)
        .objects.filter(
            account=reconciliation.account_id,
            last__lte=reconciliation.last,
            matches__is_live=True,
        )
        .aggregate(sum=money.total("matches__difference"))["sum"]
    )


def _brought_forward(reconciliation: Reconciliation) -> Decimal:
    """Return by how much statement and books differed before the first reconciliation began."""
    first = Reconciliation.objects.of(reconciliation.account_id)[0]
    return (first.opening or ZERO) - books_before(first)


def books_before(first: Reconciliation) -> Decimal:
    """Return what the books said before the first day of an account's first reconciliation.

    As they stood when it was signed off for the first time; until then, as they stand.
    """
    if first.books_before is not None:
        return first.books_before
    return balance(first.account_id, first.first - timedelta(days=1)).net


def late_postings(reconciliation: Reconciliation) -> Decimal:
    """Return what was posted into a signed-off period afterwards, net KES.

    It belongs to the next reconciliation, which lists it as missing on the statement until a line
    answers to it.
    """
    if not reconciliation.signed_at:
        return ZERO
    account = reconciliation.account_id
    sides = Transfer.objects.filter(
        date__lte=reconciliation.last, entry__posted_at__gt=reconciliation.signed_at
    ).aggregate(
        into=Sum("amount", filter=Q(debit=account)), out=Sum("amount", filter=Q(credit=account))
    )
    return money.money((sides["into"] or ZERO) - (sides["out"] or ZERO))
