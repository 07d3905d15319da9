"""Safaricom's STK result codes in plain words, and what to tell the customer.

Pure: no Django. Source: Daraja 3.0, "M-Pesa Express", result codes; the codes that only
developers report are marked.
"""

from dataclasses import dataclass
from enum import StrEnum

from lms.mpesa.callbacks import is_success


class Fate(StrEnum):
    """What a result code means for the push."""

    PAID = "paid"
    PENDING = "pending"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


@dataclass(frozen=True)
class Explanation:
    """A code in plain words: what happened and what to say to the customer."""

    meaning: str
    advice: str
    fate: Fate = Fate.FAILED


_OFFICE = "Tell the customer it is not their fault. Report it to head office: a setting is wrong."
_AGAIN = "Ask the customer to wait a minute, then send the request again."

EXPLANATIONS: dict[str, Explanation] = {
    "0": Explanation("Paid.", "Thank the customer: the payment arrived.", Fate.PAID),
    "1": Explanation(
        "The customer's M-Pesa balance is too low.",
        "Ask the customer to top up M-Pesa, or send the request for a smaller amount.",
    ),
    "2": Explanation("The amount is below the minimum.", "Send a request for at least KES 1."),
    "3": Explanation(
        "The amount is above the maximum of one M-Pesa payment.",
        "Split the amount into two requests.",
    ),
    "4": Explanation(
        "The customer has reached the daily M-Pesa limit.",
        "Ask the customer to pay the rest tomorrow, or at the office.",
    ),
    "8": Explanation("Our M-Pesa account has reached its balance limit.", _OFFICE),
    "17": Explanation(
        "The same amount was asked of the same customer within two minutes.",
        "Look whether the first request was paid. If not, wait two minutes and send it again.",
    ),
    "26": Explanation("M-Pesa is too busy.", _AGAIN),
    "1001": Explanation("Another M-Pesa transaction of the customer is in process.", _AGAIN),
    "1019": Explanation(
        "The request expired before M-Pesa worked on it.",
        _AGAIN,
        Fate.TIMED_OUT,
    ),
    "1025": Explanation("M-Pesa could not show the request on the phone.", _AGAIN),
    "1031": Explanation(
        "The customer cancelled the request.",
        "Ask the customer whether they want to pay, then send it again.",
        Fate.CANCELLED,
    ),
    "1032": Explanation(
        "The customer cancelled the request.",
        "Ask the customer whether they want to pay, then send it again.",
        Fate.CANCELLED,
    ),
    "1037": Explanation(
        "The phone could not be reached, or the customer did not answer.",
        "Ask the customer to switch the phone on and keep it at hand, then send the request again.",
        Fate.TIMED_OUT,
    ),
    "2001": Explanation(
        "The customer typed a wrong PIN.",
        "Ask the customer to try again with the right M-Pesa PIN. Never ask for the PIN itself.",
    ),
    "2028": Explanation("Our paybill may not make this kind of request.", _OFFICE),
    "2029": Explanation("Our paybill may not make this kind of request.", _OFFICE),  # reported
    "4999": Explanation(
        "M-Pesa is still working on it.", "Ask the customer to look at the phone.", Fate.PENDING
    ),
    "8006": Explanation(
        "The customer's M-Pesa PIN is locked.",
        "Ask the customer to call Safaricom (100) to unlock the PIN.",
    ),
    "9999": Explanation("M-Pesa could not send the request to the phone.", _AGAIN),  # reported
    "SFC_IC0003": Explanation("Our paybill number or the kind of request is wrong.", _OFFICE),
}
_OTHER = Explanation(
    "M-Pesa gave a code that its documents do not list.",
    "Ask the customer to look at their M-Pesa messages before the request is sent again.",
)


def explain(result_code: str) -> Explanation:
    """Return what a result code, as text, means and what to tell the customer."""
    if is_success(result_code):
        return EXPLANATIONS["0"]
    return EXPLANATIONS.get(result_code, _OTHER)
