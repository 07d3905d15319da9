"""Paying out by M-Pesa: one loan, a batch of them, a customer's credit; and what comes back.

The books promise the money before it is sent, in one transaction with the loan. What Safaricom
does not pay goes back: the loan is approved again, the credit is credit again.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import IntegrityError, transaction

from lms import history, phones
from lms.customers.models import Customer
from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Loan
from lms.loans.operations import lifecycle, settling, upfront
from lms.loans.operations.undoing import undo_disbursement
from lms.money import ZERO, kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment
from lms.payments import operations as payments
from lms.payments.models import Payout
from lms.payouts.models import BatchLoan, PayoutBatch
from lms.staff import operations as staff
from lms.staff.models import Approval
from lms.words import counted

BATCH, FATE, ADRIFT = "payout-batch", "payout-failed", "payout-adrift"  # the kinds of approval
MOST_IN_BATCH = 500
Status = PayoutBatch.Status


# --- Past M-Pesa ---------------------------------------------------------------------------------
def disburse(loan: Loan, *, method: str, reference: str | None, by, on: date) -> Loan:
    """Pay an approved loan out in cash, by bank or by a payment that somebody made by hand.

    Raises Refused as `lifecycle.disburse` does, and while money that M-Pesa sent for it before
    lies in suspense: the customer has that already.
    """
    with transaction.atomic():
        loan = lifecycle.disburse(loan, method=method, reference=reference, by=by, on=on)
        mpesa.must_not_be_adrift(loan.number, kind=Payout.Kind.DISBURSEMENT)
    return loan


def refund_credit(
    customer: Customer, *, amount: Decimal, method: str, reference: str | None, by, on: date
) -> Payout:
    """Pay credit back in another way than by M-Pesa to the phone; return the payout.

    Raises Refused as `payments.refund_credit` does, and while credit that M-Pesa sent before lies
    in suspense.
    """
    with transaction.atomic():
        payout = payments.refund_credit(
            customer, amount=amount, method=method, reference=reference, by=by, on=on
        )
        mpesa.must_not_be_adrift(payout.subject, kind=Payout.Kind.REFUND)
    return payout


# --- One payout ----------------------------------------------------------------------------------
def amount_of(loan: Loan, *, on: date) -> Decimal:
    """Return what the customer of an approved loan would be sent on a day (KES). Raises Refused."""
    upfront.must_be_paid(loan)
    net = loan.calculator(disbursed_on=on, tranches=()).net_disbursed()
    if loan.refinances_id:
        net -= settling.payoff(loan.refinances, on=on).total
    return net


def send_loan(loan: Loan, *, by, on: date, at: datetime) -> Payout:
    """Pay an approved loan out by M-Pesa, to the phone of its customer; return the payout.

    The loan runs from now on; when Safaricom does not pay, it is approved again. A sum above the
    ceiling of one payment goes in parts. Raises Refused as `disburse` does, and for a phone, sum
    or limit that M-Pesa would refuse.
    """
    with transaction.atomic():
        payout = _promise_loan(loan, by=by, on=on, at=at)
    return _send(payout, at=at, on=on)


def _promise_loan(loan: Loan, *, by, on: date, at: datetime, agreed: Decimal | None = None):
    """Book a loan as paid out and write down what is to be sent, in the caller's transaction."""
    loan = lifecycle.disburse(loan, method=Payout.Method.B2C, reference=None, by=by, on=on)
    payout = _payout_of(loan)
    if payout is None:
        raise Refused(f"{loan.number} leaves nothing to send: disburse it without M-Pesa.")
    if agreed is not None and payout.amount != agreed:
        raise Refused(f"{kes(agreed)} was agreed to, and it would be {kes(payout.amount)} now.")
    mpesa.promise(payout, by=by, on=on, at=at)
    return payout


def send_credit(customer: Customer, *, amount: Decimal, by, on: date, at: datetime) -> Payout:
    """Pay credit back to its customer's phone by M-Pesa; return the payout.

    When Safaricom does not pay, it is credit again. Raises Refused as `refund_credit` does, and
    as `send_loan`.
    """
    with transaction.atomic():
        payout = payments.refund_credit(
            customer, amount=amount, method=Payout.Method.B2C, reference=None, by=by, on=on
        )
        mpesa.promise(payout, by=by, on=on, at=at)
    return _send(payout, at=at, on=on)


def send_rest(payout: Payout, *, by, on: date, at: datetime) -> Payout:
    """Send again what did not arrive of a payout, as new payments.

    For one that arrived in part, or that could not be taken back because its loan went on. Raises
    Refused for whoever might not have paid it out at first, and where a part arrived on another
    phone than the customer has now.
    """
    with transaction.atomic():
        _may_send(payout, by=by)
        payout = payments.set_payout_status(
            payout, Payout.Status.ON_ITS_WAY, reason="Sent again", by=by
        )
        mpesa.promise(payout, by=by, on=on, at=at)
    return _send(payout, at=at, on=on)


