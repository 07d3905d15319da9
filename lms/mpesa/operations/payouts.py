"""Paying customers by M-Pesa: promised first, sent once, asked about until the fate is known.

Locks are taken in one order: callback, payment to the customer, inquiry, payout.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from lms import dates, money, phones
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Account
from lms.money import kes
from lms.mpesa import limits
from lms.mpesa.callbacks import clean
from lms.mpesa.client import Daraja, Outcome, State
from lms.mpesa.models import B2cPayment, Callback
from lms.mpesa.operations.addresses import answer_addresses
from lms.mpesa.operations.inbox import named_at_last
from lms.mpesa.operations.inquiries import JustAsked, ask_payout
from lms.payments import operations as payments
from lms.payments.models import Payout

Status = B2cPayment.Status

# When to ask about a payout whose result did not come, counted from the sending; then give up.
QUERY_AFTER = (
    timedelta(minutes=2),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=8),
    timedelta(hours=24),
)
SENT_WITHIN = timedelta(hours=1)  # what waited longer, a person sends
STATUS_OF = {
    State.ACCEPTED: Status.SENT,
    State.REJECTED: Status.FAILED,
    State.UNKNOWN: Status.UNKNOWN,
}


# --- Promise -------------------------------------------------------------------------------------
def phone_of(customer) -> str:
    """Return the phone that a customer is paid on. Raises Refused where M-Pesa knows none such."""
    try:
        return phones.normalise(customer.phone)
    except ValueError as error:
        raise Refused(f"{customer.name} cannot be paid by M-Pesa: {error}") from error


def parts_of(amount: Decimal) -> list[Decimal]:
    """Return the payments that a sum in KES is sent in. Raises Refused where it cannot be sent."""
    if why := limits.unsendable(amount):
        raise Refused(why)
    largest = min(limits.LARGEST_PAYOUT, Decimal(settings.DARAJA_B2C_LARGEST))
    return limits.split(amount, largest=largest)


def left_today(*, on: date) -> Decimal:
    """Return how much more may be sent to customers on a day (KES)."""
    sent = B2cPayment.objects.counting().filter(requested_on=on)
    return Decimal(settings.DARAJA_B2C_DAY) - money.money(
        sent.aggregate(sum=money.total("amount"))["sum"]
    )


def must_be_within_limits(amount: Decimal, *, phone: str, on: date) -> None:
    """Raise Refused where a sum is more than may still be sent that day, or to that phone."""
    if amount > (left := left_today(on=on)):
        raise Refused(
            f"{kes(max(left, money.ZERO))} may still be sent today of the "
            f"{kes(Decimal(settings.DARAJA_B2C_DAY))} a day, and this is {kes(amount)}. Send it "
            "tomorrow, or pay by bank."
        )
    to_phone = B2cPayment.objects.counting().filter(requested_on=on, phone=phone)
    had = money.money(to_phone.aggregate(sum=money.total("amount"))["sum"])
    if had + amount > limits.LARGEST_A_DAY:
        raise Refused(
            f"{phones.show(phone)} was sent {kes(had)} today, and one customer can receive "
            f"{kes(limits.LARGEST_A_DAY)} a day. Send it tomorrow, or pay by bank."
        )


def must_be_set_up() -> None:
    """Raise Refused while customers cannot be paid by M-Pesa from this machine."""
    answer_addresses(Callback.Kind.B2C, Callback.Kind.B2C_TIMEOUT)


def promise(
    payout: Payout, *, amount: Decimal | None = None, by, on: date, at: datetime
) -> list[B2cPayment]:
    """Write down the payments in which a payout, or `amount` KES of it, is to be sent.

    Inside the transaction that books it: after its commit each is sent. Raises Refused while
    M-Pesa is not set up, for a phone or sum it does not take, beyond the limits of the day, and
    while money that left for the same before lies in suspense.
    """
    must_be_set_up()
    must_not_be_adrift(payout.subject, kind=payout.kind)
    amount = payout.amount - payout.arrived if amount is None else amount
    phone = phone_of(payout.customer)
    parts = parts_of(amount)
    # One promise at a time: two could each see room for themselves alone.
    Account.objects.select_for_update(no_key=True).get(pk=chart.PAYOUTS_ON_THEIR_WAY)
    must_be_within_limits(amount, phone=phone, on=on)
    made = [
        B2cPayment(
            payout=payout,
            phone=phone,
            amount=part,
            originator_id=str(uuid4()),
            requested_by=by,
            requested_on=on,
            requested_at=at,
        )
        for part in parts
    ]
    for part in made:
        part._history_user, part._change_reason = by, f"To be sent for {payout.number}"
        part.save()
    return made


# --- Send ----------------------------------------------------------------------------------------
def send(part: B2cPayment, *, at: datetime) -> B2cPayment:
    """Send a payment that waits, once, and return it as it stands then.

    Whoever takes it from waiting may send it; for everybody else nothing happens. Raises Refused,
    and leaves it waiting, while Safaricom cannot be asked from this machine.
    """
    return _send(part, claim=Status.WAITING, at=at)


def send_same(part: B2cPayment, *, by, at: datetime) -> B2cPayment:
    """Send a payment again that Safaricom says it never had, under the same id of ours.

    Safaricom pays one id once, so nothing is paid twice. Raises Refused unless it was asked and
    knows nothing of it, or it never left; and for version 1 of the API, which takes no id.
    """
    if settings.DARAJA_B2C_VERSION == "v1":
        raise Refused("Version 1 of B2C takes no id of ours: it might be paid twice.")
    if not part.may_be_sent_again:
        raise Refused(
            f"{part.number} may have been paid: ask Safaricom first. It is sent again only when "
            "Safaricom knows nothing of it."
        )
    return _send(part, claim=part.status, at=at, by=by)


def _send(part: B2cPayment, *, claim: str, at: datetime, by=None) -> B2cPayment:
    urls = answer_addresses(Callback.Kind.B2C, Callback.Kind.B2C_TIMEOUT)
    with transaction.atomic(durable=True):
        row = B2cPayment.objects.select_for_update().get(pk=part.pk)
        if row.status != claim:
            return row
        is_repeat = row.sent_at is not None
        if why := _no_longer_owed(row):
            if is_repeat:
                raise Refused(f"{row.number} is not sent again: {why}")
            fail(row, code="", description=why, by=by, reason=f"Not sent: {why}")
            return row
        if not is_repeat:
            _count_for(row, on=dates.day_of(at))
        row.sent_at, row.next_query_at, row.is_unknown_there = at, at + QUERY_AFTER[0], False
        row.move_to(
            Status.SENDING,
            by=by or row.requested_by,
            reason="Being sent",
            fields=("sent_at", "next_query_at", "is_unknown_there", "requested_on"),
        )
    outcome = Daraja(by=by or row.requested_by, about=row.number).pay_customer(
        originator_id=row.originator_id, phone=row.phone, amount=row.amount, **urls
    )
    if is_repeat and outcome.state == State.REJECTED:
        # It says nothing of the first time: that is asked about on.
        outcome = replace(outcome, state=State.UNKNOWN)
    return _record_outcome(row, outcome)


def _no_longer_owed(row: B2cPayment) -> str:
    """Return why a locked payment must not leave any more, or "" where it is still owed.

    A late success may have paid it while it waited.
    """
    payout = payments.lock_payout(row.payout_id)
    if payout.status != Payout.Status.ON_ITS_WAY:
        return f"{payout.number} is {payout.get_status_display().lower()}."
    if payout.arrived + row.amount > payout.amount:
        return f"{kes(payout.arrived)} of {payout.number} arrived already."
    if adrift_for(payout.subject, kind=payout.kind).exists():
        return f"Money for {payout.subject} lies in suspense: see to that first."
    return ""


def must_not_be_adrift(subject: str, *, kind: str) -> None:
    """Raise Refused while money that left for a loan or customer before lies in suspense."""
    if adrift_for(subject, kind=kind).exists():
        raise Refused(
            f"Money that left for {subject} before lies in suspense. Take it up, or say how it was "
            "settled, under M-Pesa payouts."
        )


def adrift_for(subject: str, *, kind: str):
    """Return payments for a loan or customer that left though they were no longer owed."""
    return B2cPayment.objects.filter(
        is_adrift=True, payout__subject=subject, payout__kind=kind
    ).order_by("pk")


def _count_for(row: B2cPayment, *, on: date) -> None:
    """Let a payment that never left count for the day it leaves on. Raises Refused."""
    if row.requested_on != on:
        must_be_within_limits(row.amount, phone=row.phone, on=on)
        row.requested_on = on


def send_waiting(*, clock: Callable[[], datetime]) -> int:
    """Send what a crash left waiting; return how many were tried.

    What waited for more than an hour is left for a person. `clock` tells when each is sent.
    Raises Refused as `send`.
    """
    stale = B2cPayment.objects.waiting().filter(requested_at__lt=clock() - SENT_WITHIN)
    with transaction.atomic():
        for row in stale.select_for_update():
            row.move_to(Status.UNRESOLVED, by=None, reason="Waited too long to be sent by itself")
    waiting = list(B2cPayment.objects.waiting()[:100])
    for row in waiting:
        send(row, at=clock())
    return len(waiting)


def _record_outcome(sent: B2cPayment, outcome: Outcome) -> B2cPayment:
    """Write down what Safaricom answered; its result may have come before."""
    with transaction.atomic():
        row = B2cPayment.objects.select_for_update().get(pk=sent.pk)
        row.response_code, row.response_description = outcome.code[:40], outcome.message[:200]
        fields = ("response_code", "response_description")
        if outcome.state == State.ACCEPTED:
            row.conversation_id = clean(outcome.answer.get("ConversationID"), 100) or None
            fields += ("conversation_id",)
            theirs = clean(outcome.answer.get("OriginatorConversationID"), 100)
            if settings.DARAJA_B2C_VERSION == "v1" and theirs:
                row.originator_id = theirs
                fields += ("originator_id",)
        status, reason = STATUS_OF[outcome.state], f"Request {outcome.state}"
        if row.status == Status.SENDING:
            row.move_to(status, by=row.requested_by, reason=reason, fields=fields)
            roll_up(row)
        else:
            row.note(by=row.requested_by, reason=reason, fields=fields)
    if row.conversation_id:
        kinds = (Callback.Kind.B2C, Callback.Kind.B2C_TIMEOUT)
        named_at_last(kinds, b2c=None, conversation_id=row.conversation_id, at=sent.sent_at)
    return row


# --- Learn ---------------------------------------------------------------------------------------
def pay(
    row: B2cPayment,
    *,
    receipt: str,
    receiver: str,
    paid_at: datetime | None,
    code: str,
    description: str,
    on: date,
) -> None:
    """Write down and book that Safaricom paid a locked payment, inside the caller's transaction.

    What was no longer owed lies in suspense then, until somebody sees to it.
    """
    row.receipt, row.receiver, row.paid_at = receipt, receiver, paid_at
    row.result_code, row.result_desc = code[:32], description[:200]
    arrival = payments.arrive(row.payout, amount=row.amount, reference=receipt, on=on)
    row.entry, row.is_adrift = arrival.entry, arrival.in_suspense
    row.move_to(
        Status.PAID,
        by=None,
        reason=f"Paid with {receipt}",
        fields=(
            "receipt",
            "receiver",
            "paid_at",
            "result_code",
            "result_desc",
            "entry",
            "is_adrift",
        ),
    )
    roll_up(row)


def fail(row: B2cPayment, *, code: str, description: str, by, reason: str) -> None:
    """Write down that a locked payment did not succeed, inside the caller's transaction."""
    row.result_code, row.result_desc = code[:32], description[:200]
    row.move_to(Status.FAILED, by=by, reason=reason, fields=("result_code", "result_desc"))
    roll_up(row)


