"""The only lines that speak to gateways: console, Django's e-mail, Africa's Talking's SMS.

A send returns `Accepted` or raises one of three answers, which decide whether it may be tried
again: `Rejected` (will never go), `Unreachable` (has not gone, may later) and `Unclear` (may have
gone, so it is never repeated by a machine).
"""

import logging
import re
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

import requests
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from urllib3.exceptions import MaxRetryError, NewConnectionError

log = logging.getLogger(__name__)

CONNECT_SECONDS, READ_SECONDS = 5, 20
LIVE = "https://api.africastalking.com/version1/messaging"
SANDBOX = "https://api.sandbox.africastalking.com/version1/messaging"
# Source: Africa's Talking, “Bulk SMS: sending”, status codes of a recipient.
ACCEPTED = frozenset({100, 101, 102})
REFUSED = frozenset({402, 403, 404, 405, 406, 407, 409, 502})
_COST = re.compile(r"KES\s*(\d{1,6}(?:\.\d{1,4})?)")


class NotAccepted(Exception):
    """The gateway did not say yes. The text says why."""


class Rejected(NotAccepted):
    """It was not sent, and sending the same again would fail the same way."""


class Unreachable(NotAccepted):
    """It was not sent, because the gateway is away, busy or misconfigured."""


class Unclear(NotAccepted):
    """Nobody knows whether it was sent."""


@dataclass(frozen=True)
class Accepted:
    """The gateway took the message. `cost` is KES where the gateway names it."""

    provider_id: str = ""
    cost: Decimal | None = None


Send = Callable[[str, str, str], Accepted]


def sender(channel: str) -> Send:
    """Return the function `(recipient, subject, body)` that sends over this channel.

    Raises ImproperlyConfigured, before anything is sent, when the settings name no such channel
    or lack what it needs.
    """
    ways = {
        "sms": ("SMS_CHANNEL", {"console": _console, "africastalking": _africastalking}),
        "email": ("EMAIL_CHANNEL", {"console": _console, "django": _email}),
    }
    setting, known = ways[channel]
    chosen = getattr(settings, setting)
    if chosen not in known:
        raise ImproperlyConfigured(f"{setting} is “{chosen}”: it is one of {', '.join(known)}.")
    if chosen == "africastalking" and not settings.AFRICASTALKING_API_KEY:
        raise ImproperlyConfigured("AFRICASTALKING_API_KEY is not set.")
    return known[chosen]


def mask(recipient: str) -> str:
    """Return a phone or address that can be told apart in a log but not called."""
    name, at, domain = recipient.partition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    return f"{recipient[:4]}*****{recipient[-3:]}"


def _console(recipient: str, subject: str, body: str) -> Accepted:
    words = " ".join(f"{subject} {body}".split())
    log.info("Message to %s: %s", mask(recipient), words)
    return Accepted(provider_id="console")


def _email(recipient: str, subject: str, body: str) -> Accepted:
    connection = mail.get_connection(timeout=READ_SECONDS)
    try:
        connection.open()
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(f"The mail server cannot be reached: {error}") from error
    message = mail.EmailMessage(subject, body, to=[recipient], connection=connection)
    try:
        message.send()
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
        raise _refused_mail(error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unclear(f"The mail server went away while sending: {error}") from error
    except ValueError as error:
        raise Rejected(f"This is not a valid e-mail: {error}") from error
    finally:
        with suppress(OSError, smtplib.SMTPException):
            connection.close()
    return Accepted()


def _refused_mail(error: smtplib.SMTPException) -> NotAccepted:
    """Return what a definite no of the server means: 4yz is for now, 5yz is for good (RFC 5321)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reason = next(iter(error.recipients.values()))
    else:
        code, reason = error.smtp_code, error.smtp_error
    said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    kind = Unreachable if 400 <= code < 500 else Rejected
    return kind(f"The mail server said {code}: {said}")


def _africastalking(recipient: str, subject: str, body: str) -> Accepted:
    username = settings.AFRICASTALKING_USERNAME
    url = settings.AFRICASTALKING_URL or (SANDBOX if username == "sandbox" else LIVE)
    form = {"username": username, "to": f"+{recipient}", "message": body}
    if settings.AFRICASTALKING_SENDER_ID:
        form["from"] = settings.AFRICASTALKING_SENDER_ID
    try:
        answer = requests.post(
            url,
            data=form,
            headers={"apiKey": settings.AFRICASTALKING_API_KEY, "Accept": "application/json"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
        )
    except requests.RequestException as error:
        if _never_left(error):
            raise Unreachable(f"Africa's Talking cannot be reached: {error}") from error
        raise Unclear(f"Africa's Talking did not answer: {error}") from error
    return _read(answer)


def _never_left(error: requests.RequestException) -> bool:
    """Return whether the request failed before a byte of it was sent."""
    # requests raises its complaints about a URL or a header as ValueErrors too.
    before = (requests.ConnectTimeout, requests.exceptions.ProxyError, ValueError)
    if isinstance(error, before):
        return True
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else None
    if isinstance(error, requests.exceptions.SSLError):
        return bool(reason) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, NewConnectionError)


def _read(answer: requests.Response) -> Accepted:
    """Return what Africa's Talking accepted; raise what it means when it did not."""
    code, said = answer.status_code, answer.text[:200].strip()
    if code in (401, 403, 404, 429) or 300 <= code < 400:
        raise Unreachable(f"Africa's Talking refused the request (HTTP {code}): {said}")
    if 400 <= code < 500:
        raise Rejected(f"Africa's Talking refused the message (HTTP {code}): {said}")
    if code >= 500:
        raise Unclear(f"Africa's Talking failed inside (HTTP {code}): {said}")
    try:
        outcome = answer.json()["SMSMessageData"]
        # No recipient at all means the whole request was turned down, and Message says why.
        first = (outcome["Recipients"] or [{"statusCode": 502, "status": outcome["Message"]}])[0]
        status, words = int(first["statusCode"]), str(first.get("status"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unclear(f"Africa's Talking answered oddly (HTTP {code}): {said}") from error
    if status in REFUSED:
        raise Rejected(f"Africa's Talking: {words} ({status})")
    if status not in ACCEPTED:
        raise Unclear(f"Africa's Talking: {words} ({status})")
    cost = _COST.fullmatch(str(first.get("cost")))
    return Accepted(
        provider_id=str(first.get("messageId") or "")[:100],
        cost=Decimal(cost[1]) if cost else None,
    )
