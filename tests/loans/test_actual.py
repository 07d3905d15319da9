"""Interest that follows the actual balance, through late, early and backdated money.

100,000 at 24% over 365 days, 25,000 of principal a month from 15 February on: 31 days cost
2,038.36, and 28 days of 75,000 cost 1,380.82.
"""

from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Loan, Repayment, Tranche
from lms.loans.operations import changes, collection, prepaying, relief, tranches
from lms.loans.operations.night import accrual
from lms.loans.operations.night.recalculated import recalculate
from lms.loans.settlement import KEEPS
from lms.payments.operations import receive
from tests import factories
from tests.books import balances, prove
from tests.nights import EVERYBODY

pytestmark = pytest.mark.django_db
D = Decimal
FEBRUARY, MARCH = date(2026, 2, 15), date(2026, 3, 15)


def product(**fields):
    return factories.product(
        code="ACTUAL",
        number_of_repayments=4,
        method="declining_equal_principal",
        day_count="actual/365",
        recalculates=True,
        interest_multiple="0.01",
        **fields,
    )


def lend(**fields):
    return factories.active(D(100_000), product=product(**fields))


def pay(loan, amount, *, value_date, on=None):
    return routing.take(
        method="cash", amount=D(amount), reference=None, value_date=value_date,
        account=loan.number, by=factories.mutua(), on=on or value_date,
    )  # fmt: skip


def prepay(loan, amount, *, on, keep="term"):
    payment = receive(
        method="cash", amount=D(amount), reference=None, value_date=on, account="",
        branch=loan.branch, customer=loan.customer, by=factories.mutua(), on=on,
    )  # fmt: skip
    return prepaying.prepay(loan, payment=payment, keep=keep, by=factories.kamau(), on=on)


def night(*days):
    return [recalculate(*EVERYBODY, on=day) for day in days]


def interest(loan):
    standing = loan.repayments.exclude(status__in=Repayment.GONE)
    return list(standing.order_by("due_date").values_list("interest", flat=True))


def test_a_backdated_payment_owes_less_interest_from_its_value_date_at_once():
    loan = lend()
    night(FEBRUARY, MARCH)
    assert interest(loan)[:2] == [D("2038.36"), D("1841.10")]  # 100,000 for 31 and 28 days

    late = pay(loan, "27038.36", value_date=date(2026, 2, 25), on=date(2026, 3, 20))

    # 100,000 for 10 days and 75,000 for 18.
    assert interest(loan)[:2] == [D("2038.36"), D("1545.21")]
    assert loan.repayments.get(number=1).paid_on == date(2026, 2, 25)
    prove()
    assert night(FEBRUARY, MARCH) == [0, 0]

    collection.reverse_payment(late, reason="Bounced", by=factories.kamau(), on=date(2026, 3, 21))

    assert interest(loan)[:2] == [D("2038.36"), D("1841.10")]
    prove()


def test_a_backdated_payment_ends_as_one_in_time():
    loan = lend()
    pay(loan, "10000.00", value_date=date(2026, 2, 20))
    night(FEBRUARY, MARCH)
    pay(loan, "30000.00", value_date=date(2026, 3, 18))
    pay(loan, "15000.00", value_date=date(2026, 2, 10), on=date(2026, 4, 2))

    # 15,000 paid 2,038.36 of interest ahead, and 12,961.64 of principal from 10 February on; the
    # 10,000 paid as much of it from the 20th.
    # (87,038.36 × 5 + 77,038.36 × 23) × 24% / 365
    assert interest(loan)[:2] == [D("2038.36"), D("1451.23")]
    prove()


def test_what_is_paid_on_the_due_date_is_what_the_days_before_it_cost():
    loan = lend()
    pay(loan, "27038.36", value_date=date(2026, 2, 25))

    last = pay(loan, "26545.21", value_date=MARCH)

    second = loan.repayments.get(number=2)
    assert (second.interest, second.status) == (D("1545.21"), "completed")
    last.refresh_from_db()
    assert (last.allocated, last.credited) == (D("26545.21"), 0)
    assert night(MARCH) == [0]
    prove()


def test_principal_that_was_waived_bears_no_interest_any_more():
    loan = lend()
    night(FEBRUARY)
    relief.waive(
        loan.repayments.get(number=1), amount=D(25_000), component="principal", reason="Flood",
        by=factories.kamau(), on=date(2026, 2, 25),
    )  # fmt: skip

    night(MARCH)

    assert interest(loan)[1] == D("1545.21")
    prove()


