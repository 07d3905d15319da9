"""The notes and coins of Kenya, and what a count of them is worth. Knows no database."""

from collections.abc import Mapping
from decimal import Decimal

from lms.errors import Refused
from lms.money import ZERO, money

NOTES = (1000, 500, 200, 100, 50)
COINS = (40, 20, 10, 5, 1)
FACES = NOTES + COINS


def counted(pieces: Mapping[int, int | None]) -> dict[str, int]:
    """Return a count as it is stored: only what is there, from the largest face down.

    Raises Refused for a face that does not exist and for fewer than no pieces.
    """
    for face, number in pieces.items():
        if face not in FACES:
            raise Refused(f"There is no note or coin of KES {face}.")
        if number is not None and number < 0:
            raise Refused(f"KES {face} cannot be there {number} times.", field=f"of_{face}")
    return {str(face): pieces[face] for face in FACES if pieces.get(face)}


def worth(pieces: Mapping[str, int]) -> Decimal:
    """Return what a stored count is worth (KES)."""
    return sum((money(int(face) * number) for face, number in pieces.items()), ZERO)
