"""Closing a day: every step of the night, over all loans, so that a crash costs one chunk."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from time import perf_counter

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Max

from lms import dates
from lms.closing import proofs, reminders
from lms.closing.models import CloseFailure, DayClose, Proof
from lms.errors import Refused
from lms.ledger import periods
from lms.ledger.books import must_be_open
from lms.ledger.models import Period
from lms.loans.models import Loan
from lms.loans.operations.night import STEPS as BOOK_STEPS
from lms.loans.operations.night import Step, sql
from lms.money import CENT
from lms.referrals import operations as referrals

STEPS = (
    *BOOK_STEPS,
    Step("referrals", "Referral rewards proposed", referrals.propose, by_loan=False),
    Step("proofs", "Proof of the books", proofs.run, by_loan=False),
    Step("reminders", "Reminders queued", reminders.queue),
)
CHUNK = 5_000  # loans in one transaction
# What wrong data may raise. A lost connection is none of it: the next run goes on.
BROKEN = (DatabaseError, Refused, ObjectDoesNotExist, ArithmeticError, LookupError, ValueError)
ONE_DAY = timedelta(days=1)

Tell = Callable[[DayClose], None]


def close_day(
    day: date, *, by=None, again: bool = False, tell: Tell = lambda step: None
) -> list[DayClose]:
    """Close a business day: do what is still to be done of its steps, and return them in order.

    Steps that are done are left alone, but for loans that failed in them; with `again` all of them
    look at every loan once more, and write what is missing. `tell` hears of every chunk. Every
    step that runs keeps who asked for it, `by`; None is the schedule. Raises Refused for a day
    before one that is closed, when days before it are not closed yet, and for a day of a month
    whose books are closed.
    """
    _must_be_next(day)
    must_be_open(day, field="day")
    periods.prepare(on=day)
    if again:
        DayClose.objects.filter(day=day).update(
            status=DayClose.Status.RUNNING, reached=0, rows=0, finished_at=None, run_by=by
        )
    return [_close(step, position, day, by=by, tell=tell) for position, step in enumerate(STEPS, 1)]


def catch_up(until: date, *, by=None, tell: Tell = lambda step: None) -> list[date]:
    """Close every day up to one that is not closed yet, day by day; return the days.

    An office that never closed a day begins with the last.
    """
    first = until
    if begun := latest():
        first = begun + ONE_DAY if is_closed(begun) else begun
    closed = []
    while first <= until:
        close_day(first, by=by, tell=tell)
        closed.append(first)
        first += ONE_DAY
    return closed


def close_period(period: Period, *, by, on: date) -> Period:
    """Close a month of the books, or with December its year, once its last night is done.

    Raises Refused while a night of it is missing, and for all that `periods` refuses.
    """
    nights = last_closed()
    if nights is not None and nights < period.last:
        raise Refused(
            f"{dates.show(nights)} was the last night: close the nights of {period} first."
        )
    close = periods.close_year if period.ends_year else periods.close_period
    return close(period, by=by, on=on)


def is_closed(day: date) -> bool:
    """Tell whether every step of a day is done, for all loans."""
    steps = DayClose.objects.filter(day=day, status=DayClose.Status.DONE, failures=0)
    return steps.count() == len(STEPS)


def latest() -> date | None:
    """Return the latest day whose close was begun."""
    return DayClose.objects.aggregate(day=Max("day"))["day"]


def failures(day: date) -> int:
    """Return how many loans stopped in a step of a day and still do."""
    stopped = CloseFailure.objects.filter(day=day, resolved_at=None)
    return stopped.values("loan").distinct().count()


def broken_proofs() -> list[Proof]:
    """Return the proofs of the books that did not hold in the last night that proved them."""
    last = Proof.objects.aggregate(day=Max("day"))["day"]
    return list(Proof.objects.filter(day=last, holds=False)) if last else []


def last_closed() -> date | None:
    """Return the latest day whose books are closed, even if some loans failed in it."""
    done = DayClose.objects.filter(step=BOOK_STEPS[-1].name, status=DayClose.Status.DONE)
    return done.aggregate(day=Max("day"))["day"]


def must_be_closable(day: date, *, on: date) -> None:
    """Raise Refused for a day that is not over on `on`, or before one that is closed."""
    if day >= on:
        raise Refused(f"{dates.show(day)} is not over yet.", field="day")
    last = latest()
    if last is not None and day < last:
        raise Refused(
            f"{dates.show(last)} is closed already: days are closed in order.", field="day"
        )


def _must_be_next(day: date) -> None:
    last = latest()
    if last is None:
        return
    if day < last:
        raise Refused(f"{dates.show(last)} is closed already: days are closed in order.")
    if day > last + ONE_DAY or (day > last and last_closed() != last):
        raise Refused(
            f"{dates.show(last)} was the last day closed: close the missed days one by one."
        )


def _close(step: Step, position: int, day: date, *, by, tell: Tell) -> DayClose:
    """Run one step of a day from where it stands, and return its row."""
    run, _ = DayClose.objects.get_or_create(
        day=day,
        step=step.name,
        defaults={
            "position": position,
            "started_at": dates.now(),
            "summary": step.label,
            "run_by": by,
        },
    )
    _retry(step, run, by=by)
    while run.status != DayClose.Status.DONE:
        try:
            run = _advance(step, run.pk)
        except BROKEN as error:
            DayClose.objects.filter(pk=run.pk).update(
                status=DayClose.Status.FAILED, error=_told(error)
            )
            raise
        tell(run)
    return run


def _advance(step: Step, pk: int) -> DayClose:
    """Do the next chunk of a step, in one transaction with how far it came.

    Who else closes the same day waits here, and goes on after this chunk.
    """
    started = perf_counter()
    with transaction.atomic():
        run = DayClose.objects.select_for_update().get(pk=pk)
        if run.status == DayClose.Status.DONE:
            return run
        run.status, run.error = DayClose.Status.RUNNING, ""
        if step.by_loan:
            is_last = _next_chunk(step, run)
        else:
            run.rows += step.run(on=run.day)
            is_last = True
        run.seconds += Decimal(perf_counter() - started).quantize(CENT)
        if is_last:
            run.status, run.finished_at = DayClose.Status.DONE, dates.now()
        run.save()
    return run


def _next_chunk(step: Step, run: DayClose) -> bool:
    """Run a step on the next loans; return whether there are no more after them."""
    keys = list(
        Loan.objects.filter(pk__gt=run.reached, disbursed_on__isnull=False)
        .order_by("pk")
        .values_list("pk", flat=True)[:CHUNK]
    )
    for first, last, written, error in _pieces(step, keys, run.day):
        if error is None:
            run.rows += written
            _resolve(step, run, first, last)
        else:
            _fail(step, run, first, error)
    if keys:
        run.reached = keys[-1]
    run.failures = CloseFailure.objects.filter(
        day=run.day, step=step.name, resolved_at=None
    ).count()
    return len(keys) < CHUNK


Piece = tuple[int, int, int, Exception | None]


def _pieces(step: Step, keys: list[int], day: date) -> Iterator[Piece]:
    """Run a step on loans; where it stops, on one half and then the other, down to the loan."""
    if not keys:
        return
    first, last = keys[0], keys[-1]
    try:
        with transaction.atomic():
            sql.be_quick()
            written = step.run(first, last, on=day)
            sql.check_keys()
    except OperationalError:
        raise
    except BROKEN as error:
        if len(keys) == 1:
            yield first, last, 0, error
            return
    else:
        yield first, last, written, None
        return
    middle = len(keys) // 2
    yield from _pieces(step, keys[:middle], day)
    yield from _pieces(step, keys[middle:], day)


def _retry(step: Step, run: DayClose, *, by) -> None:
    """Try the loans again that failed in a step that is done."""
    if run.status != DayClose.Status.DONE or not run.failures:
        return
    with transaction.atomic():
        run = DayClose.objects.select_for_update().get(pk=run.pk)
        failed = CloseFailure.objects.filter(day=run.day, step=step.name, resolved_at=None)
        for key in list(failed.order_by("loan_id").values_list("loan_id", flat=True)):
            for first, last, written, error in _pieces(step, [key], run.day):
                if error is None:
                    run.rows += written
                    _resolve(step, run, first, last)
                else:
                    _fail(step, run, key, error)
        run.failures = failed.count()
        run.run_by = by
        run.save(update_fields=["rows", "failures", "run_by"])


def _fail(step: Step, run: DayClose, loan_id: int, error: Exception) -> None:
    CloseFailure.objects.update_or_create(
        day=run.day,
        step=step.name,
        loan_id=loan_id,
        defaults={"error": _told(error), "failed_at": dates.now(), "resolved_at": None},
    )


def _resolve(step: Step, run: DayClose, first: int, last: int) -> None:
    """Let failures of this step on these loans be over: what it books, it books by the day."""
    CloseFailure.objects.filter(
        step=step.name, day__lte=run.day, loan__gte=first, loan__lte=last, resolved_at=None
    ).update(resolved_at=dates.now())


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
