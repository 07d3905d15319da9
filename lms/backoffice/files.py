"""The files staff brought: shown to those who may see the record they belong to."""

import mimetypes
from pathlib import PurePosixPath

from django.core.files.storage import default_storage
from django.db.models import Q
from django.http import FileResponse, Http404, HttpRequest

from lms.customers.models import Customer, CustomerDocument
from lms.imports.models import ImportJob
from lms.ledger.models import JournalPaper, ManualJournal
from lms.loans.models import Collateral, CollateralDocument, Guarantor
from lms.reconciliation.models import StatementFile

# What a browser may show by itself. Everything else is a download, whatever it says it is.
SHOWN = {"image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"}


def serve(request: HttpRequest, path: str) -> FileResponse:
    """Send one stored file. Raises Http404 for a path that no record this person sees owns.

    The path is compared with what records say, so it never leads outside the store.
    """
    owns = (_is_of_customer, _is_of_security, _is_of_journal, _is_of_import, _is_of_statement)
    if not any(owner(request.user, path) for owner in owns):
        raise Http404
    try:
        content = default_storage.open(path)
    except FileNotFoundError as missing:
        raise Http404 from missing
    kind = mimetypes.guess_type(path)[0]
    response = FileResponse(
        content,
        as_attachment=kind not in SHOWN,
        filename=PurePosixPath(path).name,
        content_type=kind if kind in SHOWN else "application/octet-stream",
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    response["Content-Security-Policy"] = "default-src 'none'; img-src 'self'; object-src 'self'"
    return response


def _is_of_customer(staff, path: str) -> bool:
    seen = Customer.objects.seen_by(staff)
    if staff.has_perm("customers.view_customer") and seen.filter(photo=path).exists():
        return True
    papers = CustomerDocument.objects.filter(file=path, customer__in=seen)
    return staff.has_perm("customers.view_customerdocument") and papers.exists()


def _is_of_security(staff, path: str) -> bool:
    consents = Guarantor.objects.seen_by(staff).filter(consent_document=path)
    if staff.has_perm("loans.view_guarantor") and consents.exists():
        return True
    things = Collateral.objects.seen_by(staff)
    papers = CollateralDocument.objects.filter(file=path, collateral__in=things)
    return staff.has_perm("loans.view_collateraldocument") and papers.exists()


def _is_of_journal(staff, path: str) -> bool:
    seen = ManualJournal.objects.seen_by(staff)
    papers = JournalPaper.objects.filter(file=path, journal__in=seen)
    return staff.has_perm("ledger.view_journalpaper") and papers.exists()


def _is_of_import(staff, path: str) -> bool:
    jobs = ImportJob.objects.seen_by(staff).filter(Q(file=path) | Q(report=path))
    return staff.has_perm("imports.view_importjob") and jobs.exists()


def _is_of_statement(staff, path: str) -> bool:
    files = StatementFile.objects.seen_by(staff).filter(file=path)
    return staff.has_perm("reconciliation.view_statementfile") and files.exists()
