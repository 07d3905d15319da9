"""A report as CSV: the header, then a line a row; days are ISO 8601, amounts plain numbers."""

import csv
import io
from datetime import date

from lms.reports.shape import Report, Value
from lms.tables import neutral


def write(report: Report, *, lender: str, made: str) -> bytes:
    """Return the file, marked as UTF-8 so that Excel reads it. `lender` and `made` are left out:
    the first line is the header."""
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(column.title for column in report.columns)
    for row in report.rows:
        lines.writerow(_plain(cell.value) for cell in row.cells)
    return text.getvalue().encode("utf-8-sig")


def _plain(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    return neutral(value) if isinstance(value, str) else f"{value:.2f}"
