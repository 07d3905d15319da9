from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lms.tables import neutral, parse_date, parse_int, parse_money, parse_text


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("1234.5", "1234.50"),
        ("1,234.50", "1234.50"),
        ("KES 1 234.50", "1234.50"),
        ("KES\xa01\xa0234.50", "1234.50"),
        ("1\u202f234", "1234.00"),
        ("Ksh. 1,234/=", "1234.00"),
        ("Kshs 500", "500.00"),
        ("KSh500", "500.00"),
        ("Sh. 500", "500.00"),
        ("1234/-", "1234.00"),
        ("500 KES", "500.00"),
        ("1,234,567", "1234567.00"),
        (".5", "0.50"),
        ("0", "0.00"),
        ("+5", "5.00"),
        ("-5", "-5.00"),
        ("−5", "-5.00"),
        ("(5)", "-5.00"),
        ("(KES 1,500.00)", "-1500.00"),
        ("KES (500)", "-500.00"),
        ("KES -500", "-500.00"),
        ("-KES 500", "-500.00"),
        ("'-5,000.00", "-5000.00"),
        ("1500.0000", "1500.00"),
        ("0.30000000000000004", "0.30"),
        (5, "5.00"),
        (Decimal("5.1"), "5.10"),
        (Decimal("0.30000000000000004"), "0.30"),
        (0.1 + 0.2, "0.30"),
        (114653.09999999999, "114653.10"),
        (999999999999.99, "999999999999.99"),
        ("-0.00", "0.00"),
        (Decimal("-0.00"), "0.00"),
    ],
)
def test_amounts_are_read_in_the_spellings_of_kenya(cell, amount):
    assert str(parse_money(cell)) == amount


@pytest.mark.parametrize(
    "cell",
    [
        *[
            "",
            None,
            "abc",
            "KES",
            "1e3",
            "NaN",
            "Infinity",
            "1,23",
            "1.234,50",
            "1234,50",
            "12,34,567",
        ],
        *[
            "1.234",
            "1.000",
            "1.005",
            "1 234,567",
            "--5",
            "(5",
            "5)",
            "(-5)",
            "5.",
            "1.2.3",
            "٥",
            "$5",
        ],
        *[
            "1000000000000",
            "999999999999.9999",
            "=5",
            True,
            date(2026, 1, 1),
            Decimal("NaN"),
            Decimal("1.005"),
        ],
        *[float("inf"), 1e300, Decimal("1E+300"), "\0", "5" * 10_000],
    ],
)
def test_an_amount_that_could_mean_two_things_is_refused_with_what_to_do(cell):
    with pytest.raises(ValueError, match=r"Write|Check|Type") as refusal:
        parse_money(cell)
    assert len(str(refusal.value)) < 200


