import subprocess
import sys
from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.loans.calculator import Fee, RepaymentCalculator, Tranche
from lms.loans.penalties import PenaltyRule
from tests.loans.terms import terms

D = Decimal
FLAT = {
    "principal": D(50_000),
    "annual_rate": D(36),
    "method": "flat",
    "number_of_repayments": 6,
}
MOBILE = {
    "principal": D(10_000),
    "method": "single_payment",
    "number_of_repayments": 1,
    "unit": "days",
}
FEE = Fee("Processing", "percent", D(3), "deducted", D(20))

# Terms, APR (nominal), EIR (effective).
PRICES = {
    "24% declining": ({}, "24.00", "26.82"),
    "3% a month flat": (FLAT, "59.33", "78.44"),
    "the same with a fee of 2.5%": (
        {**FLAT, "fees": (Fee("Processing", "percent", D("2.5"), "deducted", D(20)),)},
        "70.85",
        "99.04",
    ),
    "15% for 30 days": (
        {**MOBILE, "repay_every": 30, "annual_rate": D("182.5")},
        "182.50",
        "447.63",
    ),
    "8% for 30 days": (
        {**MOBILE, "repay_every": 30, "annual_rate": D(8) * 365 / 30},
        "97.33",
        "155.07",
    ),
    "10% for 14 days": (
        {**MOBILE, "repay_every": 14, "annual_rate": D(10) * 365 / 14},
        "260.71",
        "1099.96",
    ),
    "10% for 7 days": (
        {**MOBILE, "repay_every": 7, "annual_rate": D(10) * 365 / 7},
        "521.43",
        "14299.02",
    ),
    "15% for 30 days, as two periods paid at once": (
        {**MOBILE, "repay_every": 15, "number_of_repayments": 2, "annual_rate": D("182.5")},
        "182.50",
        "447.63",
    ),
    "24% every two weeks": (
        {"unit": "weeks", "repay_every": 2, "number_of_repayments": 6},
        "24.00",
        "26.99",
    ),
    "interest only": ({"method": "interest_only"}, "24.00", "26.82"),
    "a loan without interest": ({"annual_rate": D(0)}, "0.00", "0.00"),
    "8% for 30 days and 3% deducted": (
        {**MOBILE, "repay_every": 30, "annual_rate": D(8) * 365 / 30, "fees": (FEE,)},
        "146.40",
        "298.46",
    ),
}


@pytest.mark.parametrize("case", PRICES)
def test_the_true_price_comes_out(case):
    fields, apr, eir = PRICES[case]

    calculator = RepaymentCalculator(terms(**fields))

    assert (calculator.apr(), calculator.eir()) == (D(apr), D(eir))


def test_a_fee_deducted_lowers_what_the_customer_receives_and_raises_the_cost():
    calculator = RepaymentCalculator(
        terms(**MOBILE, repay_every=30, annual_rate=D(8) * 365 / 30, fees=(FEE,))
    )

    assert calculator.net_disbursed() == D("9640.00")
    assert calculator.total_payable() == D("10800.00")
    assert calculator.total_cost_of_credit() == D("1160.00")
    assert calculator.fees_deducted() == (D("300.00"), D("60.00"))


def test_a_single_payment_after_more_than_a_year_compounds_by_the_year():
    fields = {**MOBILE, "unit": "months", "number_of_repayments": 24, "repay_every": 1}

    calculator = RepaymentCalculator(terms(**fields, annual_rate=D("22")))

    # 10,000 becomes 14,400 in two years: 1.2 × 1.2.
    assert (calculator.apr(), calculator.eir()) == (D("20.00"), D("20.00"))


def test_odd_days_before_the_first_instalment_are_counted_back_from_it():
    calculator = RepaymentCalculator(terms(number_of_repayments=1, first_due=date(2026, 3, 1)))

    # From 15 January to 1 March is 1 month back to 1 February, and 17 days of 30.
    # 102,958.90 / 100,000 = (1 + i) × (1 + 17/30 i).
    assert calculator.total_payable() == D("102958.90")
    assert calculator.apr(D("0.0001")) == D("22.5112")


def test_a_price_can_be_asked_to_more_digits():
    calculator = RepaymentCalculator(terms(**FLAT))

    assert (calculator.apr(), calculator.apr(D("0.0001"))) == (D("59.33"), D("59.3301"))


WHEN_TAKEN = {
    "deducted": ("9640.00", "10800.00", "1160.00"),
    "paid_before": ("10000.00", "10800.00", "1160.00"),
    "added_to_principal": ("10000.00", "11188.80", "1188.80"),
    "first_instalment": ("10000.00", "11160.00", "1160.00"),
    "spread": ("10000.00", "11160.00", "1160.00"),
}


@pytest.mark.parametrize("when", WHEN_TAKEN)
def test_the_time_of_a_fee_changes_who_holds_the_money_and_what_it_costs(when):
    fee = Fee("Processing", "percent", D(3), when, D(20))

    calculator = RepaymentCalculator(
        terms(**MOBILE, repay_every=30, annual_rate=D(8) * 365 / 30, fees=(fee,))
    )

    net, payable, cost = WHEN_TAKEN[when]
    assert calculator.net_disbursed() == D(net)
    assert calculator.total_payable() == D(payable)
    assert calculator.total_cost_of_credit() == D(cost)


def test_fees_that_leave_nothing_have_no_price():
    eaten = Fee("Everything", "percent", D(100), "deducted")
    calculator = RepaymentCalculator(terms(fees=(eaten,)))

    with pytest.raises(Refused, match="leave nothing to pay out") as refusal:
        calculator.apr()

    assert refusal.value.field == "fees"