@pytest.mark.parametrize("keep", KEEPS)
def test_what_a_prepayment_plans_is_what_the_night_finds(keep):
    loan = lend()

    change = prepay(loan, 20_000, on=date(2026, 1, 25), keep=keep)

    # 100,000 for 10 days, 657.53, and 80,000 for 21.
    assert change.after["carried"] == "657.53"
    due = loan.repayments.get(version=2, due_date=FEBRUARY)
    assert due.interest == D("1762.19")
    assert night(date(2026, 1, 25), FEBRUARY) == [0, 0]
    assert sum(row.principal for row in loan.repayments.exclude(status__in=Repayment.GONE)) == D(
        100_000
    )
    prove()


def test_a_late_payer_who_prepays_owes_the_days_that_the_arrears_were_owed():
    loan = lend()
    night(FEBRUARY)

    prepay(loan, "42038.36", on=date(2026, 2, 25))

    # 100,000 for 10 days, 657.53, and 60,000 for 18, 710.14.
    due = loan.repayments.get(version=2, due_date=MARCH)
    assert due.interest == D("1367.67")
    assert night(MARCH) == [0]
    prove()


def test_a_prepayment_undone_leaves_the_interest_to_the_balance_again():
    loan = lend()
    before = interest(loan)
    prepay(loan, 20_000, on=date(2026, 1, 25))

    changes.undo_last(loan, reason="Mistake", by=factories.kamau(), on=date(2026, 1, 26))

    assert interest(loan) == before
    assert night(FEBRUARY) == [0]
    prove()


def test_a_payment_behind_a_prepayment_counts_from_its_day():
    loan = lend()
    prepay(loan, 20_000, on=date(2026, 1, 25))

    early = pay(loan, 5_000, value_date=date(2026, 1, 20), on=date(2026, 1, 30))

    assert set(early.allocations.values_list("counts_on", flat=True)) == {date(2026, 1, 25)}
    prove()


@pytest.fixture
def in_parts():
    """60,000 on 15 January and 40,000 on the 25th."""
    loan = factories.draft(D(100_000), product=product())
    Tranche.objects.create(loan=loan, planned_on=date(2026, 1, 25), amount=D(40_000))
    steps = factories.lifecycle
    steps.submit(loan, by=factories.njeri(), on=factories.DAY)
    steps.approve(loan, by=factories.kamau(), on=factories.DAY)
    loan = steps.disburse(
        loan, method="cash", reference=None, by=factories.mutua(), on=factories.DAY
    )
    tranches.pay_next(
        loan, method="cash", reference=None, by=factories.mutua(), on=date(2026, 1, 25)
    )
    return Loan.objects.get(pk=loan.pk)


def test_a_tranche_bears_interest_from_its_day(in_parts):
    # 60,000 for 10 days and 100,000 for 21.
    assert interest(in_parts)[0] == D("1775.34")
    assert night(FEBRUARY) == [0]


def test_principal_is_not_prepaid_in_the_period_of_a_tranche(in_parts):
    with pytest.raises(Refused, match="The tranche of 25 Jan 2026 comes after the last due date"):
        prepay(in_parts, 20_000, on=date(2026, 2, 1))

    assert not in_parts.changes.filter(kind="prepayment").exists()


def test_principal_of_a_loan_with_a_tranche_is_prepaid_after_the_next_due_date(in_parts):
    pay(in_parts, "26775.34", value_date=FEBRUARY)

    prepay(in_parts, 15_000, on=date(2026, 2, 25))

    # 75,000 for 10 days, 493.15, and 60,000 for 18, 710.14.
    due = in_parts.repayments.exclude(status__in=Repayment.GONE).get(due_date=MARCH)
    assert due.interest == D("1203.29")
    assert night(MARCH) == [0]
    prove()


def test_earned_interest_that_is_waived_leaves_the_income_the_same_night():
    loan = lend(income_basis="accrual")
    night(FEBRUARY)
    accrual.accrue(*EVERYBODY, on=FEBRUARY)
    assert -balances()[chart.INTEREST_INCOME] == D("2038.36")

    relief.waive(
        loan.repayments.get(number=1), amount=D("1000.00"), component="interest", reason="Flood",
        by=factories.kamau(), on=date(2026, 2, 16),
    )  # fmt: skip

    # What is owed is right at once; until the night the income is set off by what is unearned.
    prove()
    loan.position.refresh_from_db()
    booked = balances()
    assert loan.position.interest == booked[chart.INTEREST_RECEIVABLE]
    income_and_unearned = booked[chart.INTEREST_INCOME] + booked[chart.UNEARNED_INTEREST]
    assert -income_and_unearned == loan.position.interest

    accrual.accrue(*EVERYBODY, on=date(2026, 2, 16))

    # One day of 75,000 of 28 days' 1,380.82 is earned too.
    assert -balances()[chart.INTEREST_INCOME] == D("1038.36") + D("49.32")
    assert accrual.accrue(*EVERYBODY, on=date(2026, 2, 16)) == 0
