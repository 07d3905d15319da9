"""What Daraja's callback bodies say, believed only where every part has the right shape.

Pure: no Django, no clock, no database. A body that is not exactly what Safaricom documents (or
is known to send) raises MalformedCallback; unknown extra fields are ignored.
Source: Daraja 3.0, "M-Pesa Express" and "Customer to Business".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from lms import phones
from lms.dates import EAT

RECEIPT = re.compile(r"[A-Z0-9]{6,20}")
AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,4})?")
LARGEST = Decimal(1_000_000_000)
CENT = Decimal("0.01")
ACCOUNT_LENGTH = 40
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,32}")
_DIGITS = re.compile(r"[0-9]{1,20}")
_MOMENT = re.compile(r"[0-9]{14}")
_FIRST_YEAR, _LAST_YEAR = 2007, 2099  # M-Pesa opened in March 2007


class MalformedCallback(ValueError):
    """The body is not what Safaricom sends. `field` names the part at fault, where there is one."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True)
class StkResult:
    """What became of one STK push. Amount and receipt are there exactly when it succeeded."""

    merchant_request_id: str
    checkout_request_id: str
    success: bool
    result_code: str
    result_desc: str
    amount: Decimal | None = None
    receipt: str | None = None
    phone: str = ""
    paid_at: datetime | None = None


@dataclass(frozen=True)
class C2bPayment:
    """A payment that a customer makes (validation) or has made (confirmation) to the paybill."""

    receipt: str
    amount: Decimal
    account: str
    at: datetime | None
    shortcode: str
    msisdn: str
    payer_name: str


def read_object(body: bytes | str) -> dict[str, Any]:
    """Return the JSON object in the body; its fractions are Decimal.

    Raises MalformedCallback for anything else: other encodings than UTF-8, NaN and Infinity,
    a name given twice, nesting too deep to read, an array where the object should be.
    """
    try:
        text = body if isinstance(body, str) else body.decode("utf-8-sig")
        found = json.loads(
            text,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_refuse_twins,
        )
    except MalformedCallback:
        raise
    except RecursionError:
        raise MalformedCallback("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise MalformedCallback("The body is not UTF-8 text.") from None
    except (ValueError, ArithmeticError):
        raise MalformedCallback("The body is not JSON.") from None
    return _object(found, "body")


def parse_stk(body: bytes | str) -> StkResult:
    """Return what an STK callback says. Raises MalformedCallback."""
    callback = _object(
        _object(read_object(body).get("Body"), "Body").get("stkCallback"), "Body.stkCallback"
    )
    result_code = code(callback.get("ResultCode"))
    success = is_success(result_code)
    result = {
        "merchant_request_id": clean(callback.get("MerchantRequestID"), 100),
        "checkout_request_id": _identifier(callback.get("CheckoutRequestID"), "CheckoutRequestID"),
        "success": success,
        "result_code": result_code,
        "result_desc": clean(callback.get("ResultDesc"), 200),
    }
    if not success:
        return StkResult(**result)
    items = _items(callback.get("CallbackMetadata"))
    return StkResult(
        **result,
        amount=amount(items.get("Amount"), "Amount"),
        receipt=receipt(items.get("MpesaReceiptNumber"), "MpesaReceiptNumber"),
        phone=clean(items.get("PhoneNumber"), 64),
        paid_at=moment(items.get("TransactionDate"), "TransactionDate"),
    )


def parse_c2b(body: bytes | str) -> C2bPayment:
    """Return what a C2B validation or confirmation says. Raises MalformedCallback."""
    payment = read_object(body)
    shortcode = _text(payment.get("BusinessShortCode"), "BusinessShortCode")
    if not _DIGITS.fullmatch(shortcode):
        raise MalformedCallback("BusinessShortCode is not a number.", "BusinessShortCode")
    names = (clean(payment.get(name), 60) for name in ("FirstName", "MiddleName", "LastName"))
    return C2bPayment(
        receipt=receipt(payment.get("TransID"), "TransID"),
        amount=amount(payment.get("TransAmount"), "TransAmount"),
        account=account(payment.get("BillRefNumber")),
        at=moment(payment.get("TransTime"), "TransTime"),
        shortcode=shortcode,
        msisdn=clean(payment.get("MSISDN"), 64),
        payer_name=" ".join(name for name in names if name)[:120],
    )


def is_phone_of(msisdn: str, *, phone: str) -> bool:
    """Tell whether what a confirmation says of the payer can be this phone.

    Safaricom sends the plain number, its SHA-256 (version 1) or a masked form (version 2).
    """
    said = msisdn.replace(" ", "").lower()
    if said in (phone, phones.hashed(phone)):
        return True
    head, star, _ = said.partition("*")
    tail = said.rpartition("*")[2]
    return bool(star) and len(head + tail) >= 6 and phone.startswith(head) and phone.endswith(tail)


def is_success(result_code: str) -> bool:
    """Tell whether a result code, as text, means success: zeros only ("0", "00000000")."""
    return result_code != "" and result_code.strip("0") == ""


def code(value: Any, name: str = "ResultCode") -> str:
    """Return a result code as text. Raises MalformedCallback for a boolean, null or fraction."""
    text = _text(value, name)
    if not _CODE.fullmatch(text):
        raise MalformedCallback(f"{name} is not a result code.", name)
    return text


def amount(value: Any, name: str) -> Decimal:
    """Return an amount in KES, above zero and in whole cents. Raises MalformedCallback."""
    if isinstance(value, str) and AMOUNT.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise MalformedCallback(f"{name} is not an amount.", name)
    if not 0 < value < LARGEST:
        raise MalformedCallback(f"{name} is out of range.", name)
    exact = Decimal(value).quantize(CENT)
    if exact != value:
        raise MalformedCallback(f"{name} has parts of a cent.", name)
    return exact


def receipt(value: Any, name: str) -> str:
    """Return an M-Pesa receipt number in capitals. Raises MalformedCallback."""
    if not isinstance(value, str) or not RECEIPT.fullmatch(value.strip().upper()):
        raise MalformedCallback(f"{name} is not an M-Pesa receipt.", name)
    return value.strip().upper()


def moment(value: Any, name: str) -> datetime | None:
    """Return a Daraja time (YYYYMMDDHHMMSS, East Africa Time), or None where there is none.

    Raises MalformedCallback for anything else and for years in which M-Pesa did not exist.
    """
    if value is None or value == "":
        return None
    text = _text(value, name)
    if not _MOMENT.fullmatch(text):
        raise MalformedCallback(f"{name} is not a time.", name)
    try:
        found = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=EAT)
    except ValueError:
        raise MalformedCallback(f"{name} is not a time.", name) from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise MalformedCallback(f"{name} is out of range.", name)
    return found


