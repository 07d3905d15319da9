"""Fees that the customer pays before the loan is paid out.

They are income, and their excise duty is owed, on the day they are paid: no instalment bills them.
A payment pays them once the loan is approved, and can be taken back until it is disbursed. Where
the loan is rejected or withdrawn instead, what was paid becomes the customer's credit.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from lms import money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, reverse
from lms.loans.models import FeePayment, Loan
from lms.loans.operations import booking, placing
from lms.loans.operations.posting import post
from lms.money import ZERO, kes
from lms.payments.models import Payment

KIND = "upfront"  # the entry; what ends it begins alike


def owing(loan: Loan) -> Decimal:
    """Return what is still to be paid before an approved loan is paid out; 0 for others (KES)."""
    if loan.status != Loan.Status.APPROVED:
        return ZERO
    fees = loan.fees_before.total
    return max(fees - paid(loan), ZERO) if fees else ZERO


def paid(loan: Loan) -> Decimal:
    """Return what was paid of the fees that come before the disbursement (KES)."""
    return sum((part.amount for part in loan.fee_payments.standing()), ZERO)


def must_be_paid(loan: Loan) -> None:
    """Raise Refused while fees are missing that are to be paid before the disbursement."""
    if missing := owing(loan):
        raise Refused(
            f"{kes(missing)} of fees must be paid before {loan.number} is paid out: "
            "take that payment first."
        )


def take(payment: Payment, loan: Loan, *, by) -> FeePayment:
    """Place a locked, unallocated payment on the fees of a locked loan that is approved.

    What is left of it becomes the customer's credit. Raises Refused when no fee is owed.
    """
    missing = owing(loan)
    if not missing:
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: "
            "only a disbursed loan can be paid."
        )
    placing.take(payment, loan)
    amount = min(payment.amount, missing)
    left = payment.amount - amount
    fee = _fee_of(loan, amount)
    here = payment.received_in_id
    entry = post(
        loan,
        kind=KIND,
        reference=f"fees:{payment.pk}:{payment.fee_payments.count() + 1}",
        on=payment.booked_on,
        narration=f"{payment.number}: fees of {loan.number} before its disbursement",
        lines=[
            Line(chart.UNALLOCATED, chart.FEE_INCOME, fee),
            Line(chart.UNALLOCATED, chart.EXCISE_PAYABLE, amount - fee),
            Line(chart.UNALLOCATED, chart.CUSTOMER_CREDIT, left, here),
            *booking.crossing(chart.UNALLOCATED, amount, source=here, target=loan.branch_id),
        ],
        by=by,
    )
    made = FeePayment(
        loan=loan,
        payment=payment,
        fee=fee,
        excise=amount - fee,
        paid_on=payment.value_date,
        entry=entry,
    )
    made._history_user, made._change_reason = by, f"Paid by {payment.number}"
    made.save()
    payment.allocated, payment.credited = amount, left
    booking.save_payment(payment, by=by, reason=f"Paid fees of {loan.number}")
    return made


def _fee_of(loan: Loan, amount: Decimal) -> Decimal:
    """Return which part of a sum is the fee itself; together with what is paid it comes out even.

    Fee and excise are paid in proportion.
    """
    fees = loan.fees_before
    until_now = paid(loan)
    before = sum((part.fee for part in loan.fee_payments.standing()), ZERO)
    wanted = money.money(fees.fee * (until_now + amount) / fees.total) - before
    return min(max(wanted, ZERO), amount)


def take_back(payment: Payment, *, reason: str, by, on: date) -> None:
    """Take a locked payment off the fees that it paid; the caller holds the loans and saves it.

    Raises Refused once the loan was disbursed on the strength of it.
    """
    for part in payment.fee_payments.placed().select_related("loan", "entry", "credit_entry"):
        if part.loan.disbursed_on:
            raise Refused(
                f"{payment.number} paid the fees of {part.loan.number} before it was disbursed: "
                "undo the disbursement first."
            )
        if part.credit_entry:
            reverse(part.credit_entry, reason=reason, on=on, by=by)
        reverse(part.entry, reason=reason, on=on, by=by)
        part.ended_on = part.ended_on or on
        part._history_user, part._change_reason = by, reason[:100]
        part.save(update_fields=["ended_on"])


def give_back(loan: Loan, *, reason: str, by, on: date) -> Decimal:
    """Make the fees that were paid on a locked loan its customer's credit; return them (KES)."""
    parts = list(loan.fee_payments.standing())
    keys = [part.payment_id for part in parts]
    locked = Payment.objects.select_for_update().filter(pk__in=keys).order_by("pk")
    payments = {payment.pk: payment for payment in locked}
    for part in parts:
        payment = payments[part.payment_id]
        there = payment.branch_id  # its income stayed there when the loan moved
        part.credit_entry = post(
            loan,
            kind="upfront_credit",
            reference=f"fees_credit:{part.pk}",
            on=on,
            narration=f"Fees of {loan.number} become credit: {reason}",
            lines=[
                Line(chart.FEE_INCOME, chart.CUSTOMER_CREDIT, part.fee),
                Line(chart.EXCISE_PAYABLE, chart.CUSTOMER_CREDIT, part.excise),
                *booking.crossing(
                    chart.CUSTOMER_CREDIT, part.amount, source=there, target=payment.received_in_id
                ),
            ],
            branch_id=there,
            by=by,
        )
        part.ended_on = on
        part._history_user, part._change_reason = by, reason[:100]
        part.save(update_fields=["credit_entry", "ended_on"])
        payment.allocated -= part.amount
        payment.credited += part.amount
        booking.save_payment(payment, by=by, reason=f"Fees of {loan.number} given back")
    return sum((part.amount for part in parts), ZERO)


def entries_of(loan: Loan) -> Iterable[int]:
    """Return the keys of the entries that booked these fees: undoing a disbursement keeps them."""
    booked = JournalEntry.objects.filter(kind__startswith=KIND, transfers__subject=loan.number)
    return booked.values("pk")