def _may_send(payout: Payout, *, by) -> None:
    """Refuse the person who had a hand in what a payout pays, and a phone that changed since."""
    if payout.kind == Payout.Kind.REFUND:
        taken = payout.refunds.filter(payment__taken_by=by).select_related("payment").first()
        if taken is not None:
            raise Refused(f"You took {taken.payment.number} yourself: someone else must send it.")
    else:
        loan = Loan.objects.get(pk=Loan.key_of(payout.subject))
        if loan.approved_by_id == by.pk:
            raise Refused(f"You approved {loan.number}: someone else must send the money.")
    last = payout.parts.filter(status=B2cPayment.Status.PAID).last()
    if last is not None and mpesa.phone_of(payout.customer) != last.phone:
        raise Refused(
            f"A part arrived on {phones.show(last.phone)}, and the customer's phone is another "
            "now: find out which is right."
        )


def _send(payout: Payout, *, at: datetime, on: date) -> Payout:
    """Send what was promised; take back at once what Safaricom turned away."""
    for part in payout.parts.waiting():
        mpesa.send(part, at=at)
    payout.refresh_from_db()
    if payout.status == Payout.Status.FAILED:
        take_back_if_free(payout, on=on)
        payout.refresh_from_db()
    return payout


# --- What comes back -----------------------------------------------------------------------------
def take_back(payout: Payout, *, by, on: date) -> Payout:
    """Take a payout back that did not arrive: its loan is approved again, or its credit is back.

    Without `by` Safaricom said so. A repeat changes nothing. Raises Refused while it may arrive,
    and when something stands on the loan by now.
    """
    with transaction.atomic():
        payout = Payout.objects.get(pk=payout.pk)
        if payout.status == Payout.Status.REVERSED:
            return payout
        if payout.status != Payout.Status.FAILED:
            raise Refused(f"{payout} is {payout.get_status_display().lower()}.")
        reason = why_failed(payout)
        if payout.kind == Payout.Kind.REFUND:
            payments.undo_refund(payout, reason=reason, by=by, on=on)
        elif payout.kind == Payout.Kind.DISBURSEMENT:
            loan = Loan.objects.get(pk=Loan.key_of(payout.subject))
            undo_disbursement(loan, reason=reason, by=by, on=on)
        else:
            raise Refused(f"{payout} is taken back where it was made: on {payout.subject}.")
    payout.refresh_from_db()
    return payout


def take_back_if_free(payout: Payout, *, on: date) -> bool:
    """Take a failed payout back, or leave it for a person where something stands in the way."""
    try:
        take_back(payout, by=None, on=on)
    except Refused:
        return False
    return True


def take_back_failed(*, on: date) -> int:
    """Take back failed payouts, and up what left after all, that a crash left; return how many."""
    failed = Payout.objects.filter(status=Payout.Status.FAILED).order_by("pk")
    adrift = B2cPayment.objects.filter(is_adrift=True).order_by("pk")
    return sum(take_back_if_free(payout, on=on) for payout in failed) + sum(
        _take_up_if_free(part, on=on) for part in adrift
    )


def why_failed(payout: Payout) -> str:
    """Return in plain words why a payout did not arrive."""
    last = payout.parts.order_by("-pk").first()
    if last is None:
        return "It did not arrive"
    if last.explanation:
        return last.explanation.meaning
    said = last.response_description if last.response_code != "0" else last.result_desc
    return f"Safaricom: {said}"[:200] if said else "It did not arrive"


def settle_answered(part: B2cPayment, *, on: date) -> None:
    """Do what the fate of a payment asks for, once it is written down. A repeat changes nothing."""
    part = B2cPayment.objects.select_related("payout").get(pk=part.pk)
    if part.is_adrift:
        _take_up_if_free(part, on=on)
    elif part.payout.status == Payout.Status.FAILED:
        take_back_if_free(part.payout, on=on)


def _take_up_if_free(part: B2cPayment, *, on: date) -> bool:
    try:
        take_up(part, by=part.requested_by, on=on)
    except Refused:
        return False
    return True


def take_up(part: B2cPayment, *, by, on: date) -> Payout:
    """Let money that left after its payout was taken back pay for what it was sent for after all.

    The loan runs again, or the credit is paid back again, with all that left late of the same
    payout. What is still missing of it can be sent. Raises Refused where it was paid in another way
    meanwhile, or would be another amount: the money waits in suspense.
    """
    with transaction.atomic():
        late = Payout.objects.get(pk=part.payout_id)
        adrift = B2cPayment.objects.select_for_update().filter(payout=late, is_adrift=True)
        parts = list(adrift.order_by("pk"))
        if not parts:
            raise Refused(f"{part.number} is not in suspense.")
        payout = _begun(late) or _again(late, by=by, on=on)
        total = sum((each.amount for each in parts), ZERO)
        if payout.amount != late.amount or payout.arrived + total > payout.amount:
            raise Refused(
                f"{kes(total)} left for {kes(late.amount)}, and {kes(payout.amount)} would be owed "
                "now: it waits in suspense."
            )
        for each in parts:
            payout = payments.take_up(
                payout, late, amount=each.amount, reference=each.receipt, on=on
            )
            each.payout, each.is_adrift = payout, False
            each.note(by=by, reason=f"Taken up as {payout.number}", fields=("payout", "is_adrift"))
    return payout


