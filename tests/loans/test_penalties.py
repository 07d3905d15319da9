from datetime import date
from decimal import Decimal

import pytest

from lms.loans.penalties import PenaltyRule, describe, owed

D = Decimal
DUE = date(2026, 3, 1)


def charge(on=date(2026, 3, 20), *, principal="8000", interest="1456", **rule):
    return owed(
        PenaltyRule(**{"grace_days": 3, **rule}),
        due_date=DUE,
        on=on,
        principal=D(principal),
        interest=D(interest),
        outstanding_principal=D(40_000),
        loan_principal=D(100_000),
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
        {"value": D(-1)},
        {"grace_days": -1},
    ],
)
def test_a_rule_that_cannot_be_is_an_error(wrong):
    with pytest.raises(ValueError, match=r"is not one of|0 or more"):
        PenaltyRule(**wrong)