@given(
    cents=st.integers(-(10**14) + 1, 10**14 - 1),
    gap=st.sampled_from([",", " ", "\xa0", ""]),
    word=st.sampled_from(["", "KES ", "Ksh. ", "kshs"]),
)
def test_every_amount_survives_being_written_and_read(cents, gap, word):
    amount = Decimal(cents) / 100

    assert parse_money(f"{word}{amount:,.2f}".replace(",", gap)) == amount
    assert parse_money(neutral(f"{amount:,.2f}")) == amount
    assert parse_money(amount) == amount


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        *[(text, date(2026, 1, 31)) for text in (
            "2026-01-31", "2026/01/31", "31/01/2026", "31-1-2026", "31.01.2026", "31 01 2026",
            "31/1/26", "31 Jan 2026", "31-Jan-26", "31 January 2026", "31st Jan, 2026", "31JAN2026",
            "Jan 31, 2026", "2026-01-31 14:05:00", "2026-01-31T14:05:00.000", "31/01/2026 2:05 PM",
            " 31/01/2026 ", date(2026, 1, 31), datetime.fromisoformat("2026-01-31T23:59"),
        )],
        ("1/2/2026", date(2026, 2, 1)),
        ("5 Sept 2026", date(2026, 9, 5)),
        ("29/02/2028", date(2028, 2, 29)),
    ],
)  # fmt: skip
def test_dates_are_read_day_first(cell, day):
    assert parse_date(cell) == day


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("", "The date is empty. Write it like 2026-01-31"),
        (None, "The date is empty"),
        ("01/31/2026", "has no month 31. Write the day first, like 31/1/2026"),
        ("29/02/2026", "is not a day of the calendar"),
        ("32/13/2026", "is not a day of the calendar"),
        ("0/1/2026", "is not a day of the calendar"),
        ("31/01-2026", "is not a date"),
        ("31 Foo 2026", "is not a date"),
        ("tomorrow", "is not a date"),
        ("20260131", "is not a date"),
        ("46053", "is not a date"),
        ("2026-01-31T22:00:00Z", "is not a date"),
        (46053, "is a number, not a date. Format the column as a date"),
        (Decimal("46053.5"), "is a number, not a date"),
        (True, "is a number, not a date"),
        ("31/01/0026", "is in the year 26. Check the year"),
        ("31/01/2206", "is in the year 2206. Check the year"),
    ],
)
def test_a_date_that_is_none_is_refused_with_what_to_do(cell, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_date(cell)


@given(day=st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_every_day_survives_being_written_and_read(day):
    for pattern in ("%Y-%m-%d", "%d/%m/%Y", "%d-%m-%y", "%d %b %Y", "%d-%B-%Y", "%B %d, %Y"):
        assert parse_date(day.strftime(pattern)) == day


@pytest.mark.parametrize("cell", ["12", " 12 ", 12, Decimal("12"), Decimal("12.0"), "12.0", 12.0])
def test_whole_numbers_are_read(cell):
    assert parse_int(cell) == 12


def test_a_negative_whole_number_is_for_the_caller_to_refuse():
    assert parse_int("-3") == -3


@pytest.mark.parametrize("cell", ["", None, "12.5", Decimal("1.5"), "twelve", "1,200", "1e3", True,
                                  "٣", "9" * 16, "9" * 5000])  # fmt: skip
def test_what_is_not_a_whole_number_is_refused_with_what_to_do(cell):
    with pytest.raises(ValueError, match="Write"):
        parse_int(cell)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        ("  Mary \xa0 Wanjiku\n", "Mary Wanjiku"),
        ("\u202a0712 345 678\u202c", "0712 345 678"),
        ("\ufeffLN1", "LN1"),
        ("O'Brien", "O'Brien"),
        ("'Wanjiku'", "'Wanjiku'"),
        ("'=1+1", "=1+1"),
        ("'+254712345678", "+254712345678"),
        (254712345678, "254712345678"),
        (254712345678.0, "254712345678"),
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+2"), "100"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime.fromisoformat("2026-01-31"), "2026-01-31"),
        (True, "TRUE"),
    ],
)
def test_text_is_tidied(cell, text):
    assert parse_text(cell) == text


def test_a_nul_in_a_text_is_refused():
    with pytest.raises(ValueError, match="Type it again"):
        parse_text("LN\x001")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+254712345678", "'+254712345678"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\0x", "'\0x"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("＠x", "'＠x"),
        ("'=1", "''=1"),
        ("-5,000.00", "'-5,000.00"),
        ("-5.00", "-5.00"),
        ("5.00", "5.00"),
        ("Wanjiku", "Wanjiku"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_texts_that_a_spreadsheet_would_run_get_an_apostrophe(text, safe):
    assert neutral(text) == safe


@given(
    text=st.one_of(
        st.text(),
        st.text(alphabet="'=+-@＝＋－＠ \t\r\n1.x"),
    ).filter(lambda text: "\0" not in text)
)
@example("'=1")
@example("''=1")
@example("\tx")
def test_importing_what_was_exported_gives_the_same_text(text):
    stored = " ".join(text.split())
    for (
        mark
    ) in "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff":
        stored = " ".join(stored.replace(mark, "").split())

    assert parse_text(neutral(stored)) == stored
    if not text.lstrip().startswith("'"):
        assert parse_text(neutral(text)) == parse_text(text)
