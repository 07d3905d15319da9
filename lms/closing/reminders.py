"""Which instalments are reminded of on a day. The last step of the night queues them all.

Each is told once an occasion: the key of its message decides, however often this runs.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from lms import dates
from lms.loans.models import Loan, Repayment
from lms.money import kes
from lms.notifications import operations as notifications
from lms.words import counted

Found = tuple[QuerySet, Callable[[Repayment], str]]


def queue(first: int, last: int, *, on: date) -> int:
    """Queue what loans of a range of keys are reminded of on the morning after a day; count it.

    A morning that is over, of a night that was missed, is left out: nothing in it is true any more.
    """
    now, morning = dates.now(), on + timedelta(days=1)
    if morning < dates.day_of(now):
        return 0
    return remind(on=morning, now=now, among=Loan.objects.filter(pk__range=(first, last)))


def remind(
    *,
    on: date,
    now: datetime,
    occasions: Iterable[str] | None = None,
    among: QuerySet | None = None,
) -> int:
    """Queue the reminders of a day; return how many are new.

    All `OCCASIONS` of all loans unless told. None goes to the dead.
    """
    return sum(
        _queue(*OCCASIONS[occasion](on), occasion=occasion, on=on, now=now, among=among)
        for occasion in occasions or OCCASIONS
    )


def _upcoming(on: date) -> Found:
    """What falls due in some days."""
    day = on + timedelta(days=settings.REMIND_DAYS_BEFORE)
    return (
        Repayment.objects.due_between(day, day),
        lambda row: f"upcoming:repayment:{row.pk}:{row.due_date}",
    )


def _due_today(on: date) -> Found:
    return (
        Repayment.objects.due_between(on, on),
        lambda row: f"due_today:repayment:{row.pk}:{row.due_date}",
    )


def _overdue(on: date) -> Found:
    """What is late, on certain days late and then every so many days.

    After a missed day the occasion that was missed is caught up once, and only the latest one.
    """
    steps, then_every = sorted(settings.REMIND_DAYS_LATE), settings.REMIND_THEN_EVERY

    def occasion_day(row: Repayment) -> int:
        late = (on - row.due_date).days
        if late >= steps[-1] + then_every:
            return steps[-1] + (late - steps[-1]) // then_every * then_every
        return max((step for step in steps if step <= late), default=0)

    return (
        Repayment.objects.overdue(on=on).filter(due_date__lte=on - timedelta(days=steps[0])),
        lambda row: f"overdue:repayment:{row.pk}:{row.due_date}:{occasion_day(row)}",
    )


OCCASIONS: dict[str, Callable[[date], Found]] = {
    "upcoming": _upcoming,
    "due_today": _due_today,
    "overdue": _overdue,
}


def _queue(
    rows: QuerySet, key: Callable, *, occasion: str, on: date, now: datetime, among: QuerySet | None
) -> int:
    """Queue one message a channel and instalment of active loans; none to the dead."""
    if among is not None:
        rows = rows.filter(loan__in=among)
    rows = (
        rows.filter(loan__status=Loan.Status.ACTIVE, loan__customer__died_on=None)
        .select_related("loan__customer")
        .order_by("pk")
    )
    return notifications.enqueue_many(
        (
            notifications.Draft(
                customer=row.loan.customer,
                occasion=occasion,
                key=key(row),
                about=f"{row.loan.number} instalment {row.number}",
                values={
                    "customer": row.loan.customer.short_name,
                    "loan": row.loan.number,
                    "amount": kes(row.outstanding).removeprefix("KES "),
                    "due_date": dates.show(row.due_date),
                    "instalment": str(row.number),
                    "days": counted(abs((on - row.due_date).days), "day"),
                    "paybill": settings.DARAJA_SHORTCODE,
                    "lender": settings.LENDER_NAME,
                },
            )
            for row in rows.iterator(chunk_size=1000)
        ),
        now=now,
    )
