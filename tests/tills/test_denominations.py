from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.errors import Refused
from lms.tills.denominations import FACES, counted, worth


@pytest.mark.parametrize(
    ("pieces", "total"),
    [
        ({}, "0.00"),
        ({1000: 3, 50: 1}, "3050.00"),
        ({40: 2, 20: 1, 10: 1, 5: 1, 1: 4}, "119.00"),
        ({1000: None, 500: 0, 200: 7}, "1400.00"),
    ],
)
def test_a_count_is_worth_its_notes_and_coins(pieces, total):
    assert worth(counted(pieces)) == Decimal(total)


def test_a_count_is_stored_from_the_largest_face_down_without_what_is_not_there():
    assert list(counted({1: 2, 500: 0, 1000: 4, 20: None}).items()) == [("1000", 4), ("1", 2)]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [({25: 1}, r"no note or coin of KES 25\."), ({100: -1}, "KES 100 cannot be there -1 times.")],
)
def test_what_cannot_lie_in_a_drawer_is_refused(pieces, message):
    with pytest.raises(Refused, match=message):
        counted(pieces)


@given(st.dictionaries(st.sampled_from(FACES), st.integers(0, 10_000)))
def test_no_shilling_is_lost_in_counting(pieces):
    assert worth(counted(pieces)) == sum(face * number for face, number in pieces.items())
