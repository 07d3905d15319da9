from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.loans.allocation import COMPONENTS, ORDERS, Due, spread

D = Decimal
DAY = date(2026, 3, 1)


def due(key, *, on=DAY, **owing):
    return Due(key=key, due_date=on, owing={name: D(owing.get(name, 0)) for name in COMPONENTS})


# 3,000 received against penalties 200, fees 100, interest 1,500, principal 4,000.
WORKED = {
    "penalties_fees_interest_principal": (200, 100, 1500, 1200),
    "interest_fees_principal": (200, 100, 1500, 1200),
    "interest_principal_fees_penalties": (0, 0, 1500, 1500),
    "principal_interest_fees_penalties": (0, 0, 0, 3000),
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_spreads_the_worked_receipt(order):
    owed = due(1, penalties=200, fees=100, interest=1500, principal=4000)

    parts, left = spread(D(3000), [owed], order=order, direction="vertical", on=DAY, ahead=False)

    paid = {part.component: part.amount for part in parts}
    names = ("penalties", "fees", "interest", "principal")
    assert tuple(paid.get(name, 0) for name in names) == WORKED[order]
    assert left == 0


TWO = [
    due(1, on=date(2026, 2, 1), interest=800, principal=2000),
    due(2, on=DAY, interest=700, principal=2100),
]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("vertical", [(1, "interest", 800), (1, "principal", 2000), (2, "interest", 700)]),
        ("horizontal", [(1, "interest", 800), (2, "interest", 700), (1, "principal", 2000)]),
    ],
)
def test_vertical_finishes_an_instalment_and_horizontal_a_component(direction, expected):
    parts, left = spread(
        D(3500),
        TWO,
        order="penalties_fees_interest_principal",
        direction=direction,
        on=DAY,
        ahead=False,
    )

    assert [tuple(part) for part in parts] == expected
    assert left == 0


@pytest.mark.parametrize(("ahead", "left"), [(False, 200), (True, 0)])
def test_what_is_not_due_yet_is_paid_only_when_asked(ahead, left):
    parts, rest = spread(
        D(3000),
        TWO,
        order="penalties_fees_interest_principal",
        direction="vertical",
        on=date(2026, 2, 1),
        ahead=ahead,
    )

    assert rest == left
    assert sum(part.amount for part in parts) == 3000 - left


def test_an_unknown_order_is_an_error():
    with pytest.raises(ValueError, match="no allocation"):
        spread(D(1), TWO, order="luck", direction="vertical", on=DAY, ahead=True)


amounts = st.decimals(0, 10_000, places=2)
dues = st.lists(
    st.builds(
        lambda key, day, p, i, f, x: due(
            key, on=date(2026, 1, day), principal=p, interest=i, fees=f, penalties=x
        ),
        st.integers(),
        st.integers(1, 31),
        amounts,
        amounts,
        amounts,
        amounts,
    ),
    max_size=8,
    unique_by=lambda row: row.key,
)


@given(
    amounts,
    dues,
    st.sampled_from(sorted(ORDERS)),
    st.sampled_from(["vertical", "horizontal"]),
    st.booleans(),
)
def test_no_cent_is_lost_and_nothing_is_overpaid(amount, rows, order, direction, ahead):
    parts, left = spread(
        amount, rows, order=order, direction=direction, on=date(2026, 1, 15), ahead=ahead
    )

    assert sum((part.amount for part in parts), D(0)) + left == amount
    owed = {row.key: row.owing for row in rows}
    assert all(0 < part.amount <= owed[part.key][part.component] for part in parts)
    assert len({(part.key, part.component) for part in parts}) == len(parts)
