"""Pull transactions: the loopback Safaricom tells what customers paid in the last 48 hours."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from lms.mpesa.simulator import rules
from lms.mpesa.simulator.books import EAT, Taken, masked, name_of, now
from lms.mpesa.simulator.rules import Page, Turned, invalid

if TYPE_CHECKING:
    from lms.mpesa.simulator.server import Simulator

REACHES_BACK = timedelta(hours=48)
PAGE = 100
REGISTER_FIELDS = ("ShortCode", "RequestType", "NominatedNumber", "CallBackURL")
QUERY_FIELDS = ("ShortCode", "StartDate", "EndDate", "OffSetValue")


def doors(daraja: "Simulator") -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """Return what each path does; unlike all others they do not begin with /mpesa."""
    return {
        "/pulltransactions/v1/register": partial(register, daraja),
        "/pulltransactions/v1/query": partial(query, daraja),
    }


def register(daraja: "Simulator", body: dict[str, Any]) -> dict[str, Any]:
    """Nominate a phone for pulling; the second time it says that this was done."""
    rules.demand(body, REGISTER_FIELDS)
    _shortcode(daraja, body)
    if body["RequestType"] != "Pull":
        raise invalid("RequestType")
    number = rules.phone(body["NominatedNumber"], "NominatedNumber")
    rules.callback_url(body["CallBackURL"], "CallBackURL")
    with daraja.books.lock:
        before, daraja.books.puller = daraja.books.puller, number
    return {
        "ResponseRefID": daraja.books.new_id(),
        "Response Status": "1001" if before else "1000",
        "ShortCode": daraja.shortcode,
        "ResponseDescription": "Already registered" if before else "Registered",
    }


def query(daraja: "Simulator", body: dict[str, Any]) -> dict[str, Any]:
    """Tell a page of what customers paid in a window, oldest first."""
    rules.demand(body, QUERY_FIELDS)
    _shortcode(daraja, body)
    since, until = _moment(body, "StartDate"), _moment(body, "EndDate")
    if since > until:
        raise invalid("EndDate")
    offset = str(body["OffSetValue"])
    if not (offset.isascii() and offset.isdigit()):
        raise invalid("OffSetValue")
    if not daraja.books.puller:
        raise Turned(400, "400.003.02", "The short code is not registered for pull")
    script = daraja.next_script()
    if script == "html":
        raise Page
    if script == "timeout":
        raise Turned(500, "500.003.02", "System is busy. Please try again in few minutes.")
    is_odd = script == "odd"
    found = [
        _row(taken, is_odd=is_odd)
        for taken in daraja.took
        if since <= taken.at.replace(microsecond=0) <= until and now() - taken.at < REACHES_BACK
    ]
    rows = [] if script == "drop" else found[int(offset) : int(offset) + PAGE]
    if script == "twice":
        rows = [row for row in rows for _ in range(2)]
    return {
        "ResponseRefID": daraja.books.new_id(),
        "ResponseCode": (1000 if is_odd else "1000") if rows else "1001",
        "ResponseMessage": "Success" if rows else "No transactions",
        "Response": rows if is_odd else [rows],
    }


def _row(taken: Taken, *, is_odd: bool) -> dict[str, Any]:
    return {
        "transactionId": taken.receipt.lower() if is_odd else taken.receipt,
        "trxDate": f"{taken.at:%Y-%m-%dT%H:%M:%S}Z",  # Kenya's clock, whatever the letter says
        "msisdn": int(taken.phone) if is_odd else masked(taken.phone),
        "sender": " ".join(filter(None, name_of(taken.phone))),
        "transactiontype": "c2b-pay-bill-debit",
        "billreference": taken.account,
        "amount": taken.amount if is_odd else f"{taken.amount}.00",
        "organizationname": "LENDER",
    }


def _shortcode(daraja: "Simulator", body: dict[str, Any]) -> None:
    if str(body["ShortCode"]) != daraja.shortcode:
        raise invalid("ShortCode")


def _moment(body: dict[str, Any], field: str) -> datetime:
    try:
        return datetime.strptime(str(body[field]), "%Y-%m-%d %H:%M:%S").replace(tzinfo=EAT)
    except ValueError:
        raise invalid(field) from None
