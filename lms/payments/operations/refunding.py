"""Credit that goes back to its customer."""

from datetime import date
from decimal import Decimal

from django.db import transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.money import ZERO, kes
from lms.payments.models import Payment, Payout, Refund, normal_reference
from lms.payments.operations.checking import must_be_possible
from lms.payments.operations.paying import pay_out, undo_payout


def refund_credit(
    customer, *, amount: Decimal, method: str, reference: str | None, by, on: date
) -> Payout:
    """Pay credit back to its customer, from the oldest payment on, out of the branch that holds it.

    Raises Refused above the credit, and for a person who took one of those payments.
    """
    reference = normal_reference(reference)
    must_be_possible(method=method, amount=amount, reference=reference, value_date=on, on=on)
    with transaction.atomic():
        held = list(
            Payment.objects.select_for_update(of=("self",))
            .with_credit()
            .filter(customer=customer)
            .select_related("received_in")
            .order_by("pk")
        )
        if not held:
            raise Refused(f"{customer.name} has no credit.")
        branch = held[0].received_in
        parts = _refunds(held, branch, amount, by=by)
        payout = pay_out(
            kind=Payout.Kind.REFUND,
            debit=chart.CUSTOMER_CREDIT,
            method=method,
            amount=amount,
            reference=reference,
            customer_id=customer.pk,
            subject=customer.number,
            branch_id=branch.pk,
            by=by,
            on=on,
            narration=f"Credit of {customer.name} paid back",
            lines=(),
            key=f"refund:{parts[0][0].pk}:{parts[0][0].refunds.count() + 1}",
        )
        for payment, part in parts:
            _move_credit(payment, part, by=by, reason=f"Paid back: {payout}")
        Refund.objects.bulk_create(
            Refund(payout=payout, payment=payment, amount=part) for payment, part in parts
        )
    return payout


def _refunds(held: list[Payment], branch, amount: Decimal, *, by) -> list[tuple[Payment, Decimal]]:
    """Return how much of each payment is given back."""
    here = [payment for payment in held if payment.received_in_id == branch.pk]
    most = sum((payment.credited for payment in here), ZERO)
    if amount > most:
        where = "" if len(here) == len(held) else f" in {branch}"
        raise Refused(f"Only {kes(most)} of credit is held{where}.", field="amount")
    parts = []
    for payment in here:
        if part := min(payment.credited, amount):
            amount -= part
            parts.append((payment, part))
            if payment.taken_by_id is not None and payment.taken_by_id == by.pk:
                raise Refused(f"You took {payment.number} yourself: someone else must refund it.")
    return parts


def _move_credit(payment: Payment, refunded: Decimal, *, by, reason: str) -> None:
    payment.credited -= refunded
    payment.refunded += refunded
    payment._history_user, payment._change_reason = by, reason[:100]
    payment.save(update_fields=["credited", "refunded"])


def undo_refund(payout: Payout, *, reason: str, by, on: date) -> Payout:
    """Take a refund back that did not reach the customer: it is credit again.

    Raises Refused for another payout, without a reason, or when it is reversed already.
    """
    if payout.kind != Payout.Kind.REFUND:
        raise Refused(f"{payout} is no refund.")
    if not (reason := reason.strip()):
        raise Refused("Give a reason: it stays on the record.", field="reason")
    with transaction.atomic():
        payout = undo_payout(payout, reason=reason, by=by, on=on)
        refunds = list(payout.refunds.order_by("payment_id"))
        keys = [refund.payment_id for refund in refunds]
        payments = {
            payment.pk: payment
            for payment in Payment.objects.select_for_update().filter(pk__in=keys).order_by("pk")
        }
        for refund in refunds:
            payment = payments[refund.payment_id]
            _move_credit(payment, -refund.amount, by=by, reason=f"Refund undone: {reason}")
    return payout
