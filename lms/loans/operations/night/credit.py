"""Dues that fell due are paid from what their customers have in credit."""

from contextlib import suppress
from datetime import date

from lms.errors import Refused
from lms.loans.models import Loan, Repayment
from lms.loans.operations import collection
from lms.payments.models import Payment


def use(first: int, last: int, *, on: date) -> int:
    """Pay what is due by a day from the credit of its customers; return how many loans were."""
    due = Repayment.objects.overdue(on=on) | Repayment.objects.unpaid().filter(due_date=on)
    holders = Payment.objects.with_credit().order_by().values("customer")
    loans = Loan.objects.active().filter(
        pk__range=(first, last), pk__in=due.order_by().values("loan"), customer__in=holders
    )
    paid = 0
    for loan in loans.order_by("pk"):
        # An older loan of the same customer may have used the credit up.
        with suppress(Refused):
            collection.apply_credit(loan, by=None, on=on)
            paid += 1
    return paid
