"""Safaricom's result codes in plain words, and what to tell the customer or to do.

Pure: no Django. Source: Daraja 3.0, "M-Pesa Express" and "Business to Customer", result codes;
the codes that only developers report are marked.
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


# --- Payouts -------------------------------------------------------------------------------------
_SETTING = "Report it to head office: a setting of the paybill is wrong. Nothing was paid."
_INITIATOR = (
    "Report it to head office: the initiator's name, password or certificate is wrong, or the "
    "password ended. Nothing was paid."
)
_OWN_LIMIT = "Pay it out by bank or in cash, or in smaller parts on several days."

PAYOUT_EXPLANATIONS: dict[str, Explanation] = {
    "0": Explanation("Paid.", "Tell the customer that the money is on the phone.", Fate.PAID),
    "1": Explanation(
        "Our utility account is short of money.",
        "Bring float into the utility account, then pay it out again.",
    ),
    "2": Explanation("The amount is below what M-Pesa pays.", "Pay it out in cash."),
    "3": Explanation("The amount is above what M-Pesa pays at once.", _OWN_LIMIT),
    "4": Explanation(
        "The customer would receive more than M-Pesa allows in a day.",
        "Pay the customer tomorrow, or by bank.",
    ),
    "8": Explanation(
        "The customer's M-Pesa account would hold more than it may.",
        "Ask the customer to move money out of M-Pesa, then pay it out again; or pay by bank.",
    ),
    "11": Explanation("Our shortcode is not active.", _SETTING),
    "15": Explanation(
        "Safaricom had this request before.",
        "Ask Safaricom what became of the first before anything is paid again.",
        Fate.PENDING,
    ),
    "17": Explanation("M-Pesa failed inside.", "Pay it out again a little later."),
    "18": Explanation("The initiator's credential is wrong.", _INITIATOR),
    "20": Explanation("The initiator is unknown.", _INITIATOR),
    "21": Explanation("The initiator may not make payouts.", _INITIATOR),
    "22": Explanation("The initiator is not active.", _INITIATOR),
    "24": Explanation("Safaricom missed a part of the request.", _SETTING),
    "25": Explanation("Safaricom could not read the request.", _SETTING),
    "26": Explanation("M-Pesa is too busy.", "Pay it out again a little later."),
    "29": Explanation("Our paybill may not make this kind of payout.", _SETTING),
    "2001": Explanation("The initiator's name or credential is wrong.", _INITIATOR),
    "2006": Explanation("Our shortcode is not active.", _SETTING),
    "2028": Explanation("Our shortcode may not pay customers.", _SETTING),
    "2040": Explanation(
        "The customer's number is not registered for M-Pesa.",
        "Ask the customer to register the number at an M-Pesa agent with the ID card, or for the "
        "right number; until then pay by bank or in cash.",
    ),
    "8006": Explanation("The initiator's account is locked.", _INITIATOR),
    "SFC_IC0003": Explanation(
        "The customer's number is not on M-Pesa.",
        "Check the number with the customer and correct it, or pay by bank or in cash.",
    ),
}
_OTHER_PAYOUT = Explanation(
    "M-Pesa gave a code that its documents do not list.",
    "Ask Safaricom what became of it before anything is paid again.",
    Fate.PENDING,
)


def explain_payout(result_code: str) -> Explanation:
    """Return what the result code of a payout, as text, means and what to do."""
    if is_success(result_code):
        return PAYOUT_EXPLANATIONS["0"]
    return PAYOUT_EXPLANATIONS.get(result_code, _OTHER_PAYOUT)
