"""Which days of the books are open: every posting asks. `periods` closes and reopens months."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

from django.db import IntegrityError, connection

from lms import dates
from lms.errors import Refused
from lms.ledger.beginning import must_be_in_books
from lms.ledger.immutability import CLOSED, CLOSED_THROUGH, UNUSABLE


def closed_through() -> date | None:
    """Return the last day of the closed books, None while every month is open."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and connection.in_atomic_block:
            # Whoever posts holds this lock anyway; taken first, no month is closed in between.
            cursor.execute(
                f"LOCK TABLE ledger_journalentry IN ROW EXCLUSIVE MODE; {CLOSED_THROUGH}"
            )
            cursor.nextset()
        else:
            cursor.execute(CLOSED_THROUGH)
        (last,) = cursor.fetchone()
    return date.fromisoformat(last) if isinstance(last, str) else last


def open_day(on: date, *, field: str = "on") -> date:
    """Return the day on which the books take what happened on `on`: the first open one from it.

    Inside a transaction that day stays open until its end. Raises Refused for a day before the
    books begin; `field` names where it was typed.
    """
    must_be_in_books(on, field=field)
    closed = closed_through()
    return on if closed is None or on > closed else closed + timedelta(days=1)


def must_be_open(on: date, *, field: str = "on") -> None:
    """Raise Refused when `on` is in a closed month or before the books begin."""
    if (first := open_day(on, field=field)) != on:
        raise Refused(
            f"{on:%B %Y} is closed: take a day from {dates.show(first)} on, or ask to reopen it.",
            field=field,
        )


@contextmanager
def refusing(on: date) -> Iterator[None]:
    """Turn what the database refuses to post on a day into a sentence that staff can read."""
    try:
        yield
    except IntegrityError as error:
        if CLOSED in str(error):
            raise Refused(
                f"{on:%B %Y} is closed: take a later day, or ask to reopen it.", field="on"
            ) from error
        if UNUSABLE in str(error):
            raise Refused(
                "An account of this entry is a header or no longer in use: "
                "make it active again, or take another."
            ) from error
        raise
