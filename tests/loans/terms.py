"""Terms for tests of the maths: 100,000 at 24% over 12 months from 15 January 2026."""

from datetime import date
from decimal import Decimal

from lms.loans.calculator import Terms


def terms(**fields) -> Terms:
    return Terms(
        **{
            "principal": Decimal(100_000),
            "annual_rate": Decimal(24),
            "method": "declining_equal_instalments",
            "number_of_repayments": 12,
            "repay_every": 1,
            "unit": "months",
            "disbursed_on": date(2026, 1, 15),
            **fields,
        }
    )
