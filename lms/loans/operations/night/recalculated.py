"""Loans whose interest follows the actual balance: what fell due costs what was really owed."""

from datetime import date

from lms.loans.models import Loan, Repayment
from lms.loans.operations import actual, rows


def recalculate(first: int, last: int, *, on: date) -> int:
    """Give the instalments due on a day the interest of the balances before; return how many."""
    due = Repayment.objects.filter(
        due_date=on,
        version__gt=Repayment.BETWEEN,
        loan__gte=first,
        loan__lte=last,
        loan__status=Loan.Status.ACTIVE,
        loan__recalculates=True,
    ).exclude(status__in=Repayment.GONE)
    keys = list(due.order_by("loan_id").values_list("loan_id", flat=True).distinct())
    return sum(actual.recalculate(rows.lock(pk), on=on) for pk in keys)