def test_a_payoff_assumes_that_everything_due_is_paid_unless_told():
    flat, declining = RepaymentCalculator(terms(**FLAT)), RepaymentCalculator(terms())

    assert flat.payoff(on=date(2026, 3, 15), rebate="pro_rata").total == D(33_334)
    assert flat.payoff(on=date(2026, 3, 15), rebate="actuarial", unit=D(1)).total == D(34_914)
    assert declining.payoff(on=date(2026, 5, 25)).total == D("69724.76")


def test_a_prepayment_starts_from_the_schedule_or_from_the_rows_told():
    calculator = RepaymentCalculator(terms())
    answers = {"on": date(2026, 5, 15), "extra": D(10_000), "keep": "instalment"}

    once = calculator.prepay(**answers)
    twice = calculator.prepay(**answers, rows=once)

    assert sum(row.principal for row in once) == D("59269.29")
    assert [row.total for row in twice] == [D(9456)] * 5 + [D("5291.63")]


def test_a_penalty_is_asked_of_an_instalment():
    rule = PenaltyRule(base="instalment", value=D(5), grace_days=3)

    calculator = RepaymentCalculator(terms())

    assert calculator.penalty(rule, number=1, on=date(2026, 2, 18)) == 0
    assert calculator.penalty(rule, number=1, on=date(2026, 2, 19)) == D("472.80")


def test_a_fee_deducted_is_dear_for_what_is_received():
    mobile = RepaymentCalculator(
        terms(**MOBILE, repay_every=30, annual_rate=D(8) * 365 / 30, fees=(FEE,))
    )
    flat = RepaymentCalculator(
        terms(**FLAT, fees=(Fee("Processing", "percent", D("2.5"), "deducted", D(20)),))
    )

    share = mobile.total_cost_of_credit() / mobile.net_disbursed() * 100
    assert share.quantize(D("0.01")) == D("12.03")
    assert flat.net_disbursed() == D("48500.00")


def test_interest_that_became_principal_is_told_apart():
    calculator = RepaymentCalculator(
        terms(
            principal=D(60_000),
            number_of_repayments=6,
            principal_grace=2,
            interest_grace=2,
            grace_interest="capitalised",
        )
    )

    assert calculator.capitalised_interest() == D("2424.00")
    assert calculator.total_cost_of_credit() == D("5576.10")
    assert RepaymentCalculator(terms()).capitalised_interest() == 0


def test_fees_added_to_the_principal_are_not_interest():
    fee = Fee("Processing", "percent", D(3), "added_to_principal", D(20))

    assert RepaymentCalculator(terms(fees=(fee,))).capitalised_interest() == 0


def test_tranches_are_advances_in_the_price_and_no_cost():
    later = (Tranche(date(2026, 5, 15), D(50_000)),)
    calculator = RepaymentCalculator(terms(principal=D(50_000), tranches=later))

    assert calculator.net_disbursed() == D("50000.00")
    assert calculator.total_cost_of_credit() == calculator.total_payable() - 100_000
    assert (calculator.apr(), calculator.eir()) == (D("24.00"), D("26.82"))


def test_a_single_payment_for_tranches_has_its_price():
    later = (Tranche(date(2026, 7, 15), D(50_000)),)
    calculator = RepaymentCalculator(
        terms(principal=D(50_000), method="single_payment", tranches=later)
    )

    # 118,000 for 50,000 over a year and 50,000 over half a year, which bears simple interest:
    # 118 / (1 + i) = 50 + 50 / (1 + i / 2), so 25 i² + 66 i = 18.
    assert calculator.total_payable() == D("118000.00")
    assert calculator.apr() == D("24.92")


@pytest.mark.parametrize("on", [date(2026, 4, 20), date(2026, 6, 10)])
def test_a_loan_is_not_settled_over_a_tranche_of_the_same_period(on):
    later = (Tranche(date(2026, 5, 25), D(50_000)),)
    calculator = RepaymentCalculator(terms(principal=D(50_000), tranches=later))

    with pytest.raises(Refused, match="The tranche of 25 May 2026") as refusal:
        calculator.payoff(on=on)
    with pytest.raises(Refused, match="The tranche of 25 May 2026"):
        calculator.prepay(on=on, extra=D(1000), keep="term")

    assert refusal.value.field == "tranches"


def test_once_its_instalment_is_due_a_tranche_is_settled_as_any_principal():
    later = (Tranche(date(2026, 5, 25), D(50_000)),)
    calculator = RepaymentCalculator(terms(principal=D(50_000), tranches=later))

    quote = calculator.payoff(on=date(2026, 6, 15))

    assert (quote.principal, quote.interest) == (D("74505.75"), D("0.00"))


def test_coarse_rounding_is_warned_of():
    assert RepaymentCalculator(terms()).warning() is None
    coarse = terms(principal=D(780), instalment_multiple=D(50))
    assert "round instalments to KES 5.00" in RepaymentCalculator(coarse).warning()


def test_an_auditor_can_use_it_from_a_python_prompt_without_django_settings():
    code = (
        "from datetime import date; from decimal import Decimal;"
        "from lms.loans.calculator import RepaymentCalculator, Terms;"
        "terms = Terms(principal=Decimal('100000'), annual_rate=Decimal('24'),"
        " method='declining_equal_instalments', number_of_repayments=12, repay_every=1,"
        " unit='months', disbursed_on=date(2026, 1, 15));"
        "print(RepaymentCalculator(terms).schedule()[0].total)"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""}
    )

    assert said.stdout.strip() == "9456.00"