def _begun(late: Payout) -> Payout | None:
    """Return the payout that a first part of a late one was taken up as, or None."""
    begun = Payout.objects.filter(
        method=Payout.Method.B2C,
        kind=late.kind,
        subject=late.subject,
        status=Payout.Status.PARTLY,
    )
    return begun.exclude(pk=late.pk).order_by("-pk").first()


def _again(late: Payout, *, by, on: date) -> Payout:
    """Book once more what a payout paid for that had been taken back. Raises Refused."""
    if late.status != Payout.Status.REVERSED:
        raise Refused(
            f"{late.number} is {late.get_status_display().lower()}: more left than was owed. Ask "
            "the customer to give it back."
        )
    if late.kind != Payout.Kind.REFUND:
        loan = Loan.objects.get(pk=Loan.key_of(late.subject))
        lifecycle.disburse(loan, method=Payout.Method.B2C, reference=None, by=by, on=on)
        if (payout := _payout_of(loan)) is None:
            raise Refused(f"{loan.number} leaves nothing to send now: it waits in suspense.")
        return payout
    payout = payments.refund_credit(
        late.customer, amount=late.amount, method=Payout.Method.B2C, reference=None, by=by, on=on
    )
    if payout.branch_id != late.branch_id:
        raise Refused(f"The credit lies in {payout.branch} now: it waits in suspense.")
    return payout


def _payout_of(loan: Loan) -> Payout | None:
    """Return the standing disbursement of a loan, or None where nothing was left to send."""
    standing = Payout.objects.filter(
        subject=loan.number, kind=Payout.Kind.DISBURSEMENT, reversed_on=None
    )
    return standing.select_related("customer").order_by("-pk").first()


# --- A fate that nobody knows --------------------------------------------------------------------
def ask_to_settle(part: B2cPayment, *, reason: str, by, on: date) -> Approval:
    """Ask a second person to count a payment as failed, which Safaricom cannot tell of.

    Raises Refused for any other, and while it is asked already.
    """
    if part.status != B2cPayment.Status.UNRESOLVED:
        raise Refused(f"{part.number} is {part.get_status_display().lower()}: wait for Safaricom.")
    return staff.ask(
        FATE,
        subject=part.number,
        summary=f"{part} did not arrive",
        reason=reason,
        by=by,
        payload={"part": part.pk, "sent_at": _written(part.sent_at)},
        diff=f"{part.payout.number} of {part.payout.subject} is taken back: it can be paid again.",
        branch_id=part.payout.branch_id,
    )


def settle_by_hand(approval: Approval, *, reason: str, by, on: date) -> Payout:
    """Count a payment as failed, as a second person agreed, and take its payout back."""
    with transaction.atomic():
        staff.decide(approval, approve=True, reason=reason, by=by)
        part = B2cPayment.objects.select_for_update().get(pk=approval.payload["part"])
        if approval.payload["sent_at"] != _written(part.sent_at):
            raise Refused(f"{part.number} was sent again since this was asked: ask anew.")
        part = mpesa.settle_as_failed(part, reason=approval.reason, by=by)
    take_back_if_free(part.payout, on=on)
    return Payout.objects.get(pk=part.payout_id)


# --- Money that is not taken up -----------------------------------------------------------------
def ask_to_let_go(part: B2cPayment, *, reason: str, by, on: date) -> Approval:
    """Ask a second person to hold money in suspense against its loan or customer no longer.

    For what came back, or was settled otherwise. It stays in suspense in the books until a journal
    or a line of a statement takes it out. Raises Refused for what does not lie there.
    """
    if not part.is_adrift:
        raise Refused(f"{part.number} is not in suspense.")
    subject = part.payout.subject
    return staff.ask(
        ADRIFT,
        subject=part.number,
        summary=f"{part} came back or is settled otherwise",
        reason=reason,
        by=by,
        payload={"part": part.pk},
        diff=f"{subject} can be paid again, in any way. {kes(part.amount)} stays on "
        f"{chart.SUSPENSE} until the accountant books it from there.",
        branch_id=part.payout.branch_id,
    )


def let_go(approval: Approval, *, reason: str, by, on: date) -> B2cPayment:
    """Hold money in suspense against nobody any more, as a second person agreed."""
    with transaction.atomic():
        staff.decide(approval, approve=True, reason=reason, by=by)
        part = B2cPayment.objects.select_for_update().get(pk=approval.payload["part"])
        if not part.is_adrift:
            raise Refused(f"{part.number} is not in suspense any more: it was taken up.")
        part.is_adrift = False
        part.note(by=by, reason=f"Settled: {approval.reason}"[:100], fields=("is_adrift",))
    return part


def _written(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


# --- Batches -------------------------------------------------------------------------------------
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
            _send(payout, at=clock(), on=on)
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
                item.payout = _promise_loan(
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
