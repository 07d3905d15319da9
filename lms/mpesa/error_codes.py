"""The codes with which Daraja turns a request or a question of ours down, in plain words.

Pure: no Django. They say nothing of a customer's payment: see result_codes.py for that. Source:
Daraja 3.0, the error tables of each API.
"""

from lms.mpesa.result_codes import Explanation

_OFFICE = "Nothing the customer did. Report it to head office: a setting is wrong."
_LATER = "Wait a few minutes and try again. Nothing was paid by this request."
_ASK = "Ask Safaricom what became of it before anything is sent again."
_TOKEN = Explanation("Our access token was not taken.", "Try again: a new one is fetched.")
_PATH = Explanation("Safaricom does not know this address.", _OFFICE)
_INITIATOR = Explanation("Safaricom does not take our initiator or its password.", _OFFICE)

ERRORS: dict[str, Explanation] = {
    "400.002.02": Explanation("Safaricom calls one of the values wrong.", _OFFICE),
    "400.002.05": Explanation("Safaricom could not read the request.", _OFFICE),
    "400.003.01": _TOKEN,
    "400.003.02": Explanation("Safaricom could not read the request.", _OFFICE),
    "400.008.01": Explanation("Our consumer key or secret is wrong.", _OFFICE),
    "400.008.02": Explanation("Our consumer key or secret is wrong.", _OFFICE),
    "401.001": _TOKEN,
    "401.002.01": _TOKEN,
    "404.001.01": _PATH,
    "404.001.03": _TOKEN,
    "404.001.04": _PATH,
    "404.002.01": _PATH,
    "404.003.01": _PATH,
    "405.001": _PATH,
    "500.001.1001": Explanation(
        "Safaricom was busy with it, or does not know our paybill.",
        "Its own words say which. If the customer has another M-Pesa prompt, wait a minute.",
    ),
    "500.002.1001": Explanation("Safaricom has this request already, or is down.", _ASK),
    "500.003.02": Explanation("Safaricom was asked too fast, or is busy.", _LATER),
    "500.003.03": Explanation("Our quota of requests to Safaricom is used up.", _LATER),
    "500.003.1001": Explanation("Safaricom had an error of its own.", _LATER),
    "00.002.1001": Explanation("Safaricom is under maintenance.", _LATER),
    "11": Explanation("Our shortcode is not active.", _OFFICE),
    "18": _INITIATOR,
    "20": _INITIATOR,
    "21": Explanation("Our initiator may not ask this.", _OFFICE),
    "22": Explanation("Our initiator is not active.", _OFFICE),
    "24": Explanation("A field is missing in what we asked.", _OFFICE),
    "25": Explanation("Safaricom calls one of the values wrong.", _OFFICE),
    "2001": _INITIATOR,
    "8006": Explanation("Our initiator is locked.", _OFFICE),
    "SFC_IC0003": Explanation("Safaricom does not know the shortcode or the receipt.", _OFFICE),
}


def explain_error(code: str) -> Explanation | None:
    """Return what a code of Daraja's own means and what to do, or None for one that is unknown."""
    return ERRORS.get(code)
