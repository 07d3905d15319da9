"""Money coming in: placing a payment on a loan, using credit, taking it all back."""

from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post, reverse
from lms.loans.allocation import Due, spread
from lms.loans.models import Allocation, Loan, Recovery, Repayment, Waiver
from lms.loans.models.terms import Surplus
from lms.loans.operations import booking, lateness, relief, replay, rows
from lms.loans.operations.replay import Money
from lms.loans.operations.rows import RECEIVABLES, needs_reason
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import must_not_be_refunded, undo_receipt

__all__ = [
    "RECEIVABLES",
    "allocate",
    "apply_credit",
    "reverse_payment",
    "still_owed",
    "take_back",
]

# So many instalments are looked at first; more only when the money reaches further.
AT_ONCE = 31


def allocate(payment: Payment, loan: Loan, *, by, on: date) -> list[Allocation]:
    """Place an unallocated payment on a loan: the oldest dues first, in the loan's order.

    It counts from its value date: what came later is replayed after it. What is left when nothing
    more is owed stays as the customer's credit; so does everything on a closed loan. On a loan
    that was written off it is a recovery. Raises Refused when the payment is placed or reversed
    already, and for a loan that was never disbursed.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk, related=("position",))
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        if payment.status != Payment.Status.UNALLOCATED:
            raise Refused(f"{payment.number} is {payment.get_status_display().lower()} already.")
        if loan.status not in Loan.DISBURSED:
            raise Refused(
                f"{loan.number} is {loan.get_status_display().lower()}: "
                "only a disbursed loan can be paid."
            )
        payment.status = Payment.Status.ALLOCATED
        payment.waits_for_staff = False
        payment.customer_id, payment.branch_id = loan.customer_id, loan.branch_id
        reason = f"Allocated to {loan.number}"
        if loan.status == Loan.Status.WRITTEN_OFF:
            _recover(payment, loan, by=by, on=on)
            booking.save_payment(payment, by=by, reason=reason)
            return []
        brought = Money(
            payment=payment,
            amount=payment.amount,
            day=replay.counts_from(loan, payment.value_date),
            from_credit=False,
        )
        return _bring(brought, loan, reason=reason, by=by, on=on)


def _bring(brought: Money, loan: Loan, *, reason: str, by, on: date) -> list[Allocation]:
    """Place money on a locked loan, and save its payment."""
    if replay.is_needed(loan, day=brought.day):
        why = f"{brought.payment.number} counts from {brought.day:%d %b %Y}"
        replay.replay(loan, bring=[brought], reason=why, by=by, on=on)
        return list(
            Allocation.objects.filter(
                payment=brought.payment, repayment__loan=loan, amount__gt=0, reversed_by=None
            )
        )
    return _place(brought, loan, reason=reason, by=by, on=on)


def _place(brought: Money, loan: Loan, *, reason: str, by, on: date) -> list[Allocation]:
    """Place money on a locked loan on which nothing counts from a later day."""
    payment, day = brought.payment, brought.day
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


def _recover(payment: Payment, loan: Loan, *, by, on: date) -> None:
    """Take money for a loan that was written off as a recovery, up to what is still owed of it."""
    amount = min(payment.amount, still_owed(loan))
    left = payment.amount - amount
    entry = post(
        kind="recovery",
        reference=f"recover:{payment.pk}:{payment.recoveries.count() + 1}",
        on=payment.value_date,
        narration=f"{payment.number} on {loan.number}, written off",
        lines=[
            Line(chart.UNALLOCATED, chart.RECOVERIES, amount),
            Line(chart.UNALLOCATED, chart.CUSTOMER_CREDIT, left),
        ],
        branch_id=loan.branch_id,
        by=by,
        subject=loan.number,
    )
    if amount:
        Recovery.objects.create(
            loan=loan, payment=payment, amount=amount, counts_on=payment.value_date, entry=entry
        )
    payment.allocated, payment.credited = amount, left


def still_owed(loan: Loan) -> Decimal:
    """Return what the customer of a loan still owes of what was written off (KES)."""
    written_off = Waiver.objects.standing().filter(repayment__loan=loan, kind=Waiver.Kind.WRITE_OFF)
    recovered = loan.recoveries.aggregate(sum=money.total("amount"))["sum"]
    return money.money(written_off.aggregate(sum=money.total("amount"))["sum"] - recovered)


def apply_credit(loan: Loan, *, by, on: date) -> Decimal:
    """Pay what is due on a loan by `on` from its customer's credit, oldest payment first.

    Returns the KES used. Raises Refused when there is no credit or nothing is due.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        payments = list(
            Payment.objects.select_for_update()
            .with_credit()
            .filter(customer_id=loan.customer_id)
            .order_by("pk")
        )
        if not payments:
            raise Refused(f"{loan.customer.name} has no credit.")
        used = ZERO
        for payment in payments:
            if not loan.repayments.unpaid().filter(due_date__lte=on).exists():
                break
            before = payment.allocated
            brought = Money(payment=payment, amount=payment.credited, day=on, from_credit=True)
            _bring(brought, loan, reason=f"Credit used on {loan.number}", by=by, on=on)
            used += payment.allocated - before
        if not used:
            raise Refused(f"Nothing is due on {loan.number} by {on:%d %b %Y}.")
    return used


