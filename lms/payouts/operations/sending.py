"""Paying a loan or a credit out: by M-Pesa to the phone of its customer, or past it."""

from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from lms import phones
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Loan
from lms.loans.operations import lifecycle, settling, upfront
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment
from lms.payments import operations as payments
from lms.payments.models import Payout
from lms.payouts.operations.coming_back import payout_of, take_back_if_free


def disburse(loan: Loan, *, method: str, reference: str | None, by, on: date) -> Loan:
    """Pay an approved loan out in cash, by bank or by a payment that somebody made by hand.

    Raises Refused as `lifecycle.disburse` does, and while money that M-Pesa sent for it before
    lies in suspense: the customer has that already.
    """
    with transaction.atomic():
        loan = lifecycle.disburse(loan, method=method, reference=reference, by=by, on=on)
        mpesa.must_not_be_adrift(loan.number, kind=Payout.Kind.DISBURSEMENT)
    return loan


def refund_credit(
    customer: Customer, *, amount: Decimal, method: str, reference: str | None, by, on: date
) -> Payout:
    """Pay credit back in another way than by M-Pesa to the phone; return the payout.

    Raises Refused as `payments.refund_credit` does, and while credit that M-Pesa sent before lies
    in suspense.
    """
    with transaction.atomic():
        payout = payments.refund_credit(
            customer, amount=amount, method=method, reference=reference, by=by, on=on
        )
        mpesa.must_not_be_adrift(payout.subject, kind=Payout.Kind.REFUND)
    return payout


def amount_of(loan: Loan, *, on: date) -> Decimal:
    """Return what the customer of an approved loan would be sent on a day (KES). Raises Refused."""
    upfront.must_be_paid(loan)
    net = loan.calculator(disbursed_on=on, tranches=()).net_disbursed()
    if loan.refinances_id:
        net -= settling.payoff(loan.refinances, on=on).total
    return net


def send_loan(loan: Loan, *, by, on: date, at: datetime) -> Payout:
    """Pay an approved loan out by M-Pesa, to the phone of its customer; return the payout.

    The loan runs from now on; when Safaricom does not pay, it is approved again. A sum above the
    ceiling of one payment goes in parts. Raises Refused as `disburse` does, and for a phone, sum
    or limit that M-Pesa would refuse.
    """
    with transaction.atomic():
        payout = promise_loan(loan, by=by, on=on, at=at)
    return send_promised(payout, at=at, on=on)


def promise_loan(loan: Loan, *, by, on: date, at: datetime, agreed: Decimal | None = None):
    """Book a loan as paid out and write down what is to be sent, in the caller's transaction."""
    loan = lifecycle.disburse(loan, method=Payout.Method.B2C, reference=None, by=by, on=on)
    payout = payout_of(loan)
    if payout is None:
        raise Refused(f"{loan.number} leaves nothing to send: disburse it without M-Pesa.")
    if agreed is not None and payout.amount != agreed:
        raise Refused(f"{kes(agreed)} was agreed to, and it would be {kes(payout.amount)} now.")
    mpesa.promise(payout, by=by, on=on, at=at)
    return payout


def send_credit(customer: Customer, *, amount: Decimal, by, on: date, at: datetime) -> Payout:
    """Pay credit back to its customer's phone by M-Pesa; return the payout.

    When Safaricom does not pay, it is credit again. Raises Refused as `refund_credit` does, and
    as `send_loan`.
    """
    with transaction.atomic():
        payout = payments.refund_credit(
            customer, amount=amount, method=Payout.Method.B2C, reference=None, by=by, on=on
        )
        mpesa.promise(payout, by=by, on=on, at=at)
    return send_promised(payout, at=at, on=on)


def send_rest(payout: Payout, *, by, on: date, at: datetime) -> Payout:
    """Send again what did not arrive of a payout, as new payments.

    For one that arrived in part, or that could not be taken back because its loan went on. Raises
    Refused for whoever might not have paid it out at first, and where a part arrived on another
    phone than the customer has now.
    """
    with transaction.atomic():
        _may_send(payout, by=by)
        payout = payments.set_payout_status(
            payout, Payout.Status.ON_ITS_WAY, reason="Sent again", by=by
        )
        mpesa.promise(payout, by=by, on=on, at=at)
    return send_promised(payout, at=at, on=on)


def _may_send(payout: Payout, *, by) -> None:
    """Refuse the person who had a hand in what a payout pays, and a phone that changed since."""
    if payout.kind == Payout.Kind.REFUND:
        taken = payout.refunds.filter(payment__taken_by=by).select_related("payment").first()
        if taken is not None:
            raise Refused(f"You took {taken.payment.number} yourself: someone else must send it.")
    else:
        loan = Loan.objects.get(pk=Loan.key_of(payout.subject))
        if loan.approved_by_id == by.pk:
            raise Refused(f"You approved {loan.number}: someone else must send the money.")
    last = payout.parts.filter(status=B2cPayment.Status.PAID).last()
    if last is not None and mpesa.phone_of(payout.customer) != last.phone:
        raise Refused(
            f"A part arrived on {phones.show(last.phone)}, and the customer's phone is another "
            "now: find out which is right."
        )


def send_promised(payout: Payout, *, at: datetime, on: date) -> Payout:
    """Send what was promised; take back at once what Safaricom turned away."""
    for part in payout.parts.waiting():
        mpesa.send(part, at=at)
    payout.refresh_from_db()
    if payout.status == Payout.Status.FAILED:
        take_back_if_free(payout, on=on)
        payout.refresh_from_db()
    return payout
