from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans.calculator import Fee
from lms.loans.schedule import METHODS, schedule
from tests.loans.terms import terms

D = Decimal

# Worked examples: terms, first instalment, last instalment, total interest.
GOLDEN = {
    "monthly": ({}, "9456.00", "9455.46", "13471.46"),
    "monthly, interest in shillings": (
        {"interest_multiple": D(1)},
        "9456.00",
        "9454.00",
        "13470.00",
    ),
    "weekly": ({"unit": "weeks"}, "8585.00", "8590.50", "3025.50"),
    "every two weeks": (
        {"unit": "weeks", "repay_every": 2, "number_of_repayments": 6},
        "17209.00",
        "17210.55",
        "3255.55",
    ),
    "daily": ({"unit": "days", "number_of_repayments": 30}, "3367.00", "3379.54", "1022.54"),
    "flat, 3% a month": (
        {
            "principal": D(50_000),
            "annual_rate": D(36),
            "method": "flat",
            "number_of_repayments": 6,
        },
        "9833.00",
        "9835.00",
        "9000.00",
    ),
    "equal principal": (
        {
            "principal": D(60_000),
            "method": "declining_equal_principal",
            "number_of_repayments": 6,
        },
        "11200.00",
        "10200.00",
        "4200.00",
    ),
    "interest only": (
        {"principal": D(60_000), "method": "interest_only", "number_of_repayments": 6},
        "1200.00",
        "61200.00",
        "7200.00",
    ),
    "single payment, 15% for 30 days": (
        {
            "principal": D(10_000),
            "annual_rate": D("182.5"),
            "method": "single_payment",
            "number_of_repayments": 1,
            "unit": "days",
            "repay_every": 30,
        },
        "11500.00",
        "11500.00",
        "1500.00",
    ),
    "to the cent": ({"instalment_multiple": D("0.01")}, "9455.96", "9455.97", "13471.53"),
    "to 5 shillings": ({"instalment_multiple": D(5)}, "9455.00", "9467.88", "13472.88"),
    "to 10 shillings": ({"instalment_multiple": D(10)}, "9460.00", "9405.83", "13465.83"),
    "to 50 shillings": ({"instalment_multiple": D(50)}, "9450.00", "9529.93", "13479.93"),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_worked_examples_come_out_to_the_cent(case):
    fields, first, last, interest = GOLDEN[case]

    rows = schedule(terms(**fields))

    assert (rows[0].total, rows[-1].total) == (D(first), D(last))
    assert sum(row.interest for row in rows) == D(interest)


def test_a_whole_schedule_in_shillings_row_by_row():
    rows = schedule(terms(interest_multiple=D(1)))

    assert [(int(r.principal), int(r.interest), int(r.balance)) for r in rows] == [
        (7456, 2000, 92544),
        (7605, 1851, 84939),
        (7757, 1699, 77182),
        (7912, 1544, 69270),
        (8071, 1385, 61199),
        (8232, 1224, 52967),
        (8397, 1059, 44570),
        (8565, 891, 36005),
        (8736, 720, 27269),
        (8911, 545, 18358),
        (9089, 367, 9269),
        (9269, 185, 0),
    ]


GRACE = {
    "principal grace": (
        {"principal_grace": 2},
        ["1200.00", "1200.00", "15757.00", "15757.00", "15757.00", "15758.76"],
        "5429.76",
    ),
    "interest-free": (
        {"principal_grace": 2, "interest_free": 2},
        ["15757.00", "15757.00", "15757.00", "15758.76"],
        "3029.76",
    ),
    "accrued": (
        {"principal_grace": 2, "interest_grace": 2, "grace_interest": "accrued"},
        ["18157.00", "15757.00", "15757.00", "15758.76"],
        "5429.76",
    ),
}


@pytest.mark.parametrize("case", GRACE)
def test_each_kind_of_grace_gives_its_worked_rows(case):
    fields, totals, interest = GRACE[case]

    rows = schedule(terms(principal=D(60_000), number_of_repayments=6, **fields))

    assert [str(row.total) for row in rows] == totals
    assert sum(row.interest for row in rows) == D(interest)


def test_interest_capitalised_in_grace_becomes_principal():
    rows = schedule(
        terms(
            principal=D(60_000),
            number_of_repayments=6,
            principal_grace=2,
            interest_grace=2,
            grace_interest="capitalised",
        )
    )

    assert [str(row.total) for row in rows] == ["16394.00"] * 3 + ["16394.10"]
    assert sum(row.principal for row in rows) == D(62_424)


@pytest.mark.parametrize(("year", "second"), [(2026, date(2026, 2, 28)), (2024, date(2024, 2, 29))])
def test_month_ends_keep_their_anchor(year, second):
    rows = schedule(terms(disbursed_on=date(year - 1, 12, 31), number_of_repayments=4))

    assert [row.due_date for row in rows] == [
        date(year, 1, 31),
        second,
        date(year, 3, 31),
        date(year, 4, 30),
    ]


def test_a_longer_first_period_costs_its_days():
    rows = schedule(terms(first_due=date(2026, 3, 1), interest_multiple=D("0.01")))

    assert (rows[0].due_date, rows[0].days) == (date(2026, 3, 1), 45)
    assert rows[0].interest == D("2958.90")  # 100,000 × 24% × 45 / 365
    assert rows[1].due_date == date(2026, 4, 1)


def test_due_dates_move_off_sundays_and_holidays():
    rows = schedule(
        terms(
            disbursed_on=date(2026, 10, 20),
            number_of_repayments=2,
            holiday_rule="next",
            holidays=frozenset({date(2026, 11, 20), date(2026, 11, 21)}),
        )
    )

    assert rows[0].due_date == date(2026, 11, 23)  # 22 November 2026 is a Sunday
    assert rows[1].due_date == date(2026, 12, 21)  # so is 20 December


def test_fees_fall_on_the_first_instalment_or_are_spread_with_their_excise():
    rows = schedule(
        terms(
            number_of_repayments=3,
            fees=(
                Fee("Insurance", "amount", D(500), "first_instalment", D(20)),
                Fee("Service", "percent", D("0.1"), "spread"),
                Fee("Processing", "percent", D(3), "deducted", D(20)),
            ),
        )
    )

    assert [row.fees for row in rows] == [D("633.33"), D("33.33"), D("33.34")]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"principal": D(0)}, "principal"),
        ({"principal": 1e5}, "principal"),
        ({"principal": D("0.001")}, "principal"),
        ({"annual_rate": D(-1)}, "annual_rate"),
        ({"method": "magic"}, "method"),
        ({"unit": "years"}, "unit"),
        ({"number_of_repayments": 0}, "number_of_repayments"),
        ({"repay_every": 0}, "repay_every"),
        ({"first_due": date(2026, 1, 15)}, "first_due"),
        ({"principal_grace": 12}, "principal_grace"),
        ({"interest_grace": 12}, "interest_grace"),
        ({"day_count": "lunar"}, "day_count"),
        ({"instalment_multiple": D(0)}, "instalment_multiple"),
    ],
)
def test_impossible_terms_are_refused_by_name(wrong, field):
    with pytest.raises(Refused) as refusal:
        terms(**wrong)

    assert refusal.value.field == field


