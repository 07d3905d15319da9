from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans.calculator import Fee
from lms.loans.schedule import rounding_warning, schedule
from lms.loans.terms import METHODS, Tranche
from tests.loans.terms import terms

D = Decimal

FLAT = {
    "principal": D(50_000),
    "annual_rate": D(36),
    "method": "flat",
    "number_of_repayments": 6,
}

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
    "flat, 3% a month": (FLAT, "9833.00", "9835.00", "9000.00"),
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
    "up to 50 shillings": (
        {"instalment_multiple": D(50), "rounding_mode": "up"},
        "9500.00",
        "8909.32",
        "13409.32",
    ),
    "January by its days": (
        {
            "annual_rate": D(18),
            "method": "interest_only",
            "disbursed_on": date(2026, 1, 1),
            "number_of_repayments": 1,
            "day_count": "actual/365",
        },
        "101528.77",
        "101528.77",
        "1528.77",
    ),
    "single payment over two month ends, in months of 30 days": (
        {
            "annual_rate": D(18),
            "method": "single_payment",
            "disbursed_on": date(2026, 1, 31),
            "number_of_repayments": 2,
            "day_count": "30/360",
        },
        "103000.00",
        "103000.00",
        "3000.00",
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_worked_examples_come_out_to_the_cent(case):
    fields, first, last, interest = GOLDEN[case]

    rows = schedule(terms(**fields))

    assert (rows[0].total, rows[-1].total) == (D(first), D(last))
    assert sum(row.interest for row in rows) == D(interest)


# Terms, and the level instalment before any rounding.
EXACT = {
    "monthly": ({}, "9455.9597"),
    "weekly": ({"unit": "weeks"}, "8585.4437"),
    "every two weeks": (
        {"unit": "weeks", "repay_every": 2, "number_of_repayments": 6},
        "17209.2510",
    ),
    "daily": ({"unit": "days", "number_of_repayments": 30}, "3367.4139"),
}


@pytest.mark.parametrize("case", EXACT)
def test_the_level_instalment_is_exact_before_it_is_rounded(case):
    fields, expected = EXACT[case]

    # A loan ten thousand times as large shows four more digits in its cents.
    rows = schedule(terms(**fields, principal=D(10) ** 9, instalment_multiple=D("0.01")))

    assert (rows[0].total / 10_000).quantize(D("0.0001")) == D(expected)


def test_the_rounding_unit_hardly_changes_what_is_paid_in_all():
    units = [D("0.01"), D(1), D(5), D(10), D(50)]

    paid = [sum(r.total for r in schedule(terms(instalment_multiple=unit))) for unit in units]

    assert (round(min(paid)), round(max(paid))) == (113_466, 113_480)


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


def test_a_flat_loan_row_by_row():
    rows = schedule(terms(**FLAT))

    assert [(row.principal, row.interest, row.total) for row in rows] == [
        *[(D("8333.00"), D("1500.00"), D("9833.00"))] * 5,
        (D("8335.00"), D("1500.00"), D("9835.00")),
    ]
    assert sum(row.total for row in rows) == D("59000.00")


def test_equal_principal_bears_less_interest_each_time():
    rows = schedule(
        terms(principal=D(60_000), method="declining_equal_principal", number_of_repayments=6)
    )

    assert [row.interest for row in rows] == [1200, 1000, 800, 600, 400, 200]
    assert {row.principal for row in rows} == {D("10000.00")}


def test_interest_only_pays_the_principal_at_the_end():
    rows = schedule(terms(principal=D(60_000), method="interest_only", number_of_repayments=6))

    assert [row.total for row in rows] == [*[D("1200.00")] * 5, D("61200.00")]


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


def test_small_fees_and_interest_are_spread_over_many_instalments():
    # Each share rounds up; twenty-nine of them would be more than the whole.
    rows = schedule(
        terms(
            principal=D(500),
            annual_rate=D(109),
            method="flat",
            number_of_repayments=30,
            unit="days",
            interest_multiple=D(1),
            fees=(Fee("Insurance", "amount", D("0.20"), "spread"),),
        )
    )

    assert sum(row.interest for row in rows) == D("45.00")
    assert {row.interest for row in rows} == {D("1.00"), D("2.00")}
    assert sum(row.fees for row in rows) == D("0.20")


def test_a_fixed_instalment_is_paid_until_the_last_takes_the_rest():
    rows = schedule(terms(fixed_instalment=D(9000)))

    assert {row.total for row in rows[:-1]} == {D("9000.00")}
    assert sum(row.principal for row in rows) == D(100_000)
    assert rows[-1].total > D(9000)


@pytest.mark.parametrize(
    ("instalment", "sentence"),
    [(D(1900), "does not cover the interest"), (D(20_000), "before the last repayment")],
)
def test_a_fixed_instalment_that_does_not_fit_is_refused(instalment, sentence):
    with pytest.raises(Refused, match=sentence) as refusal:
        schedule(terms(fixed_instalment=instalment))

    assert refusal.value.field == "fixed_instalment"


@pytest.mark.parametrize("rule", ["next", "previous"])
def test_due_dates_that_would_meet_are_refused(rule):
    with pytest.raises(Refused, match="push two instalments onto one day") as refusal:
        schedule(terms(unit="days", holiday_rule=rule, disbursed_on=date(2026, 11, 21)))

    assert refusal.value.field == "holiday_rule"


def test_a_single_payment_is_moved_by_its_own_day_only():
    # Sundays within the term are nobody's due dates.
    rows = schedule(
        terms(method="single_payment", unit="days", number_of_repayments=30, holiday_rule="next")
    )

    assert [(row.due_date, row.days) for row in rows] == [(date(2026, 2, 14), 30)]


def test_a_loan_beyond_the_calendar_is_refused():
    with pytest.raises(Refused, match="after the year 9999") as refusal:
        schedule(terms(repay_every=1000, number_of_repayments=1000))

    assert refusal.value.field == "number_of_repayments"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "share"},
        {"when": "someday"},
        {"value": D(-1)},
        {"value": 2.5},
        {"value": D("NaN")},
        {"excise_rate": D(101)},
    ],
)
def test_a_fee_that_cannot_be_is_refused(wrong):
    with pytest.raises(Refused) as refusal:
        Fee(**{"name": "Fee", "kind": "amount", "value": D(500), "when": "spread", **wrong})

    assert refusal.value.field == "fees"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"principal": D("NaN")}, "principal"),
        ({"principal": D("1e30")}, "principal"),
        ({"annual_rate": D("Infinity")}, "annual_rate"),
        ({"annual_rate": 24.0}, "annual_rate"),
        ({"number_of_repayments": D(12)}, "number_of_repayments"),
        ({"number_of_repayments": 1001}, "number_of_repayments"),
        ({"interest_free": -1}, "interest_free"),
        ({"instalment_multiple": D("0.015")}, "instalment_multiple"),
        ({"fixed_instalment": D(0)}, "fixed_instalment"),
        (
            {"fixed_instalment": D(9000), "method": "declining_equal_principal"},
            "fixed_instalment",
        ),
        ({"rounding_mode": "down"}, "rounding_mode"),
        ({"holiday_rule": "skip"}, "holiday_rule"),
        ({"grace_interest": "lost"}, "grace_interest"),
        ({"disbursed_on": "2026-01-15"}, "disbursed_on"),
        ({"first_due": datetime(2026, 2, 15, tzinfo=UTC)}, "first_due"),
        ({"fees": ("500",)}, "fees"),
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
        ({"tranches": ((date(2026, 3, 1), D(500)),)}, "tranches"),
        ({"tranches": (Tranche(date(2026, 3, 1), D(0)),)}, "tranches"),
        ({"tranches": (Tranche(date(2026, 3, 1), 500.0),)}, "tranches"),
        ({"tranches": (Tranche(date(2026, 3, 1), D("0.005")),)}, "tranches"),
        ({"tranches": (Tranche("2026-03-01", D(500)),)}, "tranches"),
        ({"tranches": (Tranche(date(2026, 1, 15), D(500)),)}, "tranches"),
        ({"tranches": (Tranche(date(2026, 3, 1), D(500)),) * 2}, "tranches"),
        ({"tranches": (Tranche(date(2026, 3, 1), D(500)),), "method": "flat"}, "tranches"),
        ({"tranches": (Tranche(date(2026, 3, 1), D("999999999999.99")),)}, "tranches"),
    ],
)
def test_impossible_terms_are_refused_by_name(wrong, field):
    with pytest.raises(Refused) as refusal:
        terms(**wrong)

    assert refusal.value.field == field


