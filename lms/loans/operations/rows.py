"""What every verb of the loan needs: the lock, the write-back, the position, the end."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import prefetch_related_objects

from lms import history
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import PostingProfile
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Loan, LoanFee, Position, Repayment, Tranche, Waiver
from lms.loans.models.repayments import late_components
from lms.loans.operations import deferral
from lms.money import ZERO

MONEY_FIELDS = [
    *COMPONENTS,
    *(f"{name}_paid" for name in COMPONENTS),
    *(f"{name}_waived" for name in COMPONENTS),
]
RECEIVABLES = {
    "principal": chart.LOAN_PRINCIPAL,
    "interest": chart.INTEREST_RECEIVABLE,
    "fees": chart.FEES_RECEIVABLE,
    "penalties": chart.PENALTIES_RECEIVABLE,
}


# What placing money on a loan asks of it.
MONEY_TERMS = (
    "customer", "branch", "status", "principal", "capitalised", "undisbursed", "disbursed_on",
    "closed_on", "interest_stops_on", "allocation_order", "allocation_direction", "surplus",
    "closing_tolerance", "income_basis", "recalculates", "penalty_base", "penalty_value",
    "penalty_frequency", "penalty_grace_days", "penalty_start", "penalty_cap_kind",
    "penalty_cap_value", "penalty_stop", "posting_profile",
)  # fmt: skip


WITH_LOAN = ("customer", "branch", "product")


def lock(pk: int, *, related: tuple[str, ...] = WITH_LOAN) -> Loan:
    """Lock the loan, the one lock of its aggregate, until the transaction ends; return it.

    Its position is read afterwards: joined, PostgreSQL would show it as it was before the wait.
    """
    locked = Loan.objects.select_for_update(of=("self",))
    return (locked.select_related(*related) if related else locked).get(pk=pk)


AROUND = """
    SELECT EXISTS (SELECT 1 FROM loans_loanfee WHERE loan_id = %s),
           EXISTS (SELECT 1 FROM loans_tranche WHERE loan_id = %s),
           EXISTS (SELECT 1 FROM loans_guarantor WHERE loan_id = %s),
           EXISTS (SELECT 1 FROM loans_collateral WHERE loan_id = %s),
           COALESCE(MAX(number), 0), COALESCE(MAX(version), 0)
      FROM loans_repayment WHERE loan_id = %s"""


class Around(NamedTuple):
    """What hangs on a loan before it is paid out: most have next to nothing."""

    has_fees: bool
    has_tranches: bool
    has_guarantors: bool
    has_collateral: bool
    last_number: int
    last_version: int


def around(loan: Loan) -> Around:
    """Return what hangs on a locked loan, in one question. Fees and tranches count as read."""
    with connection.cursor() as cursor:
        cursor.execute(AROUND, [loan.pk] * 5)
        *has, number, version = cursor.fetchone()
    found = Around(*map(bool, has), number, version)
    read = loan._prefetched_objects_cache = {}  # noqa: SLF001 - as prefetch_related leaves it
    if not found.has_fees:
        read["fees"] = LoanFee.objects.none()
    if not found.has_tranches:
        read["tranches"] = Tranche.objects.none()
    if len(read) < 2:
        prefetch_related_objects([loan], "fees", "tranches")
    return found


def lock_for_money(pk: int) -> Loan:
    """Lock the loan as `lock` does, and read no more of it than a payment needs."""
    return Loan.objects.select_for_update().only(*MONEY_TERMS).get(pk=pk)


def lock_many_for_money(pks: Iterable[int]) -> dict[int, Loan]:
    """Lock loans in the order of their keys, with what placing money on each needs, by key.

    Their positions and accounts are read after all are locked.
    """
    locked = Loan.objects.select_for_update().only(*MONEY_TERMS).filter(pk__in=set(pks))
    loans = {loan.pk: loan for loan in locked.order_by("pk")}
    for pk, position in Position.objects.in_bulk(loans).items():
        loans[pk].position = position
    profiles = {loan.posting_profile_id for loan in loans.values()} - {None}
    places = {pk: one.places for pk, one in PostingProfile.objects.in_bulk(profiles).items()}
    for loan in loans.values():
        loan.accounts = places.get(loan.posting_profile_id, {})
    return loans


def lock_many(pks: Iterable[int]) -> list[Loan]:
    """Lock several loans in the order of their keys, so that two people cannot deadlock."""
    return [lock(pk) for pk in sorted(set(pks))]


def needs_reason(reason: str) -> str:
    """Return the reason without spaces around it. Raises Refused when there is none."""
    if not (reason := reason.strip()):
        raise Refused("Give a reason: it stays on the record.", field="reason")
    return reason


def save_repayments(
    repayments: Collection[Repayment],
    *,
    by,
    reason: str | Sequence[str],
    changed_on: date | None,
    fields: Iterable[str] = (),
) -> None:
    """Write instalments back with one history row each.

    `reason` is that of all, or one an instalment.
    From `changed_on` they owe another sum, so their lateness is counted anew from its eve, up to
    which it must be charged (`lateness.bring_up_to`); None when only what it cost has changed.
    """
    if changed_on is not None:
        count_anew(repayments, changed_on)
    fields = (*MONEY_FIELDS, "status", "paid_on", "penalties_since", *fields)
    history.update(repayments, fields, by=by, reason=reason)


def count_anew(repayments: Iterable[Repayment], day: date) -> list[Repayment]:
    """Count the lateness of overdue instalments anew from the eve of a day; return these."""
    eve, moved = day - timedelta(days=1), []
    for row in repayments:
        if row.due_date < day and (row.penalties_since is None or row.penalties_since < eve):
            row.penalties_since = eve
            moved.append(row)
    return moved


def count_lateness_anew(loan: Loan, *, by, on: date) -> None:
    """Let what lateness cost by the eve of a day stand, for the schedule of a locked loan is set.

    The last due date, on which lateness may stop to cost, can have moved: no day before `on` is
    charged again by the new one.
    """
    if loan.penalty_base == "none":
        return
    moved = count_anew(loan.repayments.overdue(on=on), on)
    save_repayments(moved, by=by, reason="Schedule set", changed_on=None)


def create_repayments(repayments: Collection[Repayment], *, by, reason: str) -> list[Repayment]:
    """Write new instalments with one history row each."""
    return history.create(repayments, by=by, reason=reason)


def rebuild(loan: Loan) -> Position:
    """Write the position of a locked loan anew from its rows; the loan then carries it."""
    Position.objects.rebuild([loan.pk])
    loan.position = Position.objects.get(pk=loan.pk)
    return loan.position


def open_position(loan: Loan, repayments: Collection[Repayment]) -> Position:
    """Write the position of a loan that was just paid out, on which nothing is paid yet."""
    sums = {name: sum((getattr(row, name) for row in repayments), ZERO) for name in COMPONENTS}
    late = (row.due_date for row in repayments if is_in_arrears(row))
    loan.position = Position(
        loan=loan,
        principal=loan.lent,
        unscheduled=loan.lent - sums.pop("principal"),
        overdue_since=min(late, default=None),
        **sums,
    )
    Position.objects.bulk_create(
        [loan.position],
        update_conflicts=True,
        unique_fields=["loan"],
        update_fields=["principal", "unscheduled", *sums, "overdue_since"],
    )
    return loan.position


def refresh(loan: Loan, *, by, on: date, schedule_set: bool = False) -> None:
    """Rebuild the position of a locked loan, close it when nothing is owed, reopen it when it is.

    `on` is the day of what just happened; with `schedule_set` it changed the schedule, and no
    replay goes behind it. Raises Refused when the loan would be left with less than nothing.
    """
    if schedule_set:
        count_lateness_anew(loan, by=by, on=on)
    position = rebuild(loan)
    if position.unscheduled < 0:
        raise Refused(
            f"{loan.number} would have more principal on its instalments than was lent.",
            field="principal",
        )
    happened(loan, on=on, schedule_set=schedule_set)
    end_or_reopen(loan, by=by, on=on)


def happened(loan: Loan, *, on: date, schedule_set: bool = False) -> None:
    """Remember the day of an event on a locked loan, if it is the latest."""
    position = loan.position
    days = {"last_event_on": max(position.last_event_on or on, on)}
    if schedule_set:
        days["schedule_set_on"] = max(position.schedule_set_on or on, on)
    for name, day in days.items():
        setattr(position, name, day)
    Position.objects.filter(pk=loan.pk).update(**days)


def end_or_reopen(loan: Loan, *, by, on: date) -> None:
    """Close a loan on which nothing is owed; open a closed one on which something is."""
    if loan.capitalised:
        deferral.follow(loan, by=by, on=on)
    owes = loan.position.outstanding != 0
    clear = not owes and not loan.undisbursed
    if loan.status == Loan.Status.ACTIVE and clear and _is_partly_lost(loan):
        loan.move_to(Loan.Status.WRITTEN_OFF, by=by, reason="The rest was written off before")
    elif loan.status == Loan.Status.ACTIVE and clear:
        loan.closed_on = on
        loan.move_to(Loan.Status.CLOSED, by=by, reason="Nothing is owed", fields=("closed_on",))
    elif (loan.status == Loan.Status.CLOSED and not clear) or (
        # What was to be paid out of a loan that was written off never is.
        loan.status == Loan.Status.WRITTEN_OFF and owes
    ):
        loan.closed_on = None
        loan.move_to(Loan.Status.ACTIVE, by=by, reason="Money is owed again", fields=("closed_on",))


def _is_partly_lost(loan: Loan) -> bool:
    lost = Waiver.objects.standing().filter(kind=Waiver.Kind.WRITE_OFF)
    return lost.filter(repayment__loan=loan).exists()


def is_in_arrears(row: Repayment) -> bool:
    """Tell whether enough is unpaid of an instalment for it to count as late once it is due."""
    unpaid = sum((row.owing_of(name) for name in late_components()), ZERO)
    return unpaid > settings.ARREARS_TOLERANCE
