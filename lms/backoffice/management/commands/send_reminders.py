"""Queue the reminders of a day, as the nightly close does, and send them."""

from datetime import date

from django.core.management.base import BaseCommand, CommandError

from lms import dates, jobs
from lms.closing import reminders
from lms.words import counted


class Command(BaseCommand):
    help = (
        "Queues a reminder for every instalment that is due soon, due today or late, then sends "
        "what may go out at this hour (08:00 to 20:00). Running it twice sends nothing twice."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("--date", help="The business day, like 2026-11-21. Default: today.")
        parser.add_argument(
            "--only",
            choices=sorted(reminders.OCCASIONS),
            help="One kind of reminder instead of all.",
        )
        parser.add_argument(
            "--queue-only", action="store_true", help="Leave the sending to the worker."
        )

    def handle(self, *, only=None, queue_only=False, **options) -> None:
        try:
            day = date.fromisoformat(options["date"]) if options["date"] else dates.today()
        except ValueError as error:
            raise CommandError(f"{options['date']} is not a day like 2026-11-21.") from error
        for occasion in [only] if only else reminders.OCCASIONS:
            new = reminders.remind(on=day, now=dates.now(), occasions=[occasion])
            self.stdout.write(f"{occasion}: {counted(new, 'new reminder')} queued")
        if not queue_only:
            self.stdout.write(f"delivery: {jobs.deliver_messages()}")
