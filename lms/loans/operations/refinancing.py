"""A new loan that pays off an old one: both are linked, and no cash moves between them."""

from datetime import date
from decimal import Decimal

from lms.errors import Refused
from lms.loans.models import Loan, LoanProduct
from lms.loans.operations import lifecycle, settling
from lms.money import kes


def refinance(
    old: Loan,
    *,
    principal: Decimal,
    by,
    on: date,
    product: LoanProduct | None = None,
    number_of_repayments: int | None = None,
    rate: Decimal | None = None,
    purpose: str = "",
) -> Loan:
    """Write an application down that pays a running loan off when it is disbursed.

    Its terms are those in force of the product, the old loan's unless told. Raises Refused where
    it would not cover what pays the old loan off today, and while another application does so.
    """
    if other := getattr(old, "refinanced_by", None):
        raise Refused(f"{other.number} is to pay {old.number} off already.")
    owed = settling.payoff(old, on=on).total
    if principal < owed:
        raise Refused(
            f"{kes(owed)} pays {old.number} off today: {kes(principal)} does not cover it.",
            field="principal",
        )
    wanted = {"number_of_repayments": number_of_repayments, "rate": rate}
    return lifecycle.apply(
        customer=old.customer,
        product=product or old.product,
        principal=principal,
        by=by,
        on=on,
        terms={name: value for name, value in wanted.items() if value is not None},
        purpose=purpose or f"Pays {old.number} off",
        refinances=old,
    )
