"""What Daraja demands of a request, and the error object it answers when it gets less."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

PHONE = re.compile(r"254[17][0-9]{8}")
RECEIPT = re.compile(r"[A-Z0-9]{8,12}")
BANNED_WORDS = ("mpesa", "m-pesa", "safaricom", "exe", "exec", "cmd", "sql", "query")
SMALLEST, LARGEST = 1, 250_000
STK_FIELDS = (
    "BusinessShortCode", "Password", "Timestamp", "TransactionType", "Amount", "PartyA", "PartyB",
    "PhoneNumber", "CallBackURL", "AccountReference",
)  # fmt: skip
QUERY_FIELDS = ("BusinessShortCode", "Password", "Timestamp", "CheckoutRequestID")
SIMULATE_FIELDS = ("ShortCode", "CommandID", "Amount", "Msisdn", "BillRefNumber")
BALANCE_FIELDS = (
    "Initiator", "SecurityCredential", "CommandID", "PartyA", "IdentifierType", "Remarks",
    "QueueTimeOutURL", "ResultURL",
)  # fmt: skip
STATUS_FIELDS = BALANCE_FIELDS
CREDENTIAL_LENGTHS = (172, 344, 684)  # base64 of what a key of 1024, 2048 or 4096 bits makes
REGISTER_FIELDS = ("ShortCode", "ResponseType", "ConfirmationURL", "ValidationURL")


class Turned(Exception):
    """Daraja turns a request away with an HTTP status and its error object."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Page(Exception):
    """The gateway answers an HTML page in place of Daraja."""


def invalid(field: str) -> Turned:
    return Turned(400, "400.002.02", f"Bad Request - Invalid {field}")


def demand(body: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    """Raise Turned unless every field is there and holds a text or whole number."""
    for name in fields:
        value = body.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise invalid(name)


def whole(value: Any, field: str) -> int:
    """Return an amount in whole KES within the limits of one payment. Raises Turned."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not SMALLEST <= value <= LARGEST:
        raise invalid(field)
    return value


def phone(value: Any, field: str) -> str:
    if not PHONE.fullmatch(str(value)):
        raise invalid(field)
    return str(value)


def callback_url(value: Any, field: str) -> str:
    """Return an address that Safaricom would post to. Raises Turned."""
    parts = urlsplit(str(value))
    words = f"{parts.netloc}{parts.path}".lower()
    if parts.scheme not in ("http", "https") or not parts.netloc or re.search(r"\s", str(value)):
        raise invalid(field)
    if any(word in words for word in BANNED_WORDS):
        raise invalid(field)
    return str(value)


def signature(body: Mapping[str, Any], *, shortcode: str, passkey: str) -> None:
    """Raise Turned unless Password is made of shortcode, passkey and this very Timestamp."""
    if str(body["BusinessShortCode"]) != shortcode:
        raise invalid("BusinessShortCode")
    timestamp = str(body["Timestamp"])
    try:
        datetime.strptime(timestamp, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only its shape matters
    except ValueError:
        raise invalid("Timestamp") from None
    right = base64.b64encode(f"{shortcode}{passkey}{timestamp}".encode()).decode()
    if body["Password"] != right:
        raise Turned(500, "500.001.1001", "Wrong credentials")


def stk_push(body: Mapping[str, Any], *, shortcode: str, passkey: str) -> None:
    """Raise Turned for anything that M-Pesa Express would not take."""
    demand(body, STK_FIELDS)
    signature(body, shortcode=shortcode, passkey=passkey)
    if body["TransactionType"] != "CustomerPayBillOnline":
        raise invalid("TransactionType")
    whole(body["Amount"], "Amount")
    if phone(body["PartyA"], "PartyA") != phone(body["PhoneNumber"], "PhoneNumber"):
        raise invalid("PhoneNumber")
    if str(body["PartyB"]) != shortcode:
        raise invalid("PartyB")
    callback_url(body["CallBackURL"], "CallBackURL")
    if len(str(body["AccountReference"])) > 12:
        raise invalid("AccountReference")
    if len(str(body.get("TransactionDesc", ""))) > 13:
        raise invalid("TransactionDesc")


def account_balance(body: Mapping[str, Any], *, shortcodes: tuple[str, ...]) -> None:
    """Raise Turned for anything that Account Balance would not take."""
    _initiated(body, BALANCE_FIELDS, command="AccountBalance", shortcodes=shortcodes)


def transaction_status(body: Mapping[str, Any], *, shortcodes: tuple[str, ...]) -> None:
    """Raise Turned for anything that Transaction Status would not take."""
    _initiated(body, STATUS_FIELDS, command="TransactionStatusQuery", shortcodes=shortcodes)
    named = body.get("OriginalConversationID") or body.get("OriginatorConversationID")
    if not named and not RECEIPT.fullmatch(str(body.get("TransactionID", ""))):
        raise invalid("TransactionID")


def _initiated(
    body: Mapping[str, Any], fields: tuple[str, ...], *, command: str, shortcodes: tuple[str, ...]
) -> None:
    """Raise Turned unless a question of the initiator about a shortcode is well formed."""
    demand(body, fields)
    if str(body["PartyA"]) not in shortcodes:
        raise invalid("PartyA")
    if str(body["IdentifierType"]) not in ("2", "4"):
        raise invalid("IdentifierType")
    initiated(body, command=command)


def initiated(body: Mapping[str, Any], *, command: str) -> None:
    """Raise Turned unless what every request of the initiator has is well formed.

    Whether the credential is right turns out later, in the result (2001).
    """
    if body["CommandID"] != command:
        raise invalid("CommandID")
    if not 2 <= len(str(body["Remarks"])) <= 100:
        raise invalid("Remarks")
    if len(str(body.get("Occasion", ""))) > 100:
        raise invalid("Occasion")
    callback_url(body["QueueTimeOutURL"], "QueueTimeOutURL")
    callback_url(body["ResultURL"], "ResultURL")
    credential(body["SecurityCredential"])


def credential(value: Any) -> None:
    """Raise Turned unless a SecurityCredential has the shape of one."""
    try:
        base64.b64decode(str(value), validate=True)
    except ValueError:
        raise invalid("SecurityCredential") from None
    if len(str(value)) not in CREDENTIAL_LENGTHS:
        raise invalid("SecurityCredential")
