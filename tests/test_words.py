import pytest

from lms.words import counted


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 loans"), (1, "1 loan"), (3, "3 loans"), (1200, "1,200 loans")]
)
def test_a_count_agrees_with_its_noun(count, words):
    assert counted(count, "loan") == words
