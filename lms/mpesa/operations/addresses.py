"""The addresses that Safaricom is told."""

from django.conf import settings
from django.urls import reverse

from lms.errors import Refused


def callback_url_of(kind: str, *, needs: tuple[str, ...] = ()) -> str:
    """Return the address for callbacks of a kind. Raises Refused while M-Pesa is not set up."""
    for name in ("DARAJA_CONSUMER_KEY", "DARAJA_CALLBACK_SECRET", *needs):
        if not getattr(settings, name):
            raise Refused(f"M-Pesa is not set up on this machine: {name} is empty.")
    path = reverse("daraja", args=[settings.DARAJA_CALLBACK_SECRET, kind])
    return settings.DARAJA_CALLBACK_BASE.rstrip("/") + path
