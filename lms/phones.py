"""Kenyan mobile numbers: any spelling in, `2547XXXXXXXX` or `2541XXXXXXXX` stored.

Source: Communications Authority of Kenya numbering as published in libphonenumber 9.0.43.
"""

import hashlib
import re

NATIONAL = re.compile(r"(?:7\d{8}|1(?:0[0-8]|[18]\d|2[014]|3[05-9]|4[0-6])\d{6})")
HASH_LENGTH = 64
_SEPARATORS = re.compile(r"[\s\-().\u00a0\u2010-\u2015]+")


def normalise(text: str) -> str:
    """Return the twelve digits `2547…`/`2541…` of a number in any usual spelling.

    Raises ValueError, with a sentence for staff, when it is not a Kenyan mobile number.
    """
    # A spreadsheet drops the leading zero and may add a decimal part.
    written = str(text or "").strip().removesuffix(".0")
    digits = _SEPARATORS.sub("", written).removeprefix("+")
    if digits.startswith("00254"):
        digits = digits[2:]
    if digits.startswith("2540"):
        national = digits[4:]
    elif digits.startswith("254"):
        national = digits[3:]
    else:
        national = digits.removeprefix("0")
    if not (national.isascii() and NATIONAL.fullmatch(national)):
        raise ValueError(
            f"“{text}” is not a Kenyan mobile number. Write it like 0712 345 678 or 254712345678."
        )
    return "254" + national


def parse(text: str) -> str | None:
    """Return the stored form of the number, or None where the text is not one."""
    try:
        return normalise(text)
    except ValueError:
        return None


def hashed(phone: str) -> str:
    """Return the SHA-256 in hex of a stored number, as version 1 of Safaricom's C2B names payers.

    It hides nothing: every Kenyan number can be tried in minutes, so it is as private as the phone.
    """
    return hashlib.sha256(phone.encode()).hexdigest()


def show(phone: str) -> str:
    """Return a stored number as staff read it: 0712 345 678."""
    if len(phone or "") != 12:
        return phone or ""
    return f"0{phone[3:6]} {phone[6:9]} {phone[9:]}"


def show_payer(phone: str) -> str:
    """Return the phone of a payer as staff read it, whole, masked or known by its hash alone."""
    return "hidden by Safaricom (hash)" if len(phone) == HASH_LENGTH else show(phone)
