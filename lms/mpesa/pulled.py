"""What a pull tells of payments: rows nested in lists or not, each a customer's payment.

Pure: no Django, no clock, no database. What cannot be believed raises MalformedCallback.
Source: Daraja 3.0, "Pull Transactions".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from lms.mpesa.callbacks import (
    MalformedCallback,
    account,
    amount,
    clean,
    moment,
    read_object,
    receipt,
)

DEEPEST = 4  # lists inside lists
MOST_ROWS = 1000  # in one page
_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", re.ASCII)


@dataclass(frozen=True)
class PulledPayment:
    """A payment of a customer to the paybill, as a pull or its notification tells it."""

    receipt: str
    amount: Decimal
    account: str
    at: datetime | None
    msisdn: str
    payer_name: str


def rows_of(answer: Mapping[str, Any]) -> list[Any]:
    """Return the rows in an answer or notification, in whatever lists they lie; maybe none.

    A row may turn out to be no payment at all. Raises MalformedCallback for more than a page.
    """
    given = answer.get("Response")
    if given is None and "transactionId" in answer:
        return [answer]
    rows: list[Any] = []
    _gather(given, rows, depth=0)
    return rows


def _gather(given: Any, rows: list[Any], *, depth: int) -> None:
    if given is None or given == "":
        return
    if not isinstance(given, list):
        rows.append(given)
    elif depth == DEEPEST:
        raise MalformedCallback("Response is nested too deeply.", "Response")
    else:
        for each in given:
            _gather(each, rows, depth=depth + 1)
    if len(rows) > MOST_ROWS:
        raise MalformedCallback("Response is longer than a page.", "Response")


def receipt_of(row: Any) -> str:
    """Return the receipt of a row, or "" where it has none that can be believed."""
    try:
        return receipt(row.get("transactionId"), "transactionId") if _is_object(row) else ""
    except MalformedCallback:
        return ""


def body_of(row: Any) -> bytes:
    """Return a row as the JSON that is kept of it, byte for byte the same each time."""
    return json.dumps(row, default=str, sort_keys=True).encode()


def payment_of(row: Any) -> PulledPayment:
    """Return the payment that a row tells of. Raises MalformedCallback."""
    if not _is_object(row):
        raise MalformedCallback("A row is not an object.", "Response")
    kind = clean(row.get("transactiontype"), 60).lower()
    if kind and (not kind.startswith("c2b") or "revers" in kind):
        raise MalformedCallback(f"“{kind}” is no payment to us.", "transactiontype")
    return PulledPayment(
        receipt=receipt(row.get("transactionId"), "transactionId"),
        amount=amount(row.get("amount"), "amount"),
        account=account(row.get("billreference")),
        at=_at(row.get("trxDate")),
        msisdn=clean(row.get("msisdn"), 64),
        payer_name=clean(row.get("sender"), 120),
    )


def parse_pulled(body: bytes | str) -> PulledPayment:
    """Return the payment in the kept JSON of one row. Raises MalformedCallback."""
    return payment_of(read_object(body))


def parse_notice(body: bytes | str) -> list[Any]:
    """Return the rows that a notification carries, maybe none. Raises MalformedCallback."""
    return rows_of(read_object(body))


def _is_object(row: Any) -> bool:
    return isinstance(row, Mapping)


def _at(value: Any) -> datetime | None:
    """Return when a payment was made, or None where it cannot be read: its day is not worth it.

    The digits are those of Kenya's clocks, whatever zone they claim.
    """
    text = clean(value, 40)
    try:
        found = _MOMENT.match(text)
        return moment("".join(found.groups()) if found else text, "trxDate")
    except MalformedCallback:
        return None
