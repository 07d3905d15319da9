"""Interest that was made principal: it becomes income when it is paid, and not before.

Whoever turns interest into principal credits 2045 and not the income. Money that comes in pays
back what was lent first, and then what interest was added to it; only the latter is earned. That
is the prudent reading: a loan that needs its interest capitalised may never pay it.
"""

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q

from lms import money
from lms.ledger import chart
from lms.ledger.models import JournalEntry, Transfer
from lms.ledger.operations import Line
from lms.loans.models import Loan
from lms.loans.operations.posting import post
from lms.money import ZERO

KIND = "capitalised_interest"


class Deferred(NamedTuple):
    """What became of a loan's capitalised interest, in KES: how much of it is earned, or lost."""

    capitalised: Decimal
    earned: Decimal
    lost: Decimal


def booked(loan: Loan) -> Deferred:
    """Return what the books say became of the capitalised interest of a loan."""
    here = chart.CAPITALISED_INTEREST
    capitalised = earned = lost = ZERO
    transfers = Transfer.objects.filter(Q(debit=here) | Q(credit=here), subject=loan.number)
    for kind, debit, credit, amount in transfers.values_list(
        "entry__kind", "debit_id", "credit_id", "amount"
    ):
        signed = amount if credit == here else -amount
        if kind != KIND:
            capitalised += signed
        elif loan.account(chart.INTEREST_INCOME) in (debit, credit):
            earned -= signed
        else:
            lost -= signed
    return Deferred(capitalised, earned, lost)


def follow(loan: Loan, *, by, on: date) -> None:
    """Book what a locked loan has earned or lost of its capitalised interest by now.

    Works out what should be booked and posts the difference, either way: run twice it does
    nothing. Nothing at all for a loan that never capitalised interest.
    """
    known = booked(loan)
    if not any(known):
        return
    paid = money.money(loan.repayments.aggregate(sum=money.total("principal_paid"))["sum"])
    all_of_it = known.capitalised
    earned = min(max(paid - (loan.lent - all_of_it), ZERO), all_of_it)
    lost = max(all_of_it - earned - loan.position.principal, ZERO)
    lines = [
        _signed(chart.INTEREST_INCOME, earned - known.earned),
        _signed(chart.LOANS_WRITTEN_OFF, lost - known.lost),
    ]
    if not any(line.amount for line in lines):
        return
    times = JournalEntry.objects.keyed(f"{KIND}:{loan.pk}:").count()
    post(
        loan,
        kind=KIND,
        reference=f"{KIND}:{loan.pk}:{times + 1}",
        on=on,
        narration=f"Capitalised interest of {loan.number} earned or given up",
        lines=lines,
        by=by,
    )


def _signed(account: str, amount: Decimal) -> Line:
    if amount >= 0:
        return Line(chart.CAPITALISED_INTEREST, account, amount)
    return Line(account, chart.CAPITALISED_INTEREST, -amount)
