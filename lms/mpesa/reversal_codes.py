"""Safaricom's result codes of reversals in plain words, and what to do about each.

Pure: no Django. Source: Daraja 3.0, "Reversals", result codes.
"""

from dataclasses import dataclass

from lms.mpesa.callbacks import is_success

ALREADY = "R000001"


@dataclass(frozen=True)
class Explanation:
    """A code in plain words: what happened and what to do now."""

    meaning: str
    advice: str
    is_certain: bool = True  # False: it may have been sent back all the same


_SETTINGS = "Report it to head office: a setting at Safaricom is wrong. Then ask for it again."
_AGAIN = "Wait some minutes, then ask for it again."
_BY_HAND = "Look in Safaricom's portal before anybody asks for it again."

EXPLANATIONS: dict[str, Explanation] = {
    "0": Explanation("Sent back to the payer.", "Nothing more to do: the books have it."),
    ALREADY: Explanation(
        "It had been sent back before.", "Nothing more to do: the books have it now."
    ),
    "R000002": Explanation(
        "Safaricom does not know the receipt as a payment to us.",
        "Compare the receipt with the customer's message: it may be mistyped.",
    ),
    "1": Explanation(
        "Our M-Pesa account holds too little to send it back.",
        "Bring float to the utility account, then ask for it again.",
    ),
    "11": Explanation("Our paybill is not active.", _SETTINGS),
    "15": Explanation("Safaricom has this request already.", _BY_HAND, is_certain=False),
    "17": Explanation("M-Pesa failed inside.", _AGAIN),
    "21": Explanation("Our API user may not reverse payments.", _SETTINGS),
    "26": Explanation("M-Pesa is too busy.", _AGAIN),
    "2001": Explanation("Safaricom refused the API user or its password.", _SETTINGS),
    "2006": Explanation("Our account at Safaricom is not active.", _SETTINGS),
    "2028": Explanation("Our paybill may not reverse payments.", _SETTINGS),
    "8006": Explanation("Our API user is locked.", _SETTINGS),
}
_OTHER = Explanation(
    "Safaricom gave a code that its documents do not list.", _BY_HAND, is_certain=False
)


def sent_back(result_code: str) -> bool:
    """Tell whether a result code, as text, says that the payer has the money."""
    return is_success(result_code) or result_code == ALREADY


def explain(result_code: str) -> Explanation:
    """Return what a result code, as text, means and what to do."""
    if is_success(result_code):
        return EXPLANATIONS["0"]
    return EXPLANATIONS.get(result_code, _OTHER)
