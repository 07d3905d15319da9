"""What the results say that Safaricom posts after a question: balances, and one payment's fate.

Pure: no Django, no clock, no database. Tolerant of the shapes Safaricom is known to send (codes
as numbers or padded texts, one object for a list, parts missing); what cannot be believed raises
MalformedCallback. Source: Daraja 3.0, "Account Balance" and "Transaction Status".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from lms.mpesa.callbacks import (
    AMOUNT,
    CENT,
    MalformedCallback,
    amount,
    clean,
    code,
    is_success,
    moment,
    read_object,
    receipt,
)

LARGEST_BALANCE = Decimal(100_000_000_000)
MOST_ACCOUNTS = 50
PARTS = ("current", "available", "reserved", "uncleared")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_PARTY = re.compile(r"\s*([0-9]{4,12})\b")


@dataclass(frozen=True)
class Result:
    """The envelope of every result. `values` has each parameter by name, as often as it came."""

    conversation_id: str
    originator_id: str
    result_code: str
    result_desc: str
    values: Mapping[str, list[Any]] = field(default_factory=dict)
    transaction_id: str = ""

    @property
    def success(self) -> bool:
        return is_success(self.result_code)

    def one(self, name: str) -> Any:
        """Return the value of a parameter, None where there is none.

        Raises MalformedCallback when it is there twice and differs.
        """
        found = self.values.get(name, [])
        if any(value != found[0] or type(value) is not type(found[0]) for value in found):
            raise MalformedCallback(f"{name} is there twice.", name)
        return found[0] if found else None


@dataclass(frozen=True)
class Held:
    """What one M-Pesa account holds, in KES; None where Safaricom leaves a part empty."""

    account: str
    current: Decimal
    available: Decimal | None = None
    reserved: Decimal | None = None
    uncleared: Decimal | None = None


class Standing(StrEnum):
    """What the status of a payment means."""

    COMPLETED = "completed"
    FAILED = "failed"
    PENDING = "pending"
    UNKNOWN = "unknown"


STANDINGS = {
    "completed": Standing.COMPLETED,
    "failed": Standing.FAILED,
    "cancelled": Standing.FAILED,
    "declined": Standing.FAILED,
    "expired": Standing.FAILED,
    "reversed": Standing.FAILED,
    "initiated": Standing.PENDING,
    "authorized": Standing.PENDING,
    "pending authorized": Standing.PENDING,
}


@dataclass(frozen=True)
class Found:
    """What Safaricom knows of one payment. Parties are texts like "254708374149 - JOHN DOE"."""

    receipt: str
    status: str
    standing: Standing
    amount: Decimal | None
    payer: str
    payee: str
    paid_at: datetime | None


def parse_result(body: bytes | str) -> Result:
    """Return what a result or timeout says, wrapped in Result or flat. Raises MalformedCallback.

    A timeout may lack its code, which is "" then; some id is always there.
    """
    found = read_object(body)
    inner = found.get("Result", found)
    if not isinstance(inner, Mapping):
        raise MalformedCallback("Result is not an object.", "Result")
    conversation_id = _identifier(inner.get("ConversationID"), "ConversationID")
    originator_id = _identifier(inner.get("OriginatorConversationID"), "OriginatorConversationID")
    if not conversation_id and not originator_id:
        raise MalformedCallback("Neither conversation ID is there.", "ConversationID")
    given = inner.get("ResultCode")
    return Result(
        conversation_id=conversation_id,
        originator_id=originator_id,
        result_code="" if given is None else code(given),
        result_desc=clean(inner.get("ResultDesc"), 200),
        values=_values(inner.get("ResultParameters")),
        transaction_id=clean(inner.get("TransactionID"), 20),
    )


def balances_of(result: Result) -> list[Held]:
    """Return what each account holds, by name. Raises MalformedCallback.

    The text is accounts joined by "&", each "Name|KES|current|available|reserved|uncleared";
    later parts may be empty or missing. An account without a figure is left out.
    """
    text = result.one("AccountBalance")
    if not isinstance(text, str) or not text.strip():
        raise MalformedCallback("AccountBalance is missing.", "AccountBalance")
    held: dict[str, Held] = {}
    for piece in text.split("&"):
        if not piece.strip():
            continue
        one = _held(piece)
        if one is not None and held.setdefault(one.account, one) != one:
            raise MalformedCallback(f"{one.account} is there twice.", "AccountBalance")
    if not held or len(held) > MOST_ACCOUNTS:
        raise MalformedCallback("AccountBalance names no account.", "AccountBalance")
    return [held[name] for name in sorted(held)]


def completed_at(result: Result) -> datetime | None:
    """Return when Safaricom finished its work, or None where it does not say so readably."""
    try:
        return moment(result.one("BOCompletedTime"), "BOCompletedTime")
    except MalformedCallback:
        return None


def payment_of(result: Result) -> Found:
    """Return what Safaricom knows of the payment that was asked about. Raises MalformedCallback."""
    status = clean(result.one("TransactionStatus"), 30)
    if not status:
        raise MalformedCallback("TransactionStatus is missing.", "TransactionStatus")
    standing = STANDINGS.get(status.lower(), Standing.UNKNOWN)
    # The documented sample names the debit party twice, the second time for the credit party.
    debit = result.values.get("DebitPartyName", [])
    credit = result.values.get("CreditPartyName") or debit[1:]
    given = result.one("Amount")
    has_amount = (given is not None and given != "") or standing == Standing.COMPLETED
    return Found(
        receipt=receipt(result.one("ReceiptNo"), "ReceiptNo"),
        status=status,
        standing=standing,
        amount=amount(given, "Amount") if has_amount else None,
        payer=clean(debit[0], 120) if debit else "",
        payee=clean(credit[0], 120) if credit else "",
        paid_at=moment(result.one("FinalisedTime"), "FinalisedTime")
        or moment(result.one("InitiatedTime"), "InitiatedTime"),
    )


@dataclass(frozen=True)
class PaidOut:
    """What a result says of a payment that succeeded. `receiver` is "254708374149 - JOHN DOE"."""

    receipt: str
    amount: Decimal
    receiver: str
    paid_at: datetime | None


def payout_of(result: Result) -> PaidOut:
    """Return what the result of a payout that succeeded says of it. Raises MalformedCallback."""
    return PaidOut(
        receipt=receipt(
            result.one("TransactionReceipt") or result.transaction_id, "TransactionReceipt"
        ),
        amount=amount(result.one("TransactionAmount"), "TransactionAmount"),
        receiver=clean(result.one("ReceiverPartyPublicName"), 120),
        paid_at=_completed(result.one("TransactionCompletedDateTime")),
    )


def fate_of(result: Result) -> Found:
    """Return what Safaricom knows of a payout that was asked about. Raises MalformedCallback.

    As `payment_of`, but a payout that did not succeed may have no receipt, and none that counts.
    """
    status = clean(result.one("TransactionStatus"), 30)
    if STANDINGS.get(status.lower()) == Standing.COMPLETED:
        return payment_of(result)
    if not status:
        raise MalformedCallback("TransactionStatus is missing.", "TransactionStatus")
    return Found(
        receipt="",
        status=status,
        standing=STANDINGS.get(status.lower(), Standing.UNKNOWN),
        amount=None,
        payer="",
        payee="",
        paid_at=None,
    )


def _completed(value: Any) -> datetime | None:
    """Return a time written "06.07.2024 22:48:52" (East Africa Time), or None for anything else."""
    digits = re.fullmatch(r"(\d{2})\.(\d{2})\.(\d{4}) (\d{2}):(\d{2}):(\d{2})", str(value).strip())
    if digits is None:
        return None
    day, month, year, *clock = digits.groups()
    try:
        return moment(year + month + day + "".join(clock), "TransactionCompletedDateTime")
    except MalformedCallback:
        return None


def number_of(party: str) -> str:
    """Return the phone or shortcode that a party's text begins with, or ""."""
    found = _PARTY.match(party)
    return found[1] if found else ""


