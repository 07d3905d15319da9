"""The proof at the end of the demo data: the books and the loans tell the same story."""

from decimal import Decimal

from django.db.models import F, Q

from lms import money
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Position
from lms.loans.operations.collection import RECEIVABLES
from lms.payments.models import Payment
from lms.tills.models import DrawerMovement


class BooksDiffer(Exception):
    """A control account is not what its loans or payments say."""


def prove() -> None:
    """Compare each control account with what it controls. Raises BooksDiffer."""
    standing = Payment.objects.standing()
    expected = {RECEIVABLES[name]: _sum(Position.objects.all(), F(name)) for name in COMPONENTS}
    placed = F("allocated") + F("credited") + F("refunded")
    expected[chart.UNALLOCATED] = -_sum(standing, F("amount") - placed)
    expected[chart.CUSTOMER_CREDIT] = -_sum(standing, F("credited"))
    expected[chart.TILL_CASH] = _sum(DrawerMovement.objects.all(), F("amount"))
    wrong = [
        f"account {code} stands at {money.kes(booked)}, its rows say {money.kes(wanted)}"
        for code, wanted in expected.items()
        if (booked := balance(code)) != wanted
    ]
    if wrong:
        raise BooksDiffer(f"The books of the demo do not agree: {'; '.join(wrong)}.")


def balance(code: str) -> Decimal:
    """Return the debit balance of an account (KES); a credit balance is negative."""
    touching = Transfer.objects.filter(Q(debit_id=code) | Q(credit_id=code))
    debits = _sum(touching.filter(debit_id=code), F("amount"))
    return debits - _sum(touching.filter(credit_id=code), F("amount"))


def _sum(rows, expression) -> Decimal:
    return rows.aggregate(total=money.total(expression))["total"]
