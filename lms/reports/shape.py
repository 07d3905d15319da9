"""What every report is made of: columns, rows of cells, and where each figure leads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from lms import dates
from lms.money import ZERO


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    DAY = "day"
    MONEY = "money"


class Look(StrEnum):
    """How a row reads: a heading, a line, the sum of the lines above it, the last word."""

    HEAD = "head"
    LINE = "line"
    SUM = "sum"
    TOTAL = "total"


class Target(NamedTuple):
    """Where a cell leads: a report ("report:statement") with answers, or a record's page.

    The pages above turn it into an address for those who may go there.
    """

    page: str
    key: int | str | None = None
    answers: tuple[tuple[str, str], ...] = ()


Value = str | Decimal | date | None


class Cell(NamedTuple):
    """One value; KES where it is a Decimal."""

    value: Value
    target: Target | None = None


class Column(NamedTuple):
    title: str
    kind: Kind = Kind.TEXT


class Row(NamedTuple):
    """As many cells as there are columns. `level` says how far the first text is set in."""

    cells: tuple[Cell, ...]
    look: Look = Look.LINE
    level: int = 0


class Window(NamedTuple):
    """Which lines of a long report are wanted: `limit` of them after the first `offset`."""

    offset: int = 0
    limit: int | None = None

    def of(self, rows):
        """Return this part of a queryset or list."""
        return rows[self.offset : None if self.limit is None else self.offset + self.limit]


WHOLE = Window()


@dataclass(frozen=True)
class Report:
    """One report as it is shown, printed and exported.

    `about` says of what: the days and the branch. `lines` counts the lines of a long report, of
    which `rows` holds the wanted window; None where the report is always whole. `notes` are
    sentences a reader should know.
    """

    title: str
    about: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    lines: int | None = None
    notes: tuple[str, ...] = field(default=())


def cell(value: Value | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def row(*values: Value | Cell, look: Look = Look.LINE, level: int = 0) -> Row:
    """Return a row of these values, of which some may be cells with a target already."""
    return Row(tuple(cell(value) for value in values), look, level)


def report_target(name: str, **answers: object) -> Target:
    """Return the way to another report; answers of None are left out."""
    given = tuple((key, str(value)) for key, value in answers.items() if value not in (None, ""))
    return Target(f"report:{name}", None, given)


def figure(amount: Decimal) -> str:
    """Return the amount as reports write it: 1,234.00, (1,234.00) below zero, a dash for zero."""
    if amount == ZERO:
        return "-"
    return f"({-amount:,.2f})" if amount < 0 else f"{amount:,.2f}"


def shown(value: Value) -> str:
    """Return a value as screen and paper write it."""
    if isinstance(value, Decimal):
        return figure(value)
    if isinstance(value, date):
        return dates.show(value)
    return value or ""


def total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)


def money_columns(titles: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(title, Kind.MONEY) for title in titles)
