"""What one cell means: a text, an amount, a day, a whole number; and texts safe to export."""

import re
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_FORMULA = re.compile("'*(?:[\t\r\n\0]|\\s*[=+\\-@＝＋－＠])")
_PLAIN_NUMBER = re.compile(r"-\d+(?:\.\d+)?", re.ASCII)


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:40] + "…"


def neutral(cell: str) -> str:
    """Return the text so that no spreadsheet takes it for a formula: an apostrophe goes before it.

    Plain negative numbers stay as they are. `parse_text` takes the apostrophe away again.
    Source: OWASP ASVS 5.0, 1.2.10.
    """
    if _FORMULA.match(cell) and not _PLAIN_NUMBER.fullmatch(cell):
        return "'" + cell
    return cell


def parse_text(value: object) -> str:
    """Return a cell as one line of text, its spaces collapsed and `neutral` undone.

    Raises ValueError for a NUL character.
    """
    text = value if isinstance(value, str) else _written(value)
    if text.isascii() and text.isalnum():
        return text
    text = _INVISIBLE.sub("", text).lstrip()
    if "\0" in text:
        raise ValueError("The text holds a NUL character. Type it again.")
    if text.startswith("'") and _FORMULA.match(text, 1):
        text = text[1:]
    return " ".join(text.split())


def _written(value: object) -> str:
    """Return a typed cell as a person would write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | Decimal):
        digits = f"{Decimal(repr(value)) if isinstance(value, float) else value:f}"
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    if isinstance(value, datetime) and value.time() == time.min:
        value = value.date()
    return str(value)


_SHILLINGS = r"(?:K(?:ES|SHS?)|SHS?)"
_MONEY = re.compile(
    rf"(?P<before>[-+(]?) ?(?:{_SHILLINGS}[. ]*)?(?P<after>[-+(]?) ?"
    r"(?P<whole>\d{1,3}(?P<gap>[ ,])\d{3}(?:(?P=gap)\d{3})*|\d*)(?:\.(?P<cents>\d+))?"
    rf" ?(?:/[=-]|{_SHILLINGS}\.?)? ?(?P<close>\)?)",
    re.ASCII | re.IGNORECASE,
)
_CENT = Decimal("0.01")
_MOST = Decimal("999999999999.99")
_AMOUNT_LIKE = "Write it like 1234.50 or 1,234.50, with a point before the cents."


def parse_money(value: object) -> Decimal:
    """Return an amount in KES with two places; brackets or a minus make it negative.

    Reads 1,234.50, KES 1 234.50, Ksh. 1,234/= and numbers of a spreadsheet, whose binary noise
    (a billionth of a shilling) is taken away. Raises ValueError for anything that could be read
    in two ways, for fractions of a cent, and above KES 999,999,999,999.99.
    """
    if isinstance(value, Decimal | float | int) and not isinstance(value, bool):
        return _to_cents(
            Decimal(repr(value)) if isinstance(value, float) else Decimal(value), value
        )
    return _money(parse_text(value))


# The same amounts and days come thousands of times in one file.
@lru_cache(maxsize=4096)
def _money(text: str) -> Decimal:
    """Return the amount that a tidied text spells."""
    if not text:
        raise ValueError(f"The amount is empty. {_AMOUNT_LIKE}")
    match = _MONEY.fullmatch(text.replace("\u2212", "-"))
    signs = match["before"] + match["after"] if match else ""
    if (
        not match
        or not (match["whole"] or match["cents"])
        or len(signs) > 1
        or (signs == "(") != bool(match["close"])
    ):
        raise ValueError(f"“{_short(text)}” is not an amount. {_AMOUNT_LIKE}")
    if len(match["cents"] or "") == 3:  # 1.500 is fifteen hundred to some and one and a half here
        raise _fraction(text)
    whole = match["whole"].replace(",", "").replace(" ", "") or "0"
    amount = _to_cents(Decimal(f"{whole}.{match['cents'] or '0'}"), text)
    return -amount if signs in ("-", "(") else amount


def _fraction(value: object) -> ValueError:
    return ValueError(
        f"“{_short(value)}” has more than two decimals. Write cents with two digits and thousands "
        "with a comma, like 1,234.50."
    )


def _to_cents(amount: Decimal, shown: object) -> Decimal:
    """Return the amount with two places. Raises ValueError where that would change it."""
    if not amount.is_finite():
        raise ValueError(f"“{_short(shown)}” is not an amount. {_AMOUNT_LIKE}")
    if abs(amount) >= _MOST + _CENT / 2:
        raise ValueError(f"“{_short(shown)}” is too large an amount. Check the number of digits.")
    cents = amount.quantize(_CENT, rounding=ROUND_HALF_UP)
    # A double holds fifteen digits, so large amounts carry more noise than a billionth.
    if abs(cents - amount) > max(Decimal("1e-9"), abs(amount) * Decimal("1e-15")):
        raise _fraction(shown)
    return cents or abs(cents)  # no minus before zero


_MONTHS = "january february march april may june july august september october november december"
_CLOCK = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AP]M)?)?"
_DATES = [
    re.compile(pattern + _CLOCK, re.ASCII | re.IGNORECASE)
    for pattern in (
        r"(?P<year>\d{4})(?P<gap>[-/.])(?P<month>\d{1,2})(?P=gap)(?P<day>\d{1,2})",
        r"(?P<day>\d{1,2})(?P<gap>[-/. ])(?P<month>\d{1,2})(?P=gap)(?P<year>\d{4}|\d{2})",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[-/., ]*(?P<month>[a-z]{3,9})[-/., ]*"
        r"(?P<year>\d{4}|\d{2})",
        r"(?P<month>[a-z]{3,9})[. ]+(?P<day>\d{1,2})(?:st|nd|rd|th)?[, ]+(?P<year>\d{4})",
    )
]
_DATE_LIKE = "Write it like 2026-01-31 or 31/01/2026."


def parse_date(value: object) -> date:
    """Return the day of a date cell or text: ISO, day first, or with the month's name.

    Two-digit years are of this century; a time of day is dropped. Raises ValueError for month
    first, for a plain number, and outside the years 1900 to 2100.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = parse_text(value)
    if text and not isinstance(value, str):
        raise ValueError(
            f"“{_short(text)}” is a number, not a date. Format the column as a date in the "
            "spreadsheet, or write it like 2026-01-31."
        )
    return _day(text)


