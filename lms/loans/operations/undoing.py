"""Taking a disbursement back: the money never reached the customer, or went to the wrong one."""

from collections import defaultdict
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import money
from lms.errors import Refused
from lms.ledger.models import JournalEntry, Transfer
from lms.ledger.operations import Line
from lms.loans.models import Loan, LoanChange, Penalty, Position, Repayment, Waiver
from lms.loans.operations import changes, collection, replay, rows, security, upfront
from lms.loans.operations.posting import post
from lms.loans.operations.rows import needs_reason
from lms.money import ZERO, kes
from lms.payments.models import Payment, Payout
from lms.payments.operations import undo_payout


def undo_disbursement(loan: Loan, *, reason: str, by, on: date) -> Loan:
    """Take the disbursement of a loan back: it is approved again, its instalments are cancelled.

    Everything it booked is reversed; guarantors and collateral are free. A loan that it paid off
    is open again, as if it had not been. Raises Refused once a receipt, waiver, penalty or change
    stands on it, when the loan it paid off was changed since, for a loan that was taken over, while
    the money is on its way, and for the person who paid it out. Without `by` Safaricom said that
    the money did not arrive.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        old = rows.lock(loan.refinances_id) if loan.refinances_id else None
        loan = rows.lock(loan.pk)
        if loan.status != Loan.Status.ACTIVE:
            raise Refused(
                f"{loan.number} is {loan.get_status_display().lower()}: "
                "only the disbursement of an active loan is undone."
            )
        payout = _payout_of(loan, by=by)
        _must_be_untouched(loan)
        undo_payout(payout, reason=reason, by=by, on=on)
        _empty_books(loan, reason=reason, by=by, on=on)
        instalments = list(loan.repayments.exclude(status__in=Repayment.GONE))
        for row in instalments:
            row.status = Repayment.Status.CANCELLED
        rows.save_repayments(
            instalments, by=by, reason=f"Disbursement undone: {reason}", changed_on=None
        )
        Position.objects.filter(pk=loan.pk).delete()
        loan.disbursed_on, loan.undisbursed, loan.capitalised = None, ZERO, ZERO
        loan.move_to(
            Loan.Status.APPROVED,
            by=by,
            reason=f"Disbursement undone: {reason}",
            fields=("disbursed_on", "undisbursed", "capitalised"),
        )
        security.free(loan, reason=f"Disbursement undone: {reason}", by=by, on=on)
        if old:
            _reopen(old, loan, reason=reason, by=by, on=on)
    return loan


def _reopen(old: Loan, loan: Loan, *, reason: str, by, on: date) -> None:
    """Undo that a loan paid a locked old one off. Raises Refused when that was changed since."""
    change = changes.last_of(old)
    settled = change and change.kind == LoanChange.Kind.SETTLEMENT and change.payment
    is_untouched = old.status == Loan.Status.CLOSED and settled
    if not is_untouched or settled.method != Payment.Method.REFINANCE:
        raise Refused(f"{old.number} was changed since {loan.number} paid it off: undo that first.")
    reason = f"{loan.number} undone: {reason}"
    collection.undo_refinance(settled, reason=reason, by=by, on=on)
    changes.undo(change, reason=reason, by=by, on=on)


def _empty_books(loan: Loan, *, reason: str, by, on: date) -> None:
    """Post the mirror of all that is still booked for a loan: edits of its schedule, accruals.

    By net sums and not by entry: a nightly entry speaks of many loans. Fees that were paid before
    the disbursement stay paid.
    """
    net: dict[tuple, Decimal] = defaultdict(lambda: ZERO)
    booked = Transfer.objects.filter(subject=loan.number).order_by()
    booked = booked.exclude(entry__in=upfront.entries_of(loan))
    for branch_id, debit, credit, amount in booked.values_list(
        "branch_id", "debit_id", "credit_id"
    ).annotate(sum=money.total("amount")):
        first, second = sorted((debit, credit))
        net[branch_id, first, second] += money.money(amount if debit == first else -amount)
    times = JournalEntry.objects.keyed(f"undo:{loan.pk}:").count()
    for branch_id in sorted({key[0] for key, amount in net.items() if amount}):
        times += 1
        post(
            loan,
            kind="disbursement_undone",
            reference=f"undo:{loan.pk}:{times}",
            on=on,
            narration=f"Books of {loan.number} emptied: {reason}",
            lines=[
                Line(second, first, amount) if amount > 0 else Line(first, second, -amount)
                for (place, first, second), amount in net.items()
                if place == branch_id
            ],
            branch_id=branch_id,
            by=by,
        )


def _payout_of(loan: Loan, *, by) -> Payout:
    paid = Payout.objects.filter(
        subject=loan.number, kind=Payout.Kind.DISBURSEMENT, reversed_on=None
    )
    payout = paid.order_by("-pk").first()
    if payout is None:
        raise Refused(f"{loan.number} was not paid out here, so there is nothing to take back.")
    if by is not None and payout.paid_by_id == by.pk:
        raise Refused(f"You paid {loan.number} out yourself: someone else must undo it.")
    return payout


def _must_be_untouched(loan: Loan) -> None:
    if change := changes.last_of(loan):
        raise Refused(f"“{change.summary}” stands on {loan.number}: undo that first.")
    here = {"repayment__loan": loan}
    if placed := replay.placed(loan):  # also money that went to credit as a whole
        raise Refused(f"{placed[0].payment} stands on {loan.number}: take that back first.")
    if waiver := Waiver.objects.standing().filter(**here).first():
        raise Refused(f"{waiver} was waived on {loan.number}: take that back first.")
    if penalty := Penalty.objects.standing().filter(**here).first():
        raise Refused(f"A penalty of {kes(penalty.amount)} was charged on {loan.number}.")
