import subprocess
import sys
from decimal import Decimal

import pytest

from lms.loans.calculator import Fee, RepaymentCalculator
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
