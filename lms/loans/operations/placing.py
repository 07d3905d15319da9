"""Placing money on a loan: on what is due, by its value date, and on nothing else."""

from datetime import date
from decimal import Decimal

from lms.errors import Refused
from lms.loans.allocation import Due, spread
from lms.loans.models import Allocation, Loan, Repayment
from lms.loans.models.terms import Surplus
from lms.loans.operations import actual, booking, lateness, relief, replay, rows
from lms.loans.operations.replay import Money
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import must_not_be_going_back

# So many instalments are looked at first; more only when the money reaches further.
AT_ONCE = 31


def must_wait(payment: Payment) -> None:
    """Refuse a payment that was placed or reversed already, or goes back to its payer."""
    if payment.status != Payment.Status.UNALLOCATED:
        raise Refused(f"{payment.number} is {payment.get_status_display().lower()} already.")
    must_not_be_going_back(payment)


def take(payment: Payment, loan: Loan) -> None:
    """Make a locked payment one of a loan. Does not save.

    Raises Refused for the referral reward of somebody else.
    """
    is_reward = payment.method == Payment.Method.REWARD
    if is_reward and payment.customer_id != loan.customer_id:
        raise Refused(
            f"{payment.number} is the referral reward of {payment.customer.name}: "
            "it pays nobody else's loan."
        )
    payment.status = Payment.Status.ALLOCATED
    payment.waits_for_staff = False
    payment.customer_id, payment.branch_id = loan.customer_id, loan.branch_id


def place(payment: Payment, loan: Loan, *, by, on: date) -> list[Allocation]:
    """Place a locked, unallocated payment on a locked loan: the oldest dues first, in its order.

    What is left when nothing more is owed, or may be paid, stays as the customer's credit.
    """
    take(payment, loan)
    brought = Money(
        payment=payment,
        amount=payment.amount,
        day=replay.counts_from(loan, payment.value_date),
        from_credit=False,
    )
    return bring(brought, loan, reason=f"Allocated to {loan.number}", by=by, on=on)


def bring(brought: Money, loan: Loan, *, reason: str, by, on: date) -> list[Allocation]:
    """Place money on a locked loan, and save its payment."""
    if replay.is_needed(loan, day=brought.day, on=on):
        why = f"{brought.payment.number} counts from {brought.day:%d %b %Y}"
        last_day = replay.replay(loan, bring=[brought], reason=why, by=by, on=on)
        relief.forgive_small(loan, by=by, on=last_day)
        return list(
            Allocation.objects.filter(
                payment=brought.payment, repayment__loan=loan, amount__gt=0, reversed_by=None
            )
        )
    return _spread(brought, loan, reason=reason, by=by, on=on)


def _spread(brought: Money, loan: Loan, *, reason: str, by, on: date) -> list[Allocation]:
    """Place money on a locked loan on which nothing counts from a later day."""
    payment, day = brought.payment, brought.day
    actual.bring_up_to(loan, on=day, by=by)
    ahead = not brought.from_credit and loan.surplus == Surplus.ADVANCE
    open_rows, are_all = _open_rows(loan, brought.amount, day=day)
    lateness.bring_up_to(loan, on=day, instalments=open_rows)
    parts, left = spread(
        brought.amount,
        [Due(key=row.pk, due_date=row.due_date, owing=row.owing) for row in open_rows],
        order=loan.allocation_order,
        direction=loan.allocation_direction,
        on=day,
        ahead=ahead,
    )
    if brought.from_credit and not parts:
        return []
    made = booking.book(
        payment,
        loan,
        {(part.key, part.component): part.amount for part in parts},
        counts_on=day,
        from_credit=brought.from_credit,
        by=by,
        on=day if brought.from_credit else payment.value_date,
    )
    by_key = {row.pk: row for row in open_rows}
    touched = {}
    for part in parts:
        row = touched[part.key] = by_key[part.key]
        field = f"{part.component}_paid"
        setattr(row, field, getattr(row, field) + part.amount)
        owed = getattr(loan.position, part.component)
        setattr(loan.position, part.component, owed - part.amount)
    for row in touched.values():
        row.settle(on=day)
    changed = touched.values()
    if loan.penalty_base == "outstanding_principal":
        changed = {
            **touched,
            **{row.pk: row for row in open_rows if row.is_overdue(on=day)},
        }.values()
    rows.save_repayments(list(changed), by=by, reason=f"Paid by {payment.number}", changed_on=day)
    payment.allocated += brought.amount - left
    payment.credited = left
    booking.save_payment(payment, by=by, reason=reason)
    _move_position(loan, open_rows, are_all=are_all, on=day)
    rows.end_or_reopen(loan, by=by, on=day)
    relief.forgive_small(loan, by=by, on=day)
    return made


def _open_rows(loan: Loan, amount: Decimal, *, day: date) -> tuple[list[Repayment], bool]:
    """Return the open instalments due by a day and those the money may reach, and if that is all.

    So a payment costs the same whether the loan has twelve instalments or three hundred.
    """
    found: list[Repayment] = []
    in_order = loan.repayments.unpaid().order_by("due_date", "number")
    while True:
        more = list(in_order[len(found) : len(found) + AT_ONCE])
        found += more
        if len(more) < AT_ONCE:
            return found, True
        if found[-1].due_date > day and sum((row.outstanding for row in found), ZERO) > amount:
            return found, False


def _move_position(loan: Loan, open_rows: list[Repayment], *, are_all: bool, on: date) -> None:
    """Write the position of a loan after a payment, from the instalments that were looked at."""
    position = loan.position
    since = next(
        (row.due_date for row in open_rows if row.is_open and rows.is_in_arrears(row)), None
    )
    if since is None and not are_all:
        rows.refresh(loan, by=None, on=on)
        return
    position.overdue_since = since
    position.last_event_on = max(position.last_event_on or on, on)
    position.save(
        update_fields=[
            "principal", "interest", "fees", "penalties", "overdue_since", "last_event_on"
        ]
    )  # fmt: skip