def roll_up(row: B2cPayment) -> None:
    """Bring a payout to what its payments say, once nothing of it is on its way any more.

    Inside the caller's transaction. While one is undecided, it stays on its way.
    """
    payout = payments.lock_payout(row.payout_id)
    if payout.status != Payout.Status.ON_ITS_WAY or payout.parts.undecided().exists():
        return
    status = Payout.Status.PARTLY if payout.arrived else Payout.Status.FAILED
    payments.set_payout_status(payout, status, reason="Safaricom said what became of it")


# --- Ask -----------------------------------------------------------------------------------------
def query_payout(part: B2cPayment, *, now: datetime, by=None) -> B2cPayment:
    """Ask Safaricom what became of a payment, and plan the next question; return the payment.

    With growing pauses for a day, then it is left for a person. The answer comes as a callback.
    Asking twice does no harm. Raises Refused as `ask_payout`.
    """
    with transaction.atomic():
        row = B2cPayment.objects.select_for_update().get(pk=part.pk)
        if row.status in B2cPayment.ASKED_ABOUT and not _plan_next(row, now=now):
            return row
        if not (row.is_undecided and row.sent_at):
            return row
        row.queries += 1
        row.queried_at = now
        row.note(by=by, reason="Asked Safaricom", fields=("queries", "queried_at"))
    ask_payout(row, by=by, at=now)
    row.refresh_from_db()
    return row


