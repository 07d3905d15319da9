"""The months of the books: closing, reopening, the end of a year.

Months are closed in order, so one day parts the closed books from the open ones. A closed month
takes no posting: triggers of the database refuse it, whoever asks. What an operation books for a
day in a closed month (a receipt found late, a penalty of a late night) keeps its own business
day, from which it counts, and stands in the books on the first open day. Where a person chooses
the day of the books themselves (a manual journal, money paid out, a takeover), `must_be_open`
refuses it.

Closing keeps the sums of every account and branch up to its last day, so that no balance ever adds
up the whole history. The financial year is the calendar year: December is closed by `close_year`,
which moves income and expense to retained earnings.
"""

from calendar import monthrange
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

from django.db import OperationalError, connection, transaction
from django.db.models import Min

from lms import dates
from lms.errors import Refused
from lms.ledger import balances, chart
from lms.ledger.models import Account, JournalEntry, Period, PeriodBalance
from lms.ledger.operations import Line, post, reverse
from lms.staff import operations as staff
from lms.staff.models import Approval

REOPENING = "reopen_period"


def prepare(*, on: date) -> None:
    """Make a row for every month from the first posting up to the month of `on`.

    Run again it makes only what is missing.
    """
    first = JournalEntry.objects.aggregate(first=Min("date"))["first"]
    month = min(first or on, on).replace(day=1)
    known = set(Period.objects.values_list("first", flat=True))
    while month <= on:
        last = month.replace(day=monthrange(month.year, month.month)[1])
        if month not in known:
            Period.objects.get_or_create(first=month, defaults={"last": last})
        month = last + timedelta(days=1)


def close_period(period: Period, *, by, on: date) -> Period:
    """Close a month: from here on nothing is posted to it, and its balances are carried.

    Raises Refused before the month is over, while an earlier one is open, and for December,
    which ends a year.
    """
    if period.ends_year:
        raise Refused(f"{period} ends the year: close the year.")
    with transaction.atomic():
        return _close(_lock(period), by=by, on=on)


def close_year(period: Period, *, by, on: date) -> Period:
    """Close December: move the year's income and expense to retained earnings, then the month.

    One entry for each branch, of the last day of the year. Raises Refused as `close_period`, and
    for another month.
    """
    if not period.ends_year:
        raise Refused(f"The year ends with December: {period} is closed as a month.")
    with transaction.atomic():
        period = _lock(period)
        _must_be_next(period, on=on)
        for branch_id, lines in _result_by_branch(period.last).items():
            times = JournalEntry.objects.filter(
                reference__startswith=f"year:{period.first.year}:{branch_id}:"
            ).count()
            post(
                kind=balances.YEAR_END,
                reference=f"year:{period.first.year}:{branch_id}:{times + 1}",
                on=period.last,
                narration=f"Result of {period.first.year} to retained earnings",
                lines=lines,
                branch_id=branch_id,
                by=by,
            )
        return _close(period, by=by, on=on)


def ask_to_reopen(period: Period, *, reason: str, by, on: date) -> Approval:
    """Put the reopening of a closed month before a second person.

    Raises Refused for a month that is open, and while a later one is closed.
    """
    period = Period.objects.get(pk=period.pk)
    _must_be_last_closed(period)
    return staff.ask(
        REOPENING,
        subject=f"period:{period.first}",
        summary=f"Reopen {period} of the books",
        reason=reason,
        payload={"period": period.pk},
        diff=_effect_of_reopening(period),
        by=by,
    )


def reopen(approval: Approval, *, reason: str, by, on: date) -> Period:
    """Open a month again, as the second person. A year's end in it is reversed.

    Raises Refused for one's own request, and when the month can no longer be reopened.
    """
    with transaction.atomic():
        approval = staff.decide(approval, approve=True, reason=reason, by=by)
        period = _lock(Period.objects.get(pk=approval.payload["period"]))
        _must_be_last_closed(period)
        period.balances.all().delete()
        period.status, period.closed_by, period.closed_at = Period.Status.OPEN, None, None
        period._history_user, period._change_reason = by, f"Reopened: {approval.reason}"[:100]
        period.save(update_fields=["status", "closed_by", "closed_at"])
        for entry in _year_end_entries(period):
            reverse(entry, reason=f"{period} reopened", on=entry.date, by=by)
    return period


