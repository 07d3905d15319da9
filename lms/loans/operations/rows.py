"""What every verb of the loan needs: the lock, the write-back, the position, the end."""

from collections.abc import Collection, Iterable
from datetime import date

from simple_history.utils import bulk_create_with_history

from lms.errors import Refused
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Loan, Position, Repayment
from lms.loans.operations import deferral

MONEY_FIELDS = [
    *COMPONENTS,
    *(f"{name}_paid" for name in COMPONENTS),
    *(f"{name}_waived" for name in COMPONENTS),
]


def lock(pk: int) -> Loan:
    """Lock the loan, the one lock of its aggregate, until the transaction ends; return it."""
    return (
        Loan.objects.select_for_update(of=("self",))
        .select_related("customer", "branch", "product")
        .get(pk=pk)
    )


def lock_many(pks: Iterable[int]) -> list[Loan]:
    """Lock several loans in the order of their keys, so that two people cannot deadlock."""
    return [lock(pk) for pk in sorted(set(pks))]


def needs_reason(reason: str) -> str:
    """Return the reason without spaces around it. Raises Refused when there is none."""
    if not (reason := reason.strip()):
        raise Refused("Give a reason: it stays on the record.", field="reason")
    return reason


def save_repayments(
    repayments: Collection[Repayment], *, by, reason: str, fields: Iterable[str] = ()
) -> None:
    """Write instalments back with one history row each.

    An upsert on the key: `bulk_update` spells a CASE a column and takes ten times as long.
    """
    if repayments:
        Repayment.objects.bulk_create(
            repayments,
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=[*MONEY_FIELDS, "status", "paid_on", *fields],
            batch_size=500,
        )
        Repayment.history.bulk_history_create(
            repayments,
            batch_size=500,
            update=True,
            default_user=by,
            default_change_reason=reason[:100],
        )


def create_repayments(repayments: Collection[Repayment], *, by, reason: str) -> list[Repayment]:
    """Write new instalments with one history row each."""
    return bulk_create_with_history(
        repayments,
        Repayment,
        batch_size=500,
        default_user=by,
        default_change_reason=reason[:100],
    )


def refresh(loan: Loan, *, by, on: date) -> None:
    """Rebuild the position of a locked loan, close it when nothing is owed, reopen it when it is.

    Raises Refused when the loan would be left with less than nothing.
    """
    Position.objects.rebuild([loan.pk])
    position = Position.objects.get(pk=loan.pk)
    if position.unscheduled < 0:
        raise Refused(
            f"{loan.number} would have more principal on its instalments than was lent.",
            field="principal",
        )
    loan.position = position
    if loan.capitalised:
        deferral.follow(loan, by=by, on=on)
    clear = position.outstanding == 0
    if loan.status == Loan.Status.ACTIVE and clear:
        loan.closed_on = on
        loan.move_to(Loan.Status.CLOSED, by=by, reason="Nothing is owed", fields=("closed_on",))
    elif loan.status == Loan.Status.CLOSED and not clear:
        loan.closed_on = None
        loan.move_to(Loan.Status.ACTIVE, by=by, reason="Money is owed again", fields=("closed_on",))
