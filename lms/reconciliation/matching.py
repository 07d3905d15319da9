"""Which line of a statement is which entry in the books. Pure: no database, no clock.

Amounts are signed KES as the account feels them, and there is no tolerance: a cent is a difference.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from lms.money import ZERO

REFERENCE = "reference"
AMOUNT_AND_DAY = "amount_and_day"
REVERSED = "reversed"
# A reference shorter than this could stand in a narration by chance.
SHORTEST_IN_NARRATION = 5


class Line(NamedTuple):
    """One line of the statement. `repeats`: the statement said the same before."""

    pk: int
    day: date
    amount: Decimal
    reference: str = ""
    linked: str = ""
    narration: str = ""
    is_charge: bool = False
    repeats: bool = False


class Item(NamedTuple):
    """What one journal entry moved on the account, and the reference of its document.

    `is_own`: money of our own, which the other side may know by a reference of its own.
    """

    pk: int
    day: date
    amount: Decimal
    reference: str = ""
    reverses: int | None = None
    is_own: bool = False


class Pair(NamedTuple):
    """Lines and entries that belong together. `difference` is statement less books, KES."""

    how: str
    lines: tuple[Line, ...]
    items: tuple[Item, ...]

    @property
    def difference(self) -> Decimal:
        return sum((line.amount for line in self.lines), ZERO) - sum(
            (item.amount for item in self.items), ZERO
        )

    @property
    def day(self) -> date:
        """The latest day of all, on which both sides are told."""
        return max(part.day for part in (*self.lines, *self.items))


def match(lines: Iterable[Line], items: Iterable[Item]) -> list[Pair]:
    """Return the pairs that need nobody's judgement; each line and entry is in one at most.

    In this order: the same reference and amount; a reversal by the transaction it is linked to; a
    reference that stands in the narration; entries that were reversed without ever having been on
    a statement; several lines of one reference that have the amount together; the same reference
    with another amount; and entries of own money or without a reference whose amount and day only
    one line has.
    """
    desk = _Desk(lines, items)
    desk.by_key(lambda line: (line.reference, line.amount))
    desk.by_key(lambda line: (line.linked, line.amount))
    desk.by_narration()
    desk.reversed_in_the_books()
    desk.in_parts()
    desk.same_reference_other_amount()
    desk.by_amount_and_day()
    return desk.pairs


def undone(items: Iterable[Item]) -> list[Pair]:
    """Return the pairs of an entry and its reversal, whatever lines there are."""
    desk = _Desk((), items)
    desk.reversed_in_the_books()
    return desk.pairs


def words_of(narration: str) -> set[str]:
    """Return the words of a narration that may be references."""
    found = re.findall(r"[A-Z0-9]+(?:[-/][A-Z0-9]+)*", narration.upper())
    return {word for word in found if len(word) >= SHORTEST_IN_NARRATION}


class _Desk:
    """The lines and entries that still lie on it; what is paired is taken off."""

    def __init__(self, lines: Iterable[Line], items: Iterable[Item]) -> None:
        order = sorted(lines, key=lambda line: (line.repeats, line.pk))
        self.lines = {line.pk: line for line in order}
        self.items = {item.pk: item for item in sorted(items, key=lambda item: item.pk)}
        self.reversed = {item.reverses for item in self.items.values()}
        self.charges = defaultdict(list)
        for line in order:
            if line.is_charge and not line.reference and not line.repeats:
                self.charges[line.day, line.amount].append(line)
        self.pairs: list[Pair] = []

    def take(self, how: str, lines: tuple[Line, ...], items: tuple[Item, ...]) -> None:
        for line in lines:
            del self.lines[line.pk]
        for item in items:
            del self.items[item.pk]
        self.pairs.append(Pair(how, lines, items))

    def by_key(self, key) -> None:
        """Pair lines with entries of the same reference and amount, the oldest standing first."""
        waiting = defaultdict(list)
        for item in sorted(self.items.values(), key=self._stands_and_is_old):
            if item.reference:
                waiting[item.reference, item.amount].append(item)
        for line in list(self.lines.values()):
            if found := waiting.get(key(line)):
                self.take(REFERENCE, (line,), (found.pop(),))

    def _stands_and_is_old(self, item: Item) -> tuple[bool, int]:
        return item.pk not in self.reversed, -item.pk

    def by_narration(self) -> None:
        """Pair a line with the one entry of its amount whose reference its narration holds."""
        waiting = defaultdict(list)
        for item in self.items.values():
            if len(item.reference) >= SHORTEST_IN_NARRATION:
                waiting[item.reference, item.amount].append(item)
        for line in list(self.lines.values()) if waiting else ():
            found = {
                item.pk: item
                for word in words_of(line.narration)
                for item in waiting.get((word, line.amount), ())
                if item.pk in self.items
            }
            if len(found) == 1:
                self.take(REFERENCE, (line,), tuple(found.values()))

    def reversed_in_the_books(self) -> None:
        """Pair an entry with the reversal that undid it: together they moved nothing."""
        for item in list(self.items.values()):
            first = self.items.get(item.reverses)
            if first is not None and first.amount == -item.amount:
                self.take(REVERSED, (), (first, item))

    def in_parts(self) -> None:
        """Pair several lines with the entry that they name, where together they have its amount.

        So a transfer of own money and what it cost, which are two lines of a statement.
        """
        waiting, parts = defaultdict(list), defaultdict(list)
        for item in self.items.values():
            if item.reference:
                waiting[item.reference].append(item)
        for line in self.lines.values() if waiting else ():
            named = ({line.reference} | words_of(line.narration)) & waiting.keys()
            if len(named) == 1 and not line.repeats:
                parts[named.pop()].append(line)
        for reference, lines in parts.items():
            amount = sum((line.amount for line in lines), ZERO)
            found = [item for item in waiting[reference] if item.amount == amount]
            if len(lines) > 1 and len(found) == 1:
                self.take(REFERENCE, tuple(lines), (found[0],))

    def same_reference_other_amount(self) -> None:
        """Pair what has one reference and one direction but not one amount; never a charge."""
        waiting = defaultdict(list)
        for item in reversed(self.items.values()):
            if item.reference:
                waiting[item.reference, item.amount > 0].append(item)
        for line in list(self.lines.values()):
            found = waiting.get((line.reference, line.amount > 0))
            if found and not line.is_charge and not line.repeats:
                item = found.pop()
                self.take(REFERENCE, (line, *self._charge_apart(line, item)), (item,))

    def _charge_apart(self, line: Line, item: Item) -> tuple[Line, ...]:
        """Return the charge without a reference that the entry holds and the line does not."""
        missing = item.amount - line.amount
        found = [
            charge
            for charge in self.charges[line.day, missing]
            if charge.pk in self.lines and charge.pk != line.pk
        ]
        return tuple(found) if len(found) == 1 else ()

    def by_amount_and_day(self) -> None:
        """Pair entries that need no reference where day and amount leave no choice."""
        lines, items = defaultdict(list), defaultdict(list)
        for line in self.lines.values():
            if not line.repeats:
                lines[line.day, line.amount].append(line)
        for item in self.items.values():
            if item.is_own or not item.reference:
                items[item.day, item.amount].append(item)
        for key, found in items.items():
            if len(found) == 1 and len(lines.get(key, ())) == 1:
                self.take(AMOUNT_AND_DAY, (lines[key][0],), (found[0],))
