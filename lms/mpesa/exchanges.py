"""The log of what was asked of Daraja and what it answered, for staff to read: no secrets in it."""

import json
import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction

from lms import dates
from lms.mpesa.callbacks import clean
from lms.mpesa.models import DarajaRequest

log = logging.getLogger(__name__)

HIDDEN = "(hidden)"
LONGEST = 10_000  # characters of a body
# What is never written down, by its name in a body or by its value anywhere.
SECRET_NAMES = re.compile(r"password|credential|token|secret|passkey", re.IGNORECASE)
SECRET_SETTINGS = (
    "DARAJA_CONSUMER_KEY", "DARAJA_CONSUMER_SECRET", "DARAJA_PASSKEY", "DARAJA_CALLBACK_SECRET",
    "DARAJA_INITIATOR_PASSWORD", "DARAJA_SECURITY_CREDENTIAL",
)  # fmt: skip
SHORTEST_SECRET = 6  # a shorter value would hide half of what is harmless
PHONE = re.compile(r"(254[17])[0-9]{5}([0-9]{3})(?![0-9])")


def record(
    *,
    kind: str,
    by,
    about: str,
    outcome: str,
    code: str,
    message: str,
    seconds: float,
    request: Mapping[str, Any],
    answer: Mapping[str, Any],
) -> None:
    """Write down one exchange that has just ended. What became of it stands even if this fails."""
    try:
        with transaction.atomic():
            DarajaRequest.objects.create(
                kind=kind,
                sent_at=dates.now() - timedelta(seconds=seconds),
                asked_by=by,
                about=about[:40],
                outcome=outcome,
                code=code[:40],
                message=without_secrets(clean(message, 2000))[:200],
                milliseconds=round(seconds * 1000),
                request=body_of(request),
                answer=body_of(answer),
            )
    except DatabaseError:
        log.exception("An exchange of kind %s could not be written down.", kind)


def body_of(fields: Mapping[str, Any]) -> str:
    """Return a body as JSON text in ASCII, without secrets and whole phone numbers."""
    if not fields:
        return ""
    shown = {
        name: HIDDEN if SECRET_NAMES.search(str(name)) else value for name, value in fields.items()
    }
    text = json.dumps(shown, indent=2, default=str)
    return without_secrets(text)[:LONGEST]


def without_secrets(text: str) -> str:
    """Return a text with every secret of the settings blotted out, and phones masked."""
    for name in SECRET_SETTINGS:
        secret = str(getattr(settings, name))
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return PHONE.sub(r"\1*****\2", text)
