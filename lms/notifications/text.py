"""What an SMS costs and how a template becomes words. Knows no database and no gateway.

One SMS carries 160 characters of the GSM 7-bit alphabet. A single curly quote or the “ũ” of
Wanjikũ turns the whole text into UCS-2, where only 70 fit.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Source: 3GPP TS 23.038 §6.2.1, the default alphabet and its extension table.
GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")
GSM7 = GSM7_BASIC | GSM7_EXTENSION

# What Unicode decomposition does not turn into plain letters by itself.
_SPELLED = {
    **dict.fromkeys("‘’‚‛′`´ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−•·", "-"),
    **dict.fromkeys("\t\u2028\u2029", " "),
    **dict.fromkeys("\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff", ""),
    "⁄": "/",
    "×": "x",
    "→": "->",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ı": "i",
    "œ": "oe",
    "Œ": "OE",
    "þ": "th",
    "Þ": "Th",
    "ð": "d",
    "Ð": "D",
    "ŋ": "ng",
    "Ŋ": "Ng",
}
_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")


class Segments(NamedTuple):
    """How a text travels as SMS. `characters` are those the operator bills."""

    encoding: str
    characters: int
    parts: int
    left_in_part: int


def transliterate(text: str) -> str:
    """Return the text in GSM-7 as far as plain letters can say it.

    Curly quotes, dashes, odd spaces and accents the alphabet lacks become ASCII; what has no
    plain form (an emoji, another script) stays, and makes the message UCS-2.
    """
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    return "".join(map(_plain, composed))


def _plain(character: str) -> str:
    if character in GSM7:
        return character
    if character in _SPELLED:
        return _SPELLED[character]
    apart = unicodedata.normalize("NFKD", character)
    letters = "".join(_SPELLED.get(c, c) for c in apart if not unicodedata.combining(c))
    return letters if is_gsm7(letters) else character


def is_gsm7(text: str) -> bool:
    """Return whether every character is in the GSM 7-bit alphabet or its extension."""
    return GSM7.issuperset(text)


def segments(text: str) -> Segments:
    """Return the encoding, billed characters and parts of a text sent as SMS.

    GSM-7 fits 160 in one part and 153 in each of several, `€[]{}|^~\\` counting two; UCS-2
    fits 70 and 67, an emoji counting two. A character is never cut across two parts.
    Source: 3GPP TS 23.038 (alphabets) and TS 23.040 §9.2.3.24.1 (concatenation).
    """
    if is_gsm7(text):
        widths = [2 if character in GSM7_EXTENSION else 1 for character in text]
        return Segments("GSM-7", sum(widths), *_pack(widths, alone=160, joined=153))
    widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return Segments("UCS-2", sum(widths), *_pack(widths, alone=70, joined=67))


def _pack(widths: Sequence[int], *, alone: int, joined: int) -> tuple[int, int]:
    """Return the number of parts and the room left in the last one."""
    whole = sum(widths)
    if whole <= alone:
        return int(whole > 0), alone - whole
    parts, used = 1, 0
    for width in widths:
        if used + width > joined:
            parts, used = parts + 1, 0
        used += width
    return parts, joined - used


def render(template: str, values: Mapping[str, str]) -> str:
    """Return the template with each `{name}` replaced by its value, in one pass.

    A placeholder is a bare name out of `values`. There are no attributes, indexes or formats to
    reach through, and a value that contains braces stays as it is.
    Raises ValueError, with a sentence for staff, for any other use of braces.
    """

    def value_of(found: re.Match) -> str:
        name = found[1]
        if name is None:
            raise ValueError(f"A “{found[0]}” stands alone: write a placeholder like {{customer}}.")
        if name not in values:
            allowed = ", ".join(f"{{{known}}}" for known in sorted(values))
            raise ValueError(f"There is no placeholder {{{name}}} here. Allowed are {allowed}.")
        return values[name]

    return _BRACES.sub(value_of, template)