HALF = {"principal": D(50_000), "tranches": (Tranche(date(2026, 5, 15), D(50_000)),)}


def test_a_tranche_on_a_due_date_makes_a_new_level_from_the_next_instalment():
    rows = schedule(terms(**HALF))

    assert [row.total for row in rows[:4]] == [D("4728.00")] * 4  # as of 50,000 over 12
    assert [row.total for row in rows[4:11]] == [D("11553.00")] * 7  # 84,634.65 over 8
    assert (rows[3].balance, rows[4].interest) == (D("84634.65"), D("1692.69"))
    assert sum(row.principal for row in rows) == D(100_000)


def test_a_tranche_within_a_period_bears_interest_from_its_day():
    rows = schedule(terms(**{**HALF, "tranches": (Tranche(date(2026, 5, 25), D(50_000)),)}))

    # 34,634.65 × 2% and 50,000 × 24% × 21 / 365.
    assert (rows[3].balance, rows[4].interest) == (D("34634.65"), D("1383.10"))
    assert {row.total for row in rows[4:11]} == {D("11512.00")}
    assert rows[11].total == D("11512.23")


def test_a_tranche_bears_interest_by_the_day_count_of_the_loan():
    rows = schedule(
        terms(
            **{**HALF, "tranches": (Tranche(date(2026, 5, 25), D(50_000)),)},
            method="interest_only",
            day_count="actual/360",
        )
    )

    # 50,000 × 24% × 31 / 360 and 50,000 × 24% × 21 / 360.
    assert rows[4].interest == D("1733.33")
    assert rows[5].interest == D("2000.00")


