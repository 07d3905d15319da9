"""Business to customer: the loopback pays phones out of the utility account, and tells of it.

The end of the receiver's phone decides what becomes of a payment (`HABITS`); everybody else is
paid at once. One id of the lender is paid once, whatever happens.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lms.mpesa.simulator import bodies, rules
from lms.mpesa.simulator.books import Books, full_name, new_receipt, now, stamp
from lms.mpesa.simulator.rules import Turned

SHORT = ("1", "The balance is insufficient for the transaction.")
FIELDS = (
    "InitiatorName", "SecurityCredential", "CommandID", "Amount", "PartyA", "PartyB", "Remarks",
    "QueueTimeOutURL", "ResultURL",
)  # fmt: skip
SMALLEST, LARGEST = 10, 250_000


@dataclass(frozen=True)
class Habit:
    """What becomes of a payment to a phone."""

    code: str = "0"
    description: str = "The service request is processed successfully."
    results: int = 1
    times_out: bool = False
    answer: str = ""  # "html" or "500" where the lender never reads that it was taken
    odd_types: bool = False
    pays_late: bool = False
    taken: bool = True  # False: the request is lost on its way in

    @property
    def pays(self) -> bool:
        return self.code == "0" and self.taken


HABITS = {
    "20": Habit("2040", "Credit Party customer type (Unregistered or Registered Customer) can't "
                "be supported by the service."),
    "21": Habit(*SHORT),
    "22": Habit(results=0),  # paid, and nothing tells but a query
    "23": Habit(times_out=True),  # a timeout, then the result: paid
    "24": Habit("SFC_IC0003", "The operator does not exist.", results=0, times_out=True),
    "25": Habit(answer="500"),  # paid, and the answer to the request was an error
    "26": Habit(answer="html", results=0),  # paid, and neither answer nor result tells
    "27": Habit("17", "System internal error.", pays_late=True),
    "28": Habit(results=2),
    "29": Habit(odd_types=True),
    "30": Habit(answer="500", results=0, taken=False),  # never had
}  # fmt: skip


@dataclass
class Paid:
    """One request to pay a customer, and what became of it."""

    originator_id: str
    conversation_id: str
    phone: str
    amount: int
    at: datetime
    code: str | None = None
    description: str = ""
    receipt: str = ""
    times: int = 0  # how often money left for it: never more than once

    @property
    def status(self) -> str:
        if self.code is None:
            return "Initiated"
        return "Completed" if self.code == "0" else "Failed"


@dataclass
class PaidBooks:
    """Everything that was asked for, by the lender's id."""

    asked: dict[str, Paid] = field(default_factory=dict)

    def with_id(self, text: str) -> Paid | None:
        return self.asked.get(text)

    def with_receipt(self, text: str) -> Paid | None:
        return next((paid for paid in self.asked.values() if text and paid.receipt == text), None)


def check(body: dict[str, Any], *, shortcodes: tuple[str, ...], version: int) -> None:
    """Raise Turned for anything that Business to Customer would not take."""
    wanted = (*FIELDS, "OriginatorConversationID") if version == 3 else FIELDS
    rules.demand(body, wanted)
    if body["CommandID"] not in ("BusinessPayment", "SalaryPayment", "PromotionPayment"):
        raise rules.invalid("CommandID")
    if str(body["PartyA"]) not in shortcodes:
        raise rules.invalid("PartyA")
    rules.phone(body["PartyB"], "PartyB")
    if not SMALLEST <= rules.whole(body["Amount"], "Amount") <= LARGEST:
        raise rules.invalid("Amount")
    if not isinstance(body["Amount"], int):
        raise rules.invalid("Amount")
    if not 2 <= len(str(body["Remarks"])) <= 100 or len(str(body.get("Occassion", ""))) > 100:
        raise rules.invalid("Remarks")
    rules.callback_url(body["QueueTimeOutURL"], "QueueTimeOutURL")
    rules.callback_url(body["ResultURL"], "ResultURL")
    rules.credential(body["SecurityCredential"])


def take(daraja, body: dict[str, Any], *, version: int) -> dict[str, Any]:
    """Take a request to pay a customer; pay and tell of it later, as the phone's habit says."""
    check(body, shortcodes=daraja.shortcodes, version=version)
    books, habit = daraja.books, HABITS.get(str(body["PartyB"])[-2:], Habit())
    with books.lock:
        theirs = str(body.get("OriginatorConversationID") or f"{books.new_id()}-1")
        if theirs in daraja.paid.asked:
            raise Turned(500, "500.002.1001", "Duplicate OriginatorConversationID.")
        if habit.taken:
            paid = Paid(
                theirs,
                f"AG_{now():%Y%m%d}_{secrets.token_hex(10)}",
                str(body["PartyB"]),
                int(body["Amount"]),
                now(),
            )
            daraja.paid.asked[theirs] = paid
            daraja.courier.later(
                lambda: _decide(daraja, body, paid, habit), delay=daraja.callback_delay
            )
    if habit.answer == "html":
        raise rules.Page
    if habit.answer:
        raise Turned(500, "500.003.1001", "Internal Server Error")
    return {
        "ConversationID": paid.conversation_id,
        "OriginatorConversationID": theirs,
        "ResponseCode": "0",
        "ResponseDescription": "Accept the service request successfully.",
    }


