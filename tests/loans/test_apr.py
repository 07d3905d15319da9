from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.loans.apr import Flow, compounded, effective, irr

D = Decimal


def monthly(amount, count, *, first=1, fraction=0):
    return [Flow(D(amount), first + k, D(fraction)) for k in range(count)]


def by_month(amount, count, *, last="0"):
    """Return equal payments at the end of each month, in years, with more at the last."""
    flows = [(D(amount), D(month) / 12) for month in range(1, count + 1)]
    return [*flows, (D(last), D(count) / 12)]


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
        by_month("1432.86", 240),
        "6.434412",
    ),
    "2015 example 7, a balloon in month 180": (
        D(196_000),
        by_month("1199.10", 180, last="142097.69"),
        "6.409523",
    ),
    "2015 example 8a, interest only": (
        D(196_000),
        by_month("1166.67", 240, last="200000"),
        "7.430479",
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


# Worked by hand: net disbursed, instalments, rate a month.
FLAT = {
    "50,000 at 3% a month flat": (D(50_000), "4.9442"),
    "the same with a fee of 2.5% and excise": (D(48_500), "5.9038"),
}


@pytest.mark.parametrize("case", FLAT)
def test_a_flat_rate_hides_its_rate_a_month(case):
    received, expected = FLAT[case]

    rate = irr(received, [*monthly("9833", 5), Flow(D(9835), 6)])

    assert (rate * 100).quantize(D("0.0001")) == D(expected)


def test_both_equations_agree_on_whole_periods():
    rate = irr(D(196_000), monthly("1432.86", 240))

    yearly = effective(D(196_000), by_month("1432.86", 240))
    assert abs(compounded(rate, D(12)) - yearly) < D("1e-18")


def test_a_thousandfold_repayment_still_has_its_rate():
    assert irr(D(1), [Flow(D(1000), 1)]).quantize(D("0.000001")) == 999
    assert effective(D(1), [(D(1000), D(1))]).quantize(D("0.000001")) == 999


@given(
    st.lists(
        st.tuples(st.decimals(1, 9999, places=2), st.integers(1, 400), st.integers(0, 29)),
        min_size=1,
        max_size=12,
    ),
    st.decimals("0.3", 1, places=2),
)
def test_at_its_rate_every_loan_is_worth_what_was_received(paid, part):
    flows = [Flow(amount, periods, D(days) / 30) for amount, periods, days in paid]
    received = part * sum(flow.amount for flow in flows)

    rate = irr(received, flows)

    worth = sum(a / ((1 + f * rate) * (1 + rate) ** n) for a, n, f in flows)
    assert rate >= 0
    assert abs(worth - received) < D("0.0001")


def test_advances_after_the_first_count_from_their_day():
    # At 10% a period, 1,000 for two periods and 1,000 for one become 1,210 and 1,100.
    rate = irr(D(1000), [Flow(D(2310), 2)], [Flow(D(1000), 1)])
    yearly = effective(D(1000), [(D(2310), D(2))], [(D(1000), D(1))])

    assert rate.quantize(D("1e-15")) == yearly.quantize(D("1e-15")) == D("0.1")


def test_advances_that_are_not_paid_back_have_no_rate():
    with pytest.raises(ValueError, match="do not pay back"):
        irr(D(1000), [Flow(D(1900), 2)], [Flow(D(1000), 1)])
    with pytest.raises(ValueError, match="do not pay back"):
        effective(D(1000), [(D(1900), D(2))], [(D(1000), D(1))])


def test_a_loan_that_costs_nothing_has_rate_zero():
    assert irr(D(1000), [Flow(D(500), 1), Flow(D(500), 2)]) == 0


def test_flows_that_do_not_pay_back_have_no_rate():
    with pytest.raises(ValueError, match="do not pay back"):
        irr(D(1000), [Flow(D(900), 1)])
