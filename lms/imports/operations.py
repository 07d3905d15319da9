"""The verbs of a file: upload, check, confirm, apply, discard. One transaction applies it whole."""

import csv
import hashlib
import io
from collections.abc import Sequence
from datetime import date
from itertools import islice

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction

from lms import dates, tables
from lms.errors import Refused
from lms.imports import verdicts
from lms.imports.customers import Customers
from lms.imports.journals import Journals
from lms.imports.kind import Kind, Run
from lms.imports.loans import Loans
from lms.imports.models import ImportJob
from lms.imports.payments import Payments
from lms.imports.schedule import Schedules
from lms.imports.verdicts import Verdict

Status = ImportJob.Status
KINDS: dict[str, Kind] = {
    kind.code: kind for kind in (Schedules(), Customers(), Loans(), Payments(), Journals())
}
OUTCOME = (*verdicts.STATES, "rows", "progress", "report", "summary", "error")


class _WrongLines(Exception):
    """Carries what was found out of the transaction that it undoes."""

    def __init__(self, found: Sequence[Verdict], table: tables.Table) -> None:
        super().__init__()
        self.found, self.table = found, table


def kinds_for(staff) -> list[Kind]:
    """Return the kinds of file that this person may bring."""
    return [kind for kind in KINDS.values() if staff.has_perms(kind.permissions)]


def template(kind: str) -> str:
    """Return a CSV file with the header of a kind and two example lines, for download."""
    chosen = KINDS[kind]
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow(chosen.template)
    sheet.writerows(chosen.examples)
    return text.getvalue()


def upload(*, kind: str, content: bytes, filename: str, by) -> ImportJob:
    """Store a file that staff brought, having looked at its header.

    Raises Refused when it is too large, cannot be read, has no lines, or is of a kind that this
    person may not bring.
    """
    chosen = KINDS[kind]
    _must_be_allowed(chosen, by)
    if len(content) > settings.IMPORT_MAX_MEGABYTES * 1024 * 1024:
        raise Refused(
            f"“{filename}” is larger than {settings.IMPORT_MAX_MEGABYTES} MB. "
            "Cut it into several files, each loan whole in one of them.",
            field="file",
        )
    try:
        lines = _open(chosen, content, filename).lines
        count = sum(1 for _ in islice(lines, settings.IMPORT_INLINE_ROWS + 1))
    except tables.TableError as error:
        raise Refused(str(error), field="file") from error
    if not count:
        raise Refused(
            f"“{filename}” has a header but no lines under it. Add the lines and bring it again.",
            field="file",
        )
    digest = hashlib.sha256(content).hexdigest()
    job = ImportJob(
        kind=kind,
        filename=filename[-200:],
        sha256=digest,
        created_by=by,
        rows=_rows(content, count),
    )
    suffix = ".xlsx" if content.startswith(b"PK") else ".csv"
    job.file.save(f"{kind}-{digest[:12]}{suffix}", ContentFile(content), save=False)
    job._history_user, job._change_reason = by, "Uploaded"
    job.save()
    return job


def is_large(job: ImportJob) -> bool:
    """Tell whether the file is more than a request should do, so that a worker does it."""
    return job.rows * KINDS[job.kind].weight > settings.IMPORT_INLINE_ROWS


def check(job: ImportJob, *, on: date) -> ImportJob:
    """Look at every line and write down what it would do: counts, summary and report.

    Changes nothing else, and may be repeated. The job ends `checked`, or `refused` when the file
    cannot be read to its end.
    """
    job = _start(job, Status.CHECKING, by=job.created_by, reason="Check started")
    try:
        found, table = _walk(job, by=job.created_by, on=on, write=False)
    except tables.TableError as error:
        return _end(job, Status.REFUSED, error=str(error))
    except Exception as error:
        _end(job, Status.FAILED, error=_unexpected(error))
        raise
    job.checked_at = dates.now()
    return _end(job, Status.CHECKED, found=found, table=table, fields=("checked_at",))


def confirm(job: ImportJob, *, leave_out_bad: bool, by) -> ImportJob:
    """Decide that a checked file is to be applied, by a worker or at once.

    With `leave_out_bad` the loans with a wrong line stay out. Raises Refused when lines are wrong
    and may not be left out, and when nothing would change.
    """
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=job.pk)
        _must_be_allowed(KINDS[job.kind], by)
        _must_be_right(job, leave_out_bad=leave_out_bad)
        if job.status == Status.CHECKED and not job.changes:
            raise Refused("Nothing in this file is new or changed: there is nothing to import.")
        job.leave_out_bad, job.confirmed_by = leave_out_bad, by
        job.move_to(
            Status.CONFIRMED,
            by=by,
            reason="Confirmed, leaving out what is wrong" if leave_out_bad else "Confirmed",
            fields=("leave_out_bad", "confirmed_by"),
        )
    return job


