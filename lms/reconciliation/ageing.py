"""How long money waits: receipts nobody claimed, the suspense account, lines without an entry."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import F, Q, QuerySet

from lms import money
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.money import ZERO
from lms.payments.models import Payment
from lms.reconciliation.models import StatementLine

# The last day of each band; the one after it has no end.
BANDS = (1, 7, 30)
TITLES = ("0–1 day", "2–7 days", "8–30 days", "31+ days")


class Band(NamedTuple):
    """How many rows, and their amount in KES."""

    number: int
    amount: Decimal


class Aged(NamedTuple):
    """One kind of waiting money by age; `bands` in the order of TITLES."""

    title: str
    bands: tuple[Band, ...]

    @property
    def total(self) -> Band:
        return Band(
            sum(band.number for band in self.bands),
            sum((band.amount for band in self.bands), ZERO),
        )


def band_of(days: int) -> int:
    """Return which of the four bands an age belongs to; an age of 0 is from today."""
    return next((number for number, last in enumerate(BANDS) if days <= last), len(BANDS))


def aged(title: str, rows: Iterable[tuple[date, Decimal]], *, on: date) -> Aged:
    """Return rows of day and amount (KES) by their age on a day."""
    numbers, amounts = [0] * len(TITLES), [ZERO] * len(TITLES)
    for day, amount in rows:
        band = band_of((on - day).days)
        numbers[band] += 1
        amounts[band] += amount
    return Aged(title, tuple(map(Band, numbers, amounts)))


def remaining(moves: Iterable[tuple[date, Decimal]]) -> list[tuple[date, Decimal]]:
    """Return what is left of moves given in the order of time: clearing takes the oldest first."""
    left: list[tuple[date, Decimal]] = []
    for day, amount in moves:
        rest = amount
        while rest and left and (left[0][1] > 0) != (rest > 0):
            oldest, waits = left.pop(0)
            if abs(waits) > abs(rest):
                left.insert(0, (oldest, waits + rest))
                rest = ZERO
            else:
                rest += waits
        if rest:
            left.append((day, rest))
    return left


def waiting(*, on: date) -> list[Aged]:
    """Return what waits at the end of a day by age: receipts, suspense, lines of statements."""
    receipts = (
        Payment.objects.unallocated()
        .filter(value_date__lte=on)
        .annotate(left=money.exact(F("amount") - F("allocated") - F("credited") - F("refunded")))
        .values_list("value_date", "left")
    )
    return [
        aged("Unallocated receipts", receipts, on=on),
        aged("Suspense account", remaining(_suspense(on)), on=on),
        aged("Money in without a receipt here", _lines(on).filter(amount__gt=0), on=on),
        aged("Money out without an entry here", _lines(on).filter(amount__lt=0), on=on),
    ]


def _lines(on: date) -> QuerySet:
    return (
        StatementLine.objects.unmatched()
        .filter(day__lte=on)
        .order_by()
        .values_list("day", "amount")
    )


def _suspense(on: date) -> Iterable[tuple[date, Decimal]]:
    rows = (
        Transfer.objects.filter(Q(debit=chart.SUSPENSE) | Q(credit=chart.SUSPENSE), date__lte=on)
        .order_by("date", "pk")
        .values_list("date", "amount", "debit_id")
    )
    for day, amount, debit in rows:
        yield day, amount if debit == chart.SUSPENSE else -amount
