"""Telling guarantors: a demand by SMS is sent from here, in the words of its template."""

from datetime import date
from decimal import Decimal

from lms import dates, money
from lms.errors import Refused
from lms.loans.models import Guarantor, Loan
from lms.loans.operations import collection
from lms.money import kes
from lms.notifications import operations as notifications
from lms.notifications.models import Message


def demand_by_sms(guarantor: Guarantor, *, pay_by: date, on: date) -> Message:
    """Queue the demand to a locked guarantor's phone, once a notice; return it.

    Raises Refused where no SMS can be sent, so that the demand is made in another way.
    """
    loan = guarantor.loan
    message = notifications.enqueue(
        guarantor.customer,
        occasion="guarantor_demand",
        channel="sms",
        key=f"demand:{guarantor.pk}:{guarantor.notices.count() + 1}",
        about=loan.number,
        values={
            "loan": loan.number,
            "borrower": loan.customer.short_name,
            "amount": _shown(_late(loan, on=on)),
            "guaranteed": _shown(guarantor.amount),
            "date": dates.show(pay_by),
        },
        now=dates.now(),
    )
    if message is None or message.status == Message.Status.CANCELLED:
        raise Refused(
            f"No SMS can be sent to {guarantor.customer.name}: there is no template for it, or "
            "messages are not wanted. Demand by letter instead.",
            field="channel",
        )
    return message


def _late(loan: Loan, *, on: date) -> Decimal:
    """Return what is past due on a loan, or still owed after it was written off (KES)."""
    if loan.status == Loan.Status.WRITTEN_OFF:
        return collection.still_owed(loan)
    late = loan.repayments.overdue(on=on).with_totals()
    return money.money(late.aggregate(sum=money.total("owing_total"))["sum"])


def _shown(amount: Decimal) -> str:
    return kes(amount).removeprefix("KES ")
