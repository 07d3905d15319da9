"""The same race with two connections: PostgreSQL only, SQLite has one writer."""

import pytest
from django.db import connection

from lms.payouts.operations import coming_back
from tests.mpesa.test_races import together
from tests.payouts.conftest import DAY
from tests.payouts.test_leaving_once import silent, told  # noqa: F401
from tests.payouts.test_sending import approved, send, state

pytestmark = pytest.mark.usefixtures("committed")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs two writers")
def test_a_success_committed_by_another_process_meanwhile_is_not_reversed(silent, monkeypatch):  # noqa: F811
    loan = approved()
    payout = send(loan)
    part = payout.parts.get()
    with monkeypatch.context() as crash:
        crash.setattr(coming_back, "take_back_if_free", lambda payout, on: False)
        told(part, code="2040")
    undo = coming_back.undo_disbursement

    def meanwhile(loan, **answers):
        together(lambda part: told(part, receipt="UKL7AB12CD"), part)
        return undo(loan, **answers)

    payout.refresh_from_db()
    with monkeypatch.context() as race:
        race.setattr(coming_back, "undo_disbursement", meanwhile)
        coming_back.take_back_if_free(payout, on=DAY)

    assert state(loan) == ("active", "paid", "paid")
