"""Papers about a loan: the payoff quote and the clearance letter, issued and kept."""

from collections.abc import Callable
from datetime import date

from django.db import transaction
from django.db.models import F

from lms.errors import Refused
from lms.loans.models import IssuedDocument, Loan
from lms.loans.operations import collection, lateness, rows, settling
from lms.money import kes

Write = Callable[[IssuedDocument, dict], str]


def issue_payoff_quote(loan: Loan, *, write: Write, by, on: date) -> IssuedDocument:
    """Keep a payoff quote for a day as `write` puts it. Raises Refused as `settling.payoff`."""
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        lateness.bring_up_to(loan, on=on)
        facts = {"quote": settling.payoff(loan, on=on)}
        return _issue(loan, IssuedDocument.Kind.PAYOFF, facts, write=write, by=by, on=on)


def issue_clearance(loan: Loan, *, write: Write, by, on: date) -> IssuedDocument:
    """Keep the letter that says a loan is paid. Raises Refused while anything is owed on it."""
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        if loan.disbursed_on is None:
            raise Refused(f"{loan.number} was never paid out.")
        owed = loan.position.outstanding + collection.still_owed(loan)
        if owed or loan.status == Loan.Status.ACTIVE:
            raise Refused(f"{kes(owed)} is still owed on {loan.number}: it is not cleared.")
        return _issue(loan, IssuedDocument.Kind.CLEARANCE, {}, write=write, by=by, on=on)


def _issue(loan, kind, facts: dict, *, write: Write, by, on: date) -> IssuedDocument:
    document = IssuedDocument.objects.create(loan=loan, kind=kind, issued_on=on, issued_by=by)
    document.body = write(document, facts)
    document.save(update_fields=["body"])
    return document


def print_out(document: IssuedDocument) -> IssuedDocument:
    """Count one more print of a document: all but the first are copies."""
    IssuedDocument.objects.filter(pk=document.pk).update(prints=F("prints") + 1)
    document.refresh_from_db(fields=["prints"])
    return document
