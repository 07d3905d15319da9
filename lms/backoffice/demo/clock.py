"""The clock of the story: while the demo's past is made, "now" is the day it happens on.

Records stamp themselves with the time (`auto_now_add`, history rows, the outbox), so a story told
this morning about last year would otherwise bear this morning's stamps. Used by the one process
that loads the demo data, and by nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.utils import timezone

from lms import dates


class StoryClock:
    """Stands where it is put. `moment` is an aware datetime in East Africa Time."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Let the house and Django read this clock inside the block."""
        house, django = dates.now, timezone.now
        dates.now = lambda: self.moment
        timezone.now = lambda: self.moment.astimezone(UTC)
        try:
            yield
        finally:
            dates.now, timezone.now = house, django
