"""Chores about money that goes back: asked for, approved, followed, each in its own process."""

from datetime import date, timedelta
from decimal import Decimal

import time_machine

from lms import dates, jobs, routing
from lms.errors import Refused
from lms.mpesa.models import Callback, Reversal
from lms.mpesa.operations import reversals
from lms.payments.models import Payment
from lms.staff.models import Approval, Staff
from tests import factories

PAID_ON = date(2026, 3, 2)


def ask_for_it_back(receipt: str, amount: int) -> int:
    """Ask for a payment that nobody claims to be sent back; return the key of the request."""
    factories.kamau()
    factories.staff("wairimu", "Accountant")
    payment = routing.take(
        method="mpesa", amount=Decimal(amount), reference=receipt, value_date=PAID_ON,
        account="", by=None, branch=factories.branch(), on=PAID_ON,
    )  # fmt: skip
    return reversals.ask_reversal(payment, reason="Not ours", by=factories.mutua(), on=PAID_ON).pk


def approve_it(approval: str | int, username: str) -> str:
    """Approve and send; return what became of it, or why it was refused."""
    try:
        row = reversals.carry_out(
            Approval.objects.get(pk=int(approval)),
            reason="",
            by=Staff.objects.get(username=username),
            on=PAID_ON,
        )
    except Refused as refusal:
        return refusal.message
    return row.status


def follow_it(minutes: int) -> str:
    """Follow reversals as the watchdog would some minutes from now; return how the last stands."""
    with time_machine.travel(dates.now() + timedelta(minutes=minutes)):
        jobs.follow_reversals()
    return Reversal.objects.get().status


def apply_body(kind: str, body: bytes) -> str:
    """Store and apply what Safaricom posted; return what was made of it."""
    callback = Callback.objects.create(kind=kind, body=body, received_at=dates.now())
    jobs.apply_callback(callback.pk)
    callback.refresh_from_db()
    return callback.status


def standing_of_it() -> tuple[str, str, bool]:
    """Return the state of the reversal, of its payment, and whether that is held."""
    payment = Payment.objects.get()
    return Reversal.objects.get().status, payment.status, payment.is_going_back
