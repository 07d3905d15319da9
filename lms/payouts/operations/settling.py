"""What Safaricom cannot tell, or nobody takes up: two people settle it."""

from datetime import date, datetime

from django.db import transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment
from lms.payments.models import Payout
from lms.payouts.operations.coming_back import take_back_if_free
from lms.staff import operations as staff
from lms.staff.models import Approval

FATE, ADRIFT = "payout-failed", "payout-adrift"  # the kinds of approval


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


def _written(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


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
