from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans.calculator import RepaymentCalculator, Tranche
from lms.loans.recalculation import interest, recalculate
from lms.loans.schedule import schedule
from tests.loans.terms import terms

D = Decimal
YEAR = {"annual_rate": D(24), "day_count": "actual/365"}
MATURITY = date(2027, 1, 15)
DAILY = {**YEAR, "interest_multiple": D("0.01"), "disbursed_on": date(2026, 1, 15)}


def plan(**fields) -> list:
    return schedule(terms(day_count="actual/365", **fields))


def on_time(rows) -> list:
    return [(row.due_date, row.principal) for row in rows]


def test_interest_is_actual_balance_times_actual_days():
    owed = [(date(2026, 1, 1), D(100_000)), (date(2026, 1, 11), D(60_000))]

    borne = interest(owed, start=date(2026, 1, 1), end=date(2026, 2, 1), unit=D("0.01"), **YEAR)

    assert borne == D("1486.03")  # (100,000 × 10 + 60,000 × 21) × 24% / 365


def test_interest_is_rounded_once_to_its_unit():
    owed = [(date(2026, 1, 1) + timedelta(days=day), D(1000)) for day in range(31)]

    borne = interest(owed, start=date(2026, 1, 1), end=date(2026, 2, 1), unit=D(1), **YEAR)

    assert borne == D("20.00")  # 20.38, where thirty-one days of 0.66 would be 20.46


def test_nothing_is_owed_before_the_first_balance_or_after_the_end():
    owed = [(date(2026, 1, 30), D(1000)), (date(2026, 3, 1), D(10**6))]

    borne = interest(owed, start=date(2026, 1, 1), end=date(2026, 2, 1), unit=D("0.01"), **YEAR)

    assert borne == D("1.32")  # two days


@pytest.mark.parametrize("day_count", ["actual/365", "actual/360", "30/360", "actual/actual"])
def test_cutting_a_period_costs_nothing(day_count):
    whole = [(date(2024, 1, 31), D(100_000))]
    cut = [*whole, (date(2024, 2, 29), D(100_000)), (date(2024, 3, 15), D(100_000))]
    period = {"start": date(2024, 1, 31), "end": date(2024, 4, 30), "unit": D("0.01")}
    rate = {"annual_rate": D(18), "day_count": day_count}

    assert interest(cut, **period, **rate) == interest(whole, **period, **rate)


def test_days_that_are_not_counted_have_no_daily_interest():
    with pytest.raises(Refused, match="needs a day count") as refusal:
        recalculate(plan(), paid=[], on=MATURITY, **DAILY | {"day_count": "periodic"})

    assert refusal.value.field == "day_count"


@pytest.mark.parametrize("on", [date(2026, 1, 15), date(2026, 6, 20), MATURITY])
def test_payment_on_time_gives_the_plan(on):
    rows = plan()

    assert recalculate(rows, paid=on_time(rows), on=on, **DAILY) == rows


def test_principal_unpaid_on_its_due_date_bears_interest():
    rows = plan(method="declining_equal_principal", principal=D(120_000))

    again = recalculate(rows, paid=[], on=date(2026, 3, 15), **DAILY)

    assert again[0] == rows[0]
    assert (rows[1].interest, again[1].interest) == (D("2025.21"), D("2209.32"))  # 28 days
    assert again[1].total == rows[1].principal + D("2209.32")


def test_arrears_bear_interest_until_the_next_due_date_and_no_further():
    rows = plan(method="declining_equal_principal", principal=D(120_000))

    again = recalculate(rows, paid=[], on=date(2026, 4, 14), **DAILY)

    # 120,000 for the 31 days to 15 April instead of 100,000.
    assert (rows[2].interest, again[2].interest) == (D("2038.36"), D("2446.03"))
    assert again[3:] == rows[3:]  # by 15 April all that is scheduled is taken as paid


def test_principal_paid_early_lowers_the_interest_until_the_plan_catches_up():
    rows = plan(method="declining_equal_principal", principal=D(120_000))
    paid = [(date(2026, 2, 15), D(10_000)), (date(2026, 2, 25), D(20_000))]

    again = recalculate(rows, paid=paid, on=date(2026, 2, 25), **DAILY)

    assert again[0] == rows[0]
    assert again[1].interest == D("1788.49")  # 110,000 × 10 days and 90,000 × 18
    assert again[2].interest == D("1834.52")  # 90,000 × 31 where 100,000 were planned
    assert again[3:] == rows[3:]


def test_tranches_bear_interest_from_their_day():
    later = (Tranche(date(2026, 5, 25), D(50_000)),)
    rows = plan(principal=D(50_000), tranches=later)

    again = recalculate(rows, paid=on_time(rows), on=MATURITY, tranches=later, **DAILY)

    assert again == rows


def test_a_calculator_recalculates_by_its_own_terms():
    calculator = RepaymentCalculator(
        terms(day_count="actual/365", method="declining_equal_principal", principal=D(120_000))
    )

    again = calculator.recalculated(paid=[], on=date(2026, 3, 15))

    assert again[1].interest == D("2209.32")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"method": "flat"}, "method"),
        ({"interest_grace": 1}, "interest_grace"),
        ({"interest_free": 1}, "interest_free"),
        ({"day_count": "periodic"}, "day_count"),
    ],
)
def test_interest_that_does_not_follow_the_days_is_not_recalculated(wrong, field):
    calculator = RepaymentCalculator(terms(**{"day_count": "actual/365", **wrong}))

    with pytest.raises(Refused) as refusal:
        calculator.recalculated(paid=[], on=MATURITY)

    assert refusal.value.field == field


moves = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 60)), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(moves, st.integers(0, 400), st.sampled_from([D("0.01"), D(1)]))
def test_a_late_payer_owes_more_an_early_one_less_and_the_same_principal(late, days, unit):
    rows = plan(interest_multiple=unit)
    on = date(2026, 1, 15) + timedelta(days=days)
    terms_ = {**DAILY, "interest_multiple": unit}
    shift = dict(late)
    after = [
        (row.due_date + timedelta(days=shift.get(k, 0)), row.principal)
        for k, row in enumerate(rows)
    ]
    before = [
        (max(row.due_date - timedelta(days=shift.get(k, 0)), date(2026, 1, 15)), row.principal)
        for k, row in enumerate(rows)
    ]

    owes_more = recalculate(rows, paid=after, on=on, **terms_)
    owes_less = recalculate(rows, paid=before, on=on, **terms_)

    for plan_row, more, less in zip(rows, owes_more, owes_less, strict=True):
        assert more.interest >= plan_row.interest >= less.interest >= 0
        assert more.principal == plan_row.principal == less.principal
        assert more.total == more.principal + more.interest + more.fees
    everything = recalculate(rows, paid=after, on=date(2028, 1, 1), **terms_)
    first = min(shift)
    if first < 11:  # the last instalment ends the plan: later nothing is counted
        assert sum(r.interest for r in everything) > sum(r.interest for r in rows)
