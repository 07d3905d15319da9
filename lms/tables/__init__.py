"""The files lenders bring: CSV and Excel in, cells and what they mean out.

Nothing here knows loans or customers: `read` finds the header and gives the lines, the `parse_…`
functions turn one cell into an amount, a day, a whole number or a text, and `neutral` makes a text
safe to open in a spreadsheet. Every refusal is a sentence that tells staff what to do.
"""

from collections.abc import Collection, Mapping, Sequence

from lms.tables.cells import neutral, parse_date, parse_int, parse_money, parse_text
from lms.tables.layout import Line, Table, TableError, check, key, lines_under
from lms.tables.text import open_text
from lms.tables.workbook import open_workbook, typed

__all__ = [
    "Line",
    "Table",
    "TableError",
    "neutral",
    "parse_date",
    "parse_int",
    "parse_money",
    "parse_text",
    "read",
]

MAX_UNPACKED = 200 * 1024 * 1024
MAX_COLUMNS = 200


def read(
    content: bytes,
    *,
    filename: str,
    columns: Mapping[str, Sequence[str]],
    required: Collection[str],
    max_unpacked: int = MAX_UNPACKED,
    max_columns: int = MAX_COLUMNS,
) -> Table:
    """Return the table in the bytes of a CSV, TXT or XLSX file, told apart by content.

    `columns` maps each canonical name to its other spellings; case and punctuation do not count.
    The header is the first line with every `required` column, after at most ten others.
    `max_unpacked` is the most bytes an Excel file may unpack to. Raises TableError.
    """
    names = {key(title): name for name in columns for title in (name, *columns[name])}
    if not content.strip():
        raise TableError(f"“{filename}” is empty. Choose the file again.")
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise TableError(
            f"“{filename}” is an old Excel workbook (.xls) or has a password. Open it in Excel, "
            "remove the password and save it as .xlsx or .csv."
        )
    if content.startswith(b"PK"):
        header, rows = open_workbook(content, filename, names, required, max_unpacked, max_columns)
        clean = typed
    else:
        header, rows = open_text(content, filename, names, required)
        clean = str.strip
    check(header, filename, columns, max_columns)
    known = set(header.places.values())
    return Table(
        columns=list(header.places),
        titles={name: header.titles[place] for name, place in header.places.items()},
        ignored=[t for place, t in enumerate(header.titles) if t and place not in known],
        lines=lines_under(rows, header, clean),
    )
