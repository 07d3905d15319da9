"""What every verb of money asks first: possible amounts, references, and where money lies."""

import re
from datetime import date
from decimal import Decimal

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.beginning import must_be_in_books
from lms.money import CENT, kes
from lms.payments.models import Payment, Payout
from lms.tills.models import DrawerSession
from lms.tills.operations import cash

# Where money of each method lies; cash lies in the drawer of who handles it, or in the vault.
CASH_ACCOUNTS = {
    Payment.Method.MPESA: chart.MPESA_PAYBILL,
    Payment.Method.BANK: chart.BANK,
    Payment.Method.CHEQUE: chart.CHEQUES,
    Payment.Method.OPENING: chart.OPENING_BALANCES,
    Payment.Method.REFINANCE: chart.REFINANCE_CLEARING,
    Payment.Method.INSURANCE: chart.BANK,
    Payment.Method.REWARD: chart.REFERRAL_REWARDS,
    # Promised and sent, and paid once Safaricom says so.
    Payout.Method.B2C: chart.PAYOUTS_ON_THEIR_WAY,
}


MPESA_RECEIPT = re.compile(r"[A-Z0-9]{8,12}")


def must_be_possible(
    *, method: str, amount: Decimal, reference: str | None, value_date: date, on: date
) -> None:
    """Raise Refused for an amount, day or reference that no money of a method can have."""
    if amount <= 0:
        raise Refused("The amount must be more than KES 0.00.", field="amount")
    if amount != amount.quantize(CENT):
        raise Refused("The amount has parts of a cent.", field="amount")
    if value_date > on:
        raise Refused("A payment cannot be dated in the future.", field="value_date")
    must_be_in_books(value_date, field="value_date")
    needs_reference = method in (
        Payment.Method.MPESA,
        Payment.Method.BANK,
        Payment.Method.CHEQUE,
    )
    if needs_reference and not reference:
        raise Refused(
            "Type the M-Pesa receipt, bank slip or cheque number: it guards against posting twice.",
            field="reference",
        )
    if method == Payment.Method.MPESA and not MPESA_RECEIPT.fullmatch(reference):
        raise Refused(
            f"“{reference}” is not an M-Pesa receipt: they are 10 letters and digits, "
            "like UKL7AB12CD.",
            field="reference",
        )


def place_of(method: str, *, by, branch_id: int) -> tuple[DrawerSession | None, str]:
    """Return the account in which money of a method lies, and the locked drawer if it is one."""
    if method != Payment.Method.CASH:
        return None, CASH_ACCOUNTS[method]
    drawer = cash.drawer_of(by, branch_id=branch_id)
    return drawer, cash.account_of(drawer, branch_id=branch_id)


def must_not_be_going_back(payment: Payment) -> None:
    """Refuse to touch a payment that Safaricom was asked to send back to its payer."""
    if payment.is_going_back:
        raise Refused(
            f"{payment.number} is being sent back to its payer: wait for Safaricom's answer."
        )


def must_not_be_refunded(payment: Payment) -> None:
    """Refuse to touch a payment of which a part was given back to the customer."""
    if payment.refunded:
        raise Refused(
            f"{kes(payment.refunded)} of {payment.number} was paid back to the customer: "
            "undo that refund first."
        )
