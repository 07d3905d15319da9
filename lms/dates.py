"""East Africa days, and the only clock of the project.

A business date is a plain `date` in Kenya. Pages, jobs and commands ask `today()` once and pass
the day down; nothing below them reads a clock.
"""

from calendar import monthrange
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EAT = ZoneInfo("Africa/Nairobi")


def now() -> datetime:
    """Return this instant as an aware datetime in East Africa Time."""
    return datetime.now(tz=EAT)


def today() -> date:
    """Return the current business date in Kenya."""
    return now().date()


def day_of(moment: str | date | datetime) -> date:
    """Return the Kenyan day of an ISO 8601 text, an aware datetime or a date.

    Raises ValueError for text that is not ISO 8601 and for a datetime without a zone.
    """
    if isinstance(moment, str):
        if len(moment) == len("2026-01-31"):
            return date.fromisoformat(moment)
        moment = datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone.")
    return moment.astimezone(EAT).date()


def instant(day: date, at: time = time.min) -> datetime:
    """Return the aware instant of `day` at a Kenyan wall-clock time (midnight unless told)."""
    return datetime.combine(day, at, tzinfo=EAT)


def add_months(anchor: date, months: int) -> date:
    """Return the day `months` after `anchor`, kept inside the month.

    Always counted from the anchor, so 31 Jan gives 28 Feb and then 31 Mar.
    """
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    if anchor.day <= 28:  # Every month has it; schedules ask this for each of their rows.
        return date(year, month + 1, anchor.day)
    return date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))


def add_period(anchor: date, count: int, unit: str) -> date:
    """Return the day `count` days, weeks or months after `anchor`."""
    if unit == "days":
        return anchor + timedelta(days=count)
    if unit == "weeks":
        return anchor + timedelta(weeks=count)
    if unit == "months":
        return add_months(anchor, count)
    raise ValueError(f"{unit!r} is not days, weeks or months.")


def show(day: date | None) -> str:
    """Return the day as staff read it: 21 Nov 2026 (a dash where there is none)."""
    return f"{day.day} {day:%b %Y}" if day else "-"
