"""Many loans paid out by M-Pesa together: one prepares, another agrees, then each is sent."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import IntegrityError, transaction

from lms import history, phones
from lms.errors import Refused
from lms.loans.models import Loan
from lms.money import ZERO, kes
from lms.mpesa import operations as mpesa
from lms.payments.models import Payout
from lms.payouts.models import BatchLoan, PayoutBatch
from lms.payouts.operations.sending import amount_of, promise_loan, send_promised
from lms.staff import operations as staff
from lms.staff.models import Approval
from lms.words import counted

BATCH = "payout-batch"  # the kind of approval
MOST_IN_BATCH = 500
Status = PayoutBatch.Status


class Offer(NamedTuple):
    """One loan that somebody wants to pay out: the amount and its parts, or why it cannot be."""

    loan: Loan
    amount: Decimal
    parts: int
    refusal: str = ""


def offers(loans: Sequence[Loan], *, on: date) -> list[Offer]:
    """Return what each loan would be sent by M-Pesa on a day, or why not. Writes nothing."""
    return [offer(loan, on=on) for loan in loans]


def offer(loan: Loan, *, on: date) -> Offer:
    """Return what one loan would be sent by M-Pesa on a day, or why not. Writes nothing."""
    if loan.status != Loan.Status.APPROVED:
        return Offer(loan, ZERO, 0, f"{loan.number} is {loan.get_status_display().lower()}.")
    try:
        mpesa.phone_of(loan.customer)
        amount = amount_of(loan, on=on)
        return Offer(loan, amount, len(mpesa.parts_of(amount)))
    except Refused as refusal:
        return Offer(loan, ZERO, 0, refusal.message)


def prepare_batch(loans: Sequence[Loan], *, note: str, by, on: date, at: datetime) -> PayoutBatch:
    """Put approved loans before a second person, to be paid out by M-Pesa together.

    Nothing is paid until they agree. Raises Refused when one of the loans cannot be sent or waits
    in another batch, for one that `by` approved, beyond the limit of the day, and without a note.
    """
    mpesa.must_be_set_up()
    if not 0 < len(loans) <= MOST_IN_BATCH:
        raise Refused(f"A batch has 1 to {MOST_IN_BATCH} loans.")
    wanted = offers(loans, on=on)
    if refused := [each.refusal for each in wanted if each.refusal]:
        raise Refused(" ".join(refused[:3]))
    for each in wanted:
        if each.loan.approved_by_id == by.pk:
            raise Refused(f"You approved {each.loan.number}: someone else must pay it out.")
    total = sum((each.amount for each in wanted), ZERO)
    if total > (left := mpesa.left_today(on=on)):
        raise Refused(f"{kes(total)} is more than the {kes(max(left, ZERO))} left for today.")
    branches = {loan.branch_id for loan in loans}
    batch = PayoutBatch(
        branch_id=branches.pop() if len(branches) == 1 else None,
        number_of_loans=len(wanted),
        total=total,
        prepared_by=by,
        prepared_at=at,
        note=note[:200],
    )
    batch._history_user, batch._change_reason = by, "Prepared"
    with transaction.atomic():
        batch.save()
        try:
            with transaction.atomic():
                history.create(
                    [
                        BatchLoan(
                            batch=batch,
                            loan=each.loan,
                            amount=each.amount,
                            phone=mpesa.phone_of(each.loan.customer),
                        )
                        for each in wanted
                    ],
                    by=by,
                    reason="Prepared",
                )
        except IntegrityError as error:
            raise Refused("One of these loans waits in another batch already.") from error
        staff.ask(
            BATCH,
            subject=batch.number,
            summary=f"{batch} by M-Pesa",
            reason=note,
            by=by,
            payload={"batch": batch.pk, "loans": len(wanted), "total": str(total)},
            diff="\n".join(map(_line, wanted)),
            branch_id=batch.branch_id,
        )
    return batch


def _line(offered: Offer) -> str:
    customer = offered.loan.customer
    parts = f" in {offered.parts} payments" if offered.parts > 1 else ""
    return (
        f"{offered.loan.number}  {kes(offered.amount)}{parts}  {customer.name}  "
        f"{phones.show(customer.phone)}"
    )


def _batch_of(approval: Approval) -> PayoutBatch:
    return PayoutBatch.objects.select_for_update().get(pk=approval.payload["batch"])


def approve_batch(approval: Approval, *, reason: str, by, on: date) -> PayoutBatch:
    """Agree to a batch: its loans are paid out from now on, one after the other.

    Raises Refused for one's own batch.
    """
    with transaction.atomic():
        decided = staff.decide(approval, approve=True, reason=reason, by=by)
        batch = _batch_of(approval)
        batch.approved_by, batch.approved_at = by, decided.decided_at
        batch.move_to(
            Status.APPROVED,
            by=by,
            reason=reason or "Approved",
            fields=("approved_by", "approved_at"),
        )
    return batch


def turn_batch_down(approval: Approval, *, reason: str, by, on: date) -> PayoutBatch:
    """Say no to a batch: nothing is paid, its loans are free."""
    with transaction.atomic():
        staff.decide(approval, approve=False, reason=reason, by=by)
        return _free(approval, Status.REJECTED, reason=reason, by=by)


def call_batch_back(approval: Approval, *, reason: str, by, on: date) -> PayoutBatch:
    """Take one's own batch back before it is decided."""
    with transaction.atomic():
        staff.withdraw(approval, reason=reason, by=by, on=on)
        return _free(approval, Status.WITHDRAWN, reason=reason, by=by)


