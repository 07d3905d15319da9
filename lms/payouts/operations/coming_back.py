"""What did not arrive, and goes back; what arrived after all, and is taken up."""

from datetime import date

from django.db import transaction

from lms.errors import Refused
from lms.loans.models import Loan
from lms.loans.operations import lifecycle
from lms.loans.operations.undoing import undo_disbursement
from lms.money import ZERO, kes
from lms.mpesa.models import B2cPayment
from lms.payments import operations as payments
from lms.payments.models import Payout


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
        if (payout := payout_of(loan)) is None:
            raise Refused(f"{loan.number} leaves nothing to send now: it waits in suspense.")
        return payout
    payout = payments.refund_credit(
        late.customer, amount=late.amount, method=Payout.Method.B2C, reference=None, by=by, on=on
    )
    if payout.branch_id != late.branch_id:
        raise Refused(f"The credit lies in {payout.branch} now: it waits in suspense.")
    return payout


def payout_of(loan: Loan) -> Payout | None:
    """Return the standing disbursement of a loan, or None where nothing was left to send."""
    standing = Payout.objects.filter(
        subject=loan.number, kind=Payout.Kind.DISBURSEMENT, reversed_on=None
    )
    return standing.select_related("customer").order_by("-pk").first()
