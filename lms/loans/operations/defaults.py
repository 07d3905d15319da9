"""A loan in default: since when, and how much of it the in duplum rule lets the lender recover."""

from datetime import date
from decimal import Decimal

from lms import money
from lms.loans import duplum
from lms.loans.models import Loan, NonPerforming, Penalty, Waiver
from lms.money import ZERO


def standing(loan: Loan) -> NonPerforming | None:
    """Return the default in which a loan stands, or None while it performs."""
    return loan.defaults.filter(ended_on=None).first()


def suspended(loan: Loan) -> Decimal:
    """Return the interest and penalties (KES) that the rule keeps from being charged or owed."""
    charges = Penalty.objects.standing().filter(repayment__loan=loan)
    given_up = Waiver.objects.standing().filter(repayment__loan=loan, kind=Waiver.Kind.IN_DUPLUM)
    return money.money(
        charges.aggregate(sum=money.total("suspended"))["sum"]
        + given_up.aggregate(sum=money.total("amount"))["sum"]
    )


def proof(default: NonPerforming, *, on: date) -> duplum.Proof:
    """Return what may be recovered of a loan in default on a day."""
    loan = default.loan
    due = list(loan.repayments.unpaid())
    interest = (row.owing_of("interest") for row in due if row.due_date <= on)
    return duplum.proof(
        duplum.Default(npl_on=default.since, principal=default.principal),
        principal=loan.position.principal,
        interest=sum(interest, ZERO),
        penalties=sum((row.owing_of("penalties") for row in due), ZERO),
        already_suspended=suspended(loan),
    )
