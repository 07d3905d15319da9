import pytest

from lms.mpesa.result_codes import EXPLANATIONS, Fate, explain


@pytest.mark.parametrize(
    ("code", "fate"),
    [
        ("0", Fate.PAID),
        ("00000000", Fate.PAID),
        ("1", Fate.FAILED),
        ("1032", Fate.CANCELLED),
        ("1037", Fate.TIMED_OUT),
        ("4999", Fate.PENDING),
        ("SFC_IC0003", Fate.FAILED),
        ("77777", Fate.FAILED),
    ],
)
def test_a_code_has_its_fate(code, fate):
    assert explain(code).fate == fate


def test_every_code_says_what_happened_and_what_to_do():
    for code, explanation in EXPLANATIONS.items():
        assert explanation.meaning.endswith("."), code
        assert explanation.advice.endswith("."), code
