"""Moving due dates: one, all from one on, or a holiday of whole periods."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from django.db import transaction

from lms import dates, money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.operations import Line
from lms.loans import settlement
from lms.loans.models import Loan, LoanChange, Repayment
from lms.loans.models.terms import HolidayRule
from lms.loans.operations import changes, lateness, rows
from lms.loans.operations.posting import post
from lms.loans.operations.restructuring import must_be_running
from lms.loans.operations.rows import needs_reason
from lms.loans.schedule import working_day
from lms.money import ZERO


def moved(
    loan: Loan,
    *,
    from_number: int | None = None,
    shift_days: int | None = None,
    periods: int | None = None,
    to: Mapping[int, date] | None = None,
    only_one: bool = False,
    charge_interest: bool = False,
    on: date,
) -> list[tuple[Repayment, date, Decimal]]:
    """Return each open instalment that would move, its new due date and the interest added.

    One of three: `to` names new dates by number; `shift_days` moves by days, `periods` by whole
    periods of the loan and keeps the end of a month. The last two move every open instalment from
    `from_number` on, or with `only_one` that one alone. With `charge_interest` the principal that
    waits longer bears interest for the days, billed with the first that moves. Writes nothing.
    Raises Refused, naming the field, for dates that do not follow the numbers.
    """
    must_be_running(loan)
    if sum(way is not None for way in (shift_days, periods, to)) != 1:
        raise Refused("Say by how many days or periods to move, or to which day.")
    standing = list(loan.repayments.exclude(status__in=Repayment.GONE).order_by("number"))
    wanted = _wanted(standing, from_number=from_number, to=to, only_one=only_one)
    if to is not None:
        found = {row.pk: to[row.number] for row in wanted}
    elif shift_days is not None:
        found = {row.pk: row.due_date + timedelta(days=shift_days) for row in wanted}
    else:
        found = {row.pk: _periods_later(loan, row.due_date, periods) for row in wanted}
    _must_follow(loan, standing, found, on=on)
    wanted = [row for row in wanted if found[row.pk] != row.due_date]
    if not wanted:
        raise Refused("No due date would change.")
    made = [(row, found[row.pk], ZERO) for row in wanted]
    if charge_interest:
        row, day, _ = made[0]
        made[0] = row, day, _interest(loan, wanted, row.due_date, day)
    return made


def _wanted(
    standing: Sequence[Repayment],
    *,
    from_number: int | None,
    to: Mapping[int, date] | None,
    only_one: bool,
) -> list[Repayment]:
    numbers = {row.number: row for row in standing}
    asked = set(to) if to is not None else {from_number} if only_one else set()
    for number in sorted(asked):
        row = numbers.get(number)
        if row is None:
            raise Refused(f"There is no instalment {number}.", field="from_number")
        if not row.is_open:
            raise Refused(
                f"Instalment {number} is {row.get_status_display().lower()}.", field="from_number"
            )
    wanted = [
        row
        for row in standing
        if row.is_open and (row.number in asked if asked else row.number >= (from_number or 0))
    ]
    if not wanted:
        raise Refused("There is no open instalment from this one on.", field="from_number")
    return wanted


def _periods_later(loan: Loan, due: date, periods: int) -> date:
    """Return the day so many periods later; one that fell on the end of a month stays there."""
    count = periods * loan.repay_every
    if loan.repay_unit != "months":
        return _working_day(loan, dates.add_period(due, count, loan.repay_unit))
    anchor = (loan.first_due or loan.disbursed_on).day
    agreed = dates.add_months(due.replace(day=1), 0)
    nominal = min(
        (day for months in (-1, 0, 1) if (day := _anchored(agreed, months, anchor))),
        key=lambda day: abs((day - due).days),
    )
    if _working_day(loan, nominal) != due:
        return _working_day(loan, dates.add_months(due, count))
    month = dates.add_months(nominal.replace(day=1), count)
    return _working_day(loan, _anchored(month, 0, anchor))


def _anchored(first: date, months: int, day: int) -> date:
    """Return the day of the month that many months after the first of one, or the month's end."""
    month = dates.add_months(first, months)
    end = dates.add_months(month, 1) - timedelta(days=1)
    return month.replace(day=min(day, end.day))


def _working_day(loan: Loan, day: date) -> date:
    if loan.holiday_rule == HolidayRule.KEEP:
        return day
    return working_day(day, loan.schedule_terms(disbursed_on=loan.disbursed_on, fees=[]))


def _must_follow(
    loan: Loan, standing: Sequence[Repayment], found: Mapping[int, date], *, on: date
) -> None:
    for row in standing:
        day = found.get(row.pk, row.due_date)
        if day < row.due_date and day < on:
            raise Refused(
                f"Instalment {row.number} would fall due on {dates.show(day)}, which is past.",
                field="shift_days",
            )
    days = [(row.number, found.get(row.pk, row.due_date)) for row in standing]
    for (_, earlier), (number, later) in pairwise([(0, loan.disbursed_on), *days]):
        if later <= earlier:
            raise Refused(
                f"Due dates follow the numbers: instalment {number} would fall due on "
                f"{dates.show(later)}, not after {dates.show(earlier)}."
            )


def _interest(loan: Loan, wanted: Sequence[Repayment], start: date, end: date) -> Decimal:
    waiting = sum((row.owing_of("principal") for row in wanted), ZERO)
    grown = settlement.accrual(
        waiting, start=start, end=end, annual_rate=loan.annual_rate, day_count=loan.day_count
    )
    return money.money(grown, Decimal(loan.interest_multiple))


def reschedule(loan: Loan, *, reason: str, by, on: date, **answers) -> LoanChange:
    """Move due dates of open instalments; `moved` says how. Amounts stay unless interest is asked.

    Where an instalment was overdue the loan is flagged as restructured: it is less late than it
    was without having been paid. Raises Refused for dates that cannot be.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        lateness.bring_up_to(loan, on=on)
        before = changes.State(loan)
        wanted = moved(loan, on=on, **answers)
        was_late = any(row.is_overdue(on=on) for row, _, _ in wanted)
        first, extra = wanted[0][0].due_date, sum((more for _, _, more in wanted), ZERO)
        for row, day, more in wanted:
            row.due_date, row.interest = day, row.interest + more
        rows.save_repayments(
            [row for row, _, _ in wanted],
            by=by,
            reason=f"Rescheduled: {reason}",
            changed_on=on,
            fields=["due_date"],
        )
        entry = _book(loan, extra, by=by, on=on) if extra else None
        if was_late:
            loan.restructured_on = on
            changes.save_loan(loan, ["restructured_on"], by=by, reason=f"Rescheduled: {reason}")
        rows.refresh(loan, by=by, on=on)
        count = f"{len(wanted)} due dates" if len(wanted) > 1 else "1 due date"
        return changes.record(
            loan,
            before,
            kind=LoanChange.Kind.RESCHEDULE,
            summary=f"{count} moved, the first from {dates.show(first)} to "
            f"{dates.show(wanted[0][1])}",
            amount=extra,
            reason=reason,
            by=by,
            on=on,
            entry=entry,
        )


def _book(loan: Loan, extra: Decimal, *, by, on: date):
    return post(
        loan,
        kind="reschedule",
        reference=changes.key_of(loan),
        on=on,
        narration=f"Interest for time given on {loan.number}",
        lines=[Line(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, extra)],
        by=by,
    )
