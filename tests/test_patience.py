"""Callbacks while somebody holds the table they are stored in."""

import threading
import time
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from lms.mpesa.models import Callback
from tests import factories
from tests.mpesa.conftest import c2b_body
from tests.test_views import post

pytestmark = pytest.mark.usefixtures("committed")


@contextmanager
def inbox_locked(*, seconds: float):
    """Let another connection hold the inbox, as a migration or a long write does."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE mpesa_callback IN ACCESS EXCLUSIVE MODE")
            held.set()
            over.wait(seconds)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        yield
    finally:
        over.set()
        holder.join()


def timed(work):
    started = time.monotonic()
    return work(), time.monotonic() - started


def test_a_validation_is_answered_while_nothing_can_be_stored(client):
    loan = factories.active()

    with inbox_locked(seconds=20):
        good, took = timed(
            lambda: post(client, c2b_body(BillRefNumber=loan.number), kind="validation")
        )
        bad, _ = timed(lambda: post(client, c2b_body(BillRefNumber="LN999999"), kind="validation"))

    assert good.json() == {"ResultCode": "0", "ResultDesc": "Accepted"}
    assert bad.json() == {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}
    assert took < 3
    assert not Callback.objects.exists()


def test_a_confirmation_waits_until_it_can_be_stored(client):
    with inbox_locked(seconds=1):
        answer, took = timed(lambda: post(client, c2b_body(), kind="confirmation"))

        assert answer.status_code == 200
        assert took > 0.5
    assert Callback.objects.get().status == "received"
