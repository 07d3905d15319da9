from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans.calculator import Fee, RepaymentCalculator
from lms.loans.interest import DAY_COUNTS
from lms.loans.settlement import KEEPS, REBATES, due_of, prepay, quote
from lms.loans.terms import METHODS
from tests.loans.terms import terms

D = Decimal
FLAT = terms(
    principal=D(50_000), annual_rate=D(36), method="flat", number_of_repayments=6
)  # 15 January; 15 of each month until 15 July


def paid(due):
    return replace(due, owing={})


def dues(loan_terms, *, paid_rows=0):
    """Return the instalments of a loan of which the first so many are paid."""
    rows = [due_of(row) for row in RepaymentCalculator(loan_terms).schedule()]
    return [*map(paid, rows[:paid_rows]), *rows[paid_rows:]]


def flat(on=date(2026, 3, 15), **answers):
    return quote(dues(FLAT, paid_rows=2), on=on, declining=False, **answers)


def declining(on, *, paid_rows=4, loan_terms=None, **answers):
    rows = dues(loan_terms or terms(), paid_rows=paid_rows)
    return quote(rows, on=on, declining=True, annual_rate=D(24), **answers)


# 50,000 at 3% a month flat over 6 months, after 2: 39,334 are left. Rebate, payoff, rounded to.
REBATED = {
    "actuarial": ("4420", "34914", 1),
    "rule_of_78": ("4285.71", "35048.29", "0.01"),
    "pro_rata": ("6000", "33334", 1),
    "none": ("0", "39334", 1),
}


@pytest.mark.parametrize("rebate", REBATES)
def test_a_flat_loan_gives_back_the_worked_rebate(rebate):
    given_back, payoff, unit = REBATED[rebate]

    quoted = flat(rebate=rebate, unit=D(unit))

    assert (quoted.rebate, quoted.total) == (D(given_back), D(payoff))
    assert quoted.principal == D(33_334)
    assert quoted.per_day == 0


def test_the_actuarial_rebate_has_cents_where_they_are_asked_for():
    assert flat(rebate="actuarial").rebate == D("4419.76")


# A day after the due date the third period has begun: three are left.
@pytest.mark.parametrize(
    ("day", "rebate", "holds_until"),
    [
        (date(2026, 3, 15), "6000", date(2026, 3, 15)),
        (date(2026, 3, 16), "4500", date(2026, 3, 23)),
        (date(2026, 4, 10), "4500", date(2026, 4, 14)),
        (date(2026, 4, 15), "4500", date(2026, 4, 15)),
        (date(2026, 7, 15), "0", date(2026, 7, 22)),
    ],
)
def test_a_period_of_a_flat_loan_counts_whole_once_it_has_begun(day, rebate, holds_until):
    quoted = flat(day, rebate="pro_rata")

    assert (quoted.rebate, quoted.good_through) == (D(rebate), holds_until)


def test_a_declining_loan_is_paid_off_with_its_balance_and_the_days_since():
    # Four of twelve are paid: 69,269.29 are left on 15 May. 10 days at 24% over 365.
    quoted = declining(date(2026, 5, 25))

    assert quoted.principal == D("69269.29")
    assert quoted.interest == D("455.47")
    assert quoted.total == D("69724.76")
    assert quoted.per_day == D("45.55")
    assert quoted.good_through == date(2026, 6, 1)


@pytest.mark.parametrize(
    ("day", "interest", "per_day", "holds_until"),
    [
        (date(2026, 5, 15), "0.00", "45.55", date(2026, 5, 22)),
        (date(2026, 6, 10), "1184.22", "45.55", date(2026, 6, 14)),
        (date(2026, 6, 14), "1366.41", "45.55", date(2026, 6, 14)),
        # The sixth instalment is due and owed as billed.
        (date(2026, 6, 15), "1385.39", "40.24", date(2026, 6, 22)),
    ],
)
def test_interest_accrues_by_the_day_and_starts_again_at_each_due_date(
    day, interest, per_day, holds_until
):
    quoted = declining(day)

    assert (quoted.interest, quoted.per_day) == (D(interest), D(per_day))
    assert quoted.good_through == holds_until


