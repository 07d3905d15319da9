"""Files hold the figures of the screen, in a form that spreadsheets and readers take."""

import csv
import io
from datetime import date
from decimal import Decimal

import openpyxl
import pytest
from pypdf import PdfReader

from lms.ledger.models import Account
from lms.reports.files import FORMATS
from lms.reports.shape import Column, Kind, Look, Report, row, shown
from lms.reports.sheets import balance_sheet
from lms.reports.spans import Scope, Span
from lms.reports.statements import account_statement, journal
from lms.reports.trial_balance import trial_balance

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)
HOSTILE = Report(
    title="A & B <c>",
    about=("All",),
    columns=(Column("Day", Kind.DAY), Column("What"), Column("Amount", Kind.MONEY)),
    rows=(
        row(FIRST, "=cmd|' /C calc'!A0", Decimal("-5.00")),
        row(None, "<b>& مرحبا \x07", None),
        row(None, "Total", Decimal("-5.00"), look=Look.TOTAL),
    ),
)


def written(report: Report, extension: str) -> bytes:
    return FORMATS[extension].write(report, lender="Pesa Kwanza", made="Kamau, 1 Apr 2026 09:00")


def cells_of(report: Report) -> list[list]:
    return [[cell.value for cell in line.cells] for line in report.rows]


def from_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def from_xlsx(content: bytes):
    return openpyxl.load_workbook(io.BytesIO(content)).active


def from_pdf(content: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


@pytest.fixture(params=["trial balance", "balance sheet", "statement", "journal"])
def report(request, books):
    if request.param == "trial balance":
        return trial_balance(first=FIRST, last=LAST, scope=Scope())
    if request.param == "balance sheet":
        return balance_sheet([Span("Q1", FIRST, LAST, Scope())])
    if request.param == "statement":
        account = Account.objects.get(code="1030")
        return account_statement(account=account, first=FIRST, last=LAST, scope=Scope())
    return journal(first=FIRST, last=LAST, scope=Scope())


def test_the_csv_holds_every_cell(report):
    header, *lines = from_csv(written(report, "csv"))

    assert header == [column.title for column in report.columns]
    assert lines == [
        ["" if value is None else str(value) for value in cells] for cells in cells_of(report)
    ]


def test_the_workbook_holds_every_cell_as_what_it_is(report):
    sheet = from_xlsx(written(report, "xlsx"))
    rows = [list(line) for line in sheet.iter_rows(values_only=True)]
    top = rows.index([column.title for column in report.columns])

    assert rows[0][0] == "Pesa Kwanza"
    assert rows[1][0] == report.title
    assert len(rows) == top + 1 + len(report.rows)
    for got, cells in zip(rows[top + 1 :], cells_of(report), strict=True):
        for value, wanted in zip(got, cells, strict=True):
            if isinstance(wanted, Decimal):
                assert Decimal(str(value)).quantize(Decimal("0.01")) == wanted
            elif isinstance(wanted, date):
                assert value.date() == wanted
            else:
                assert (value or "") == (wanted or "")


def test_the_paper_shows_every_figure_of_the_screen(report):
    text = from_pdf(written(report, "pdf"))

    for cells in cells_of(report):
        for value in cells:
            if isinstance(value, Decimal | date):
                assert shown(value) in text
    assert report.title in text
    assert "Kamau, 1 Apr 2026 09:00" in text
    assert "Page 1" in text


def test_nothing_in_a_file_is_a_formula_or_breaks_it():
    assert from_csv(written(HOSTILE, "csv"))[1][1] == "'=cmd|' /C calc'!A0"
    cell = from_xlsx(written(HOSTILE, "xlsx")).cell(7, 2)
    assert (cell.value, cell.data_type) == ("'=cmd|' /C calc'!A0", "s")
    text = from_pdf(written(HOSTILE, "pdf"))
    assert "<b>& ?????" in text
    assert "A & B <c>" in text


def test_a_long_paper_repeats_its_header_on_every_page():
    lines = tuple(row(FIRST, f"Line {number}", Decimal(number)) for number in range(1, 121))
    pages = PdfReader(
        io.BytesIO(written(Report("Long", ("All",), HOSTILE.columns, lines), "pdf"))
    ).pages

    assert len(pages) > 1
    assert all("Amount" in page.extract_text() for page in pages)
    assert "Page 2" in pages[1].extract_text()
