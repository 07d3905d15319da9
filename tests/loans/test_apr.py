from decimal import Decimal

import pytest

from lms.loans.apr import Flow, effective, irr

D = Decimal


def monthly(amount, count, *, first=1, fraction=D(0)):
    return [Flow(D(amount), first + k, fraction) for k in range(count)]


# Published examples: 12 CFR 1026, Appendix J (c).
REG_Z = {
    "(c)(1)(i) monthly": (D(5000), monthly("230", 24), 12, "9.69"),
    "(c)(1)(ii) long first period": (
        D(6000),
        monthly("200", 36, fraction=D(19) / 30),
        12,
        "11.82",
    ),
    "(c)(1)(iii) semi-monthly, short first period": (
        D(5000),
        monthly("219.17", 24, first=0, fraction=D(6) / 15),
        24,
        "10.34",
    ),
    "(c)(1)(v) weekly": (
        D(500),
        monthly("17.60", 30, first=4, fraction=D(4) / 7),
        52,
        "14.96",
    ),
    "(c)(5)(i) single payment after 255 days": (D(1000), [Flow(D(1080), 1)], D(365) / 255, "11.45"),
}


@pytest.mark.parametrize("case", REG_Z)
def test_published_american_examples_come_out(case):
    received, flows, periods_a_year, expected = REG_Z[case]

    rate = irr(received, flows) * 100 * periods_a_year

    assert rate.quantize(D("0.01")) == D(expected)


# Published examples: Directive 98/7/EC, and the Commission's 2015 report on APR.
EUROPE = {
    "98/7/EC: 546 days": (D(1000), [(D(1200), D(546) / 365)], "12.96"),
    "98/7/EC: a year and a half": (D(950), [(D(1200), D("1.5"))], "16.85"),
    "2015 example 1": (
        D(196_000),
        [(D("1432.86"), D(k) / 12) for k in range(1, 241)],
        "6.434412",
    ),
}


@pytest.mark.parametrize("case", EUROPE)
def test_published_european_examples_come_out(case):
    received, flows, expected = EUROPE[case]

    rate = effective(received, flows) * 100

    assert rate.quantize(D(expected)) == D(expected)


def test_rates_of_mobile_loans_are_not_capped():
    rate = effective(D(10_000), [(D(11_000), D(7) / 365)]) * 100

    assert rate.quantize(D("0.01")) == D("14299.02")


def test_a_loan_that_costs_nothing_has_rate_zero():
    assert irr(D(1000), [Flow(D(500), 1), Flow(D(500), 2)]) == 0


def test_flows_that_do_not_pay_back_have_no_rate():
    with pytest.raises(ValueError, match="do not pay back"):
        irr(D(1000), [Flow(D(900), 1)])
