"""What our own records say about the reference of a statement line.

Money whose document is here already is in the books, or waits for a step of its own: it is
neither received from a customer nor booked a second time.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from django.db.models import CharField, Value
from django.db.models.functions import Replace, Upper

from lms.payments.models import Payment, Payout
from lms.reconciliation.models import Match, MatchedLine
from lms.tills.models import Banking, FundsTransfer

OWN_TRANSFER = "own_transfer"
# References asked about in one query.
AT_ONCE = 500


class Document(NamedTuple):
    """One record of ours. `charged_on` is the account on which its entry holds a charge too."""

    reference: str
    said: str
    charged_on: str = ""


def standing(references: Collection[str]) -> dict[str, Document]:
    """Return what stands under these references, written as statements write them."""
    wanted = sorted({reference for reference in references if reference})
    return {
        document.reference: document
        for start in range(0, len(wanted), AT_ONCE)
        for document in _standing(wanted[start : start + AT_ONCE])
    }


def _standing(references: list[str]) -> Iterator[Document]:
    yield from _booked_from_other_lines(references)
    yield from _cheques(references)
    yield from _payouts(references)
    yield from _slips(references)
    yield from _transfers(references)


def _transfers(references: list[str]) -> Iterator[Document]:
    moves = FundsTransfer.objects.filter(reversed_on__isnull=True)
    for move in _named(moves, "reference", references):
        way = f"{move.get_source_display()} to {move.get_destination_display()}"
        yield Document(
            move.plain,
            f"{move} is our own transfer, {way}: match the line with its entry.",
            move.source if move.charge else "",
        )


def _slips(references: list[str]) -> Iterator[Document]:
    for slip in _named(Banking.objects.standing(), "slip_number", references):
        step = (
            "confirm that it arrived"
            if slip.status == Banking.Status.IN_TRANSIT
            else "match the line with its entry"
        )
        yield Document(slip.plain, f"{slip} is a banking slip of ours: {step}.")


def _payouts(references: list[str]) -> Iterator[Document]:
    for payout in Payout.objects.filter(reversed_on__isnull=True, reference__in=references):
        yield Document(
            payout.reference,
            f"{payout} was paid out under this reference: match the line with its entry, or "
            "reverse the payout where the money came back.",
        )


def _cheques(references: list[str]) -> Iterator[Document]:
    cheques = Payment.objects.standing().filter(method=Payment.Method.CHEQUE)
    for cheque in cheques.filter(reference__in=references):
        yield Document(
            cheque.reference,
            f"{cheque} is a cheque: clear it when its money came in; when it came back unpaid, "
            f"reverse {cheque.number}.",
        )


def _booked_from_other_lines(references: list[str]) -> Iterator[Document]:
    """Yield moves of own money that were booked from the statement of the other account."""
    found = MatchedLine.objects.filter(
        line__reference__in=references,
        is_live=True,
        match__how=Match.How.BOOKED,
        match__entries__entry__kind=OWN_TRANSFER,
        match__entries__entry__reversed_by__isnull=True,
    ).select_related("line__account")
    for one in found:
        yield Document(
            one.line.reference,
            f"This is own money, booked from the statement of {one.line.account}: match the line "
            "with that entry.",
        )


def _named(rows, field: str, references: list[str]):
    """Return the rows of these references with `plain`: in capitals, without spaces."""
    plain = Replace(Upper(field), Value(" "), Value(""), output_field=CharField())
    return rows.annotate(plain=plain).filter(plain__in=references)
