"""The loan as one aggregate: what was offered and agreed, what is due, what became of it."""

from lms.loans.models.collections import Allocation, Position
from lms.loans.models.loans import Collateral, Guarantor, Loan, LoanFee
from lms.loans.models.products import LoanProduct, ProductFee
from lms.loans.models.repayments import Penalty, Repayment, Waiver

__all__ = [
    "Allocation",
    "Collateral",
    "Guarantor",
    "Loan",
    "LoanFee",
    "LoanProduct",
    "Penalty",
    "Position",
    "ProductFee",
    "Repayment",
    "Waiver",
]
