"""The verbs that change who works here: send somebody home, take them back."""

from datetime import date

from django.db import transaction

from lms.errors import Refused
from lms.staff.models import Staff


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
