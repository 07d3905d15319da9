from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.loans.penalties import PenaltyRule, describe, excise, most, owed

D = Decimal
DUE = date(2026, 3, 1)


def charge(on=date(2026, 3, 20), *, principal="8000", interest="1456", maturity=None, **rule):
    return owed(
        PenaltyRule(**{"grace_days": 3, **rule}),
        due_date=DUE,
        on=on,
        principal=D(principal),
        interest=D(interest),
        outstanding_principal=D(40_000),
        loan_principal=D(100_000),
        maturity=maturity,
    )


# 8,000 + 1,456 due on 1 March, unpaid on 20 March (19 days), 3 days of grace.
WORKED = [
    ({"base": "fixed", "value": D(300)}, "300.00"),
    ({"base": "instalment", "value": D(5)}, "472.80"),
    ({"base": "principal", "value": D(5)}, "400.00"),
    ({"base": "instalment", "value": D(1), "frequency": "daily"}, "1512.96"),
    (
        {"base": "instalment", "value": D(1), "frequency": "daily", "start": "due_date"},
        "1796.64",
    ),
    ({"base": "instalment", "value": D(10), "frequency": "monthly"}, "504.32"),
    (
        {
            "base": "instalment",
            "value": D(1),
            "frequency": "daily",
            "cap_kind": "percent_of_base",
            "cap_value": D(10),
        },
        "945.60",
    ),
    ({"base": "principal_and_interest", "value": D(5)}, "472.80"),
    ({"base": "outstanding_principal", "value": D(1)}, "400.00"),
    (
        {"base": "fixed", "value": D(100), "frequency": "weekly"},
        "300.00",
    ),
    (
        {
            "base": "fixed",
            "value": D(100),
            "frequency": "daily",
            "cap_kind": "amount",
            "cap_value": D(750),
        },
        "750.00",
    ),
    (
        {
            "base": "fixed",
            "value": D(900),
            "frequency": "daily",
            "cap_kind": "percent_of_principal",
            "cap_value": D(5),
        },
        "5000.00",
    ),
    ({"base": "none", "value": D(5)}, "0.00"),
]


@pytest.mark.parametrize(("rule", "expected"), WORKED)
def test_each_rule_gives_its_worked_penalty(rule, expected):
    assert charge(**rule) == D(expected)


@pytest.mark.parametrize(("day", "expected"), [(1, "0"), (2, "0"), (4, "0"), (5, "300")])
def test_nothing_is_owed_until_grace_has_passed(day, expected):
    assert charge(date(2026, 3, day), base="fixed", value=D(300)) == D(expected)


def test_what_was_paid_bears_no_penalty():
    assert charge(base="instalment", value=D(5), principal="0", interest="0") == 0


@pytest.mark.parametrize(("stops_at", "expected"), [("maturity", "567.36"), ("none", "1512.96")])
def test_a_rule_may_stop_where_the_loan_matures(stops_at, expected):
    rule = {"base": "instalment", "value": D(1), "frequency": "daily", "stops_at": stops_at}

    # 10 March is 9 days late, 6 of them after grace.
    assert charge(maturity=date(2026, 3, 10), **rule) == D(expected)
    assert charge(maturity=None, **rule) == D("1512.96")


def test_the_last_instalment_bears_no_penalty_where_the_rule_stops_at_maturity():
    assert charge(maturity=DUE, base="fixed", value=D(300), stops_at="maturity") == 0


def test_excise_is_charged_on_top_of_a_penalty():
    assert excise(D("472.80"), D(20)) == D("94.56")


days = st.integers(0, 400)


@given(
    st.builds(
        PenaltyRule,
        base=st.sampled_from(["fixed", "instalment", "principal", "outstanding_principal"]),
        value=st.decimals(0, 500, places=2),
        frequency=st.sampled_from(["once", "daily", "weekly", "monthly"]),
        grace_days=st.integers(0, 30),
        start=st.sampled_from(["after_grace", "due_date"]),
        cap_kind=st.sampled_from(["none", "amount", "percent_of_base", "percent_of_principal"]),
        cap_value=st.decimals(0, 100, places=2),
        stops_at=st.sampled_from(["none", "maturity"]),
    ),
    days,
    days,
    days,
)
def test_a_penalty_never_shrinks_with_time_nor_passes_its_cap(rule, first, more, matures):
    def owed_after(late):
        return owed(
            rule,
            due_date=DUE,
            on=DUE + timedelta(days=late),
            principal=D(8000),
            interest=D(1456),
            outstanding_principal=D(40_000),
            loan_principal=D(100_000),
            maturity=DUE + timedelta(days=matures),
        )

    most_owed = most(rule, loan_principal=D(100_000))

    assert 0 <= owed_after(first) <= owed_after(first + more)
    assert most_owed is None or owed_after(first + more) <= most_owed
    if rule.stops_at == "maturity":
        assert owed_after(matures + more) == owed_after(matures)


RULES = [
    ({"base": "instalment", "value": D("5.00")}, "5% of the overdue instalment once, after 3 days"),
    (
        {"base": "fixed", "value": D(100), "cap_kind": "amount", "cap_value": D(750)},
        "KES 100.00 once, after 3 days, at most KES 750.00",
    ),
    (
        {
            "base": "principal",
            "value": D(1),
            "frequency": "daily",
            "cap_kind": "percent_of_base",
            "cap_value": D("10.00"),
        },
        "1% of the overdue principal a day, after 3 days, at most 10% of that",
    ),
    ({"base": "none"}, "No penalty"),
    (
        {"base": "fixed", "value": D(100), "frequency": "weekly", "stops_at": "maturity"},
        "KES 100.00 a week, after 3 days, until the loan matures",
    ),
]


@pytest.mark.parametrize(("rule", "words"), RULES)
def test_a_rule_is_told_in_words(rule, words):
    assert describe(PenaltyRule(grace_days=3, **rule)) == words


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": "mood"},
        {"frequency": "hourly"},
        {"start": "someday"},
        {"cap_kind": "sky"},
        {"stops_at": "dusk"},
        {"value": D(-1)},
        {"grace_days": -1},
    ],
)
def test_a_rule_that_cannot_be_is_an_error(wrong):
    with pytest.raises(ValueError, match=r"is not one of|0 or more"):
        PenaltyRule(**wrong)
