"""A report as an Excel workbook: amounts are numbers, days are days, the header stays in sight."""

import io
from decimal import Decimal

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Alignment, Border, Font, Side
from openpyxl.utils import get_column_letter

from lms.reports.shape import Kind, Look, Report, Value, shown
from lms.tables import neutral

AMOUNT = '#,##0.00;(#,##0.00);"-"'
DAY = "d mmm yyyy"
BOLD = Font(bold=True)
OVER = Border(top=Side(style="thin"))
TALL_COLUMNS = 7  # as many still fit upright on A4
WIDTHS = (8, 48)


def write(report: Report, *, lender: str, made: str) -> bytes:
    """Return the workbook. `lender` and `made` (by whom and when) stand above the table."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Report"
    for line in (lender, report.title, *report.about, *report.notes, made):
        sheet.append([_safe(line)])
    sheet["A1"].font = sheet["A2"].font = BOLD
    sheet.append([])
    sheet.append([_safe(column.title) for column in report.columns])
    header = sheet.max_row
    for row in report.rows:
        sheet.append([_safe(cell.value) for cell in row.cells])
        _dress(sheet[sheet.max_row], row)
    for place, column in enumerate(report.columns, 1):
        top = sheet.cell(header, place)
        top.font = BOLD
        if column.kind == Kind.MONEY:
            top.alignment = Alignment(horizontal="right")
        sheet.column_dimensions[get_column_letter(place)].width = _width(report, place - 1)
    _lay_out(sheet, header, report)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _dress(cells, row) -> None:
    for cell in cells:
        if isinstance(cell.value, Decimal):
            cell.number_format = AMOUNT
        elif cell.is_date:
            cell.number_format = DAY
        if row.look != Look.LINE:
            cell.font = BOLD
        if row.look in (Look.SUM, Look.TOTAL):
            cell.border = OVER
    if row.level:
        cells[0].alignment = Alignment(indent=row.level)


def _width(report: Report, place: int) -> int:
    """Return the width that shows the longest value of a column, within WIDTHS."""
    texts = [report.columns[place].title]
    texts += [shown(row.cells[place].value) for row in report.rows[:500]]
    return min(max(max(map(len, texts)) + 2, WIDTHS[0]), WIDTHS[1])


def _lay_out(sheet, header: int, report: Report) -> None:
    sheet.freeze_panes = sheet.cell(header + 1, 1)
    sheet.print_title_rows = f"{header}:{header}"
    sheet.page_setup.orientation = (
        "portrait" if len(report.columns) <= TALL_COLUMNS else "landscape"
    )
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A4
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True


def _safe(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    return neutral(ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", value))
