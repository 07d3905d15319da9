"""The loan as one aggregate: what was offered and agreed, what is due, what became of it."""

from lms.loans.models.changes import DeathClaim, LoanChange, Recovery, Tranche
from lms.loans.models.collections import Allocation, Position
from lms.loans.models.documents import IssuedDocument
from lms.loans.models.eligibility import EligibilityRule
from lms.loans.models.loans import Loan, LoanFee
from lms.loans.models.portfolio import (
    LoanSnapshot,
    NonPerforming,
    Provision,
    ProvisionBand,
    ProvisionTable,
)
from lms.loans.models.products import LoanProduct, ProductFee, ProductVersion
from lms.loans.models.repayments import Penalty, Repayment, Waiver
from lms.loans.models.security import (
    Collateral,
    CollateralDocument,
    Guarantor,
    GuarantorNotice,
    Valuation,
)
from lms.loans.models.upfront import FeePayment

__all__ = [
    "Allocation",
    "Collateral",
    "CollateralDocument",
    "DeathClaim",
    "EligibilityRule",
    "FeePayment",
    "Guarantor",
    "GuarantorNotice",
    "IssuedDocument",
    "Loan",
    "LoanChange",
    "LoanFee",
    "LoanProduct",
    "LoanSnapshot",
    "NonPerforming",
    "Penalty",
    "Position",
    "ProductFee",
    "ProductVersion",
    "Provision",
    "ProvisionBand",
    "ProvisionTable",
    "Recovery",
    "Repayment",
    "Tranche",
    "Valuation",
    "Waiver",
]