def apply(job: ImportJob, *, by, on: date) -> ImportJob:
    """Import a checked file in one transaction: all of it, or nothing.

    With `leave_out_bad` set, loans with a wrong line are left out whole. Every line is checked
    again under lock; lines that became wrong meanwhile refuse the file. A run that was killed
    left nothing behind, so it may be repeated. Raises Refused for a file with wrong lines.
    """
    if job.status == Status.CHECKED:
        _must_be_right(job, leave_out_bad=job.leave_out_bad)
    job = _start(job, Status.APPLYING, by=by, reason="Import started")
    try:
        return _apply_whole(job.pk, by=by, on=on)
    except _WrongLines as wrong:
        return _end(
            job,
            Status.REFUSED,
            by=by,
            found=wrong.found,
            table=wrong.table,
            error="Some lines became wrong after the check. Nothing was imported.",
        )
    except tables.TableError as error:
        return _end(job, Status.REFUSED, by=by, error=str(error))
    except Exception as error:
        _end(job, Status.FAILED, by=by, error=_unexpected(error))
        raise


def _apply_whole(pk: int, *, by, on: date) -> ImportJob:
    """Write every good line and the end of the job in one transaction. Raises _WrongLines."""
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=pk)
        if job.status != Status.APPLYING:
            return job  # Another worker, which was given the same job, has just finished it.
        found, table = _walk(job, by=by, on=on, write=True)
        if not job.leave_out_bad and any(v.state == verdicts.WRONG for v in found):
            raise _WrongLines(found, table)
        job.applied_at = dates.now()
        return _end(job, Status.DONE, by=by, found=found, table=table, fields=("applied_at",))


def discard(job: ImportJob, *, by) -> ImportJob:
    """Set a file aside that is not to be imported. Raises Refused while a worker is on it."""
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=job.pk)
        job.move_to(Status.DISCARDED, by=by, reason="Discarded")
    return job


def _must_be_allowed(kind: Kind, staff) -> None:
    if not staff.has_perms(kind.permissions):
        raise Refused(f"You may not import {kind.label.lower()}.")


def _must_be_right(job: ImportJob, *, leave_out_bad: bool) -> None:
    if job.wrong and not leave_out_bad:
        lines = "1 line is" if job.wrong == 1 else f"{job.wrong} lines are"
        raise Refused(
            f"{lines} wrong, so nothing was imported: correct the file and bring it again, "
            "or leave out what is wrong."
        )


def _open(kind: Kind, content: bytes, filename: str) -> tables.Table:
    return tables.read(content, filename=filename, columns=kind.columns, required=kind.required)


def _rows(content: bytes, count: int) -> int:
    """Return how many lines a file has: counted while small, estimated when it is not."""
    if count <= settings.IMPORT_INLINE_ROWS or content.startswith(b"PK"):
        return count
    return max(count, content.count(b"\n"))


def _start(job: ImportJob, status: str, *, by, reason: str) -> ImportJob:
    """Take the step in a transaction of its own, so that everyone sees that work has begun."""
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=job.pk)
        job.progress = 0
        job.move_to(status, by=by, reason=reason, fields=("progress",))
    return job


def _walk(job: ImportJob, *, by, on: date, write: bool) -> tuple[Sequence[Verdict], tables.Table]:
    """Walk through the file; return what became of each line. Raises TableError.

    While it checks, how far it is can be seen by everyone; inside the transaction that applies,
    by nobody until it ends.
    """

    def progress(done: int) -> None:
        if not write:
            ImportJob.objects.filter(pk=job.pk).update(progress=done)

    with job.file.open("rb") as stored:
        content = stored.read()
    kind = KINDS[job.kind]
    table = _open(kind, content, job.filename)
    run = Run(by=by, on=on, job_id=job.pk, filename=job.filename, write=write, progress=progress)
    return kind.run(table, run), table


def _end(
    job: ImportJob,
    status: str,
    *,
    by=None,
    found: Sequence[Verdict] | None = None,
    table: tables.Table | None = None,
    error: str = "",
    fields: tuple[str, ...] = (),
) -> ImportJob:
    """Write down how a run ended, and what it found where it came that far."""
    job.error = error
    if found is not None:
        for state, count in verdicts.tally(found).items():
            setattr(job, state, count)
        job.rows = job.progress = len(found)
        job.summary = verdicts.summary(found, table.titles, table.ignored)
        old = job.report.name
        job.report.save(
            f"{job.kind}-{job.sha256[:12]}-report.csv",
            ContentFile(verdicts.report(found, table.titles)),
            save=False,
        )
        if old:
            storage = job.report.storage
            transaction.on_commit(lambda: storage.delete(old))
    job.move_to(
        status,
        by=by or job.created_by,
        reason=error or ImportJob.Status(status).label,
        fields=(*OUTCOME, *fields),
    )
    return job


def _unexpected(error: Exception) -> str:
    return (
        "Something went wrong that is not in the file, and nothing was imported. "
        f"Tell the people who look after the system: {type(error).__name__}."
    )
