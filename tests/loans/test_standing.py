from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans import standing
from lms.loans.allocation import Due
from lms.loans.standing import BUCKETS, TABLES, Band, Standing, bucket, classify, days_past_due

D = Decimal


def due(on, **owing):
    return Due(key=on, due_date=on, owing={name: D(amount) for name, amount in owing.items()})


@pytest.mark.parametrize(("day", "days"), [(28, 0), (29, 1), (30, 2)])
def test_the_day_after_the_due_date_is_day_one(day, days):
    rows = [due(date(2026, 4, 28), principal=1000)]

    assert days_past_due(rows, on=date(2026, 4, day)) == days


def test_the_oldest_unpaid_instalment_counts():
    rows = [
        due(date(2026, 1, 1), principal=0),
        due(date(2026, 3, 1), interest=400),
        due(date(2026, 2, 1), principal=5, interest=6),
    ]

    assert days_past_due(rows, on=date(2026, 3, 31)) == 58


@pytest.mark.parametrize(("interest", "days"), [("5.00", 0), ("5.01", 30)])
def test_up_to_ten_shillings_unpaid_make_no_loan_late(interest, days):
    rows = [due(date(2026, 3, 1), principal=5, interest=interest)]

    assert days_past_due(rows, on=date(2026, 3, 31)) == days
    assert days_past_due(rows, on=date(2026, 3, 31), tolerance=D(0)) == 30


def test_fees_and_penalties_alone_make_no_loan_late():
    rows = [due(date(2026, 3, 1), fees=500, penalties=900)]

    assert days_past_due(rows, on=date(2026, 3, 31)) == 0


EDGES = {0: "current", 1: "1-30", 30: "1-30", 31: "31-60", 60: "31-60", 61: "61-90", 90: "61-90"}
EDGES |= {91: "91-180", 180: "91-180", 181: ">180", 4000: ">180"}


@pytest.mark.parametrize("days", EDGES)
def test_each_edge_falls_into_its_bucket(days):
    assert bucket(days) == EDGES[days]


# Eleven loans on 30 June 2026: principal, days past due.
LOANS = [
    Standing(D(40_000), 0),
    Standing(D(25_000), 0),
    Standing(D(20_000), 0, is_restructured=True),
    Standing(D(30_000), 5, D(9_000)),
    Standing(D(18_000), 12, D(6_000)),
    Standing(D(12_000), 30, D(4_000)),
    Standing(D(22_000), 45, D(6_000)),
    Standing(D(15_000), 75, D(6_000)),
    Standing(D(9_000), 120, D(7_000)),
    Standing(D(8_000), 240, D(8_000)),
    Standing(D(6_000), 400, D(6_000)),
]


def test_the_portfolio_falls_into_its_buckets():
    found = {name: [D(0), 0] for name, _, _ in BUCKETS}
    for loan in LOANS:
        found[bucket(loan.days)][0] += loan.principal
        found[bucket(loan.days)][1] += 1

    assert found == {
        "current": [85_000, 3],
        "1-30": [60_000, 3],
        "31-60": [22_000, 1],
        "61-90": [15_000, 1],
        "91-180": [9_000, 1],
        ">180": [14_000, 2],
    }
    assert sum(loan.principal for loan in LOANS) == D(205_000)


@pytest.mark.parametrize(
    ("over", "percent"), [(0, "58.54"), (30, "29.27"), (60, "18.54"), (90, "11.22")]
)
def test_the_portfolio_at_risk_counts_loans_more_than_so_many_days_late(over, percent):
    assert standing.portfolio_at_risk(LOANS, over) == D(percent)


def test_restructured_loans_can_be_counted_as_at_risk():
    assert standing.portfolio_at_risk(LOANS, 30, with_restructured=True) == D("39.02")


def test_the_arrears_ratio_is_not_the_portfolio_at_risk():
    assert standing.arrears_ratio(LOANS) == D("25.37")


def test_an_empty_portfolio_has_no_risk():
    assert standing.portfolio_at_risk([]) == 0
    assert standing.arrears_ratio([]) == 0


