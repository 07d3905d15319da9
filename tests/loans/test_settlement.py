from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.errors import Refused
from lms.loans.calculator import RepaymentCalculator
from lms.loans.settlement import REBATES, due_of, quote
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
