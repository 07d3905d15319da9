"""The addresses that Safaricom is told."""

from django.conf import settings
from django.urls import reverse

from lms.errors import Refused
from lms.mpesa import credentials
from lms.mpesa.client import check_callback_url


def callback_url_of(kind: str, *, needs: tuple[str, ...] = ()) -> str:
    """Return the address for callbacks of a kind. Raises Refused while M-Pesa is not set up."""
    for name in ("DARAJA_CONSUMER_KEY", "DARAJA_CALLBACK_SECRET", *needs):
        if not getattr(settings, name):
            raise Refused(f"M-Pesa is not set up on this machine: {name} is empty.")
    path = reverse("daraja", args=[settings.DARAJA_CALLBACK_SECRET, kind])
    return settings.DARAJA_CALLBACK_BASE.rstrip("/") + path


def answer_addresses(result: str, timeout: str) -> dict[str, str]:
    """Return where the answer to a request of the initiator goes, by the kinds of callback.

    Raises Refused while Safaricom cannot be asked from this machine.
    """
    if not credentials.is_set_up():
        raise Refused("Safaricom cannot be asked from this machine: DARAJA_INITIATOR is empty.")
    credentials.security_credential()
    urls = {"result_url": callback_url_of(result), "timeout_url": callback_url_of(timeout)}
    for url in urls.values():
        check_callback_url(url)
    return urls
