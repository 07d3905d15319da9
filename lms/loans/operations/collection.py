"""Money coming in: placing a payment on a loan, using credit, taking it all back."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post, reverse
from lms.loans.allocation import COMPONENTS, Due, Part, spread
from lms.loans.models import Allocation, Loan, Repayment
from lms.loans.models.terms import Surplus
from lms.loans.operations import rows
from lms.loans.operations.rows import needs_reason
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import undo_receipt

RECEIVABLES = {
    "principal": chart.LOAN_PRINCIPAL,
    "interest": chart.INTEREST_RECEIVABLE,
    "fees": chart.FEES_RECEIVABLE,
    "penalties": chart.PENALTIES_RECEIVABLE,
}


def allocate(payment: Payment, loan: Loan, *, by, on: date) -> list[Allocation]:
    """Place an unallocated payment on a loan: the oldest dues first, in the loan's order.

    What is left when nothing more is owed stays as the customer's credit; so does everything on
    a closed loan. Raises Refused when the payment is placed or reversed already, and for a loan
    that was never disbursed.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        if payment.status != Payment.Status.UNALLOCATED:
            raise Refused(f"{payment.number} is {payment.get_status_display().lower()} already.")
        if loan.status not in (Loan.Status.ACTIVE, Loan.Status.CLOSED):
            raise Refused(
                f"{loan.number} is {loan.get_status_display().lower()}: "
                "only a disbursed loan can be paid."
            )
        parts, left, due = _spread(
            loan, payment.amount, on=payment.value_date, ahead=loan.surplus == Surplus.ADVANCE
        )
        entry = post(
            kind="allocation",
            reference=f"allocate:{payment.pk}:{_times_placed(payment) + 1}",
            on=payment.value_date,
            narration=f"{payment.number} on {loan.number}",
            lines=[
                *_lines(parts, debit=chart.UNALLOCATED, payment=payment),
                Line(chart.UNALLOCATED, chart.CUSTOMER_CREDIT, left),
            ],
            branch_id=loan.branch_id,
            by=by,
            subject=loan.number,
        )
        settled = _settled_on(loan, payment.value_date, on=on)
        made = _apply(
            parts,
            due,
            payment=payment,
            entry=entry,
            counts_on=payment.value_date,
            from_credit=False,
            by=by,
            on=settled,
        )
        payment.allocated, payment.credited = payment.amount - left, left
        payment.status = Payment.Status.ALLOCATED
        payment.waits_for_staff = False
        payment.customer_id, payment.branch_id = loan.customer_id, loan.branch_id
        _save(payment, by=by, reason=f"Allocated to {loan.number}")
        rows.refresh(loan, by=by, on=settled)
    return made


def _settled_on(loan: Loan, value_date: date, *, on: date) -> date:
    """Return the day that what a payment settles is settled: never before other money it took.

    Only a payment that counts from an earlier day than the one it is placed on can be overtaken.
    """
    if value_date >= on:
        return value_date
    standing = Allocation.objects.filter(repayment__loan=loan, amount__gt=0, reversed_by=None)
    last = standing.aggregate(day=Max("payment__value_date"))["day"]
    return max(value_date, last) if last else value_date


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
            parts, left, due = _spread(loan, payment.credited, on=on, ahead=False)
            if not parts:
                break
            spent = payment.credited - left
            entry = post(
                kind="allocation",
                reference=f"allocate:{payment.pk}:{_times_placed(payment) + 1}",
                on=on,
                narration=f"Credit of {payment.number} on {loan.number}",
                lines=_lines(parts, debit=chart.CUSTOMER_CREDIT, payment=payment),
                branch_id=loan.branch_id,
                by=by,
                subject=loan.number,
            )
            _apply(
                parts,
                due,
                payment=payment,
                entry=entry,
                counts_on=on,
                from_credit=True,
                by=by,
                on=on,
            )
            payment.credited, payment.allocated = left, payment.allocated + spent
            _save(payment, by=by, reason=f"Credit used on {loan.number}")
            used += spent
        if not used:
            raise Refused(f"Nothing is due on {loan.number} by {on:%d %b %Y}.")
        rows.refresh(loan, by=by, on=on)
    return used


