"""Payments asked for by M-Pesa, what was asked of Daraja, what it sent, and the token for it."""

from lms.mpesa.models.exchanges import AccessToken, DarajaRequest
from lms.mpesa.models.inbox import Callback
from lms.mpesa.models.inquiries import Inquiry, MpesaBalance
from lms.mpesa.models.payouts import B2cPayment
from lms.mpesa.models.pulls import Pull
from lms.mpesa.models.pushes import MpesaPayment
from lms.mpesa.models.reversals import Reversal
from lms.mpesa.models.steps import Stepwise

__all__ = [
    "AccessToken",
    "B2cPayment",
    "Callback",
    "DarajaRequest",
    "Inquiry",
    "MpesaBalance",
    "MpesaPayment",
    "Pull",
    "Reversal",
    "Stepwise",
]
