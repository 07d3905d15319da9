from datetime import date

import pytest
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.staff.models import Approval
from lms.staff.operations import ask, decide, withdraw
from tests import factories

DAY = date(2026, 2, 2)
KIND = "test_deed"


def asked(by, *, reason="June is not done") -> Approval:
    return ask(
        KIND,
        subject="June 2026",
        summary="Reopen June 2026",
        reason=reason,
        payload={"month": "2026-06-01"},
        by=by,
    )


def test_asking_does_nothing_but_wait(kamau):
    approval = asked(kamau)

    assert approval.is_waiting
    assert approval.decided_by is None
    assert list(Approval.objects.waiting()) == [approval]
    assert approval.history.get().history_change_reason == "June is not done"


def test_asking_needs_a_reason_and_happens_once(kamau):
    with pytest.raises(Refused, match="Give the reason"):
        asked(kamau, reason="  ")
    asked(kamau)

    with pytest.raises(Refused, match="asked already"):
        asked(kamau)

    assert Approval.objects.count() == 1


def test_somebody_else_decides_once(kamau, mutua, njeri):
    approval = decide(asked(kamau), approve=True, reason="seen", by=mutua)

    assert (approval.status, approval.decided_by, approval.decision) == (
        "approved",
        mutua,
        "seen",
    )
    with pytest.raises(Refused, match="approved already"):
        decide(approval, approve=False, reason="no", by=njeri)
    assert [row.history_user for row in approval.history.order_by("history_id")] == [kamau, mutua]


def test_nobody_decides_what_they_asked_for_themselves(kamau, mutua):
    approval = asked(kamau)

    with pytest.raises(Refused, match="yourself"):
        decide(approval, approve=True, reason="", by=kamau)
    with pytest.raises(Refused, match="only they take it back"):
        withdraw(approval, reason="no", by=mutua, on=DAY)

    assert withdraw(approval, reason="no", by=kamau, on=DAY).status == "withdrawn"


def test_a_rejection_says_why_and_leaves_room_to_ask_again(kamau, mutua):
    approval = asked(kamau)
    with pytest.raises(Refused, match="Say why"):
        decide(approval, approve=False, reason="", by=mutua)

    assert decide(approval, approve=False, reason="too late", by=mutua).status == "rejected"
    assert asked(kamau).is_waiting


def test_the_database_holds_two_people_too(kamau):
    approval = asked(kamau)

    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(
            status="approved", decided_by=kamau, decided_at=approval.asked_at
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(status="approved")


def test_a_branch_sees_its_own_requests_and_head_office_all(kamau, mutua):
    asked(kamau)

    assert list(Approval.objects.seen_by(mutua)) == []
    assert Approval.objects.seen_by(kamau).count() == 1
    assert Approval.objects.seen_by(factories.staff("wambui", branch=None)).count() == 1
