"""Which days and whose books: the arithmetic behind comparative columns."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from lms import dates

ALL_BRANCHES = "All branches"


class Scope(NamedTuple):
    """Whose books a report reads. `branch_ids` of None are those of every branch."""

    branch_ids: tuple[int, ...] | None = None
    name: str = ALL_BRANCHES

    @property
    def answers(self) -> dict[str, int]:
        """Return what the next report must be asked to read the same books."""
        return {"branch": self.branch_ids[0]} if self.branch_ids else {}


class Span(NamedTuple):
    """One column of a comparative report: some days, both included, of some books."""

    title: str
    first: date
    last: date
    scope: Scope


def between(first: date, last: date) -> str:
    """Return the days as a heading: Mar 2026, 2026, or 1 Mar 2026 to 9 Mar 2026."""
    if is_month(first, last):
        return f"{first:%b %Y}"
    if is_year(first, last):
        return str(first.year)
    return f"{dates.show(first)} to {dates.show(last)}"


def is_year(first: date, last: date) -> bool:
    return first == date(first.year, 1, 1) and last == date(first.year, 12, 31)


def is_month(first: date, last: date) -> bool:
    return first == month_of(last)[0] and last == month_of(last)[1]


def month_of(day: date) -> tuple[date, date]:
    """Return the first and the last day of its month."""
    return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])


def year_to(day: date) -> tuple[date, date]:
    """Return the first day of its year, and the day itself."""
    return date(day.year, 1, 1), day


def before(first: date, last: date) -> tuple[date, date]:
    """Return the days just before, as long: whole months before whole months."""
    eve = first - timedelta(days=1)
    if first.day == 1 and last == month_of(last)[1]:
        months = (last.year - first.year) * 12 + last.month - first.month + 1
        return dates.add_months(first, -months), eve
    return first - (last - first) - timedelta(days=1), eve


def year_before(first: date, last: date) -> tuple[date, date]:
    """Return the same days of the year before; a month that ends stays one that ends."""
    ends = last == month_of(last)[1]
    earlier = dates.add_months(last, -12)
    return dates.add_months(first, -12), month_of(earlier)[1] if ends else earlier


def by_branch(
    first: date, last: date, scope: Scope, branches: Sequence[tuple[int, str]]
) -> list[Span]:
    """Return a column for each branch (key, name), and one for all of them."""
    each = [Span(name, first, last, Scope((key,), name)) for key, name in branches]
    return [*each, Span("Total", first, last, scope)]
