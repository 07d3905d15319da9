"""Books of a few entries, small enough to check by hand."""

from datetime import date
from decimal import Decimal

from lms.ledger import chart
from lms.ledger.operations import Line, post
from tests import factories

JAN, FEB, MARCH = (date(2026, month, 10) for month in (1, 2, 3))


def book(number: int, on: date, *lines: tuple, branch="NRB", kind: str = "test") -> None:
    """Post one entry of (debit, credit, whole shillings) lines."""
    name = {"NRB": "Nairobi", "KSM": "Kisumu"}[branch]
    post(
        kind=kind,
        reference=f"test:{number}",
        on=on,
        narration=f"Entry {number}",
        lines=[Line(debit, credit, Decimal(amount)) for debit, credit, amount in lines],
        branch_id=factories.branch(branch, name).pk,
        by=None,
    )


def quarter() -> None:
    """A quarter: capital, lending, income, rent, a van, an allowance, and a second branch."""
    book(1, date(2025, 12, 31), (chart.BANK, chart.SHARE_CAPITAL, 500_000))
    book(2, date(2025, 12, 31), (chart.BANK, chart.INTEREST_INCOME, 1_000))
    book(3, JAN, (chart.LOAN_PRINCIPAL, chart.BANK, 200_000), kind="disbursement")
    book(4, FEB, (chart.CASH, chart.UNALLOCATED, 30_000), kind="receipt")
    book(
        5,
        FEB,
        (chart.UNALLOCATED, chart.LOAN_PRINCIPAL, 24_000),
        (chart.UNALLOCATED, chart.PENALTIES_RECEIVABLE, 500),
        (chart.UNALLOCATED, chart.CUSTOMER_CREDIT, 1_500),
    )
    book(6, FEB, (chart.PENALTIES_RECEIVABLE, chart.PENALTY_INCOME, 700))
    book(7, FEB, (chart.RENT, chart.CASH, 12_000))
    book(8, MARCH, (chart.PROVISION_EXPENSE, chart.ALLOWANCE, 9_000))
    book(9, MARCH, (chart.FIXED_ASSETS, chart.BANK, 80_000))
    book(10, MARCH, (chart.CASH, chart.BANK, 5_000))
    book(11, MARCH, (chart.CASH, chart.INTEREST_INCOME, 4_000), branch="KSM")