def _plan_next(row: B2cPayment, *, now: datetime) -> bool:
    """Plan when to ask again; return False where there is no use in asking any more."""
    later = [row.sent_at + pause for pause in QUERY_AFTER if row.sent_at + pause > now]
    nameless = settings.DARAJA_B2C_VERSION == "v1" and not row.conversation_id
    if nameless or not later:
        row.move_to(Status.UNRESOLVED, by=None, reason="No result: nothing more to ask by")
        return False
    row.next_query_at = later[0]
    if row.status == Status.SENDING:
        row.move_to(
            Status.UNKNOWN,
            by=None,
            reason="Never heard whether it was sent",
            fields=("next_query_at",),
        )
    else:
        row.note(by=None, reason="No result yet", fields=("next_query_at",))
    return True


def query_due(*, now: datetime, most: int = 50) -> int:
    """Ask about the payments whose result is late; return how many. Raises Refused."""
    due = list(B2cPayment.objects.due_for_query(now=now)[:most])
    for row in due:
        try:
            query_payout(row, now=now)
        except JustAsked:
            continue
    return len(due)


def note_known_there(row: B2cPayment, *, is_known: bool) -> None:
    """Write down whether Safaricom knows of a locked payment that it was asked about."""
    if row.is_undecided and row.is_unknown_there == is_known:
        row.is_unknown_there = not is_known
        reason = "Known to Safaricom" if is_known else "Unknown to Safaricom"
        row.note(by=None, reason=reason, fields=("is_unknown_there",))


def settle_as_failed(part: B2cPayment, *, reason: str, by) -> B2cPayment:
    """Count a payment whose fate is unknown as failed, because a person found out.

    Inside the caller's transaction, after a second person agreed. A late success still wins.
    Raises Refused for a payment that is not left for a person.
    """
    row = B2cPayment.objects.select_for_update().get(pk=part.pk)
    if row.status != Status.UNRESOLVED:
        raise Refused(f"{row.number} is {row.get_status_display().lower()}: wait for Safaricom.")
    fail(row, code="", description="", by=by, reason=reason)
    return row
