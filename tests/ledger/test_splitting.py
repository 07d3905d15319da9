from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.errors import Refused
from lms.ledger.splitting import Move, Side, split
from lms.money import ZERO

D = Decimal
BETWEEN = "1160"
NAIROBI, KISUMU = 1, 2


def debit(account, amount, branch=NAIROBI):
    return Side(account, branch, D(amount), ZERO)


def credit(account, amount, branch=NAIROBI):
    return Side(account, branch, ZERO, D(amount))


def test_one_debit_and_one_credit_are_one_transfer():
    moves = split([debit("5120", "45000.00"), credit("1030", "45000.00")], between=BETWEEN)

    assert moves == [Move("5120", "1030", D("45000.00"), NAIROBI)]


def test_equal_amounts_meet_before_the_largest_do():
    lines = [
        debit("5120", "300"),
        debit("5110", "200"),
        credit("1030", "350"),
        credit("1010", "150"),
        debit("5130", "50"),
        credit("2300", "50"),
    ]

    assert split(lines, between=BETWEEN) == [
        Move("5120", "1030", D("300"), NAIROBI),
        Move("5110", "1010", D("150"), NAIROBI),
        Move("5110", "1030", D("50"), NAIROBI),
        Move("5130", "2300", D("50"), NAIROBI),
    ]


def test_lines_of_one_account_and_side_are_taken_together():
    lines = [debit("5110", "100"), debit("5110", "60"), credit("2400", "160")]

    assert split(lines, between=BETWEEN) == [Move("5110", "2400", D("160"), NAIROBI)]


def test_the_order_of_the_lines_does_not_matter():
    lines = [debit("5110", "100"), debit("5120", "70"), credit("1030", "90"), credit("2400", "80")]

    assert split(lines, between=BETWEEN) == split(lines[::-1], between=BETWEEN)


def test_each_branch_balances_by_itself_over_the_account_between_branches():
    lines = [debit("5120", "30000", KISUMU), credit("1030", "30000", NAIROBI)]

    assert split(lines, between=BETWEEN) == [
        Move(BETWEEN, "1030", D("30000"), NAIROBI),
        Move("5120", BETWEEN, D("30000"), KISUMU),
    ]


def test_an_account_may_move_from_one_branch_to_another():
    lines = [debit("5120", "500", KISUMU), credit("5120", "500", NAIROBI)]

    assert split(lines, between=BETWEEN) == [
        Move(BETWEEN, "5120", D("500"), NAIROBI),
        Move("5120", BETWEEN, D("500"), KISUMU),
    ]


def test_lines_that_do_not_balance_are_refused_with_the_difference():
    with pytest.raises(
        Refused, match=r"debits are KES 100\.00 .* credits KES 90\.50: .* KES 9\.50"
    ):
        split([debit("5110", "100.00"), credit("1030", "90.50")], between=BETWEEN)


def test_an_account_on_both_sides_of_a_branch_is_refused():
    lines = [debit("5110", "100"), credit("5110", "40"), credit("1030", "60")]

    with pytest.raises(Refused, match="Account 5110 is both debited and credited"):
        split(lines, between=BETWEEN)


CENTS = st.integers(min_value=1, max_value=10_000_000)
BRANCHES = st.sampled_from([NAIROBI, KISUMU, 3])
DEBITED = st.sampled_from(["5110", "5120", "5130", "1500"])
CREDITED = st.sampled_from(["1010", "1030", "2300", "2400"])


@st.composite
def balanced(draw):
    """Lines of accounts on either side, the last one credited with what is missing."""
    parts = draw(st.lists(st.tuples(DEBITED, BRANCHES, CENTS), min_size=1, max_size=8))
    lines = [debit(code, D(cents) / 100, branch) for code, branch, cents in parts]
    left = sum(cents for _, _, cents in parts)
    for code, branch, cents in draw(st.lists(st.tuples(CREDITED, BRANCHES, CENTS), max_size=8)):
        if cents < left:
            lines.append(credit(code, D(cents) / 100, branch))
            left -= cents
    lines.append(credit(draw(CREDITED), D(left) / 100, draw(BRANCHES)))
    return draw(st.permutations(lines))


@given(lines=balanced())
def test_what_each_account_of_a_branch_is_debited_and_credited_is_kept(lines):
    wanted, found, between = Counter(), Counter(), Counter()
    for line in lines:
        wanted[line.account, line.branch_id, "debit"] += line.debit
        wanted[line.account, line.branch_id, "credit"] += line.credit

    moves = split(lines, between=BETWEEN)

    for move in moves:
        assert move.amount > 0
        found[move.debit, move.branch_id, "debit"] += move.amount
        found[move.credit, move.branch_id, "credit"] += move.amount
    for key in [key for key in found if key[0] == BETWEEN]:
        between[key[2]] += found.pop(key)
    assert +found == +wanted
    assert between["debit"] == between["credit"]


@given(lines=balanced())
def test_a_branch_takes_fewer_transfers_than_it_has_sums(lines):
    sums = {(line.account, line.branch_id) for line in lines}
    branches = {branch for _, branch in sums}

    assert len(split(lines, between=BETWEEN)) <= len(sums)
    if len(branches) == 1:
        assert len(split(lines, between=BETWEEN)) < len(sums)
