"""The first day of the books. What is dated before it is a mistyped year, not an old event.

Loans taken over from another system were lent before it, but stand in the books from the day of
their takeover.
"""

from datetime import date

from django.conf import settings

from lms import dates
from lms.errors import Refused


def is_in_books(on: date) -> bool:
    return on >= settings.BOOKS_BEGIN


def must_be_in_books(on: date, *, field: str = "on") -> None:
    """Raise Refused for a day before the books begin; `field` names where it was typed."""
    if not is_in_books(on):
        first = dates.show(settings.BOOKS_BEGIN)
        raise Refused(
            f"{dates.show(on)} is before {first}, where the books begin: is the year right?",
            field=field,
        )