def last_closed() -> Period | None:
    """Return the closed month that came last: all before it are closed too."""
    return Period.objects.closed().order_by("-first").first()


def next_to_close() -> Period | None:
    """Return the month that is closed next, whether or not it is over."""
    return Period.objects.filter(status=Period.Status.OPEN).order_by("first").first()


def _close(period: Period, *, by, on: date) -> Period:
    _must_be_next(period, on=on)
    carried = balances.by_branch(period.last)
    period.status, period.closed_by, period.closed_at = Period.Status.CLOSED, by, dates.now()
    period._history_user, period._change_reason = by, "Closed"
    period.save(update_fields=["status", "closed_by", "closed_at"])
    PeriodBalance.objects.bulk_create(
        PeriodBalance(
            period=period,
            account_id=code,
            branch_id=branch_id,
            debit=balance.debit,
            credit=balance.credit,
        )
        for (code, branch_id), balance in sorted(carried.items())
    )
    return period


def _lock(period: Period) -> Period:
    """Keep every poster out until the transaction ends, once those at work are done.

    Raises Refused when they take too long. SQLite has one writer at a time anyway.
    """
    if connection.vendor == "postgresql":
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '30s'")
                cursor.execute(
                    "LOCK TABLE ledger_journalentry, ledger_transfer IN SHARE ROW EXCLUSIVE MODE"
                )
        except OperationalError as error:
            raise Refused(
                "Long work is posting to the books: try again when it is done."
            ) from error
    return Period.objects.select_for_update().get(pk=period.pk)


def _must_be_next(period: Period, *, on: date) -> None:
    if period.is_closed:
        raise Refused(f"{period} is closed already.")
    if on <= period.last:
        raise Refused(f"{period} is not over: it ends on {dates.show(period.last)}.", field="on")
    earlier = Period.objects.filter(first__lt=period.first, status=Period.Status.OPEN)
    if before := earlier.order_by("first").first():
        raise Refused(f"{before} is open: months are closed in order.")


def _must_be_last_closed(period: Period) -> None:
    if not period.is_closed:
        raise Refused(f"{period} is open.")
    if (later := last_closed()) != period:
        raise Refused(f"{later} is closed too: reopen that first.")


def _year_end_entries(period: Period) -> list[JournalEntry]:
    if not period.ends_year:
        return []
    return list(
        JournalEntry.objects.filter(
            date=period.last, kind=balances.YEAR_END, reversed_by=None
        ).order_by("pk")
    )


def _result_by_branch(last: date) -> dict[int, list[Line]]:
    """Return, for each branch, the lines that empty its accounts of income and expense."""
    kinds = [Account.Kind.INCOME, Account.Kind.EXPENSE]
    codes = set(Account.objects.filter(kind__in=kinds).values_list("pk", flat=True))
    found: dict[int, list[Line]] = defaultdict(list)
    for (code, branch_id), balance in sorted(balances.by_branch(last).items()):
        if code in codes and balance.net:
            found[branch_id].append(_to_earnings(code, balance.net))
    return found


def _to_earnings(code: str, net: Decimal) -> Line:
    if net > 0:
        return Line(chart.RETAINED_EARNINGS, code, net)
    return Line(code, chart.RETAINED_EARNINGS, -net)


def _effect_of_reopening(period: Period) -> str:
    lines = [f"{period} takes postings again; its balances are carried anew when it is closed."]
    lines += [f"{entry} is reversed." for entry in _year_end_entries(period)]
    return "\n".join(lines)
