"""What money came in for and went out for, worked out by hand."""

from datetime import date
from decimal import Decimal

from lms.ledger import chart
from lms.ledger.models import Account
from lms.reports.cash import cash_accounts, cash_book, cash_flow, held
from lms.reports.shape import Window
from lms.reports.spans import Scope, Span
from tests.reports.reading import line, texts

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 31)


def test_money_is_grouped_by_what_it_was_for(books):
    report = cash_flow(
        [
            Span("Q1", FIRST, LAST, Scope()),
            Span("2025", date(2025, 1, 1), date(2025, 12, 31), Scope()),
        ]
    )

    assert texts(report) == [
        ["From lending and the office"],
        ["Loans paid out", "(200,000.00)", "-"],
        ["Received from customers", "30,000.00", "-"],
        ["Interest income", "4,000.00", "1,000.00"],
        ["Rent", "(12,000.00)", "-"],
        ["Net from lending and the office", "(178,000.00)", "1,000.00"],
        ["From property and equipment"],
        ["Fixed assets", "(80,000.00)", "-"],
        ["Net from property and equipment", "(80,000.00)", "-"],
        ["From owners and funders"],
        ["Share capital", "-", "500,000.00"],
        ["Net from owners and funders", "-", "500,000.00"],
        ["Change in cash", "(258,000.00)", "501,000.00"],
        ["Cash at the start", "501,000.00", "-"],
        ["Cash at the end", "243,000.00", "501,000.00"],
        ["1010 Cash in branch", "27,000.00", "-"],
        ["1030 Bank", "216,000.00", "501,000.00"],
    ]


def test_an_account_added_under_the_header_of_cash_is_money_too(books):
    Account.objects.create(code="1031", name="KCB", kind="asset", parent_id=chart.CASH_AND_BANK)

    codes = cash_accounts()

    assert "1031" in codes
    assert chart.SUSPENSE not in codes
    assert chart.CASH_AND_BANK not in codes


def test_what_is_held_is_the_end_of_the_cash_flow(books):
    assert held(LAST, Scope()) == Decimal("243000.00")


def test_the_cash_book_runs_from_the_opening_to_the_closing(books):
    report = cash_book(first=FIRST, last=LAST, scope=Scope())

    assert [row[-1] for row in texts(report)] == [
        "501,000.00", "301,000.00", "331,000.00", "319,000.00", "239,000.00", "243,000.00",
        "243,000.00",
    ]  # fmt: skip
    assert texts(report)[-1] == ["Total", "34,000.00", "292,000.00", "243,000.00"]
    assert report.lines == 5


def test_the_cash_book_of_one_purpose_is_the_figure_of_the_cash_flow(books):
    flow = cash_flow([Span("Q1", FIRST, LAST, Scope())])
    [rent] = [row for row in flow.rows if row.cells[0].value == "Rent"]
    answers = dict(rent.cells[1].target.answers)

    book = cash_book(
        first=date.fromisoformat(answers["first"]),
        last=date.fromisoformat(answers["last"]),
        counter=Account.objects.get(code=answers["counter"]),
        scope=Scope(),
    )

    assert rent.cells[1].value == book.rows[-1].cells[-1].value
    assert line(book, "Total") == ["-", "12,000.00", "(12,000.00)"]


def test_a_later_page_of_the_cash_book_goes_on_where_the_first_ended(books):
    whole = cash_book(first=FIRST, last=LAST, scope=Scope())
    page = cash_book(first=FIRST, last=LAST, scope=Scope(), window=Window(2, 2))

    assert page.rows[1:-1] == whole.rows[3:5]
    assert page.rows[-1] == whole.rows[-1]
    assert texts(page)[0] == ["Before", "331,000.00"]
