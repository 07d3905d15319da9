"""Balance sheet and income statement, worked out by hand."""

from datetime import date
from decimal import Decimal

from lms.reports.sheets import balance_sheet, income_statement, profit_of
from lms.reports.spans import Scope, Span, by_branch
from tests import factories
from tests.reports.reading import line, texts

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)
QUARTER = Span("Q1", FIRST, LAST, Scope())


def test_the_income_statement_sums_each_part_and_the_profit(books):
    report = income_statement([QUARTER])

    assert texts(report) == [
        ["Income"],
        ["4010 Interest income", "4,000.00"],
        ["4030 Penalty income", "700.00"],
        ["Total income", "4,700.00"],
        ["Expenses"],
        ["5030 Provision for loan losses", "9,000.00"],
        ["5120 Rent", "12,000.00"],
        ["Total expenses", "21,000.00"],
        ["Profit", "(16,300.00)"],
    ]


def test_the_profit_is_that_of_the_income_statement(books):
    assert profit_of(QUARTER) == Decimal("-16300.00")


def test_periods_stand_side_by_side(books):
    february = Span("Feb", date(2026, 2, 1), date(2026, 2, 28), Scope())
    last_year = Span("2025", date(2025, 1, 1), date(2025, 12, 31), Scope())

    report = income_statement([february, last_year])

    assert line(report, "4010 Interest income") == ["-", "1,000.00"]
    assert line(report, "5120 Rent") == ["12,000.00", "-"]
    assert line(report, "Profit") == ["(11,300.00)", "1,000.00"]


def test_branches_stand_side_by_side_and_sum_to_the_whole(books):
    nairobi, kisumu = factories.branch(), factories.branch("KSM", "Kisumu")
    columns = by_branch(FIRST, LAST, Scope(), [(kisumu.pk, "Kisumu"), (nairobi.pk, "Nairobi")])

    report = income_statement(columns)

    assert [column.title for column in report.columns[1:]] == ["Kisumu", "Nairobi", "Total"]
    assert line(report, "4010 Interest income") == ["4,000.00", "-", "4,000.00"]
    assert line(report, "Profit") == ["4,000.00", "(20,300.00)", "(16,300.00)"]
    assert report.about == ("1 Jan 2026 to 31 Mar 2026", "All branches")


def test_the_balance_sheet_balances_with_the_profit_that_is_not_closed(books):
    report = balance_sheet([QUARTER])

    assert texts(report) == [
        ["Assets"],
        ["Cash and bank"],
        ["1010 Cash in branch", "27,000.00"],
        ["1030 Bank", "216,000.00"],
        ["Total cash and bank", "243,000.00"],
        ["Loans to customers"],
        ["1110 Loan principal", "176,000.00"],
        ["1140 Penalties receivable", "200.00"],
        ["1190 Allowance for loan losses (deducted)", "(9,000.00)"],
        ["Total loans to customers", "167,200.00"],
        ["Property and equipment"],
        ["1500 Fixed assets", "80,000.00"],
        ["Total property and equipment", "80,000.00"],
        ["Total assets", "490,200.00"],
        ["Liabilities"],
        ["2010 Unallocated receipts", "4,000.00"],
        ["2020 Customer credit", "1,500.00"],
        ["Total liabilities", "5,500.00"],
        ["Equity"],
        ["3100 Share capital", "500,000.00"],
        ["Profit of earlier years, not closed", "1,000.00"],
        ["Profit of the year", "(16,300.00)"],
        ["Total equity", "484,700.00"],
        ["Total liabilities and equity", "490,200.00"],
    ]
    assert report.notes == ()


def test_days_stand_side_by_side_on_the_balance_sheet(books):
    eve = Span("Dec", date(2025, 1, 1), date(2025, 12, 31), Scope())

    report = balance_sheet([QUARTER, eve])

    assert line(report, "1030 Bank") == ["216,000.00", "501,000.00"]
    assert line(report, "Profit of the year") == ["(16,300.00)", "1,000.00"]
    assert line(report, "Total liabilities and equity") == ["490,200.00", "501,000.00"]


def test_the_profit_leads_to_the_income_statement_of_its_year(books):
    report = balance_sheet([QUARTER])

    [profit] = [row for row in report.rows if row.cells[0].value == "Profit of the year"]
    assert profit.cells[1].target == (
        "report:income-statement",
        None,
        (("first", "2026-01-01"), ("last", "2026-03-31")),
    )
