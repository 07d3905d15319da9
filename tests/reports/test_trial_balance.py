"""Every account with its balance, worked out by hand."""

from datetime import date

from lms.reports.spans import Scope
from lms.reports.trial_balance import trial_balance
from tests.reports.reading import texts

QUARTER = (date(2026, 1, 1), date(2026, 3, 31))


def test_balances_stand_on_their_side_and_sum_to_the_same(books, everywhere):
    report = trial_balance(last=QUARTER[1], scope=everywhere)

    assert texts(report) == [
        ["1010 Cash in branch", "27,000.00"],
        ["1030 Bank", "216,000.00"],
        ["1110 Loan principal", "176,000.00"],
        ["1140 Penalties receivable", "200.00"],
        ["1190 Allowance for loan losses", "9,000.00"],
        ["1500 Fixed assets", "80,000.00"],
        ["2010 Unallocated receipts", "4,000.00"],
        ["2020 Customer credit", "1,500.00"],
        ["3100 Share capital", "500,000.00"],
        ["4010 Interest income", "5,000.00"],
        ["4030 Penalty income", "700.00"],
        ["5030 Provision for loan losses", "9,000.00"],
        ["5120 Rent", "12,000.00"],
        ["Total", "520,200.00", "520,200.00"],
    ]
    assert report.notes == ()
    assert report.about == ("As of 31 Mar 2026", "All branches")


def test_movements_stand_between_the_opening_and_the_closing(books, everywhere):
    report = trial_balance(first=QUARTER[0], last=QUARTER[1], scope=everywhere)

    assert texts(report)[0] == ["1010 Cash in branch", "-", "39,000.00", "12,000.00", "27,000.00"]
    assert texts(report)[1] == ["1030 Bank", "501,000.00", "-", "285,000.00", "216,000.00"]
    assert texts(report)[-1] == [
        "Total", "366,700.00", "366,700.00", "520,200.00", "520,200.00",
    ]  # fmt: skip


def test_one_branch_is_its_own_books(kisumu):
    report = trial_balance(last=QUARTER[1], scope=kisumu)

    assert texts(report) == [
        ["1010 Cash in branch", "4,000.00"],
        ["4010 Interest income", "4,000.00"],
        ["Total", "4,000.00", "4,000.00"],
    ]


def test_a_figure_leads_to_the_statement_of_its_account(kisumu):
    report = trial_balance(last=QUARTER[1], scope=kisumu)

    assert report.rows[0].cells[1].target == (
        "report:account",
        None,
        (
            ("account", "1010"),
            ("first", "2026-01-01"),
            ("last", "2026-03-31"),
            ("branch", str(kisumu.branch_ids[0])),
        ),
    )


def test_before_anything_was_posted_there_is_nothing(books):
    report = trial_balance(last=date(2020, 1, 1), scope=Scope())

    assert texts(report) == [["Total", "-", "-"]]
