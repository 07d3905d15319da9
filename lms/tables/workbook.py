"""Excel workbooks (.xlsx)."""

import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal

import openpyxl

from lms.tables.layout import NOT_CALCULATED, Header, Row, TableError, find_header, rank

MAX_ROWS = 1_048_576  # rows of an Excel sheet
_TOP = 100  # rows among which the header is looked for
_SMALL = 10 * 1024 * 1024  # bytes that may unpack from any archive
_BESIDE = 10  # columns to the right of a table that are looked at for stray cells


def open_workbook(
    content: bytes,
    filename: str,
    names: Mapping[str, str],
    required: Collection[str],
    max_unpacked: int,
    max_columns: int,
) -> tuple[Header, Iterator[Row]]:
    """Return the header of the first visible sheet that has the required columns, and its rows."""
    formulas = _inspect(content, filename, max_unpacked)
    twin = None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        if formulas:
            twin = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    except Exception as error:  # openpyxl raises a dozen kinds on damaged and hostile files
        raise _damaged(filename) from error
    best, chosen = None, None
    for place, sheet in enumerate(book.worksheets):
        if sheet.sheet_state != "visible":
            continue
        sheets = (sheet, twin.worksheets[place] if twin else None)
        top = _sheet_rows(*sheets, filename, last=_TOP, width=max_columns + 1)
        header = find_header(top, names, required)
        if header and (best is None or rank(header) < rank(best)):
            best, chosen = header, sheets
    if best is None:
        raise TableError(f"“{filename}” has no sheet with a table in it. Choose another file.")
    width = len(best.titles) + _BESIDE
    return best, _sheet_rows(*chosen, filename, first=best.number + 1, width=width)


def _damaged(filename: str) -> TableError:
    return TableError(
        f"“{filename}” cannot be read as an Excel workbook. Open it in Excel and save it as "
        ".xlsx or .csv."
    )


def _inspect(content: bytes, filename: str, max_unpacked: int) -> bool:
    """Return whether the workbook has formulas; raise TableError before unpacking a zip bomb."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:  # zipfile raises many kinds on damaged and hostile archives
        raise _damaged(filename) from error
    parts = archive.infolist()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > max_unpacked or (unpacked > _SMALL and unpacked > 200 * len(content)):
        raise TableError(
            f"“{filename}” unpacks to {unpacked // 2**20:,} MiB, which is too much. "
            "Split it into smaller files, or save it as .csv."
        )
    sheets = [part for part in parts if part.filename.startswith("xl/worksheets/")]
    try:
        return any(_has_formula(archive, part) for part in sheets)
    except Exception as error:  # and more kinds when it unpacks them
        raise _damaged(filename) from error


def _has_formula(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    tail = b""
    with archive.open(part) as xml:
        while chunk := xml.read(1 << 20):
            if re.search(rb"<f[ >]", tail + chunk):
                return True
            tail = chunk[-2:]
    return False


def _sheet_rows(sheet, twin, filename, *, first=1, last=MAX_ROWS, width) -> Iterator[Row]:
    """Yield the rows of a sheet that hold anything; `twin` is the same sheet with its formulas."""
    box = {"min_row": first, "max_row": last, "min_col": 1, "max_col": width}
    try:
        # The size a sheet claims may be wrong or hostile; the box is what counts.
        sheet.reset_dimensions()
        if twin is None:
            rows = sheet.iter_rows(**box, values_only=True)
        else:
            twin.reset_dimensions()
            pairs = zip(
                sheet.iter_rows(**box), twin.iter_rows(**box, values_only=True), strict=False
            )
            rows = (tuple(map(_result, *pair)) for pair in pairs)
        for number, row in enumerate(rows, first):
            if row.count(None) < len(row):
                yield number, row, None
    except Exception as error:  # openpyxl raises a dozen kinds on damaged and hostile files
        raise _damaged(filename) from error


def _result(cell, formula: object) -> object:
    """Return the cell's value, or an error where it is a formula no spreadsheet has worked out."""
    if cell.value is None and formula is not None and cell.data_type == "n":
        return NOT_CALCULATED
    return cell.value


def typed(value: object) -> object:
    """Return an Excel cell as str, int, Decimal, bool, date or datetime; an empty one as ""."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e15 else Decimal(repr(value))
    if isinstance(value, datetime):
        return value.date() if value.time() == time.min else value
    if isinstance(value, int | date):
        return value
    return str(value)  # a time of day or a duration
