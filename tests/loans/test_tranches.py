"""Loans paid out in parts, by the schedules that the calculator makes of them."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.loans.calculator import RepaymentCalculator
from lms.loans.calculator import Tranche as Part
from lms.loans.models import Tranche
from lms.loans.operations import changes, lifecycle, settling, tranches, writing_off
from lms.payments.operations import receive
from tests import factories
from tests.books import balances
from tests.loans.test_restructuring import books_agree, everything, pay

D = Decimal
PLANNED = date(2026, 4, 1)
FIRST, LATER = D(60_000), D(40_000)


def application(first=FIRST, later=LATER, **fields):
    loan = factories.draft(first + later, **fields)
    Tranche.objects.create(loan=loan, planned_on=PLANNED, amount=later)
    lifecycle.submit(loan, by=factories.njeri(), on=factories.DAY)
    return lifecycle.approve(loan, by=factories.kamau(), on=factories.DAY)


@pytest.fixture
def house(db):
    """100,000 in parts of 60,000 on 15 January and 40,000 planned for 1 April."""
    return lifecycle.disburse(
        application(), method="cash", reference=None, by=factories.mutua(), on=factories.DAY
    )


def second_part(loan, on=PLANNED):
    return tranches.pay_next(loan, method="cash", reference=None, by=factories.mutua(), on=on)


def standing(loan):
    rows = loan.repayments.exclude(status__in=("rescheduled", "cancelled")).order_by("due_date")
    return [(row.due_date, row.principal, row.interest) for row in rows]


def test_only_the_first_part_is_paid_out_and_owed(house):
    assert (house.principal, house.undisbursed, house.lent) == (
        D("100000.00"), D("40000.00"), D("60000.00")
    )  # fmt: skip
    assert sum(principal for _, principal, _ in standing(house)) == D("60000.00")
    assert -balances()[chart.CASH] == D("60000.00")
    books_agree(house)


def test_a_tranche_makes_the_schedule_of_the_calculator(house):
    pay(house, 5674, date(2026, 2, 15))
    pay(house, 5674, date(2026, 3, 15))

    change = second_part(house)

    terms = replace(
        house.schedule_terms(disbursed_on=factories.DAY, fees=[], tranches=()),
        tranches=(Part(PLANNED, D(40_000)),),
    )
    wanted = [
        (row.due_date, row.principal, row.interest) for row in RepaymentCalculator(terms).schedule()
    ]
    assert standing(house) == wanted
    # The first row after it: 50,963 at 2% is 1,019.26, and 40,000 for 14 days at 24% 368.22.
    assert standing(house)[2][2] == D("1387.00")
    house.refresh_from_db()
    assert (house.undisbursed, house.lent) == (D("0.00"), D("100000.00"))
    assert (change.payout.kind, change.amount) == ("tranche", D("40000.00"))
    assert -balances()[chart.CASH] == D("100000.00") - 2 * 5674
    assert house.tranches.get().paid_on == PLANNED
    books_agree(house)
    with pytest.raises(Refused, match="paid out in full"):
        second_part(house)


def test_arrears_stay_where_they_are(house):
    second_part(house)

    assert house.repayments.unpaid().filter(due_date__lte=PLANNED).count() == 2
    assert house.position.overdue_since == date(2026, 2, 15)
    books_agree(house)


def test_after_money_paid_ahead_what_is_owed_is_spread_over_what_was_left(house):
    pay(house, 20_000, date(2026, 2, 15))  # three instalments and a part of the fourth

    second_part(house)

    left = house.repayments.unpaid().order_by("due_date")
    assert left.count() == 9
    assert left[0].due_date == date(2026, 5, 15)
    house.refresh_from_db()
    assert sum(row.principal for row in left) == house.position.principal
    books_agree(house)


def test_undoing_a_tranche_takes_the_money_back_and_plans_it_again(house):
    was = everything(house)

    change = second_part(house)
    changes.undo(change, reason="Not taken", by=factories.kamau(), on=PLANNED, money_is_back=True)

    assert everything(house) == was
    assert (house.tranches.get().paid_on, house.tranches.get().payout) == (None, None)
    books_agree(house)
    second_part(house, on=date(2026, 4, 2))
    books_agree(house)


@pytest.mark.parametrize(
    ("on", "sentence"),
    [
        (factories.DAY, "after the first part"),
        (date(2027, 1, 15), "No instalment is left"),
    ],
)
def test_a_day_that_cannot_be_is_refused(house, on, sentence):
    before = everything(house)

    with pytest.raises(Refused, match=sentence):
        second_part(house, on=on)

    assert everything(house) == before


def test_who_approved_the_loan_does_not_pay_its_tranches(house, kamau):
    with pytest.raises(Refused, match="You approved"):
        tranches.pay_next(house, method="cash", reference=None, by=kamau, on=PLANNED)


def test_tranches_leave_a_first_part(db):
    with pytest.raises(Refused, match=r"The tranches come to KES 40,000\.00"):
        application(first=D(0))


def test_fees_are_on_all_that_is_lent(db):
    fee = {"name": "Processing", "kind": "percent", "value": D(2), "when": "deducted"}
    product = factories.product(fees=[{**fee, "excise_rate": D(20)}])

    lifecycle.disburse(
        application(product=product), method="cash", reference=None, by=factories.mutua(),
        on=factories.DAY,
    )  # fmt: skip

    assert -balances()[chart.FEE_INCOME] == D("2000.00")
    assert -balances()[chart.CASH] == D("57600.00")


def test_interest_that_grace_capitalises_is_principal_and_not_income(db):
    """60,000 at 2% a month, two periods capitalised: 62,424, of which 2,424 is interest."""
    product = factories.product(
        number_of_repayments=6, interest_grace=2, grace_interest="capitalised"
    )
    loan = factories.active(D(60_000), product=product)

    assert (loan.capitalised, loan.position.principal) == (D("2424.00"), D("62424.00"))
    assert -balances()[chart.CAPITALISED_INTEREST] == D("2424.00")
    books_agree(loan)
    for row in loan.repayments.order_by("number"):
        pay(loan, row.outstanding, row.due_date)
    earned = sum(row.interest for row in loan.repayments.all()) + D("2424.00")
    assert -balances()[chart.INTEREST_INCOME] == earned
    assert balances()[chart.CAPITALISED_INTEREST] == 0
    loan.refresh_from_db()
    assert loan.status == "closed"
    books_agree(loan)


def test_settling_in_capitalised_grace_gives_back_what_is_not_earned(db, kamau):
    product = factories.product(
        number_of_repayments=6, interest_grace=2, grace_interest="capitalised"
    )
    loan = factories.active(D(60_000), product=product)
    day = date(2026, 2, 14)

    # 60,000 at 24% for 30 days over 365: 1,183.56, in whole shillings 1,184.
    assert settling.payoff(loan, on=day).total == D("61184.00")
    payment = receive(
        method="cash", amount=D(61_184), reference=None, value_date=day, account=loan.number,
        branch=loan.branch, by=factories.mutua(), on=day,
    )  # fmt: skip
    settling.settle_early(loan, payment=payment, by=kamau, on=day)

    loan.refresh_from_db()
    assert (loan.status, loan.capitalised) == ("closed", D("1184.00"))
    assert -balances()[chart.INTEREST_INCOME] == D("1184.00")
    assert balances()[chart.CAPITALISED_INTEREST] == 0
    books_agree(loan)


def test_a_loan_that_is_written_off_stays_so_with_a_tranche_never_paid_out(house, kamau):
    writing_off.write_off(house, reason="Shop burnt down", by=kamau, on=date(2026, 3, 1))

    house.refresh_from_db()
    assert (house.status, house.undisbursed) == ("written_off", LATER)
    assert house.position.outstanding == 0