def test_accrued_interest_is_never_more_than_the_period_was_to_cost():
    # 31 days at 24% over 365 are 2,038.36; the first month costs 2,000.
    long = terms(first_due=date(2026, 2, 20))
    rows = [replace(dues(long)[0], interest=D(2000), owing={"interest": D(2000)})]

    capped = quote(
        [*rows, *dues(long)[1:]], on=date(2026, 2, 18), declining=True, annual_rate=D(24)
    )

    assert (capped.interest, capped.per_day) == (D(2000), D(0))


def test_a_quote_ends_on_the_last_day_before_the_interest_of_the_period_is_full():
    first, *rest = dues(terms())
    short = replace(first, interest=D(1000), owing={**first.owing, "interest": D(1000)})

    quoted = quote([short, *rest], on=date(2026, 1, 28), declining=True, annual_rate=D(24))

    # 13 days are 854.79, 15 days 986.30, 16 would be 1,052.05.
    assert quoted.interest == D("854.79")
    assert quoted.good_through == date(2026, 1, 30)


def test_interest_paid_ahead_counts_towards_what_has_accrued():
    rows = dues(terms(), paid_rows=4)
    rows[4] = replace(rows[4], owing={**rows[4].owing, "interest": rows[4].interest - 400})

    later = quote(rows, on=date(2026, 5, 25), declining=True, annual_rate=D(24))
    sooner = quote(rows, on=date(2026, 5, 20), declining=True, annual_rate=D(24))

    assert later.interest == D("55.47")
    assert (sooner.interest, sooner.per_day) == (D(0), D(0))
    # 8 days are 364.38, less than the 400 paid; 9 days would be more.
    assert sooner.good_through == date(2026, 5, 23)


# 60,000 at 2% a month become 62,424 in two months of grace, until 15 March.
@pytest.mark.parametrize(
    ("day", "principal", "interest", "per_day", "holds_until"),
    [
        (date(2026, 1, 15), "60000.00", "0", "39.45", date(2026, 1, 22)),
        (date(2026, 2, 15), "61223.01", "0", "39.45", date(2026, 2, 22)),
        (date(2026, 3, 10), "62130.41", "0", "39.45", date(2026, 3, 14)),
        (date(2026, 3, 15), "62424.00", "0", "41.05", date(2026, 3, 22)),
        (date(2026, 3, 25), "62424.00", "410.46", "41.05", date(2026, 4, 1)),
    ],
)
def test_interest_is_principal_only_once_it_is_earned(
    day, principal, interest, per_day, holds_until
):
    calculator = RepaymentCalculator(
        terms(
            principal=D(60_000),
            number_of_repayments=6,
            interest_grace=2,
            grace_interest="capitalised",
        )
    )

    quoted = calculator.payoff(on=day)

    assert (quoted.principal, quoted.interest) == (D(principal), D(interest))
    assert (quoted.per_day, quoted.good_through) == (D(per_day), holds_until)
    assert quoted.total + quoted.rebate == calculator.total_payable()


def test_what_is_overdue_is_owed_whole_with_its_fees_and_penalties():
    rows = dues(FLAT, paid_rows=1)
    rows[1] = replace(rows[1], owing={**rows[1].owing, "fees": D(50), "penalties": D(300)})

    quoted = quote(rows, on=date(2026, 3, 20), declining=False, rebate="pro_rata")

    # The second is owed whole, the interest of the third has begun, three are given back.
    assert quoted.principal == D(41_667)
    assert quoted.interest == D(3000)
    assert (quoted.fees, quoted.penalties) == (D(50), D(300))
    assert quoted.total == D(45_017)


@pytest.mark.parametrize(("keep", "fees", "forgiven"), [(True, 200, 0), (False, 0, 200)])
def test_later_fees_stay_owed_unless_the_product_forgives_them(keep, fees, forgiven):
    rows = [replace(due, owing={**due.owing, "fees": D(50)}) for due in dues(FLAT)[2:]]

    quoted = quote(rows, on=date(2026, 3, 15), declining=False, keep_fees=keep)

    assert (quoted.fees, quoted.fees_forgiven) == (D(fees), D(forgiven))