@lru_cache(maxsize=4096)
def _day(text: str) -> date:
    """Return the day that a tidied text spells."""
    if not text:
        raise ValueError(f"The date is empty. {_DATE_LIKE}")
    match = next(filter(None, (pattern.fullmatch(text) for pattern in _DATES)), None)
    month = _month(match["month"]) if match else None
    if match is None or month is None:
        raise ValueError(f"“{_short(text)}” is not a date. {_DATE_LIKE}")
    year, day = int(match["year"]), int(match["day"])
    if len(match["year"]) == 2:
        year += 2000
    if not 1900 <= year <= 2100:
        raise ValueError(f"“{_short(text)}” is in the year {year}. Check the year.")
    if month > 12 and day <= 12:
        raise ValueError(
            f"“{_short(text)}” has no month {month}. "
            f"Write the day first, like {month}/{day}/{year}."
        )
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ValueError(f"“{_short(text)}” is not a day of the calendar. {_DATE_LIKE}") from error


def _month(text: str) -> int | None:
    """Return the number of a month written in digits or letters, None where it is neither."""
    if text.isdigit():
        return int(text)
    months = _MONTHS.split()
    return next((n for n, name in enumerate(months, 1) if name.startswith(text.lower())), None)


def parse_int(value: object) -> int:
    """Return a whole number of at most 15 digits: 12, "12", "12.0".

    Raises ValueError for fractions, for words, and for thousands separators.
    """
    text = parse_text(value)
    if not text:
        raise ValueError("The number is empty. Write a whole number like 12.")
    if not re.fullmatch(r"[-+]?\d{1,15}(?:\.0+)?", text, re.ASCII):
        raise ValueError(f"“{_short(text)}” is not a whole number. Write it like 12.")
    return int(text.partition(".")[0])
