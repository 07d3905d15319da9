"""A gateway that answers as Africa's Talking does, and customers with something to be told."""

from datetime import time

import pytest
import responses

from lms import dates
from lms.notifications import client, operations
from lms.notifications.models import SAMPLES, Message
from tests import factories

TEN = dates.instant(dates.day_of("2026-03-02"), time(10))


def reminder(customer=None, *, key: str = "overdue:repayment:12:7", now=TEN, **fields):
    """Queue one overdue SMS to Wanjiku about instalment 3 of LN000123."""
    fields = {"occasion": "overdue", "channel": "sms", "about": "LN000123 instalment 3", **fields}
    return operations.enqueue(
        customer or factories.wanjiku(),
        values=SAMPLES[fields["occasion"]],
        key=key,
        now=now,
        **fields,
    )


def answer(code: int = 101, words: str = "Success", **fields) -> dict:
    """The body Africa's Talking answers for one recipient."""
    recipient = {
        "statusCode": code,
        "number": "+254712345678",
        "status": words,
        "cost": "KES 0.8000",
        "messageId": "ATXid_1",
        **fields,
    }
    return {
        "SMSMessageData": {
            "Message": "Sent to 1/1 Total Cost: KES 0.8000",
            "Recipients": [recipient],
        }
    }


def fate(message: Message) -> tuple[str, int, str]:
    """What became of a message: its status, attempts and error."""
    message.refresh_from_db()
    return message.status, message.attempts, message.error


@pytest.fixture
def africastalking(settings):
    """SMS go to the sandbox of Africa's Talking, which says yes until a test says otherwise."""
    settings.SMS_CHANNEL = "africastalking"
    settings.AFRICASTALKING_API_KEY = "atsk_test"
    with responses.RequestsMock(assert_all_requests_are_fired=False) as gateway:
        gateway.post(client.SANDBOX, json=answer(), status=201)
        yield gateway


@pytest.fixture
def silent(africastalking):
    """The same gateway with nothing said yet."""
    africastalking.reset()
    return africastalking