def test_an_unknown_rebate_or_a_day_before_the_loan_is_refused():
    with pytest.raises(Refused, match="rebate is one of") as rebate:
        flat(rebate="luck")
    with pytest.raises(Refused, match="on or after the day of its disbursement") as day:
        flat(date(2026, 1, 14))

    assert (rebate.value.field, day.value.field) == ("rebate", "on")


@given(
    st.sampled_from(["flat", "declining_equal_instalments", "declining_equal_principal"]),
    st.sampled_from(REBATES),
    st.decimals(0, 120, places=2),
    st.integers(1, 24),
    st.integers(0, 800),
    st.integers(0, 24),
)
def test_no_quote_asks_for_more_than_the_schedule_or_less_than_the_principal(
    method, rebate, rate, size, days, paid_rows
):
    loan_terms = terms(
        method=method, annual_rate=rate, number_of_repayments=size, instalment_multiple=D("0.01")
    )
    rows = dues(loan_terms, paid_rows=min(paid_rows, size))
    on = loan_terms.disbursed_on + timedelta(days=days)

    quoted = quote(rows, on=on, declining=method != "flat", rebate=rebate, annual_rate=rate)

    gross = sum((sum(row.owing.values()) for row in rows), D(0))
    assert quoted.total + quoted.rebate + quoted.fees_forgiven == gross
    assert quoted.principal == sum((row.owing.get("principal", 0) for row in rows), D(0))
    assert min(quoted.interest, quoted.rebate, quoted.per_day) >= 0
    assert quoted.on <= quoted.good_through


def prepaid(extra, *, on, keep, rebate="none", **fields):
    loan_terms = terms(**fields)
    rows = RepaymentCalculator(loan_terms).schedule()
    return prepay(loan_terms, rows, on=on, extra=D(extra), keep=keep, rebate=rebate)


def totals(rows):
    return [row.total for row in rows]


AFTER_FOUR = date(2026, 5, 15)  # the fourth instalment of 9,456 is paid, 69,269.29 are left


def test_money_ahead_can_shorten_the_term():
    rows = prepaid(20_000, on=AFTER_FOUR, keep="instalment")

    assert totals(rows) == [D(9456)] * 5 + [D("5291.63")]
    assert sum(row.interest for row in rows) == D("3302.34")
    assert sum(row.principal for row in rows) == D("49269.29")
    assert (rows[0].due_date, rows[-1].due_date) == (date(2026, 6, 15), date(2026, 11, 15))


def test_money_ahead_can_lower_the_instalments():
    rows = prepaid(20_000, on=AFTER_FOUR, keep="term")

    assert totals(rows) == [D(6726)] * 7 + [D("6723.78")]
    assert sum(row.interest for row in rows) == D("4536.49")
    assert rows[-1].due_date == date(2027, 1, 15)
    assert [row.number for row in rows] == list(range(5, 13))


def test_money_within_a_period_bears_interest_until_its_day():
    at_once = prepaid(20_000, on=AFTER_FOUR, keep="term")
    later = prepaid(20_000, on=date(2026, 5, 25), keep="term")
    too_late = prepaid(20_000, on=date(2026, 6, 14), keep="term")

    # 20,000 for 10 days at 24% over 365 are 131.51; a whole month is never more than 2%.
    assert later[0].interest - at_once[0].interest == D("131.51")
    assert later[0].principal == at_once[0].principal
    assert too_late[0].interest - at_once[0].interest == D("394.52")


def test_a_second_prepayment_starts_from_what_the_first_left():
    first = prepaid(10_000, on=date(2026, 5, 20), keep="instalment")

    rows = prepay(terms(), first, on=date(2026, 5, 25), extra=D(10_000), keep="instalment")

    # The first 10,000 bore 5 days, 32.88, the second 10, 65.75.
    assert rows[0].interest == D("985.39") + D("32.88") + D("65.75")
    assert totals(rows)[1:-1] == [D(9456)] * (len(rows) - 2)
    assert sum(row.principal for row in rows) == D("49269.29")


