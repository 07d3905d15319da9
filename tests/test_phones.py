import pytest

from lms import phones


@pytest.mark.parametrize(
    "text",
    [
        "0712345678",
        "712345678",
        "254712345678",
        "+254712345678",
        "+254 712 345 678",
        "0712-345-678",
        "(0712) 345678",
        "00254712345678",
        "2540712345678",
        "712345678.0",
        "0712\u00a0345\u00a0678",
    ],
)
def test_every_usual_spelling_of_a_number_is_stored_the_same(text):
    assert phones.normalise(text) == "254712345678"


@pytest.mark.parametrize("text", ["0100123456", "0110123456", "0189123456", "0146123456"])
def test_numbers_that_start_with_01_are_kenyan_too(text):
    assert phones.normalise(text) == "254" + text[1:]


@pytest.mark.parametrize(
    "text",
    ["", "0812345678", "07123456", "07123456789", "0199123456x", "+255712345678", "٠٧١٢٣٤٥٦٧٨"],
)
def test_what_is_not_a_kenyan_mobile_number_is_refused_with_advice(text):
    with pytest.raises(ValueError, match="Write it like 0712 345 678"):
        phones.normalise(text)

    assert phones.parse(text) is None


def test_a_stored_number_is_shown_as_people_read_it():
    assert phones.show("254712345678") == "0712 345 678"
