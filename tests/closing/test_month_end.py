"""Two months of a small office, closed end to end: every figure was worked out by hand."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from lms import routing
from lms.closing import operations, proofs
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.balances import balances
from lms.ledger.models import Period, PeriodBalance
from lms.ledger.operations import Line, post
from lms.loans.operations import collection
from lms.reports.sheets import profit_of
from lms.reports.spans import Scope, Span
from tests import factories
from tests.books import prove

pytestmark = pytest.mark.django_db
D = Decimal
LENT = date(2026, 1, 15)
# 100,000 at 24% a year over 12 months: 12 instalments of 9,456, but for the last 9,454, so that
# 13,470 of interest. A fee of 3% and 20% of excise on it are deducted: 96,400 leave the vault.
JANUARY = {
    chart.CASH: D("53600.00"),  # 150,000 from the bank less 96,400
    chart.BANK: D("330000.00"),  # 500,000 less 150,000 and the rent of 20,000
    chart.LOAN_PRINCIPAL: D("100000.00"),
    chart.INTEREST_RECEIVABLE: D("13470.00"),
    chart.ALLOWANCE: D("-1000.00"),  # 1% of what is owed on a loan in order
    chart.EXCISE_PAYABLE: D("-600.00"),
    chart.UNEARNED_INTEREST: D("-13470.00"),
    chart.SHARE_CAPITAL: D("-500000.00"),
    chart.FEE_INCOME: D("-3000.00"),
    chart.PROVISION_EXPENSE: D("1000.00"),
    chart.RENT: D("20000.00"),
}
# The first instalment comes on its day: 2,000 of interest (2% of 100,000), 7,456 of principal.
# KES 500 came without an owner. 1% of 92,544 is 925.44.
FEBRUARY = {
    **JANUARY,
    chart.MPESA_PAYBILL: D("9956.00"),
    chart.BANK: D("310000.00"),
    chart.LOAN_PRINCIPAL: D("92544.00"),
    chart.INTEREST_RECEIVABLE: D("11470.00"),
    chart.ALLOWANCE: D("-925.44"),
    chart.UNALLOCATED: D("-500.00"),
    chart.UNEARNED_INTEREST: D("-11470.00"),
    chart.INTEREST_INCOME: D("-2000.00"),
    chart.PROVISION_EXPENSE: D("925.44"),
    chart.RENT: D("40000.00"),
}


def trial_balance(on: date) -> dict[str, Decimal]:
    return {code: balance.net for code, balance in balances(on).items() if balance.net}


def book(day: date, debit: str, credit: str, amount: int) -> None:
    post(
        kind="manual_journal", reference=f"{day}:{debit}", on=day, narration="By hand",
        lines=[Line(debit, credit, D(amount))], branch_id=factories.branch().pk, by=None,
    )  # fmt: skip


def close_nights(first: date, last: date) -> None:
    while first <= last:
        operations.close_day(first)
        first += timedelta(days=1)


def close_month(first: date, *, on: date) -> Period:
    return operations.close_period(Period.objects.get(first=first), by=factories.kamau(), on=on)


def pay(amount: int, receipt: str, account: str, day: date):
    return routing.take(
        method="mpesa", amount=D(amount), reference=receipt, value_date=day, account=account,
        by=factories.mutua(), branch=factories.branch(), on=day,
    )  # fmt: skip


def profit(first: date, last: date) -> Decimal:
    return profit_of(Span("", first, last, Scope(None)))


def test_two_months_are_closed_with_the_figures_worked_out_by_hand(kamau):
    fee = {"name": "Processing", "value": D(3), "when": "deducted", "excise_rate": D(20)}
    book(date(2026, 1, 10), chart.BANK, chart.SHARE_CAPITAL, 500_000)
    book(date(2026, 1, 12), chart.CASH, chart.BANK, 150_000)
    loan = factories.active(product=factories.product(fees=[fee]), on=LENT)
    book(date(2026, 1, 31), chart.RENT, chart.BANK, 20_000)

    close_nights(LENT, date(2026, 1, 30))
    with pytest.raises(Refused, match="close the nights of January 2026 first"):
        close_month(date(2026, 1, 1), on=date(2026, 2, 1))
    close_nights(date(2026, 1, 31), date(2026, 1, 31))
    close_month(date(2026, 1, 1), on=date(2026, 2, 1))

    assert trial_balance(date(2026, 1, 31)) == JANUARY
    assert profit(date(2026, 1, 1), date(2026, 1, 31)) == D("-18000.00")  # 3,000 - 1,000 - 20,000

    paid = pay(9_456, "UB15AAAAAA", loan.number, date(2026, 2, 15))
    pay(500, "UB20AAAAAA", "MAMA PIMA", date(2026, 2, 20))
    book(date(2026, 2, 28), chart.RENT, chart.BANK, 20_000)
    close_nights(date(2026, 2, 1), date(2026, 2, 28))
    close_month(date(2026, 2, 1), on=date(2026, 3, 1))

    assert trial_balance(date(2026, 2, 28)) == FEBRUARY
    assert trial_balance(date(2026, 1, 31)) == JANUARY
    carried = PeriodBalance.objects.filter(period__first=date(2026, 2, 1))
    assert {
        row.account_id: row.debit - row.credit for row in carried if row.debit != row.credit
    } == (FEBRUARY)
    assert profit(date(2026, 2, 1), date(2026, 2, 28)) == D("-17925.44")  # 2,000 + 74.56 - 20,000
    prove()

    # What is taken back afterwards leaves both months as they were closed.
    collection.reverse_payment(paid, reason="Bounced", by=kamau, on=date(2026, 3, 2))
    assert trial_balance(date(2026, 2, 28)) == FEBRUARY
    assert trial_balance(date(2026, 3, 2))[chart.LOAN_PRINCIPAL] == D("100000.00")
    assert all(proved.holds for proved in proofs.prove())