# One month in which the portfolio grew from 1.0 to 1.2 million.
PORTFOLIO = standing.average(D(1_000_000), D(1_200_000))
RATIOS = {
    "portfolio yield": (standing.annual_percent(D(33_000), PORTFOLIO, months=1), "36.00"),
    "yield of a quarter": (standing.annual_percent(D(99_000), PORTFOLIO, months=3), "36.00"),
    "on-time repayment": (standing.percent(228, 260), "87.69"),
    "collection efficiency": (
        standing.collection_efficiency(current=D(228), arrears=D(15), due=D(260)),
        "93.46",
    ),
    "the same with prepayments": (
        standing.collection_efficiency(current=D(228), arrears=D(15), due=D(260), prepaid=D(30)),
        "105.00",
    ),
    "write-off": (standing.annual_percent(D(12_000), PORTFOLIO, months=1), "13.09"),
    "write-off less recoveries": (
        standing.annual_percent(D(12_000) - D(4000), PORTFOLIO, months=1),
        "8.73",
    ),
    "risk coverage": (standing.percent(37_500, 60_000), "62.50"),
    "dropout": (standing.dropout_rate(opening=400, new=50, closing=405), "10.00"),
    "roll rate": (standing.percent(22_000, 60_000), "36.67"),
}


@pytest.mark.parametrize("name", RATIOS)
def test_each_ratio_comes_out(name):
    found, expected = RATIOS[name]

    assert found == D(expected)


VINTAGES = {
    "January": (500_000, [0, 6000, 9000, 6000], ["0", "1.20", "3.00", "4.20"]),
    "February": (250_000, [0, 5000, 6700], ["0", "2.00", "4.68"]),
    "March": (300_000, [0, 3000], ["0", "1.00"]),
}


@pytest.mark.parametrize("month", VINTAGES)
def test_a_cohort_is_followed_by_its_months_on_book(month):
    disbursed, newly_late, expected = VINTAGES[month]

    found = standing.vintage([D(amount) for amount in newly_late], D(disbursed))

    assert found == [D(percent) for percent in expected]


PROVISIONS = {"cbk": 18_360, "microfinance": 43_600, "sasra": 25_350, "management": 37_600}


@pytest.mark.parametrize("table", TABLES)
def test_each_table_provides_for_the_portfolio(table):
    bands = TABLES[table]

    assert (
        sum(standing.provision(loan.principal, loan.days, bands) for loan in LOANS)
        == (PROVISIONS[table])
    )


@given(st.sampled_from(sorted(TABLES)), st.integers(0, 5000))
def test_every_day_has_one_class_and_later_ones_provide_no_less(table, days):
    bands = TABLES[table]

    found = [b for b in bands if b.from_days <= days <= (days if b.to_days is None else b.to_days)]

    standing.check(bands)
    assert found == [classify(days, bands)]
    assert classify(days + 1, bands).rate >= classify(days, bands).rate


WRONG = {
    "no class": [],
    "a start after day 0": [(1, None, 1)],
    "a gap": [(0, 30, 1), (32, None, 5)],
    "an overlap": [(0, 30, 1), (30, None, 5)],
    "an end": [(0, 30, 1), (31, 60, 5)],
    "an endless class before the last": [(0, None, 1), (31, None, 5)],
    "an end before the start": [(0, 30, 1), (31, 20, 1), (21, None, 5)],
    "more than everything": [(0, None, 101)],
}


@pytest.mark.parametrize("case", WRONG)
def test_a_table_that_is_no_table_is_refused(case):
    bands = [Band(f"Class {row[0]}", row[0], row[1], D(row[2])) for row in WRONG[case]]

    with pytest.raises(Refused):
        standing.check(bands)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.decimals(0, 100, places=2)), max_size=8),
    st.integers(0, 500),
)
def test_days_past_due_are_those_of_the_first_unpaid_due(rows, day):
    start = date(2026, 1, 1)
    dues = [due(start + timedelta(days=offset), principal=amount) for offset, amount in rows]

    days = days_past_due(dues, on=start + timedelta(days=day))

    late = [day - offset for offset, amount in rows if amount > 10 and offset < day]
    assert days == max(late, default=0)
