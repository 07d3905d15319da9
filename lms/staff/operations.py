"""The verbs of the house: send somebody home, take them back; ask for a second person's yes."""

from datetime import date

from django.db import IntegrityError, transaction

from lms import dates
from lms.errors import Refused
from lms.staff.models import Approval, Staff


def deactivate(member: Staff, *, reason: str, by: Staff, on: date) -> Staff:
    """End a person's access at once; what they did keeps their name.

    Raises Refused for oneself, and for one who is gone already.
    """
    if member.pk == by.pk:
        raise Refused("You cannot deactivate yourself: ask another administrator.")
    return _set_active(member, is_active=False, reason=reason, by=by)


def reactivate(member: Staff, *, reason: str, by: Staff, on: date) -> Staff:
    """Give a person their access back, with the roles they had."""
    return _set_active(member, is_active=True, reason=reason, by=by)


def _set_active(member: Staff, *, is_active: bool, reason: str, by: Staff) -> Staff:
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        member = Staff.objects.select_for_update().get(pk=member.pk)
        if member.is_active == is_active:
            raise Refused(f"{member} is {'active' if is_active else 'deactivated'} already.")
        member.is_active = is_active
        member._history_user, member._change_reason = by, reason[:100]
        member.save(update_fields=["is_active"])
    return member


def ask(
    kind: str,
    *,
    subject: str,
    summary: str,
    reason: str,
    by: Staff,
    payload: dict | None = None,
    diff: str = "",
    branch_id: int | None = None,
) -> Approval:
    """Put an action before a second person; nothing happens until they decide.

    `payload` is kept as JSON: money as text, days as ISO 8601. Without a branch it concerns the
    whole house. Raises Refused without a reason, and while the same request waits already.
    """
    if not reason.strip():
        raise Refused("Give the reason: the second person decides by it.", field="reason")
    approval = Approval(
        kind=kind,
        subject=subject,
        summary=summary[:200],
        payload=payload or {},
        diff=diff,
        branch_id=branch_id,
        reason=reason[:200],
        asked_by=by,
    )
    approval._history_user, approval._change_reason = by, reason[:100]
    try:
        with transaction.atomic():
            approval.save()
    except IntegrityError as error:
        if not Approval.objects.waiting().filter(kind=kind, subject=subject).exists():
            raise
        raise Refused(f"This is asked already and waits for a decision: {summary}") from error
    return approval


def decide(approval: Approval, *, approve: bool, reason: str, by: Staff) -> Approval:
    """Decide what somebody else asked for.

    The room that asked calls this and acts, in one transaction. Raises Refused for one's own
    request, for one that is decided already, and for a rejection without a reason.
    """
    if not (approve or reason.strip()):
        raise Refused("Say why you reject it.", field="reason")
    status = Approval.Status.APPROVED if approve else Approval.Status.REJECTED
    with transaction.atomic():
        approval = _waiting(approval)
        if approval.asked_by_id == by.pk:
            raise Refused("You asked for this yourself: somebody else must decide it.")
        return _end(approval, status, reason=reason, by=by)


def reject(approval: Approval, *, reason: str, by: Staff, on: date) -> Approval:
    """Say no to what somebody else asked for."""
    return decide(approval, approve=False, reason=reason, by=by)


def withdraw(approval: Approval, *, reason: str, by: Staff, on: date) -> Approval:
    """Take one's own request back before it is decided. Raises Refused for anybody else's."""
    with transaction.atomic():
        approval = _waiting(approval)
        if approval.asked_by_id != by.pk:
            raise Refused(f"{approval.asked_by} asked for this: only they take it back.")
        return _end(approval, Approval.Status.WITHDRAWN, reason=reason, by=by)


def _waiting(approval: Approval) -> Approval:
    approval = Approval.objects.select_for_update().get(pk=approval.pk)
    if not approval.is_waiting:
        raise Refused(f"This was {approval.get_status_display().lower()} already.")
    return approval


def _end(approval: Approval, status: Approval.Status, *, reason: str, by: Staff) -> Approval:
    approval.status, approval.decision = status, reason[:200]
    approval.decided_by, approval.decided_at = by, dates.now()
    approval._history_user, approval._change_reason = by, reason[:100] or status.label
    approval.save(update_fields=["status", "decision", "decided_by", "decided_at"])
    return approval
