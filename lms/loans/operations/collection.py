"""Money coming in: placing a payment on a loan, using credit, taking it all back."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger import operations as ledger
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, reverse
from lms.loans.models import Allocation, Loan, LoanChange, Recovery, Waiver
from lms.loans.operations import (
    booking,
    changes,
    placing,
    prepaying,
    relief,
    replay,
    rows,
    settling,
    upfront,
)
from lms.loans.operations.posting import post
from lms.loans.operations.replay import Money
from lms.loans.operations.rows import RECEIVABLES, needs_reason
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import must_not_be_refunded, undo_receipt

__all__ = [
    "RECEIVABLES",
    "allocate",
    "allocate_many",
    "apply_credit",
    "hold_as_credit",
    "reverse_payment",
    "still_owed",
    "take_back",
]


def allocate(payment: Payment, loan: Loan, *, by, on: date) -> list[Allocation]:
    """Place an unallocated payment on a loan: the oldest dues first, in the loan's order.

    It counts from its value date: what came later is replayed after it. Where the terms say so,
    what is left then prepays principal, or settles the loan when it covers the payoff; but not
    behind a later event. What is left when nothing more may be paid stays as the customer's
    credit; so does everything on a closed loan. On a loan that was written off it is a recovery.
    Before the disbursement it pays the fees that come first. Raises Refused when the payment is
    placed or reversed already, and for a loan on which nothing can be paid yet.
    """
    with transaction.atomic():
        loan = rows.lock_for_money(loan.pk)
        payment.refresh_from_db(from_queryset=Payment.objects.select_for_update())
        placing.must_wait(payment)
        if loan.status not in Loan.DISBURSED:
            upfront.take(payment, loan, by=by)
            return []
        if loan.status == Loan.Status.WRITTEN_OFF:
            placing.take(payment, loan)
            _recover(payment, loan, by=by, on=on)
            booking.save_payment(payment, by=by, reason=f"Allocated to {loan.number}")
            return []
        if _prepays(payment, loan):
            try:
                return _pay_ahead(payment, loan, by=by, on=on)
            except Refused:  # Nothing was written: it is placed like any other.
                loan = rows.lock(loan.pk)
            finally:
                payment.refresh_from_db()
        return placing.place(payment, loan, by=by, on=on)


def allocate_many(pairs: Sequence[tuple[Payment, Loan]], *, by, on: date) -> list[Payment]:
    """Place payments as `allocate` does, at most one on each loan; return them as they then stand.

    What `allocate` would refuse stays as it is. Ordinary payments on running loans cost few
    statements together; where a loan asks for more than the oldest dues to be paid, or has to be
    worked out again, it is `allocate` that places the payment.
    """
    with transaction.atomic():
        loans = rows.lock_many_for_money(loan.pk for _, loan in pairs)
        keys = [payment.pk for payment, _ in pairs]
        payments = Payment.objects.select_for_update().order_by("pk").in_bulk(keys)
        locked = [(payments[payment.pk], loans[loan.pk]) for payment, loan in pairs]
        simple = [pair for pair in locked if _is_simple(*pair)]
        behind = replay.needed_on(
            [(loan, replay.counts_from(loan, payment.value_date)) for payment, loan in simple],
            on=on,
        )
        plain = [pair for pair in simple if pair[1].pk not in behind]
        others = [pair for pair in locked if pair not in plain]
        if plain:
            placing.place_many(plain, by=by)
        for payment, loan in others:
            with suppress(Refused):
                allocate(payment, loan, by=by, on=on)
            payment.refresh_from_db()
    return [payments[pk] for pk in keys]


def _is_simple(payment: Payment, loan: Loan) -> bool:
    """Tell whether a locked payment pays the oldest dues of a locked loan, and nothing else."""
    return (
        loan.status == Loan.Status.ACTIVE
        and payment.status == Payment.Status.UNALLOCATED
        and not payment.is_going_back
        and payment.method != Payment.Method.REWARD
        and loan.surplus not in prepaying.KEPT_BY
    )


def _prepays(payment: Payment, loan: Loan) -> bool:
    """Tell whether a payment is more than is due, on a loan that takes the rest as principal."""
    if loan.surplus not in prepaying.KEPT_BY or loan.status != Loan.Status.ACTIVE:
        return False
    if payment.method == Payment.Method.OPENING:
        return False
    due = loan.repayments.unpaid().filter(due_date__lte=payment.value_date)
    sums = due.with_totals().aggregate(sum=money.total("owing_total"))
    return payment.amount > sums["sum"]


def _pay_ahead(payment: Payment, loan: Loan, *, by, on: date) -> list[Allocation]:
    """Settle a loan with a payment that covers the payoff, or else prepay principal with it."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                settling.settle_early(loan, payment=payment, by=by, on=on)
        except Refused:  # It is less than the payoff, or the loan cannot be settled.
            keep = prepaying.KEPT_BY[loan.surplus]
            prepaying.prepay(loan, payment=payment, keep=keep, by=by, on=on)
    return list(
        Allocation.objects.filter(
            payment=payment, repayment__loan=loan, amount__gt=0, reversed_by=None
        )
    )