def take_back(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Return a payment to the unallocated queue, restoring exactly what it had paid.

    Only a person may place it again. Raises Refused unless it is allocated.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        payment = _unplace(payment, reason=reason, by=by, on=on)
        payment.waits_for_staff = True
        _save(payment, by=by, reason=reason)
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
    """Mirror every standing allocation of a payment; return it locked and unallocated."""
    standing = Allocation.objects.filter(payment=payment, amount__gt=0, reversed_by=None)
    loans = rows.lock_many(standing.values_list("repayment__loan_id", flat=True))
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    if payment.status != Payment.Status.ALLOCATED:
        raise Refused(f"{payment.number} is {payment.get_status_display().lower()}.")
    allocations = list(standing.all().select_related("repayment"))
    if not {a.repayment.loan_id for a in allocations} <= {loan.pk for loan in loans}:
        raise Refused(f"{payment.number} was just placed on another loan too: try again.")
    mirrors = {
        entry.pk: reverse(entry, reason=reason, on=on, by=by)
        for entry in JournalEntry.objects.filter(
            reference__startswith=f"allocate:{payment.pk}:", reversed_by=None
        ).order_by("-pk")
    }
    touched = {
        row.pk: row
        for row in Repayment.objects.filter(pk__in={a.repayment_id for a in allocations})
    }
    for allocation in allocations:
        row = touched[allocation.repayment_id]
        field = f"{allocation.component}_paid"
        setattr(row, field, getattr(row, field) - allocation.amount)
    for row in touched.values():
        row.settle(on=on)
    rows.save_repayments(list(touched.values()), by=by, reason=reason)
    Allocation.objects.bulk_create(
        Allocation(
            payment=payment,
            repayment_id=allocation.repayment_id,
            component=allocation.component,
            amount=-allocation.amount,
            counts_on=allocation.counts_on,
            from_credit=allocation.from_credit,
            entry=mirrors[allocation.entry_id],
            reverses=allocation,
        )
        for allocation in allocations
    )
    payment.allocated = payment.credited = ZERO
    payment.status = Payment.Status.UNALLOCATED
    _save(payment, by=by, reason=reason)
    for loan in loans:
        rows.refresh(loan, by=by, on=on)
    return payment


def _spread(
    loan: Loan, amount: Decimal, *, on: date, ahead: bool
) -> tuple[list[Part], Decimal, dict[int, Repayment]]:
    """Return how an amount falls on the open instalments of a locked loan, and what is left."""
    due = {row.pk: row for row in loan.repayments.unpaid().order_by("due_date", "number")}
    parts, left = spread(
        amount,
        [Due(key=row.pk, due_date=row.due_date, owing=row.owing) for row in due.values()],
        order=loan.allocation_order,
        direction=loan.allocation_direction,
        on=on,
        ahead=ahead,
    )
    return parts, left, due


def _lines(parts: Sequence[Part], *, debit: str, payment: Payment) -> list[Line]:
    """Return the transfers of an allocation, one a component.

    Interest is earned when it is paid. What was paid before a takeover was earned by then.
    """
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for part in parts:
        sums[part.component] += part.amount
    income = (
        chart.OPENING_BALANCES
        if payment.method == Payment.Method.OPENING
        else chart.INTEREST_INCOME
    )
    return [
        *(Line(debit, RECEIVABLES[name], sums[name]) for name in COMPONENTS),
        Line(chart.UNEARNED_INTEREST, income, sums["interest"]),
    ]


def _apply(
    parts: Sequence[Part],
    due: dict[int, Repayment],
    *,
    payment: Payment,
    entry: JournalEntry,
    counts_on: date,
    from_credit: bool,
    by,
    on: date,
) -> list[Allocation]:
    """Write an allocation down on its instalments; what it settles is settled on that day."""
    touched = {}
    for part in parts:
        row = touched[part.key] = due[part.key]
        field = f"{part.component}_paid"
        setattr(row, field, getattr(row, field) + part.amount)
    for row in touched.values():
        row.settle(on=on)
    rows.save_repayments(list(touched.values()), by=by, reason=f"Paid by {payment.number}")
    return Allocation.objects.bulk_create(
        Allocation(
            payment=payment,
            repayment_id=part.key,
            component=part.component,
            amount=part.amount,
            counts_on=counts_on,
            from_credit=from_credit,
            entry=entry,
        )
        for part in parts
    )


def _times_placed(payment: Payment) -> int:
    return JournalEntry.objects.filter(reference__startswith=f"allocate:{payment.pk}:").count()


def _save(payment: Payment, *, by, reason: str) -> None:
    payment._history_user, payment._change_reason = by, reason[:100]
    payment.save(
        update_fields=[
            "allocated", "credited", "status", "waits_for_staff", "customer", "branch"
        ]
    )  # fmt: skip
