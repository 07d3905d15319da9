"""The bodies Safaricom posts, and what a customer does with a prompt, told by the phone's end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lms.mpesa.simulator.books import Prompt, Taken, hashed, masked, name_of, stamp


@dataclass(frozen=True)
class Habit:
    """What becomes of a push to a phone. Delays are seconds on top of the usual one."""

    result_code: str = "0"
    result_desc: str = "The service request is processed successfully."
    callbacks: int = 1
    delay: float = 0
    odd_types: bool = False
    confirmation: bool = True
    pays_late: bool = False

    @property
    def pays(self) -> bool:
        return self.result_code == "0"


CANCELLED = Habit("1032", "Request Cancelled by user.")
NO_ANSWER = Habit("1037", "DS timeout user cannot be reached")
REPEATED = Habit("17", "Rule limited. Same amount to the same customer within two minutes.")
# The last two digits of the phone decide; every other customer pays at once.
HABITS = {
    "00": Habit("1", "The balance is insufficient for the transaction."),
    "01": CANCELLED,
    "02": NO_ANSWER,
    "03": Habit(callbacks=0),  # pays, and only the confirmation tells
    "04": Habit(callbacks=2),
    "05": Habit(delay=8),
    "06": Habit(odd_types=True),
    "07": Habit(NO_ANSWER.result_code, NO_ANSWER.result_desc, pays_late=True),
    "08": Habit(callbacks=0, confirmation=False),  # pays, and nothing tells but a query
}


def habit_of(phone: str) -> Habit:
    return HABITS.get(phone[-2:], Habit())


@dataclass(frozen=True)
class Answer:
    """What becomes of a question of the initiator that was accepted."""

    results: int = 1
    times_out: bool = False
    odd_types: bool = False
    html: bool = False  # not even accepted: the gateway answers a page
    status: str = "Completed"
    fails_first: bool = False  # a failure, then the success


# What `POST /_control/next` may ask for; the end of a receipt asks for the same.
ANSWERS = {
    "timeout": Answer(results=0, times_out=True),
    "drop": Answer(results=0),
    "twice": Answer(results=2),
    "odd": Answer(odd_types=True),
    "html": Answer(html=True),
    "reversed": Answer(status="Reversed"),
    "late": Answer(fails_first=True),
}
RECEIPTS = {"Q1": "timeout", "Q2": "drop", "Q3": "twice", "Q4": "html", "Q5": "odd"}


def result(
    ids: tuple[str, str],
    *,
    code: str = "0",
    description: str = "The service request is processed successfully.",
    receipt: str = "",
    values: list[tuple[str, Any]] | None = None,
    odd_types: bool = False,
) -> dict[str, Any]:
    """Return a result as Safaricom posts it; failures have no parameters.

    `ids` are those of the originator and of the conversation.
    """
    originator_id, conversation_id = ids
    numeric = int(code) if code.isdigit() else code
    body: dict[str, Any] = {
        "ResultType": 0 if odd_types else "0",
        "ResultCode": numeric if odd_types else code,
        "ResultDesc": description,
        "OriginatorConversationID": originator_id,
        "ConversationID": conversation_id,
        "TransactionID": receipt or "UAA0000000",
        "ReferenceData": {"ReferenceItem": {"Key": "Occasion"}},
    }
    if values is not None:
        items = [
            {"Key": key} if value is None else {"Key": key, "Value": value} for key, value in values
        ]
        one = items[0] if odd_types and len(items) == 1 else items
        body["ResultParameters"] = {"ResultParameter": one}
    return {"Result": body}


def balance_values(balances: dict[str, int], at: datetime) -> list[tuple[str, Any]]:
    """Return the parameters of a balance result."""
    text = "&".join(
        f"{name}|KES|{amount}.00|{amount}.00|0.00|0.00" for name, amount in balances.items()
    )
    return [("AccountBalance", text), ("BOCompletedTime", int(stamp(at)))]


def status_values(taken: Taken, *, shortcode: str, status: str) -> list[tuple[str, Any]]:
    """Return the parameters of a status result of a payment that a customer made."""
    name = " ".join(filter(None, name_of(taken.phone)))
    return [
        ("DebitPartyName", f"{taken.phone} - {name}"),
        ("CreditPartyName", f"{shortcode} - LENDER"),
        ("OriginatorConversationID", ""),
        ("InitiatedTime", int(stamp(taken.at))),
        ("FinalisedTime", int(stamp(taken.at))),
        ("DebitAccountType", "MMF Account For Customer"),
        ("DebitPartyCharges", ""),
        ("TransactionReason", None),
        ("ReasonType", "Pay Bill Online"),
        ("TransactionStatus", status),
        ("Amount", f"{taken.amount}.00"),
        ("ReceiptNo", taken.receipt),
    ]


def stk_failure(prompt: Prompt, code: str, description: str) -> dict[str, Any]:
    return {
        "Body": {
            "stkCallback": {
                "MerchantRequestID": prompt.merchant_id,
                "CheckoutRequestID": prompt.checkout_id,
                "ResultCode": int(code) if code.isdigit() else code,
                "ResultDesc": description,
            }
        }
    }


def stk_success(prompt: Prompt, taken: Taken, *, odd_types: bool) -> dict[str, Any]:
    """Return the callback of a paid push; with `odd_types`, spelt as some products spell it."""
    items = [
        {"Name": "Amount", "Value": f"{taken.amount}.00" if odd_types else taken.amount},
        {"Name": "MpesaReceiptNumber", "Value": taken.receipt},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": int(stamp(taken.at))},
        {"Name": "PhoneNumber", "Value": taken.phone if odd_types else int(taken.phone)},
    ]
    if odd_types:
        items.reverse()
    return {
        "Body": {
            "stkCallback": {
                "MerchantRequestID": prompt.merchant_id,
                "CheckoutRequestID": prompt.checkout_id,
                "ResultCode": "00000000" if odd_types else 0,
                "ResultDesc": "The service request is processed successfully.",
                "CallbackMetadata": {"Item": items},
            }
        }
    }


def c2b(taken: Taken, *, shortcode: str, version: int, balance: int | None) -> dict[str, str]:
    """Return a validation (no balance yet) or confirmation, all texts."""
    first, middle, last = name_of(taken.phone)
    return {
        "TransactionType": "Pay Bill",
        "TransID": taken.receipt,
        "TransTime": stamp(taken.at),
        "TransAmount": f"{taken.amount}.00",
        "BusinessShortCode": shortcode,
        "BillRefNumber": taken.account,
        "InvoiceNumber": "",
        "OrgAccountBalance": "" if balance is None else f"{balance}.00",
        "ThirdPartyTransID": "",
        "MSISDN": hashed(taken.phone) if version == 1 else masked(taken.phone),
        "FirstName": first,
        "MiddleName": middle,
        "LastName": last,
    }