def _recover(payment: Payment, loan: Loan, *, by, on: date) -> None:
    """Take money for a loan that was written off as a recovery, up to what is still owed of it."""
    amount = min(payment.amount, still_owed(loan))
    left = payment.amount - amount
    here = payment.received_in_id
    entry = post(
        loan,
        kind="recovery",
        reference=f"recover:{payment.pk}:{payment.recoveries.count() + 1}",
        on=payment.booked_on,
        narration=f"{payment.number} on {loan.number}, written off",
        lines=[
            Line(chart.UNALLOCATED, chart.RECOVERIES, amount),
            Line(chart.UNALLOCATED, chart.CUSTOMER_CREDIT, left, here),
            *booking.crossing(chart.UNALLOCATED, amount, source=here, target=loan.branch_id),
        ],
        by=by,
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


def hold_as_credit(payment: Payment, *, by, on: date) -> Payment:
    """Keep an unallocated payment as the credit of its customer, who may have no loan at all.

    Raises Refused when it is placed or reversed already, or when nobody knows whose it is.
    """
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        placing.must_wait(payment)
        if payment.customer_id is None:
            raise Refused(f"{payment.number} has no customer whose credit it could be.")
        times = JournalEntry.objects.keyed(_credit_key(payment)).count()
        ledger.post(
            kind="allocation",
            reference=f"{_credit_key(payment)}{times + 1}",
            on=payment.booked_on,
            narration=f"{payment.number} held as credit",
            lines=[Line(chart.UNALLOCATED, chart.CUSTOMER_CREDIT, payment.amount)],
            branch_id=payment.received_in_id,
            by=by,
            subject=payment.number,
        )
        payment.status, payment.credited = Payment.Status.ALLOCATED, payment.amount
        payment.waits_for_staff = False
        booking.save_payment(payment, by=by, reason="Held as credit")
    return payment


def _credit_key(payment: Payment) -> str:
    """Return how the keys of the entries begin that hold a payment as credit of no loan."""
    return f"credit:{payment.pk}:"


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
            placing.bring(brought, loan, reason=f"Credit used on {loan.number}", by=by, on=on)
            used += payment.allocated - before
        if not used:
            raise Refused(f"Nothing is due on {loan.number} by {on:%d %b %Y}.")
    return used


def take_back(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Return a payment to the unallocated queue, as if it had never been placed.

    What came after it is replayed; principal that it prepaid is owed as before. Only a person
    may place it again. Raises Refused unless it is allocated, and where it stands on no loan.
    """
    reason = needs_reason(reason)
    _must_be_money(payment)
    with transaction.atomic():
        _must_be_on_a_loan(payment)
        payment = _unplace(payment, reason=reason, by=by, on=on)
        payment.waits_for_staff = True
        booking.save_payment(payment, by=by, reason=reason)
    return payment


def reverse_payment(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Undo a payment that never was (bounced, mistyped): allocations, receipt and books.

    Raises Refused when it is reversed already, or was taken by the same person.
    """
    reason = needs_reason(reason)
    _must_be_money(payment)
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


def undo_refinance(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Take what a new loan paid off the old one again, with its receipt.

    Inside the transaction of the caller, who undoes the disbursement of the new loan.
    """
    payment = _unplace(payment, reason=reason, by=by, on=on)
    return undo_receipt(payment, reason=reason, by=by, on=on)


def _must_be_money(payment: Payment) -> None:
    if payment.method == Payment.Method.REFINANCE:
        raise Refused(
            f"{payment.number} came from another loan: no money can be taken back. "
            "Undo the disbursement of that loan."
        )


def _must_be_on_a_loan(payment: Payment) -> None:
    held = JournalEntry.objects.keyed(_credit_key(payment)).filter(reversed_by=None)
    if held.exists() and not _loans_paid_by(payment):
        raise Refused(
            f"{payment.number} is held as credit and stands on no loan: refund or reverse it."
        )


def _unplace(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Take a payment off every loan it was placed on; return it locked and unallocated."""
    loans = rows.lock_many(_loans_paid_by(payment))
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    if payment.status != Payment.Status.ALLOCATED:
        raise Refused(f"{payment.number} is {payment.get_status_display().lower()}.")
    must_not_be_refunded(payment)
    if not _loans_paid_by(payment) <= {loan.pk for loan in loans}:
        raise Refused(f"{payment.number} was just placed on another loan too: try again.")
    for recovery in payment.recoveries.filter(amount__gt=0, reversed_by=None):
        _take_recovery_back(recovery, reason=reason, by=by, on=on)
    prepaid = LoanChange.objects.filter(payment=payment, kind=LoanChange.Kind.PREPAYMENT)
    if change := prepaid.filter(undone_on=None).first():
        return changes.undo(change, reason=reason, by=by, on=on).payment
    upfront.take_back(payment, reason=reason, by=by, on=on)
    for loan in loans:
        drop = [placed for placed in replay.placed(loan) if placed.payment.pk == payment.pk]
        for placed in drop:
            placed.payment = payment
        if drop:
            last_day = replay.replay(loan, drop=drop, reason=reason, by=by, on=on)
            relief.forgive_small(loan, by=by, on=last_day)
    for entry in JournalEntry.objects.keyed(_credit_key(payment)).filter(reversed_by=None):
        reverse(entry, reason=reason, on=on, by=by)
    payment.allocated = payment.credited = ZERO
    payment.status = Payment.Status.UNALLOCATED
    booking.save_payment(payment, by=by, reason=reason)
    return payment


def _loans_paid_by(payment: Payment) -> set[int]:
    """Return the loans on which a payment stands, also those it left as credit only."""
    entries = JournalEntry.objects.keyed(f"allocate:{payment.pk}:").filter(reversed_by=None)
    subjects = entries.values_list("transfers__subject", flat=True)
    recovered = payment.recoveries.filter(amount__gt=0, reversed_by=None)
    return (
        {Loan.key_of(subject) for subject in subjects}
        | set(recovered.values_list("loan_id", flat=True))
        | set(payment.fee_payments.placed().values_list("loan_id", flat=True))
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