def test_a_fixed_instalment_is_kept_over_tranches():
    rows = schedule(terms(**HALF, fixed_instalment=D(8000)))

    assert {row.total for row in rows[:-1]} == {D("8000.00")}
    assert rows[-1].total == D("22698.33")


def test_a_single_payment_collects_each_tranche_with_the_interest_of_its_time():
    (row,) = schedule(terms(**HALF, method="single_payment"))

    # 50,000 × 24% for a year, and 50,000 × 2% × 8 months.
    assert (row.principal, row.interest) == (D(100_000), D(20_000))


def test_a_tranche_paid_out_on_a_due_date_moved_forward_belongs_to_the_next():
    rows = schedule(
        terms(
            disbursed_on=date(2026, 9, 25),
            principal=D(50_000),
            number_of_repayments=6,
            holidays=frozenset({date(2026, 12, 25)}),
            holiday_rule="previous",
            tranches=(Tranche(date(2026, 12, 24), D(50_000)),),
        )
    )

    assert rows[2].due_date == date(2026, 12, 24)
    assert rows[2].balance == D("75743.27")
    assert rows[3].interest == D("1547.74")  # 75,743.27 × 2% and a day: 50,000 × 24% / 365


@pytest.mark.parametrize("day", [date(2027, 1, 15), date(2027, 2, 1)])
def test_a_tranche_on_or_after_the_last_due_date_is_refused(day):
    with pytest.raises(Refused, match="before the last instalment falls due") as refusal:
        schedule(terms(tranches=(Tranche(day, D(500)),)))

    assert refusal.value.field == "tranches"


def test_a_fee_in_percent_is_on_all_that_is_lent():
    fee = Fee("Processing", "percent", D(3), "first_instalment")

    rows = schedule(terms(**HALF, fees=(fee,)))

    assert rows[0].fees == D("3000.00")


def test_rounding_that_makes_the_last_instalment_too_large_is_warned_of_with_a_smaller_unit():
    heavy = terms(principal=D(780), instalment_multiple=D(50))

    assert schedule(heavy)[-1].total == D("368.62")
    assert rounding_warning(heavy) == (
        "Rounded to KES 50.00, the last instalment would be KES 368.62, far more than the others: "
        "round instalments to KES 5.00."
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"instalment_multiple": D(50), "rounding_mode": "up"},
        {"method": "interest_only"},
        {"method": "single_payment"},
        {"number_of_repayments": 1},
        {"fixed_instalment": D(9000)},
        {"tranches": (Tranche(date(2027, 1, 10), D(500_000)),)},
    ],
)
def test_a_last_instalment_that_is_not_the_fault_of_rounding_is_not_warned_of(fields):
    assert rounding_warning(terms(**fields)) is None


def test_rounding_that_leaves_all_principal_to_the_end_is_warned_of():
    said = rounding_warning(
        terms(
            principal=D(240),
            annual_rate=D(0),
            instalment_multiple=D(50),
            method="declining_equal_principal",
        )
    )

    assert said.endswith("round instalments to KES 10.00.")


def test_rounding_that_leaves_nothing_for_the_last_instalment_is_refused_with_advice():
    with pytest.raises(Refused, match="round instalments to a smaller amount") as refusal:
        schedule(terms(principal=D(100), instalment_multiple=D(50)))

    assert refusal.value.field == "instalment_multiple"


@given(
    st.integers(10_000, 5_000_000).map(D),
    st.decimals(1, 60, places=2),
    st.integers(1, 60),
    st.sampled_from(METHODS),
)
def test_ordinary_loans_in_cents_are_never_refused(principal, rate, count, method):
    rows = schedule(
        terms(
            principal=principal,
            annual_rate=rate,
            number_of_repayments=count,
            method=method,
            instalment_multiple=D("0.01"),
        )
    )

    assert len(rows) == (1 if method == "single_payment" else count)
    if method == "declining_equal_instalments":
        assert abs(rows[-1].total - rows[0].total) < D("5.00")