def _free(approval: Approval, status: str, *, reason: str, by) -> PayoutBatch:
    batch = _batch_of(approval)
    items = list(batch.items.all())
    for item in items:
        item.is_live = False
    history.update(items, ["is_live"], by=by, reason=reason or PayoutBatch.Status(status).label)
    batch.move_to(status, by=by, reason=reason)
    return batch


def pay_batches(*, on: date, clock: Callable[[], datetime]) -> int:
    """Pay out the loans of every batch that was agreed to; return how many were sent.

    A loan that is refused by now is left out, with the reason, and stops no other. Run again after
    a crash, it goes on where that stopped. `clock` tells when each is sent. Raises Refused, and
    leaves the batches, while customers cannot be paid from this machine.
    """
    batches = list(PayoutBatch.objects.being_paid())
    if batches:
        mpesa.must_be_set_up()
    return sum(_pay_batch(batch, on=on, clock=clock) for batch in batches)


def _pay_batch(batch: PayoutBatch, *, on: date, clock: Callable[[], datetime]) -> int:
    sent = 0
    for key in batch.items.filter(status=BatchLoan.Status.WAITING).values_list("pk", flat=True):
        payout = _pay_item(key, batch=batch, on=on, at=clock())
        if payout is not None:
            sent += 1
            send_promised(payout, at=clock(), on=on)
    with transaction.atomic():
        batch = PayoutBatch.objects.select_for_update().get(pk=batch.pk)
        waits = batch.items.filter(status=BatchLoan.Status.WAITING).exists()
        if batch.status == Status.APPROVED and not waits:
            refused = batch.items.filter(status=BatchLoan.Status.REFUSED).count()
            left = f", {counted(refused, 'loan')} left out" if refused else ""
            batch.move_to(Status.DONE, by=None, reason=f"Sent{left}")
    return sent


def _must_be_as_agreed(item: BatchLoan) -> None:
    if (phone := mpesa.phone_of(item.loan.customer)) != item.phone:
        raise Refused(
            f"{phones.show(item.phone)} was agreed to, and the customer's phone is "
            f"{phones.show(phone)} now."
        )


def _pay_item(key: int, *, batch: PayoutBatch, on: date, at: datetime) -> Payout | None:
    """Promise one loan of a batch; return its payout, or None where it is done or refused."""
    with transaction.atomic():
        item = BatchLoan.objects.select_for_update(of=("self",)).select_related("loan").get(pk=key)
        if item.status != BatchLoan.Status.WAITING:
            return None
        try:
            with transaction.atomic():
                _must_be_as_agreed(item)
                item.payout = promise_loan(
                    item.loan, by=batch.prepared_by, on=on, at=at, agreed=item.amount
                )
            item.status = BatchLoan.Status.PAID_OUT
        except Refused as refusal:
            item.payout = None
            item.status, item.refusal = BatchLoan.Status.REFUSED, refusal.message[:300]
        item.is_live = False
        item._history_user = batch.approved_by
        item._change_reason = item.refusal[:100] or f"Sent as {item.payout.number}"
        item.save(update_fields=["payout", "status", "refusal", "is_live"])
    return item.payout
