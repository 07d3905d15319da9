"""What requests to Safaricom have in common: the name it gives each, and their steps."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models

from lms.errors import Refused

# So long before its result came a request may have been sent, that nobody knows the name of yet:
# tokens, tries and locks included. Two machines do not tell quite the same time.
LONGEST_SENDING, CLOCKS_DIFFER = timedelta(minutes=10), timedelta(seconds=5)


class SentQuerySet(models.QuerySet):
    """Requests to Safaricom, which names each when it accepts it."""

    # The fields that hold the name, the answer, and when it was sent.
    NAME, ANSWER, SENT = "conversation_id", "response_code", "sent_at"

    def nameless(self, *, at: datetime) -> Self:
        """Requests that Safaricom may have accepted by `at`, and whose name nobody knows yet."""
        sent = (at - LONGEST_SENDING, at + CLOCKS_DIFFER)
        return self.filter(**{self.NAME: None, self.ANSWER: "", f"{self.SENT}__range": sent})


class Stepwise:
    """A record that goes from status to status, only as its NEXT allows."""

    NEXT: dict[str, set[str]]

    def can_become(self, status: str) -> bool:
        return status in self.NEXT.get(self.status, ())

    def _step(self, status: str) -> None:
        """Take one step without saving it. Raises Refused for one that NEXT does not allow."""
        if not self.can_become(status):
            raise Refused(
                f"{self.number} is {self.get_status_display().lower()}, "
                f"so it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status