def name_of(party: str) -> str:
    """Return the name behind the number in a party's text ("254708374149 - JOHN DOE")."""
    return party.partition(" - ")[2].strip()


def _held(piece: str) -> Held | None:
    name, *rest = (part.strip() for part in piece.split("|"))
    account = clean(name, 60)
    if not account or len(rest) < 2:
        raise MalformedCallback("AccountBalance is not written as accounts are.", "AccountBalance")
    if rest[0] != "KES":
        raise MalformedCallback(f"{account} is not in KES.", "AccountBalance")
    figures = dict(zip(PARTS, (_figure(part) for part in rest[1:]), strict=False))
    current = figures.pop("current")
    if current is None:
        current = figures.get("available")
    return None if current is None else Held(account, current, **figures)


def _figure(text: str) -> Decimal | None:
    """Return a balance, which may be below zero, or None for an empty part."""
    if text == "":
        return None
    sign = -1 if text.startswith("-") else 1
    digits = text.removeprefix("-")
    if not AMOUNT.fullmatch(digits) or Decimal(digits) >= LARGEST_BALANCE:
        raise MalformedCallback("AccountBalance holds what is no amount.", "AccountBalance")
    exact = Decimal(digits).quantize(CENT)
    if exact != Decimal(digits):
        raise MalformedCallback("AccountBalance has parts of a cent.", "AccountBalance")
    return sign * exact if exact else exact


def _values(parameters: Any) -> dict[str, list[Any]]:
    """Return ResultParameters by name: a list, or one object alone; a Value may be missing."""
    if parameters is None or parameters == "":
        return {}
    if not isinstance(parameters, Mapping):
        raise MalformedCallback("ResultParameters is not an object.", "ResultParameters")
    listed = parameters.get("ResultParameter")
    if listed is None or listed == "":
        return {}
    values: dict[str, list[Any]] = {}
    items = [listed] if isinstance(listed, Mapping) else listed
    if not isinstance(items, list):
        raise MalformedCallback("ResultParameter is not a list.", "ResultParameter")
    for item in items:
        if not isinstance(item, Mapping) or not isinstance(item.get("Key"), str):
            raise MalformedCallback("A result parameter has no name.", "ResultParameter")
        values.setdefault(item["Key"].strip(), []).append(item.get("Value"))
    return values


def _identifier(value: Any, name: str) -> str:
    """Return an id as text, "" where it is missing. Raises MalformedCallback for anything else."""
    if value is None or value == "":
        return ""
    text = str(value).strip() if isinstance(value, str | int) else ""
    if isinstance(value, bool) or not _IDENTIFIER.fullmatch(text):
        raise MalformedCallback(f"{name} is not an identifier.", name)
    return text
