"""Chores of people who post to the books while their months are closed."""

import time
from datetime import date
from decimal import Decimal
from itertools import count

from django.db import transaction
from django.db.models import Count

from lms.errors import Refused
from lms.ledger import balances, books, chart, periods
from lms.ledger.models import JournalEntry, Period, PeriodBalance, Transfer
from lms.ledger.operations import Line, post
from tests import factories

IN_JANUARY, LAST_OF_JANUARY = date(2026, 1, 15), date(2026, 1, 31)
LINES = 40


def open_books() -> None:
    """Post one entry in January and make the months up to February."""
    _post("first", branch=factories.branch(), by=factories.kamau())
    periods.prepare(on=date(2026, 2, 3))


def post_to_january(who: str, strictly: bool) -> list[tuple[str, date | None]]:
    """Post to January until it is closed, and a little longer.

    Returns each reference with its day in the books, None where it was refused: `strictly`
    posts as one who chose the day, whom a closed month refuses.
    """
    found, branch, by = [], factories.branch(), factories.kamau()
    numbers = count()
    while not found or IN_JANUARY in [day for _, day in found[-3:]]:
        number = next(numbers)
        reference = f"{who}:{number}"
        try:
            with transaction.atomic():
                if strictly:
                    books.must_be_open(IN_JANUARY)
                found.append((reference, _post(reference, branch=branch, by=by).date))
        except Refused:
            found.append((reference, None))
    return found


def close_january(after: float) -> None:
    """Close January, `after` so many seconds."""
    by = factories.kamau()
    time.sleep(after)
    periods.close_period(Period.objects.get(first=date(2026, 1, 1)), by=by, on=date(2026, 2, 3))


def posted_days() -> dict[str, date]:
    """Return the day of every entry by its reference."""
    return dict(JournalEntry.objects.values_list("reference", "date"))


def carried_of_january() -> tuple[Decimal, Decimal]:
    """Return the cash that closing carries, and what January's transfers sum to."""
    carried = PeriodBalance.objects.get(period__first=date(2026, 1, 1), account=chart.CASH)
    moved = sum(
        Transfer.objects.filter(debit=chart.CASH, date__lte=LAST_OF_JANUARY).values_list(
            "amount", flat=True
        )
    )
    assert balances.balance(chart.CASH, LAST_OF_JANUARY).debit == moved
    return carried.debit, moved


def keep_posting_entries() -> None:
    """Post entries of many lines until somebody kills this process; say each that is done."""
    branch, by = factories.branch(), factories.kamau()
    for number in count(JournalEntry.objects.count()):
        with transaction.atomic():
            _post(f"kept:{number}", branch=branch, by=by)
        print(number, flush=True)


def half_posted() -> int:
    """Return how many entries do not have all their transfers."""
    return JournalEntry.objects.annotate(lines=Count("transfers")).exclude(lines=LINES).count()


def _post(reference: str, *, branch, by) -> JournalEntry:
    return post(
        kind="test",
        reference=reference,
        on=IN_JANUARY,
        narration="A test",
        lines=[Line(chart.CASH, chart.FEE_INCOME, Decimal("1.10"))] * LINES,
        branch_id=branch.pk,
        by=by,
    )
