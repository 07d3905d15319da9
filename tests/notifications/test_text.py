import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.notifications import text
from lms.notifications.text import Segments


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("It’s “due” – pay now…", 'It\'s "due" - pay now...'),
        ("KES\u00a01,000\u202fonly\u200b", "KES 1,000 only"),
        ("Wanjikũ wa Mũthoni", "Wanjiku wa Muthoni"),
        ("Ngũgĩ", "Ngugi"),
        ("façade, café, señor", "facade, café, señor"),
        ("cafe\u0301", "café"),
        ("• pay → now × 2 ½ №4", "- pay -> now x 2 1/2 No4"),
        ("first\r\nsecond\tthird", "first\nsecond third"),
        ("`tick´ Łódź Œuvre", "'tick' Lodz OEuvre"),
        ("Asante 🙏", "Asante 🙏"),
        ("你好", "你好"),
    ],
)
def test_text_is_spelled_in_the_gsm_alphabet_where_it_can_be(written, sent):
    assert text.transliterate(written) == sent


@given(st.text(alphabet=sorted(text.GSM7 - {"\r"})))
def test_gsm7_text_is_left_alone(written):
    assert text.transliterate(written) == written


@given(st.text())
def test_transliterating_twice_changes_nothing_more(written):
    once = text.transliterate(written)

    assert text.transliterate(once) == once


def test_the_gsm_alphabet_has_its_127_characters_and_ten_more():
    assert (len(text.GSM7_BASIC), len(text.GSM7_EXTENSION)) == (127, 10)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", Segments("GSM-7", 0, 0, 160)),
        ("a" * 160, Segments("GSM-7", 160, 1, 0)),
        ("a" * 161, Segments("GSM-7", 161, 2, 145)),
        ("a" * 306, Segments("GSM-7", 306, 2, 0)),
        ("a" * 307, Segments("GSM-7", 307, 3, 152)),
        ("€" * 80, Segments("GSM-7", 160, 1, 0)),
        ("a" * 159 + "€", Segments("GSM-7", 161, 2, 145)),
        # The euro would straddle the parts, so it moves on and leaves one character unused.
        ("a" * 152 + "€" + "a" * 10, Segments("GSM-7", 164, 2, 141)),
        ("ũ" * 70, Segments("UCS-2", 70, 1, 0)),
        ("ũ" * 71, Segments("UCS-2", 71, 2, 63)),
        ("a" * 148 + "–", Segments("UCS-2", 149, 3, 52)),
        ("🙏" * 35, Segments("UCS-2", 70, 1, 0)),
        ("🙏" * 36, Segments("UCS-2", 72, 2, 61)),
    ],
)
def test_parts_are_counted_as_the_operator_bills_them(written, expected):
    assert text.segments(written) == expected


@given(st.text(max_size=2000))
def test_every_character_has_a_place_in_some_part(written):
    encoding, characters, parts, left = text.segments(written)
    alone, joined = (160, 153) if encoding == "GSM-7" else (70, 67)

    assert characters >= len(written)
    assert left == alone - characters if parts <= 1 else characters <= parts * joined - left
    assert parts <= 1 or characters > (parts - 1) * (joined - 1)


VALUES = {"customer": "Wanjiku", "amount": "4,500.00"}


def test_placeholders_are_replaced_by_their_values():
    assert text.render("{customer} owes {amount}.", VALUES) == "Wanjiku owes 4,500.00."


def test_a_value_with_braces_is_not_rendered_again():
    assert text.render("Dear {customer}", {"customer": "{amount}", "amount": "1"}) == (
        "Dear {amount}"
    )


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (
            "{custmer}",
            "There is no placeholder {custmer} here. Allowed are {amount}, {customer}.",
        ),
        (
            "{customer.__class__}",
            "There is no placeholder {customer.__class__} here. Allowed are {amount}, {customer}.",
        ),
        (
            "{amount:>999999999}",
            "There is no placeholder {amount:>999999999} here. Allowed are {amount}, {customer}.",
        ),
        (
            "{customer!r}",
            "There is no placeholder {customer!r} here. Allowed are {amount}, {customer}.",
        ),
        ("{}", "There is no placeholder {} here. Allowed are {amount}, {customer}."),
        ("{customer", "A “{” stands alone: write a placeholder like {customer}."),
        ("customer}", "A “}” stands alone: write a placeholder like {customer}."),
    ],
)
def test_braces_that_are_no_known_placeholder_are_named(template, complaint):
    with pytest.raises(ValueError, match="placeholder") as refusal:
        text.render(template, VALUES)

    assert str(refusal.value) == complaint
