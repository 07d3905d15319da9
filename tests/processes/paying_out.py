"""Chores about payouts by M-Pesa: loans to pay out, the worker that pays them, the days after."""

import time
from datetime import timedelta
from decimal import Decimal

import time_machine
from django.db import transaction

from lms import dates, jobs
from lms.loans.models import Loan
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment
from lms.payments.models import Payout
from lms.payouts import operations as payouts
from lms.payouts.models import PayoutBatch
from lms.staff.models import Approval
from tests import factories

PRINCIPAL = Decimal(20_000)
IN_BATCH = 50


def approve_payouts(count: int) -> list[str]:
    """Approve loans to so many people, and agree to pay them out in batches; return the loans."""
    on = dates.today()
    with transaction.atomic():
        loans = [
            factories.approved(
                PRINCIPAL, on=on, customer=factories.customer("Akinyi Odera", _phone(number))
            )
            for number in range(count)
        ]
    for start in range(0, count, IN_BATCH):
        batch = payouts.prepare_batch(
            loans[start : start + IN_BATCH],
            note="Today",
            by=factories.mutua(),
            on=on,
            at=dates.now(),
        )
        approval = Approval.objects.get(subject=batch.number)
        payouts.approve_batch(approval, reason="", by=factories.kamau(), on=on)
    return [loan.number for loan in loans]


def _phone(number: int) -> str:
    return f"25472{number:05d}50"


def keep_paying_out() -> None:
    """Do what the schedule does about payouts, all the time."""
    while True:
        jobs.see_to_payouts()
        time.sleep(0.2)


def look_after_payouts(minutes: int) -> int:
    """Do what the schedule does so many minutes from now; return how many fates are open."""
    with time_machine.travel(dates.now() + timedelta(minutes=minutes)):
        jobs.see_to_payouts()
    return open_payouts()


def send_unknown_again(minutes: int) -> int:
    """Send again what Safaricom says that it never had, as a person does; return how many."""
    with time_machine.travel(dates.now() + timedelta(minutes=minutes)):
        lost = [part for part in B2cPayment.objects.undecided() if part.may_be_sent_again]
        for part in lost:
            mpesa.send_same(part, by=factories.kamau(), at=dates.now())
    return len(lost)


def open_payouts() -> int:
    """Return how many payments to customers, and loans of batches, are not decided."""
    waiting = PayoutBatch.objects.being_paid().count()
    return (
        waiting + B2cPayment.objects.undecided().count() + Payout.objects.needing_review().count()
    )


def paid_out() -> dict[str, tuple[Decimal, str]]:
    """Return what the books know as paid to customers, by receipt: KES and phone."""
    paid = B2cPayment.objects.filter(status=B2cPayment.Status.PAID, is_adrift=False)
    return {part.receipt: (part.amount, part.phone) for part in paid}


def standing_of_loans(numbers: list[str]) -> dict[str, int]:
    """Return how many of these loans are in each status."""
    keys = [Loan.key_of(number) for number in numbers]
    found = Loan.objects.filter(pk__in=keys).values_list("status", flat=True)
    return {status: list(found).count(status) for status in set(found)}
