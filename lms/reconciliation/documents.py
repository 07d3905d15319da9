"""What our own records say about the line of a statement.

Money whose document is here already is in the books, or waits for a step of its own: it is
neither received from a customer nor booked a second time.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Replace, Upper

from lms.ledger import chart
from lms.mpesa.models import B2cPayment
from lms.payments.models import Payment, Payout
from lms.reconciliation import books, matching
from lms.reconciliation.models import (
    ClearedCheque,
    Match,
    MatchedLine,
    Reconciliation,
    StatementLine,
)
from lms.tills.models import Banking, FundsTransfer

# Own money and cheques are on a statement within so many days of our paper, or much later seldom.
DAYS_ON_THE_WAY = 10
CHEQUE_WORDS = re.compile(r"\b(cheques?|chqs?|clearing)\b", re.IGNORECASE)
# References asked about in one query.
AT_ONCE = 500


class Document(NamedTuple):
    """One record of ours: its amounts in KES, and what to do with a line that names it.

    `charged_on` is the account on which its entry holds a charge too.
    """

    reference: str
    said: str
    amounts: tuple[Decimal, ...] = ()
    charged_on: str = ""


class Expected(NamedTuple):
    """Money that an account waits for since a day; the amount is KES."""

    day: date
    amount: Decimal
    is_cheque: bool = False


# --- By reference --------------------------------------------------------------------------------
def of_lines(lines: Collection[StatementLine]) -> dict[int, Document]:
    """Return the document of each line that has one, by the key of the line.

    A line has it by its reference, or by a word of its narration where the amount is the same.
    """
    words = {line.pk: _references_in(line.narration) for line in lines}
    found = standing({line.reference for line in lines}.union(*words.values()))
    documents = {}
    for line in lines:
        named = [found[word] for word in words[line.pk] if word in found]
        same = [document for document in named if abs(line.amount) in document.amounts]
        if own := [found[line.reference]] if line.reference in found else same:
            documents[line.pk] = own[0]
    return documents


def standing(references: Iterable[str]) -> dict[str, Document]:
    """Return what stands under these references, written as statements write them."""
    wanted = sorted({reference for reference in references if reference})
    return {
        document.reference: document
        for start in range(0, len(wanted), AT_ONCE)
        for document in _standing(wanted[start : start + AT_ONCE])
    }


def names(line: StatementLine, reference: str) -> bool:
    """Tell whether a line names a reference, as its own or in its narration."""
    return reference in (line.reference, *_references_in(line.narration))


def _references_in(narration: str) -> list[str]:
    """Return the words of a narration that may be references of ours: they have a digit."""
    words = matching.words_of(narration)
    return sorted(word for word in words if any(letter.isdigit() for letter in word))


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
            (move.amount, move.charge, move.amount + move.charge),
            move.source if move.charge else "",
        )


def _slips(references: list[str]) -> Iterator[Document]:
    for slip in _named(Banking.objects.standing(), "slip_number", references):
        step = (
            "confirm that it arrived"
            if slip.status == Banking.Status.IN_TRANSIT
            else "match the line with its entry"
        )
        yield Document(slip.plain, f"{slip} is a banking slip of ours: {step}.", (slip.amount,))


def _payouts(references: list[str]) -> Iterator[Document]:
    for part in B2cPayment.objects.filter(receipt__in=references).select_related("payout"):
        yield Document(
            part.receipt,
            f"{part.number} of {part.payout} was paid under this receipt: match the line with its "
            "entry.",
            (part.amount,),
        )
    by_hand = Payout.objects.exclude(method=Payout.Method.B2C)
    for payout in by_hand.filter(reversed_on__isnull=True, reference__in=references):
        yield Document(
            payout.reference,
            f"{payout} was paid out under this reference: match the line with its entry, or "
            "reverse the payout where the money came back.",
            (payout.amount,),
        )


def _cheques(references: list[str]) -> Iterator[Document]:
    cleared = ClearedCheque.objects.standing().filter(payment=OuterRef("pk"))
    cheques = Payment.objects.filter(method=Payment.Method.CHEQUE, reference__in=references)
    for cheque in cheques.filter(~Q(status=Payment.Status.REVERSED) | Exists(cleared)):
        yield Document(
            cheque.reference,
            f"{cheque} is cheque {cheque.reference}: clear it where its money came in. Where it "
            f"came back unpaid, reverse {cheque.number} and book the line as a returned cheque.",
            (cheque.amount,),
        )


def _booked_from_other_lines(references: list[str]) -> Iterator[Document]:
    """Yield moves of own money that were booked from the statement of the other account."""
    found = MatchedLine.objects.filter(
        line__reference__in=references,
        is_live=True,
        match__how=Match.How.BOOKED,
        match__entries__entry__kind=books.OWN_TRANSFER,
        match__entries__entry__reversed_by__isnull=True,
    ).select_related("line__account")
    for one in found:
        yield Document(
            one.line.reference,
            f"This is own money, booked from the statement of {one.line.account}: match the line "
            "with that entry.",
            (abs(one.line.amount),),
        )


def _named(rows: QuerySet, field: str, references: Collection[str]) -> QuerySet:
    """Return the rows of these references with `plain`: in capitals, without spaces."""
    plain = Replace(Upper(field), Value(" "), Value(""), output_field=CharField())
    return rows.annotate(plain=plain).filter(plain__in=references)


# --- On their way to the bank --------------------------------------------------------------------
def slip_of(line: StatementLine) -> Banking | None:
    """Return the slip on its way whose number is the reference of a line or in its narration."""
    if line.account_id != chart.BANK or line.amount <= 0:
        return None
    names = [line.reference, *_references_in(line.narration)]
    return _named(Banking.objects.in_transit(), "slip_number", names).first()


def waiting_cheques() -> QuerySet[Payment]:
    """Return the cheques that were received and did not clear yet."""
    cleared = ClearedCheque.objects.standing().filter(payment=OuterRef("pk"))
    return Payment.objects.standing().filter(~Exists(cleared), method=Payment.Method.CHEQUE)


def expected(reconciliation: Reconciliation) -> list[Expected]:
    """Return own money and cheques that the account still waits for."""
    account = reconciliation.account_id
    rows = books.free(account, entry__kind__in=books.OWN_MONEY, date__lte=reconciliation.last)
    found = [Expected(entry.day, entry.amount) for entry in books.entries(rows)]
    if account == chart.BANK:
        slips = Banking.objects.in_transit().values_list("banked_on", "amount")
        found += [Expected(*slip) for slip in slips]
    if not reconciliation.is_mpesa:
        cheques = waiting_cheques().values_list("value_date", "amount")
        found += [Expected(*cheque, is_cheque=True) for cheque in cheques]
    return found


def _reads_like_cheques(line: StatementLine, cheque: Expected) -> bool:
    return line.amount > cheque.amount and bool(CHEQUE_WORDS.search(line.narration))


def may_be(line: StatementLine, waiting: Iterable[Expected]) -> bool:
    """Tell whether the line may be one of what the account waits for.

    A deposit of several cheques has the amount of none of them: there its words tell.
    """
    return any(
        (line.amount == one.amount or (one.is_cheque and _reads_like_cheques(line, one)))
        and abs((line.day - one.day).days) <= DAYS_ON_THE_WAY
        for one in waiting
    )