def test_equal_principal_keeps_its_parts_or_its_term():
    fields = {
        "principal": D(60_000),
        "method": "declining_equal_principal",
        "number_of_repayments": 6,
        "on": date(2026, 2, 15),
    }

    shorter = prepaid(25_000, keep="instalment", **fields)
    lower = prepaid(25_000, keep="term", **fields)

    assert [(row.principal, row.interest) for row in shorter] == [
        (10_000, 500),
        (10_000, 300),
        (5000, 100),
    ]
    assert [(row.principal, row.interest) for row in lower] == [
        (5000, 500),
        (5000, 400),
        (5000, 300),
        (5000, 200),
        (5000, 100),
    ]


@pytest.mark.parametrize("keep", KEEPS)
def test_interest_only_keeps_its_rows_and_pays_less(keep):
    rows = prepaid(
        20_000,
        on=date(2026, 2, 15),
        keep=keep,
        principal=D(60_000),
        method="interest_only",
        number_of_repayments=3,
    )

    assert totals(rows) == [D(800), D(40_800)]


@pytest.mark.parametrize("keep", KEEPS)
def test_a_single_payment_bears_interest_on_each_part_for_its_days(keep):
    mobile = {"principal": D(10_000), "annual_rate": D("182.5"), "method": "single_payment"}

    (row,) = prepaid(
        4000,
        on=date(2026, 1, 25),
        keep=keep,
        number_of_repayments=1,
        repay_every=30,
        unit="days",
        **mobile,
    )

    # 6,000 at 15%, and 4,000 for 10 of the 30 days.
    assert (row.principal, row.interest) == (D(6000), D(900) + D(200))


FLAT_FIELDS = {
    "principal": D(50_000),
    "annual_rate": D(36),
    "method": "flat",
    "number_of_repayments": 6,
    "on": date(2026, 3, 15),
}


def test_a_flat_loan_keeps_the_interest_it_agreed():
    lower = prepaid(10_000, keep="term", **FLAT_FIELDS)
    shorter = prepaid(10_000, keep="instalment", **FLAT_FIELDS)

    # 23,334 of principal and 6,000 of interest are left.
    assert totals(lower) == [D(7334)] * 3 + [D(7332)]
    assert totals(shorter) == [D(9833), D(9833), D(9668)]
    for rows in (lower, shorter):
        assert sum(row.principal for row in rows) == D(23_334)
        assert sum(row.interest for row in rows) == D(6000)


def test_a_flat_loan_gives_back_the_share_of_the_rebate_that_was_prepaid():
    rows = prepaid(16_667, keep="term", rebate="pro_rata", **FLAT_FIELDS)

    # Half of the 33,334 is prepaid, so half of the 6,000 is given back.
    assert sum(row.interest for row in rows) == D(3000)
    assert totals(rows) == [D(4917)] * 3 + [D(4916)]


def test_a_month_end_stays_a_month_end():
    rows = prepaid(20_000, on=date(2026, 2, 28), keep="term", disbursed_on=date(2026, 1, 31))

    assert [row.due_date for row in rows[:2]] == [date(2026, 3, 31), date(2026, 4, 30)]
    assert rows[0].interest == D("1450.88")


def test_periods_without_principal_stay_and_bill_what_waited():
    grace = {
        "principal": D(60_000),
        "number_of_repayments": 6,
        "principal_grace": 2,
        "on": date(2026, 2, 15),
    }

    rows = prepaid(30_000, keep="term", **grace)

    assert [(row.principal, row.interest) for row in rows[:2]] == [(0, 600), (7279, 600)]

    waited = prepaid(30_000, keep="term", grace_interest="accrued", interest_grace=2, **grace)

    # One row bills three months: 6% of the 30,000 that stay, and the 31 days of those that went.
    assert waited[0].interest == D(1800) + D("611.51")


