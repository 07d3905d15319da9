"""`manage.py import_schedule FILE.csv`: bring repayment schedules from a terminal."""

import csv
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from lms import dates
from lms.errors import Refused
from lms.imports import operations
from lms.imports.models import ImportJob
from lms.staff.models import Staff


class Command(BaseCommand):
    """Checks the file, tells what each wrong line needs, and imports it when none is wrong."""

    help = (
        "Import repayment schedules from a CSV or Excel file with the columns loan, number, "
        "due_date and amount_due (and principal, interest, fees, penalty, amount_paid, status). "
        "All or nothing: with one wrong line nothing is imported and the command exits with 1. "
        "A file imported twice changes nothing."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the CSV or XLSX file")
        parser.add_argument(
            "--dry-run", action="store_true", help="only check: say what would change"
        )
        parser.add_argument(
            "--leave-out-bad",
            action="store_true",
            help="import the good loans and leave out those with a wrong line",
        )
        parser.add_argument(
            "--user",
            metavar="USERNAME",
            help="whose import it is: sees only their branch, and stands in the history "
            "(the first administrator with every right, unless told)",
        )

    def handle(self, *args, **options) -> None:
        path: Path = options["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        by, on = self._staff(options["user"]), dates.today()
        try:
            job = operations.upload(kind="schedule", content=content, filename=path.name, by=by)
            job = operations.check(job, on=on)
            self._tell(job)
            if options["dry_run"]:
                operations.discard(job, by=by)
                self._finish(job, "Nothing was imported: this was a dry run.")
                return
            if job.status == ImportJob.Status.CHECKED and job.changes:
                if job.wrong and not options["leave_out_bad"]:
                    operations.discard(job, by=by)
                else:
                    job = operations.confirm(job, leave_out_bad=options["leave_out_bad"], by=by)
                    job = operations.apply(job, by=by, on=on)
                    if job.status != ImportJob.Status.DONE:
                        self._tell(job)
        except Refused as refusal:
            raise CommandError(refusal.message) from refusal
        self._finish(job, _outcome(job))

    def _staff(self, username: str | None) -> Staff:
        """Return who imports: the one named, else the first superuser."""
        staff = Staff.objects.filter(is_active=True).order_by("pk")
        found = (
            staff.filter(username=username).first()
            if username
            else staff.filter(is_superuser=True).first()
        )
        if found is None:
            raise CommandError(
                f"There is no active member of staff “{username}”."
                if username
                else "There is no superuser to import as: give --user USERNAME."
            )
        return found

    def _tell(self, job: ImportJob) -> None:
        self.stdout.write(
            f"{job.filename}: {job.rows} lines: {job.new} new, {job.changed} changed, "
            f"{job.unchanged} unchanged, {job.wrong} wrong, {job.left_out} left out with them."
        )
        for title in job.summary.get("ignored", ()):
            self.stdout.write(f"The column “{title}” is not used.")
        if job.wrong:
            self._tell_wrong_lines(job)
        if job.error:
            self.stderr.write(job.error)

    def _tell_wrong_lines(self, job: ImportJob) -> None:
        with job.report.open("rb") as stored:
            rows = csv.DictReader(stored.read().decode("utf-8-sig").splitlines())
        for row in rows:
            if row["state"] == "wrong":
                column = f", column {row['column']}" if row["column"] else ""
                self.stderr.write(f"line {row['line']}{column}: {row['message']}")

    def _finish(self, job: ImportJob, sentence: str) -> None:
        self.stdout.write(sentence)
        if job.status != ImportJob.Status.DONE and (job.wrong or job.error):
            raise SystemExit(1)


def _outcome(job: ImportJob) -> str:
    if job.status == ImportJob.Status.DONE:
        return f"Imported: {job.new} new and {job.changed} changed instalments."
    if job.wrong or job.error:
        return "Nothing was imported."
    return "Nothing to import: every line is here already."
