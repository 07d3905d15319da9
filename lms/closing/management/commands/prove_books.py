"""Prove the books from the command line."""

from datetime import date

from django.core.management.base import BaseCommand, CommandError

from lms import dates
from lms.closing import proofs
from lms.words import counted


class Command(BaseCommand):
    help = (
        "Prove the books: debits and credits, every control account against the loans, receipts, "
        "drawers and funds it stands for, positions against their instalments, and that nothing "
        "was left without an entry. Prints each proof with its difference; nothing is changed. "
        "Exits with 1 when one is off."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument(
            "--date",
            metavar="DAY",
            help="Prove the books as of a day that is over, like 2026-11-20: the loans by the "
            "snapshots of its night. Default: as they stand now.",
        )

    def handle(self, **options) -> None:
        found = proofs.prove(_day(options["date"]))
        for proved in found:
            books, rows = proved.show(proved.books), proved.show(proved.rows)
            answer = "holds" if proved.holds else f"OFF BY {proved.show(proved.difference)}"
            line = f"{proved.name:<44} {books:>20} {rows:>20}  {answer}"
            self.stdout.write(f"{line}  {proved.detail}".rstrip())
        if off := [proved for proved in found if not proved.holds]:
            raise CommandError(f"{counted(len(off), 'proof')} of {len(found)} did not hold.")
        self.stdout.write(self.style.SUCCESS(f"All {counted(len(found), 'proof')} hold."))


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text} is not a day like 2026-11-20.") from error
    if day >= dates.today():
        raise CommandError(f"{dates.show(day)} is not over: leave --date out to prove the present.")
    return day
