"""The sheet of a drawer: what it began with, what went through it, what was counted."""

from decimal import Decimal
from typing import NamedTuple

from lms.money import ZERO
from lms.tills.denominations import NOTES
from lms.tills.models import CashCount, DrawerMovement, DrawerSession
from lms.tills.operations.drawers import key_of, shown

COLOURS = {"Open": "info", "Difference to approve": "warning", "Closed": "success"}


class Total(NamedTuple):
    """What went through a drawer in one way. Amounts in KES, below zero when it went out."""

    label: str
    number: int
    amount: Decimal


class Row(NamedTuple):
    """One movement, with what went out as an amount of its own."""

    movement: DrawerMovement
    taken: Decimal | None
    given: Decimal | None


class Sheet(NamedTuple):
    """An X sheet while the drawer is open, a Z sheet once it is counted.

    `totals` is what made the sum that was expected, `settled` what followed the count. `totals`
    and `expected` are None for the cashier of an open drawer, whose count is blind.
    """

    drawer: DrawerSession
    letter: str
    rows: list[Row]
    colour: str
    counts: list[tuple[CashCount, list[tuple[str, int, int]]]]
    totals: list[Total] | None
    settled: list[Total]
    expected: Decimal | None
    verdict: str


def sheet_of(drawer: DrawerSession, *, reader) -> Sheet:
    """Return the sheet of a drawer as this person may read it."""
    movements = list(
        drawer.movements.select_related("entry__payment__customer", "entry__payout__customer")
    )
    is_blind = drawer.is_open and drawer.cashier_id == reader.pk
    return Sheet(
        drawer=drawer,
        letter="X" if drawer.is_open else "Z",
        rows=[_row(movement) for movement in movements],
        colour=COLOURS[drawer.get_status_display()],
        counts=[(count, _faces(count)) for count in drawer.counts.select_related("counted_by")],
        totals=None if is_blind else _totals([m for m in movements if not _ends(drawer, m)]),
        settled=_totals([m for m in movements if _ends(drawer, m)]),
        expected=None if is_blind else _expected(drawer, movements),
        verdict="" if drawer.counted is None else shown(drawer),
    )


def _row(movement: DrawerMovement) -> Row:
    amount = movement.amount
    return Row(movement, amount, None) if amount > 0 else Row(movement, None, -amount)


def _expected(drawer: DrawerSession, movements: list[DrawerMovement]) -> Decimal:
    if drawer.expected is not None:
        return drawer.expected
    return sum((movement.amount for movement in movements), ZERO)


def _ends(drawer: DrawerSession, movement: DrawerMovement) -> bool:
    """Tell whether a movement came of the closing count."""
    return movement.entry.reference in (key_of(drawer, "difference"), key_of(drawer, "closing"))


def _totals(movements: list[DrawerMovement]) -> list[Total]:
    """Return one line per kind of movement, in the order of the day."""
    lines = []
    for kind in DrawerMovement.Kind:
        amounts = [movement.amount for movement in movements if movement.kind == kind]
        if amounts:
            lines.append(Total(kind.label, len(amounts), sum(amounts, ZERO)))
    return lines


def _faces(count: CashCount) -> list[tuple[str, int, int]]:
    """Return for each face of a count what it is, how many there were, and their worth (KES)."""
    return [
        (f"{'Note' if int(face) in NOTES else 'Coin'} {int(face):,}", number, int(face) * number)
        for face, number in count.pieces.items()
    ]
