"""When a lender may disturb a customer. Kenyan wall-clock time; reads no clock."""

from datetime import datetime, time, timedelta

from lms import dates

OPENS = time(8)
CLOSES = time(20)


def is_allowed(moment: datetime) -> bool:
    """Return whether a reminder may go out: 08:00 is allowed, 20:00 is not."""
    return OPENS <= moment.astimezone(dates.EAT).time() < CLOSES


def next_allowed(moment: datetime) -> datetime:
    """Return the first instant at or after `moment` outside the quiet hours 20:00-08:00 EAT."""
    if is_allowed(moment):
        return moment
    local = moment.astimezone(dates.EAT)
    morning = local.date() if local.time() < OPENS else local.date() + timedelta(days=1)
    return dates.instant(morning, OPENS)
