"""What is common to every kind of file: its header, its lines, and what is wrong with them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

MAX_PREAMBLE = 10
MAX_CELL = 32_768  # characters; Excel itself holds one fewer

NOT_CALCULATED = "#NOT CALCULATED"
_ERRORS = frozenset(
    {"#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", NOT_CALCULATED}
)

Row = tuple[int, Sequence[Any], str | None]  # line number, cells, what is wrong with the line


class TableError(ValueError):
    """The whole file cannot be read. The text is a sentence for staff that says what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line under the header, numbered as the person sees it (first line of the file = 1).

    `cells` maps canonical column names to stripped text or, from Excel, to int, Decimal, bool,
    date, or datetime where there is a time of day; an empty cell is "". Where `error` is set the
    line must not be used.
    """

    number: int
    cells: dict[str, object]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A file whose header was understood.

    `columns` are the canonical names present, in the file's order; `titles` what the file calls
    them; `ignored` the titles nobody knows. `lines` can be walked once and reads as it goes, so
    it too may raise TableError.
    """

    columns: list[str]
    titles: dict[str, str]
    ignored: list[str]
    lines: Iterator[Line]


class Header(NamedTuple):
    number: int
    places: dict[str, int]  # canonical name to position
    titles: list[str]
    missing: list[str]
    clashes: list[tuple[str, str, str]]  # two titles and the one name they both mean


def key(title: object) -> str:
    """Return the title without case, spaces and punctuation."""
    text = str(title).strip().casefold()
    return re.sub(r"[\W_]+", "", text) or text


def _header(
    number: int, row: Sequence[Any], names: Mapping[str, str], required: Collection[str]
) -> Header:
    """Return what a row would mean if it were the header."""
    titles = ["" if cell is None else " ".join(str(cell).split()) for cell in row]
    while titles and not titles[-1]:
        titles.pop()
    places: dict[str, int] = {}
    clashes = []
    for place, title in enumerate(titles):
        name = names.get(key(title)) if title else None
        if name in places:
            clashes.append((titles[places[name]], title, name))
        elif name:
            places[name] = place
    missing = [name for name in required if name not in places]
    return Header(number, places, titles, missing, clashes)


def rank(header: Header) -> tuple[int, int]:
    """Return a key that sorts the most convincing header first."""
    return len(header.missing), -len(header.places)


def find_header(
    rows: Iterable[Row], names: Mapping[str, str], required: Collection[str]
) -> Header | None:
    """Return the first row that has every required column, else the one that comes closest."""
    candidates = (row for row in rows if row[2] is None and any(map(filled, row[1])))
    best = None
    for number, cells, _ in islice(candidates, MAX_PREAMBLE + 1):
        header = _header(number, cells, names, required)
        if header.places and not header.missing:
            return header
        if best is None or rank(header) < rank(best):
            best = header
    return best


def filled(cell: object) -> bool:
    """Return whether there is anything in a cell."""
    return cell is not None and str(cell).strip() != ""


def check(header: Header, filename: str, columns: Iterable[str], max_columns: int) -> None:
    """Raise TableError where the header cannot be used."""
    if len(header.titles) > max_columns:
        raise TableError(
            f"“{filename}” has more than {max_columns} columns. "
            "Delete the columns that are not needed and save it again."
        )
    if header.missing or not header.places:
        wanted = ", ".join(header.missing or columns)
        found = ", ".join(title[:40] for title in header.titles if title)
        raise TableError(
            f"“{filename}” has no column for: {wanted}. The columns found on line {header.number} "
            f"are: {found}. Rename the columns, or start from the template."
        )
    if header.clashes:
        first, second, name = header.clashes[0]
        raise TableError(
            f"“{filename}” has two columns for {name}: “{first}” and “{second}”. "
            "Delete or rename one of them."
        )


def lines_under(rows: Iterable[Row], header: Header, clean: Callable) -> Iterator[Line]:
    """Yield a Line for each row that has anything in it."""
    places = list(header.places.items())
    width = len(header.titles)
    # Columns before the first title are row numbers some programs add. Anything else without
    # a title may mean that cells have moved, so that a comma in 1,234 would cost a customer dear.
    first = next(place for place, title in enumerate(header.titles) if title)
    untitled = [place for place in range(first, width) if not header.titles[place]]
    for number, row, broken in rows:
        if broken is not None:
            yield Line(number, {}, broken)
            continue
        error = None
        if len(row) < width:
            row = [*row, *[""] * (width - len(row))]  # noqa: PLW2901
        cells = {name: clean(row[place]) for name, place in places}
        values = cells.values()
        if set(values) == {""} and not any(map(filled, row)):
            continue
        if untitled or len(row) > width:
            error = _stray(row, chain(untitled, range(width, len(row))))
        if max(map(len, filter(_is_text, row)), default=0) > MAX_CELL:
            error = f"A cell is longer than {MAX_CELL} characters. Shorten it."
        if not _ERRORS.isdisjoint(values):
            error = _error_cell(cells, header)
        yield Line(number, cells, error)


def _is_text(cell: object) -> bool:
    return type(cell) is str


def _stray(row: Sequence[Any], places: Iterable[int]) -> str | None:
    """Return what to do about a filled cell under no title, None where there is none."""
    for place in places:
        if filled(row[place]):
            return (
                f"“{_short(row[place])}” stands in column {place + 1}, which has no title. Put "
                "quotation marks around values that contain the separator, or delete that cell."
            )
    return None


def _error_cell(cells: Mapping[str, object], header: Header) -> str:
    """Return what to do about the first cell that holds a spreadsheet error."""
    name = next(name for name, value in cells.items() if value in _ERRORS)
    title = header.titles[header.places[name]]
    if cells[name] == NOT_CALCULATED:
        return (
            f"The formula in column “{title}” has no result yet. "
            "Open the file in Excel, save it there, and bring it again."
        )
    return (
        f"Column “{title}” holds the spreadsheet error {cells[name]}. "
        "Correct the formula or type the value."
    )


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:40] + "…"