def account(value: Any) -> str:
    """Return the account number as the payer typed it.

    One that is too long ends in "…": cut short it might name someone else's loan.
    """
    text = clean(value, 1000)
    return text if len(text) <= ACCOUNT_LENGTH else f"{text[: ACCOUNT_LENGTH - 1]}…"


def clean(value: Any, length: int) -> str:
    """Return a text or number as one printable line of at most `length` characters, else "".

    Control characters, NUL and lone surrogates, which no database or log should meet, become
    spaces.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    if isinstance(value, int) and abs(value) >= 10**30:
        return ""
    printable = "".join(mark if mark.isprintable() else " " for mark in str(value)[:5000])
    return " ".join(printable.split())[:length]


def _items(metadata: Any) -> dict[str, Any]:
    """Return CallbackMetadata by name. An item may lack its Value (Balance does)."""
    listed = _object(metadata, "CallbackMetadata").get("Item")
    if not isinstance(listed, list):
        raise MalformedCallback("CallbackMetadata.Item is not a list.", "Item")
    items: dict[str, Any] = {}
    for item in listed:
        name = _object(item, "Item").get("Name")
        if not isinstance(name, str):
            raise MalformedCallback("An item has no name.", "Item")
        if name in items:
            raise MalformedCallback("An item is there twice.", "Item")
        items[name] = item.get("Value")
    return items


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise MalformedCallback(f"{name} is not an object.", name)
    return value


def _text(value: Any, name: str) -> str:
    """Return a JSON text or whole number as text. Raises MalformedCallback for the rest."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise MalformedCallback(f"{name} is missing or of the wrong type.", name)
    if isinstance(value, int) and abs(value) >= 10**30:
        raise MalformedCallback(f"{name} is out of range.", name)
    return str(value).strip()


def _identifier(value: Any, name: str) -> str:
    text = _text(value, name)
    if not _IDENTIFIER.fullmatch(text):
        raise MalformedCallback(f"{name} is not an identifier.", name)
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedCallback(f"The body holds {name}, which is not JSON.")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedCallback("The body gives a name twice.")
    return found