def test_rounding_that_leaves_nothing_for_the_last_instalment_is_refused_with_advice():
    with pytest.raises(Refused, match="round instalments to a smaller amount") as refusal:
        schedule(terms(principal=D(100), instalment_multiple=D(50)))

    assert refusal.value.field == "instalment_multiple"


any_terms = st.fixed_dictionaries(
    {
        "principal": st.integers(100, 5_000_000).map(D),
        "annual_rate": st.decimals(0, 400, places=2),
        "method": st.sampled_from(METHODS),
        "number_of_repayments": st.integers(1, 60),
        "repay_every": st.integers(1, 4),
        "unit": st.sampled_from(["days", "weeks", "months"]),
        "disbursed_on": st.dates(date(2019, 1, 1), date(2031, 12, 31)),
        "day_count": st.sampled_from(
            ["periodic", "30/360", "actual/365", "actual/360", "actual/actual"]
        ),
        "principal_grace": st.integers(0, 3),
        "interest_grace": st.integers(0, 3),
        "interest_free": st.integers(0, 3),
        "grace_interest": st.sampled_from(["billed", "accrued", "free"]),
        "instalment_multiple": st.sampled_from([D("0.01"), D(1), D(5), D(10), D(50)]),
        "interest_multiple": st.sampled_from([D("0.01"), D(1)]),
        "rounding_mode": st.sampled_from(["half_up", "up"]),
    }
)


@settings(max_examples=300, deadline=None)
@given(any_terms, st.integers(1, 70) | st.none())
@example({"principal": D(1000), "annual_rate": D(0), "method": "flat"}, None)
def test_every_schedule_pays_the_principal_exactly_and_never_goes_negative(fields, first):
    if first is not None and "disbursed_on" in fields:
        fields = fields | {"first_due": fields["disbursed_on"] + timedelta(days=first)}
    try:
        wanted = terms(**fields)
        rows = schedule(wanted)
    except Refused as refusal:
        assert refusal.field  # noqa: PT017  impossible terms name their field
        assume(False)  # noqa: FBT003

    assert sum(row.principal for row in rows) == wanted.principal
    assert rows[-1].balance == 0
    assert all(min(row.principal, row.interest, row.fees) >= 0 for row in rows)
    assert all(row.total == row.principal + row.interest + row.fees for row in rows)
    assert all(a.due_date < b.due_date for a, b in pairwise(rows))
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert rows == schedule(wanted)
