"""What django-q2 calls: one short function a schedule or queue.

A schedule passes the instant it was planned for as `on`, so a late worker works for its own day.
Every job may run twice: keys in the database decide, not luck.
"""

from datetime import timedelta

from django.conf import settings

from lms import dates, inbox, routing
from lms.closing import operations as closing
from lms.errors import Refused
from lms.imports import operations as imports
from lms.imports.models import ImportJob
from lms.ledger import recurring
from lms.ledger.models import JournalTemplate
from lms.loans.models import Loan, Repayment
from lms.mpesa import credentials
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, MpesaPayment, Pull
from lms.notifications import operations as notifications
from lms.notifications.models import REMINDERS, Message
from lms.payouts import operations as payouts
from lms.staff.models import Staff
from lms.words import counted


# --- Messages ------------------------------------------------------------------------------------
def deliver_messages() -> str:
    """Send what waits and may go out at this hour, but no reminder of what is settled."""
    withdraw_settled()
    return str(notifications.deliver(now=dates.now()))


def withdraw_settled() -> int:
    """Cancel queued reminders of instalments that were settled meanwhile; return how many."""
    waiting = Message.objects.queued().filter(occasion__in=REMINDERS)
    abouts = list(waiting.order_by().values_list("about", flat=True).distinct())
    still_open = {
        f"LN{loan:06d} instalment {number}"
        for loan, number in Repayment.objects.unpaid()
        .filter(loan_id__in={Loan.key_of(about.partition(" ")[0]) for about in abouts})
        .values_list("loan_id", "number")
    }
    return sum(
        notifications.withdraw(about=about, reason="Settled before it was sent")
        for about in abouts
        if about not in still_open
    )


# --- Money ---------------------------------------------------------------------------------------
def close_day(*, on: str) -> str:
    """Close the day before `on`, and every day before it that was missed; return the days.

    Raises Refused, so that the job counts as failed, when a loan stopped.
    """
    day = dates.day_of(on) - timedelta(days=1)
    closed = closing.catch_up(day)
    if failures := closing.failures(day):
        raise Refused(f"{dates.show(day)} is closed, but not for {counted(failures, 'loan')}.")
    return f"Closed: {', '.join(map(str, closed)) or 'no day was left'}"


def close_now(*, day: str, by: int) -> str:
    """Close a day and what was missed before it; one that is closed is looked at again.

    `by` is the key of the person who asked for it.
    """
    wanted, person = dates.day_of(day), Staff.objects.get(pk=by)
    if closing.latest() == wanted:
        closing.close_day(wanted, by=person, again=True)
    else:
        closing.catch_up(wanted, by=person)
    return f"Closed: {day}"


def draft_journals(*, on: str) -> int:
    """Draft the recurring journals due by a day, once a month each; return how many are new."""
    return len(recurring.draft_due(JournalTemplate.objects.all(), until=dates.day_of(on)))


def settle_unallocated() -> int:
    """Settle payments that a crash left between receiving and placing; return how many."""
    return routing.sweep(on=dates.today())


def apply_callback(callback_id: int) -> str:
    """Apply one stored callback of Daraja now; return what became of it."""
    return inbox.apply(callback_id)


def apply_waiting_callbacks() -> int:
    """Apply callbacks that `manage.py apply_callbacks` left lying; return how many were tried.

    It takes them from the line at once: what is long due means that it does not run.
    """
    return inbox.drain(late_by=timedelta(seconds=20))


def query_pushes() -> int:
    """Ask Safaricom about pushes that never called back; return how many were asked."""
    now = dates.now()
    pushes = list(MpesaPayment.objects.due_for_query(now=now)[:50])
    for push in pushes:
        mpesa.query_push(push, now=now)
    return len(pushes)


def see_to_payouts() -> str:
    """Go on with batches, send what waits, take back what failed, ask about what is late.

    What a crash left is carried on here. Raises Refused, so that the job counts as failed, where
    customers cannot be paid from this machine.
    """
    on = dates.today()
    back = payouts.take_back_failed(on=on)
    batches = payouts.pay_batches(on=on, clock=dates.now)
    sent = mpesa.send_waiting(clock=dates.now)
    asked = mpesa.query_due(now=dates.now())
    return f"{batches} of batches, {sent} sent, {back} taken back, {asked} asked about"


def follow_reversals() -> int:
    """Send what a crash left unsent, ask about what nobody told of; return how many were touched.

    Raises Refused, so that the job counts as failed, where Safaricom cannot be asked from here.
    """
    return len(mpesa.follow_reversals(clock=dates.now))


def pull_missed() -> str:
    """Pull the payments whose confirmation never came, where a number is nominated for it.

    Raises Refused, so that the job counts as failed, when Safaricom did not tell them all.
    """
    if not mpesa.pull_is_set_up():
        return "No number is nominated: nothing was pulled."
    run = pull(by=None)
    if run.status != Pull.Status.DONE:
        raise Refused(f"{run.number}: {run.outcome}")
    return run.outcome


def pull(*, by: Staff | None) -> Pull:
    """Pull missed payments now and apply what is new; return the run. Raises Refused."""
    run = mpesa.pull(by=by, at=dates.now())
    new = run.callbacks.filter(status=Callback.Status.RECEIVED).order_by("pk")
    for key in list(new.values_list("pk", flat=True)):
        apply_callback(key)
    return run


def poll_balances() -> str:
    """Ask what our M-Pesa accounts hold, where an initiator is set up; return what was asked.

    Questions to Safaricom that nobody answered are closed first. Raises Refused, so that the job
    counts as failed, where the initiator is set up by half.
    """
    now = dates.now()
    mpesa.close_unanswered(before=now - timedelta(minutes=10))
    if not credentials.is_set_up():
        return "No initiator is set up: nothing was asked."
    try:
        return ", ".join(map(str, mpesa.ask_balances(by=None, at=now)))
    except mpesa.JustAsked as answer:
        return answer.message


def forget_daraja_requests(*, on: str) -> int:
    """Delete what is too old by a day of the log of requests to Daraja; return how many."""
    day = dates.day_of(on) - timedelta(days=settings.DARAJA_LOG_DAYS)
    return mpesa.forget_requests(before=dates.instant(day))


# --- Files ---------------------------------------------------------------------------------------
def run_import(job_id: int) -> str:
    """Check an uploaded file, or apply one that was confirmed; return its status."""
    job = ImportJob.objects.get(pk=job_id)
    if job.status in (ImportJob.Status.UPLOADED, ImportJob.Status.CHECKING):
        job = imports.check(job, on=dates.today())
    elif job.status in (ImportJob.Status.CONFIRMED, ImportJob.Status.APPLYING):
        job = imports.apply(job, by=job.confirmed_by or job.created_by, on=dates.today())
    return job.status
