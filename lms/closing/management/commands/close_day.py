"""Close a business day from the command line."""

from datetime import date, timedelta

from django.core.management.base import BaseCommand, CommandError

from lms import dates
from lms.closing import operations
from lms.closing.models import CloseFailure, DayClose
from lms.errors import Refused
from lms.words import counted


class Command(BaseCommand):
    help = (
        "Close a business day: credit, penalties, interest, arrears and classes, snapshots and "
        "provisions of every loan. Run twice it changes nothing; after a crash it goes on where "
        "it stopped. A loan with broken data stops only itself and is listed."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument(
            "--date", metavar="DAY", help="The day to close, like 2026-11-20. Default: yesterday."
        )
        parser.add_argument(
            "--catch-up",
            action="store_true",
            help="Close every day before it too that was missed, one by one.",
        )
        parser.add_argument(
            "--again",
            action="store_true",
            help="Look at every loan once more, though the day is closed: it is the latest.",
        )

    def handle(self, *, catch_up: bool, again: bool, **options) -> None:
        day = _day(options["date"])
        try:
            if catch_up:
                days = operations.catch_up(day, tell=self.tell)
            else:
                operations.close_day(day, again=again, tell=self.tell)
                days = [day]
        except Refused as refusal:
            raise CommandError(refusal.message) from refusal
        for closed in days or [day]:
            self._sum_up(closed)

    def tell(self, step: DayClose) -> None:
        if step.status == DayClose.Status.DONE:
            self.stdout.write(
                f"{step.day} {step.step:<14} {step.rows:>9,} rows {step.seconds:>8} s"
                + (f"  {step.failures} failed" if step.failures else "")
            )

    def _sum_up(self, day: date) -> None:
        steps = list(DayClose.objects.filter(day=day))
        if failed := list(CloseFailure.objects.filter(day=day, resolved_at=None)[:20]):
            lines = [f"{failure}: {failure.error}" for failure in failed]
            raise CommandError("\n".join([f"{day} is closed, but not for:", *lines]))
        rows, seconds = sum(step.rows for step in steps), sum(step.seconds for step in steps)
        self.stdout.write(
            self.style.SUCCESS(f"{day} is closed: {counted(rows, 'row')} in {seconds} s.")
        )


def _day(text: str | None) -> date:
    yesterday = dates.today() - timedelta(days=1)
    try:
        day = date.fromisoformat(text) if text else yesterday
    except ValueError as error:
        raise CommandError(f"{text} is not a day like 2026-11-20.") from error
    if day > yesterday:
        raise CommandError(f"{dates.show(day)} is not over yet.")
    return day
