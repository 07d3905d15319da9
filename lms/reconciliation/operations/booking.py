"""Book what a statement tells and the books do not: receipts, charges, moves of own money."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Account, JournalEntry
from lms.ledger.operations import Line, Posting, post, post_many, reverse
from lms.money import ZERO, kes
from lms.payments.models import Payment, normal_reference
from lms.payments.operations import CASH_ACCOUNTS, AlreadyPosted
from lms.reconciliation import books, documents
from lms.reconciliation.documents import Document
from lms.reconciliation.matching import Item, Pair
from lms.reconciliation.models import (
    MPESA_ACCOUNTS,
    Match,
    MatchedEntry,
    MatchedLine,
    Reconciliation,
    StatementLine,
    Verdict,
)
from lms.reconciliation.operations.beginning import locked
from lms.reconciliation.operations.pairing import (
    home,
    keep,
    line_of,
    link,
    pair_up,
    unmatch,
)
from lms.staff.models import Branch

BOOKED = Match.How.BOOKED
CHARGE = "charge_paid"
# What a line itself was booked as. Payments have a reversal of their own.
CLEARED = "cheque_cleared"
# What reads like a charge is booked with others up to this amount in KES, or at any where M-Pesa
# itself calls it one. An RTGS, the dearest single tariff of a bank, stays below it; the fees of
# schools and lawyers, which are no price of a transaction, are seldom as small.
DEAREST_CHARGE = Decimal(1000)
BOOKINGS = (CHARGE, CLEARED, books.OWN_TRANSFER)
# Accounts of our own between which money moves without being earned or spent.
OWN_MONEY = (
    chart.CASH,
    chart.MPESA_PAYBILL,
    chart.MPESA_UTILITY,
    chart.MPESA_WORKING,
    chart.BANK,
    chart.SUSPENSE,
)


class Booked(NamedTuple):
    """What became of many lines: how many were booked (KES), and why others were not."""

    number: int
    amount: Decimal
    refused: list[str]


# --- Receipts ------------------------------------------------------------------------------------
def create_payment(
    line: StatementLine,
    *,
    by,
    on: date,
    reference: str | None = None,
    account: str | None = None,
    day: date | None = None,
) -> Payment:
    """Receive the money of a line and place it as its account number says; match the two.

    It counts from the day of the line, unless told another. A repeat, or a payment that was
    posted meanwhile under the same reference, is not received again but matched. Raises Refused
    where that one has another amount, for money that left, for accounts that receipts are not
    booked to, for a day that no open period reaches, and where a document of ours has the
    reference.
    """
    reconciliation = period_of(line)
    if line.amount <= 0:
        raise Refused("Money left on this line: there is no payment to receive.")
    reference = line.reference if reference is None else normal_reference(reference) or ""
    with transaction.atomic():
        must_be_free(locked(reconciliation), line)
        _must_be_nobodys(line, reference)
        home(Reconciliation.objects.of(line.account_id).open(), day or line.day)
    try:
        # In transactions of its own: what arrived stays received whatever follows.
        payment = routing.take(
            method=_method(reconciliation),
            amount=line.amount,
            reference=reference,
            value_date=day or line.day,
            account=line.account_no if account is None else account,
            payer_name=_payer(line),
            note=f"From the statement, {reconciliation.number}",
            by=by,
            on=on,
        )
    except AlreadyPosted as posted:
        payment = posted.payment
        if payment.amount != line.amount or payment.status == Payment.Status.REVERSED:
            raise
    with transaction.atomic():
        link(
            locked(reconciliation),
            lines=[line.pk],
            entries=[payment.entry_id],
            reason=f"Received as {payment.number}",
            how=BOOKED,
            by=by,
        )
    return payment


def create_payments(reconciliation: Reconciliation, *, by, on: date) -> Booked:
    """Receive the money of every line that is missing here and looks like a customer's payment.

    Each line stands for itself: one that is refused keeps none of the others back.
    """
    return _each(
        receipts_missing(reconciliation),
        lambda line: create_payment(line, by=by, on=on),
    )


def _method(reconciliation: Reconciliation) -> str:
    """Return how money on this account is received. Raises Refused where it is not."""
    for method in (Payment.Method.MPESA, Payment.Method.BANK):
        if CASH_ACCOUNTS[method] == reconciliation.account_id:
            return method
    raise Refused(
        f"Payments of customers are not booked to {reconciliation.account}: book this line as a "
        "transfer, or match it by hand."
    )


def _payer(line: StatementLine) -> str:
    """Return the name in “2547****011 - ASHA CHEBET”, or what stands there."""
    _, dash, name = line.party.partition(" - ")
    return name.strip() if dash else line.party


# --- Charges and own money -----------------------------------------------------------------------
def book_charge(line: StatementLine, *, by, on: date, day: date | None = None) -> JournalEntry:
    """Book a line as a charge of M-Pesa or the bank, on its own day unless told another.

    Raises Refused for money that came in, and where a document of ours has the reference: beside
    one whose entry holds no charge, a line that reads like a charge may be booked.
    """
    if line.amount >= 0:
        raise Refused("Money came in on this line: it is no charge.")
    document = documents.of_lines([line]).get(line.pk)
    if document is not None and not _is_beside(document, line):
        raise Refused(document.said)
    reconciliation = period_of(line)
    return _book(
        line,
        other=charges_account(reconciliation),
        kind=CHARGE,
        narration=line.narration or line.kind or "Charge",
        day=day,
        by=by,
        on=on,
    )


def book_transfer(
    line: StatementLine, *, other: Account, reason: str, by, on: date, day: date | None = None
) -> JournalEntry:
    """Book a line as money moved between this account and another of our own.

    Raises Refused for any other account, without a reason, and where a document of ours has the
    reference.
    """
    _must_be_nobodys(line)
    if not (reason := reason.strip()):
        raise Refused("Say what moved: it becomes the narration of the entry.", field="reason")
    if other.pk not in OWN_MONEY or other.pk == line.account_id:
        raise Refused(f"{other} is not another account of our own money.", field="other")
    return _book(
        line, other=other.pk, kind=books.OWN_TRANSFER, narration=reason, day=day, by=by, on=on
    )


def book_charges(reconciliation: Reconciliation, *, by, on: date) -> Booked:
    """Book every line that is missing here and is plainly a charge, in one transaction."""
    with transaction.atomic():
        reconciliation = locked(reconciliation)
        lines = charges_missing(reconciliation)
        days: dict[date, list[StatementLine]] = defaultdict(list)
        for line in lines:
            days[line.day].append(line)
        for day, of_day in sorted(days.items()):
            _book_charges_of(reconciliation, of_day, day=day, by=by)
    return Booked(len(lines), -sum((line.amount for line in lines), ZERO), [])


def charges_account(reconciliation: Reconciliation) -> str:
    """Return where charges on this account are booked."""
    return chart.MPESA_CHARGES if reconciliation.is_mpesa else chart.BANK_CHARGES


def _book_charges_of(
    reconciliation: Reconciliation, lines: list[StatementLine], *, day: date, by
) -> None:
    """Post and match the charges of one day."""
    branch = Branch.head()
    other, keys = charges_account(reconciliation), _keys(lines)
    entries = post_many(
        [
            Posting(
                reference=keys[line.pk],
                narration=line.narration or line.kind,
                lines=[Line(other, line.account_id, -line.amount)],
                branch_id=branch.pk,
                subject=reconciliation.number,
            )
            for line in lines
        ],
        kind=CHARGE,
        on=day,
        by=by,
    )
    pairs = [
        Pair(BOOKED, (line_of(line),), (Item(entry.pk, day, line.amount),))
        for line, entry in zip(lines, entries, strict=True)
    ]
    keep(reconciliation, pairs, by=by, reason="Booked as a charge")


def _book(
    line: StatementLine, *, other: str, kind: str, narration: str, day: date | None, by, on: date
) -> JournalEntry:
    """Post one entry for a line against another account and match the two."""
    day = day or line.day
    if day > on:
        raise Refused("An entry cannot be dated in the future.", field="day")
    with transaction.atomic():
        reconciliation = locked(period_of(line))
        must_be_free(reconciliation, line)
        came_in = line.amount > 0
        debit, credit = (line.account_id, other) if came_in else (other, line.account_id)
        entry = post(
            kind=kind,
            reference=_keys([line])[line.pk],
            on=day,
            narration=narration,
            lines=[Line(debit, credit, abs(line.amount))],
            branch_id=Branch.head().pk,
            by=by,
            subject=reconciliation.number,
        )
        link(
            reconciliation,
            lines=[line.pk],
            entries=[entry.pk],
            reason=narration,
            how=BOOKED,
            by=by,
        )
    return entry


def _keys(lines: Iterable[StatementLine]) -> dict[int, str]:
    """Return what names the entry of each line; the second, third… of a line are numbered."""
    keys = {line.pk: f"statement:{line.pk}" for line in lines}
    entries = JournalEntry.objects.order_by()
    used = set(entries.filter(reference__in=keys.values()).values_list("reference", flat=True))
    for pk, key in keys.items():
        if key in used:
            keys[pk] = f"{key}:{2 + entries.keyed(f'{key}:').count()}"
    return keys


# --- Bookings undone -----------------------------------------------------------------------------
def booked_from(line: StatementLine) -> list[JournalEntry]:
    """Return what was booked from a line and stands, whether or not it is matched with it."""
    return list(
        JournalEntry.objects.filter(
            kind__in=BOOKINGS,
            reversed_by__isnull=True,
            reconciled__match__how=BOOKED,
            reconciled__match__lines__line=line,
        )
        .distinct()
        .order_by("pk")
    )


def reverse_booking(line: StatementLine, *, reason: str, by, on: date) -> list[JournalEntry]:
    """Reverse what was booked from a line, and take it apart: the line may be booked anew.

    The reversal is dated as the entry was, or on the first open day after. Raises Refused without
    a reason, for whoever booked it, where nothing booked stands, while the entry answers to a line
    of its other account, and once the reconciliation is signed off.
    """
    if not (reason := reason.strip()):
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        reconciliation = locked(period_of(line))
        entries = booked_from(line)
        if not entries:
            raise Refused(
                "Nothing booked from this line stands. A payment is reversed on its own page."
            )
        for entry in entries:
            _must_be_reversible(entry, line, by=by)
        for match in Match.objects.filter(is_live=True, entries__entry__in=entries).distinct():
            unmatch(match, reason=reason, by=by, on=on)
        mirrors = [reverse(entry, reason=reason, on=entry.date, by=by) for entry in entries]
        pair_up(reconciliation, by=by)
    return mirrors


def _must_be_reversible(entry: JournalEntry, line: StatementLine, *, by) -> None:
    if entry.posted_by_id is not None and entry.posted_by_id == by.pk:
        raise Refused("You booked this yourself: someone else must reverse it.")
    elsewhere = MatchedEntry.objects.filter(entry=entry, is_live=True).exclude(
        account=line.account_id
    )
    if (other := elsewhere.select_related("account").first()) is not None:
        raise Refused(f"It is matched on {other.account} too: take that match apart first.")


# --- Which lines ---------------------------------------------------------------------------------
def _missing(reconciliation: Reconciliation) -> list[StatementLine]:
    """Return the lines that are missing here and of which nothing was booked that stands."""
    booked = MatchedLine.objects.filter(
        line=OuterRef("pk"),
        is_live=False,
        match__how=BOOKED,
        match__entries__entry__kind__in=BOOKINGS,
        match__entries__entry__reversed_by__isnull=True,
    )
    lines = reconciliation.lines.standing(Verdict.MISSING_HERE).filter(~Exists(booked))
    return list(lines.order_by("day", "pk"))


def receipts_missing(reconciliation: Reconciliation) -> list[StatementLine]:
    """Return the lines that look like payments of customers and are not in the books.

    Left out is what has a document of ours, and what may be own money or a cheque that the account
    waits for, by its amount and day: a person says which of the two it is.
    """
    lines = _money_in(reconciliation)
    known = documents.of_lines(lines)
    waiting = documents.expected(reconciliation) if lines else []
    return [line for line in lines if line.pk not in known and not documents.may_be(line, waiting)]


def receipts_left(reconciliation: Reconciliation) -> int:
    """Return how many lines of money in wait for a person to say what they are."""
    return len(_money_in(reconciliation)) - len(receipts_missing(reconciliation))


def _money_in(reconciliation: Reconciliation) -> list[StatementLine]:
    return [line for line in _missing(reconciliation) if line.is_receipt and line.reference]


def charges_missing(reconciliation: Reconciliation) -> list[StatementLine]:
    """Return the lines that are plainly charges, are not in the books, nor part of an entry.

    A larger one whose narration alone says so is left to a person.
    """
    lines = [line for line in _charge_lines(reconciliation) if _is_plain_charge(line)]
    known = documents.of_lines(lines)
    return [
        line
        for line in lines
        if (document := known.get(line.pk)) is None or _is_beside(document, line)
    ]


def charges_left(reconciliation: Reconciliation) -> int:
    """Return how many lines read like charges and wait for a person to say what they are."""
    return len(_charge_lines(reconciliation)) - len(charges_missing(reconciliation))


def _charge_lines(reconciliation: Reconciliation) -> list[StatementLine]:
    return [line for line in _missing(reconciliation) if line.is_charge]


def _is_plain_charge(line: StatementLine) -> bool:
    return -line.amount <= DEAREST_CHARGE or (line.account_id in MPESA_ACCOUNTS and bool(line.kind))


def _is_beside(document: Document, line: StatementLine) -> bool:
    """Tell whether a line is the charge of a document whose entry does not hold it."""
    return line.is_charge and document.charged_on != line.account_id


def _must_be_nobodys(line: StatementLine, *references: str) -> None:
    """Refuse a line, or references typed for it, that documents of ours have."""
    typed = set(references) - {line.reference}
    found = [*documents.of_lines([line]).values(), *documents.standing(typed).values()]
    for document in found:
        raise Refused(document.said)


def period_of(line: StatementLine) -> Reconciliation:
    """Return the open period that is the first to see the line. Raises Refused for none."""
    found = (
        Reconciliation.objects.of(line.account_id)
        .open()
        .filter(last__gte=line.day)
        .select_related("account")
        .first()
    )
    if found is None:
        raise Refused("Every period with this line is signed off: begin the next one first.")
    return found


def must_be_free(reconciliation: Reconciliation, line: StatementLine) -> None:
    """Refuse a line that is matched, or from which something was booked that stands."""
    if not StatementLine.objects.unmatched().filter(pk=line.pk).exists():
        raise Refused("This line is matched already, or was not completed.")
    for entry in booked_from(line):
        raise Refused(
            f"{entry} was booked from this line already: match the two, or reverse what was booked."
        )


def _each(lines: list[StatementLine], book: Callable) -> Booked:
    number, amount, refused = 0, ZERO, []
    for line in lines:
        try:
            book(line)
        except Refused as refusal:
            refused.append(f"{line.reference}, {kes(line.amount)}: {refusal.message}")
        else:
            number += 1
            amount += line.amount
    return Booked(number, amount, refused)
