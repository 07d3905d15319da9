"""How records of the M-Pesa room go from status to status."""

from datetime import timedelta

from lms.errors import Refused

# Longer than Safaricom takes to accept a request, and with that to name it.
STILL_BEING_SENT = timedelta(minutes=2)


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
