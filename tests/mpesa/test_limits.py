"""What M-Pesa pays at once, and how a larger sum is cut."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.mpesa.limits import split, unsendable

D = Decimal


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        (10, [10]),
        (250_000, [250_000]),
        (250_001, [249_991, 10]),
        (250_010, [250_000, 10]),
        (400_000, [250_000, 150_000]),
        (500_000, [250_000, 250_000]),
    ],
)
def test_a_sum_is_cut_into_as_few_payments_as_can_be(amount, parts):
    assert split(D(amount)) == [D(part) for part in parts]


@given(amount=st.integers(10, 2_000_000), largest=st.integers(20, 250_000))
def test_no_shilling_is_lost_and_no_payment_is_outside_its_limits(amount, largest):
    parts = split(D(amount), largest=D(largest))

    assert sum(parts) == amount
    assert all(10 <= part <= largest for part in parts)
    assert len(parts) == -(-amount // largest)


@pytest.mark.parametrize("amount", ["9", "0", "10.50"])
def test_what_cannot_be_cut_is_an_error(amount):
    with pytest.raises(ValueError, match="cannot be sent"):
        split(D(amount))


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("9", "M-Pesa pays KES 10.00 or more"),
        ("96400.50", "whole shillings only"),
        ("500001", "One customer can receive KES 500,000.00 a day"),
        ("500000", ""),
        ("10", ""),
    ],
)
def test_what_m_pesa_does_not_pay_is_told_with_another_way(amount, words):
    assert words in unsendable(D(amount))
    assert bool(unsendable(D(amount))) == bool(words)