def _decide(daraja, body: dict[str, Any], paid: Paid, habit: Habit) -> None:
    """Pay a customer, or not, and tell the lender."""
    ids = (paid.originator_id, paid.conversation_id)
    refusal = daraja.refusal(body, ids)
    if refusal is not None:
        paid.code = refusal["Result"]["ResultCode"]
        paid.description = refusal["Result"]["ResultDesc"]
    else:
        settle(daraja.books, paid, habit)
    if habit.times_out:
        daraja.deliver(str(body["QueueTimeOutURL"]), bodies.result(ids, code="1", description="-"))
    for _ in range(habit.results):
        made = result_of(daraja, paid, odd_types=habit.odd_types)
        daraja.deliver(str(body["ResultURL"]), made)
    if habit.pays_late:
        late = Habit()
        daraja.courier.later(lambda: _decide(daraja, body, paid, late), delay=daraja.callback_delay)


def settle(books: Books, paid: Paid, habit: Habit) -> None:
    """Pay a customer as a habit says, if the utility account has enough. Nobody is told."""
    paid.code, paid.description = habit.code, habit.description
    if habit.code == "0" and not _leaves(books, paid):
        paid.code, paid.description = SHORT


def _leaves(books: Books, paid: Paid) -> bool:
    """Take the money of a payment out of the utility account, where there is enough."""
    with books.lock:
        if books.balances()["Utility Account"] < paid.amount:
            return False
        books.paid_out += paid.amount
        paid.receipt = paid.receipt or new_receipt(books)
        paid.times += 1
        return True


def result_of(daraja, paid: Paid, *, odd_types: bool = False) -> dict[str, Any]:
    """Return the result of a payment as Safaricom posts it."""
    ids = (paid.originator_id, paid.conversation_id)
    if paid.code != "0":
        # Placeholders of failures are shared; some failures carry one parameter alone.
        values = [("BOCompletedTime", int(stamp(now())))] if odd_types else None
        return bodies.result(
            ids, code=paid.code, description=paid.description, values=values, odd_types=odd_types
        )
    balances = daraja.books.balances()
    values = [
        ("TransactionAmount", f"{paid.amount}.00" if odd_types else paid.amount),
        ("TransactionReceipt", paid.receipt),
        ("ReceiverPartyPublicName", f"{paid.phone} - {full_name(paid.phone)}"),
        ("TransactionCompletedDateTime", f"{paid.at:%d.%m.%Y %H:%M:%S}"),
        ("B2CUtilityAccountAvailableFunds", float(balances["Utility Account"])),
        ("B2CWorkingAccountAvailableFunds", float(balances["Working Account"])),
        ("B2CRecipientIsRegisteredCustomer", "Y"),
        ("B2CChargesPaidAccountAvailableFunds", float(balances["Charges Paid Account"])),
    ]
    if odd_types:
        values.reverse()
    code = "00000000" if odd_types else "0"
    body = bodies.result(ids, code=code, receipt=paid.receipt, values=values)
    if not odd_types:
        body["Result"]["ResultType"], body["Result"]["ResultCode"] = 0, 0
    return body


def status_values(paid: Paid, *, shortcode: str) -> list[tuple[str, Any]]:
    """Return the parameters of a status result of a payment to a customer."""
    return [
        ("DebitPartyName", f"{shortcode} - LENDER"),
        ("CreditPartyName", f"{paid.phone} - {full_name(paid.phone)}"),
        ("OriginatorConversationID", paid.originator_id),
        ("ConversationID", paid.conversation_id),
        ("InitiatedTime", int(stamp(paid.at))),
        ("FinalisedTime", int(stamp(paid.at)) if paid.code == "0" else None),
        ("DebitAccountType", "Utility Account"),
        ("DebitPartyCharges", "Fee For B2C Payment|KES|22.40"),
        ("TransactionReason", None),
        ("ReasonType", "Business Payment to Customer via API"),
        ("TransactionStatus", paid.status),
        ("Amount", f"{paid.amount}.00"),
        ("ReceiptNo", paid.receipt or None),
    ]


def shown(paid: Paid) -> dict[str, Any]:
    """Return a payment as `GET /_control/paid` lists it."""
    return {
        "originator_id": paid.originator_id,
        "phone": paid.phone,
        "amount": paid.amount,
        "receipt": paid.receipt,
        "status": paid.status,
        "times": paid.times,
    }
