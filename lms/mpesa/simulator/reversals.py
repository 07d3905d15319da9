"""Reversals: the loopback Safaricom gives a payment back to its customer, once."""

from typing import TYPE_CHECKING, Any

from lms.mpesa.simulator import bodies, rules
from lms.mpesa.simulator.books import Taken, name_of, now, stamp
from lms.mpesa.simulator.rules import invalid

if TYPE_CHECKING:
    from lms.mpesa.simulator.server import Simulator

PATH = "/mpesa/reversal/v1/request"
FIELDS = (
    "Initiator", "SecurityCredential", "CommandID", "TransactionID", "Amount", "ReceiverParty",
    "RecieverIdentifierType", "ResultURL", "QueueTimeOutURL", "Remarks",
)  # fmt: skip
ALREADY = ("R000001", "The transaction has already been reversed.")
UNKNOWN = ("R000002", "The OriginalTransactionID is invalid.")


def reverse(daraja: "Simulator", body: dict[str, Any]) -> dict[str, Any]:
    """Take a request to send a payment back, and post what became of it.

    One that times out was not worked on; one whose result is dropped was.
    """
    rules.demand(body, FIELDS)
    if str(body["ReceiverParty"]) != daraja.shortcode:
        raise invalid("ReceiverParty")
    if str(body["RecieverIdentifierType"]) != "11":
        raise invalid("RecieverIdentifierType")
    receipt = str(body["TransactionID"])
    if not rules.RECEIPT.fullmatch(receipt):
        raise invalid("TransactionID")
    amount = rules.whole(body["Amount"], "Amount")
    rules.initiated(body, command="TransactionReversal")

    def work(ids: tuple[str, str], answer: bodies.Answer) -> dict[str, Any]:
        if refusal := daraja.refusal(body, ids):
            return refusal
        with daraja.books.lock:
            taken = daraja.books.taken_with(receipt)
            if taken is None or taken.amount != amount:
                return bodies.result(ids, code=UNKNOWN[0], description=UNKNOWN[1])
            made = daraja.books.send_back(receipt)
        if made is None:
            return bodies.result(ids, code=ALREADY[0], description=ALREADY[1])
        values = _values(taken, shortcode=daraja.shortcode, odd_types=answer.odd_types)
        return bodies.result(ids, receipt=made, values=values, odd_types=answer.odd_types)

    return daraja.answer_later(body, work)


def _values(taken: Taken, *, shortcode: str, odd_types: bool) -> list[tuple[str, Any]]:
    """Return the parameters of the result of a reversal that worked."""
    name = " ".join(filter(None, name_of(taken.phone)))
    moment = stamp(now())
    return [
        ("DebitAccountBalance", "Utility Account|KES|51661.00|51661.00|0.00|0.00"),
        ("Amount", taken.amount if odd_types else f"{taken.amount}.00"),
        ("TransCompletedTime", int(moment) if odd_types else moment),
        ("OriginalTransactionID", taken.receipt),
        ("Charge", 0),
        ("CreditPartyPublicName", f"{taken.phone} - {name}"),
        ("DebitPartyPublicName", f"{shortcode} - LENDER"),
    ]