def test_interest_that_waits_is_billed_once_where_fees_fall_due_before_it():
    fee = Fee("Service", "amount", D(600), "spread")
    waiting = {
        "principal": D(60_000),
        "number_of_repayments": 6,
        "interest_grace": 2,
        "grace_interest": "accrued",
        "fees": (fee,),
        "keep": "term",
    }

    at_once = prepaid(30_000, on=date(2026, 1, 15), **waiting)
    later = prepaid(30_000, on=date(2026, 2, 15), **waiting)

    # 2% a month on 30,000 for three months; the first month on the 60,000 that were owed in it.
    assert [row.interest for row in at_once[:3]] == [0, 0, 1800]
    assert [row.interest for row in later[:2]] == [0, 2400]


def test_a_flat_loan_without_interest_is_prepaid_too():
    fields = {**FLAT_FIELDS, "annual_rate": D(0), "principal_grace": 3}
    fee = Fee("Service", "amount", D(600), "spread")

    rows = prepaid(20_000, keep="term", fees=(fee,), **fields)

    assert [row.principal for row in rows] == [0, 10_000, 10_000, 10_000]


def test_fees_of_rows_left_out_fall_on_the_last_one():
    fee = Fee("Service", "amount", D(1200), "spread")

    rows = prepaid(20_000, on=AFTER_FOUR, keep="instalment", fees=(fee,))

    assert [row.fees for row in rows] == [D(100)] * 5 + [D(300)]
    assert rows[-1].total == D("5591.63")


@pytest.mark.parametrize("extra", ["0", "-1", "69269.29", "70000"])
def test_a_prepayment_of_nothing_or_of_everything_is_refused(extra):
    with pytest.raises(Refused, match="settle the loan") as refusal:
        prepaid(extra, on=AFTER_FOUR, keep="term")

    assert refusal.value.field == "extra"


def test_a_prepayment_while_interest_is_capitalised_is_refused():
    fee = Fee("Service", "amount", D(1200), "spread")

    with pytest.raises(Refused, match="capitalised") as refusal:
        prepaid(
            1000,
            on=date(2026, 2, 20),
            keep="term",
            interest_grace=2,
            grace_interest="capitalised",
            fees=(fee,),
        )

    assert refusal.value.field == "on"


@pytest.mark.parametrize("field", ["keep", "rebate"])
def test_a_word_that_is_no_choice_is_refused(field):
    with pytest.raises(Refused, match="is not one of") as refusal:
        prepaid(100, on=AFTER_FOUR, **{"keep": "term", field: "luck"})

    assert refusal.value.field == field


@given(
    st.sampled_from(METHODS),
    st.sampled_from(KEEPS),
    st.sampled_from(REBATES),
    st.decimals(0, 120, places=2),
    st.integers(1, 24),
    st.integers(0, 400),
    st.decimals(0, 1, places=3),
    st.sampled_from(["0.01", "1", "5"]),
    st.sampled_from(DAY_COUNTS),
    st.integers(0, 3),
)
def test_every_prepayment_leaves_a_schedule_of_the_rest(
    method, keep, rebate, rate, size, days, share, unit, day_count, grace
):
    loan_terms = terms(
        method=method,
        annual_rate=rate,
        number_of_repayments=size,
        interest_multiple=D(unit),
        day_count=day_count,
        principal_grace=min(grace, size - 1),
    )
    on = loan_terms.disbursed_on + timedelta(days=days)
    try:
        old = RepaymentCalculator(loan_terms).schedule()
    except Refused:
        return
    left = [row for row in old if row.due_date > on]
    balance = sum((row.principal for row in left), D(0))
    extra = (balance * share).quantize(D("0.01"))
    if not 0 < extra < balance:
        return

    rows = prepay(loan_terms, old, on=on, extra=extra, keep=keep, rebate=rebate)

    assert sum(row.principal for row in rows) == balance - extra
    assert rows[-1].balance == 0
    assert all(min(row.principal, row.interest, row.fees) >= 0 for row in rows)
    assert all(row.total == row.principal + row.interest + row.fees for row in rows)
    dues_left = [row.due_date for row in left]
    assert [row.due_date for row in rows] == sorted({row.due_date for row in rows} & {*dues_left})
    assert sum(row.interest for row in rows) <= sum(row.interest for row in left) + D(unit) * size