def take_back(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Return a payment to the unallocated queue, as if it had never been placed.

    What came after it is replayed. Only a person may place it again. Raises Refused unless it is
    allocated.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        payment = _unplace(payment, reason=reason, by=by, on=on)
        payment.waits_for_staff = True
        booking.save_payment(payment, by=by, reason=reason)
    return payment


def reverse_payment(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Undo a payment that never was (bounced, mistyped): allocations, receipt and books.

    Raises Refused when it is reversed already, or was taken by the same person.
    """
    reason = needs_reason(reason)
    if payment.taken_by_id is not None and payment.taken_by_id == by.pk:
        raise Refused(f"You took {payment.number} yourself: someone else must reverse it.")
    with transaction.atomic():
        if Payment.objects.get(pk=payment.pk).status == Payment.Status.ALLOCATED:
            payment = _unplace(payment, reason=reason, by=by, on=on)
        else:
            payment = Payment.objects.select_for_update().get(pk=payment.pk)
        if payment.status == Payment.Status.REVERSED:
            raise Refused(f"{payment.number} is reversed already.")
        undo_receipt(payment, reason=reason, by=by, on=on)
    return payment


def _unplace(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Take a payment off every loan it was placed on; return it locked and unallocated."""
    if payment.method == Payment.Method.REFINANCE:
        raise Refused(f"{payment.number} came from another loan: no money can be taken back.")
    loans = rows.lock_many(_loans_paid_by(payment))
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    if payment.status != Payment.Status.ALLOCATED:
        raise Refused(f"{payment.number} is {payment.get_status_display().lower()}.")
    must_not_be_refunded(payment)
    if not _loans_paid_by(payment) <= {loan.pk for loan in loans}:
        raise Refused(f"{payment.number} was just placed on another loan too: try again.")
    for recovery in payment.recoveries.filter(amount__gt=0, reversed_by=None):
        _take_recovery_back(recovery, reason=reason, by=by, on=on)
    for loan in loans:
        drop = [placed for placed in replay.placed(loan) if placed.payment.pk == payment.pk]
        for placed in drop:
            placed.payment = payment
        if drop:
            replay.replay(loan, drop=drop, reason=reason, by=by, on=on)
    payment.allocated = payment.credited = ZERO
    payment.status = Payment.Status.UNALLOCATED
    booking.save_payment(payment, by=by, reason=reason)
    return payment


def _loans_paid_by(payment: Payment) -> set[int]:
    """Return the loans on which a payment stands, also those it left as credit only."""
    entries = JournalEntry.objects.filter(
        reference__startswith=f"allocate:{payment.pk}:", reversed_by=None
    )
    subjects = entries.values_list("transfers__subject", flat=True)
    recovered = payment.recoveries.filter(amount__gt=0, reversed_by=None)
    return {Loan.key_of(subject) for subject in subjects} | set(
        recovered.values_list("loan_id", flat=True)
    )


def _take_recovery_back(recovery: Recovery, *, reason: str, by, on: date) -> None:
    Recovery.objects.create(
        loan_id=recovery.loan_id,
        payment_id=recovery.payment_id,
        amount=-recovery.amount,
        counts_on=recovery.counts_on,
        entry=reverse(recovery.entry, reason=reason, on=on, by=by),
        reverses=recovery,
    )
