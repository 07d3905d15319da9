"""Emptying the inbox of Daraja: what was stored is applied, booked, placed and told of.

The table of callbacks is the line in which they stand. Any number of processes may take from it
side by side; one that is killed leaves what it held in line, and the M-Pesa receipt decides what
was done already.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from lms import dates, routing
from lms.customers.models import Customer
from lms.errors import Refused
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback
from lms.mpesa.operations import Receipt
from lms.payments.models import Payment
from lms.payments.operations import AlreadyPosted
from lms.payouts import operations as payouts

log = logging.getLogger(__name__)

# Callbacks of one transaction. SQLite has one writer: whoever stores the next ones waits so long.
BATCH = 25 if settings.ON_SQLITE else 100
SINGLY = 20  # callbacks applied one by one before the next batch has its turn
AT_ONCE = timedelta(0)


def drain(*, late_by: timedelta = AT_ONCE) -> int:
    """Apply all callbacks that are due, and `late_by` longer; return how many were tried."""
    tried = 0
    while done := drain_some(late_by=late_by):
        tried += done
    return tried


def drain_some(*, late_by: timedelta = AT_ONCE) -> int:
    """Apply the first callbacks in line: a batch together, then some that need it singly.

    Returns how many were tried, 0 when nothing is due.
    """
    keys = mpesa.claim(limit=BATCH, at=dates.now(), late_by=late_by)
    for key in _apply_together(keys) if keys else ():
        _try(key)
    singly = 0
    while singly < SINGLY and (key := mpesa.claim_one(at=dates.now(), late_by=late_by)):
        _try(key)
        singly += 1
    return len(keys) + singly


def _apply_together(keys: Sequence[int]) -> list[int]:
    """Apply claimed callbacks in one transaction; return those that are to be applied singly.

    Should one of them break it, that is all of them: nothing of it is kept.
    """
    try:
        with transaction.atomic():
            done = _book_together(keys)
    except Exception:
        log.warning("%s callbacks are applied one by one.", len(keys), exc_info=True)
        return list(keys)
    return [key for key in keys if key not in done]


def _book_together(keys: Sequence[int]) -> set[int]:
    """Read, book, place and tell of what plainly brings money; return the keys of that."""
    now, today = dates.now(), dates.today()
    read = mpesa.read_many(keys, on=today)
    if not read:
        return set()
    customers = Customer.objects.in_bulk({money.customer_id for _, money in read} - {None})
    payments = routing.take_many(
        [_answers(money, customers.get(money.customer_id), on=today) for _, money in read],
        by=None,
        on=today,
        now=now,
    )
    attached = zip((callback for callback, _ in read), payments, strict=True)
    mpesa.attach_many(list(attached), at=now)
    return {callback.pk for callback, _ in read}


def _answers(money: Receipt, customer: Customer | None, *, on) -> dict:
    """Return what is said of money on its way in, as `routing.take` asks for it."""
    return {
        "amount": money.amount,
        "reference": money.receipt,
        "value_date": min(money.value_date, on),
        "account": money.account,
        "customer": customer,
        "payer_name": money.payer_name,
        "payer_phone": money.phone,
    }


def _try(callback_id: int) -> None:
    """Apply a claimed callback; whatever goes wrong with it, the others have their turn."""
    try:
        apply(callback_id, claimed=True)
    except Exception as error:
        # It stays in line, to be tried again after a pause, so often and no more.
        log.exception("Callback %s could not be applied.", callback_id)
        mpesa.note_failure(callback_id, error)


def apply(callback_id: int, *, claimed: bool = False) -> str:
    """Apply one stored callback: at most one payment comes of it, however often it is applied.

    Returns what became of it. What cannot be applied keeps its reason on the row. The attempt is
    counted, unless the callback was `claimed`.
    """
    callback = Callback.objects.get(pk=callback_id)
    money = mpesa.apply(callback, at=dates.now(), claimed=claimed)
    if money is None:
        return _place_what_it_names(callback)
    today = dates.today()
    customer = Customer.objects.filter(pk=money.customer_id).first()
    try:
        payment = routing.take(
            method=Payment.Method.MPESA,
            by=None,
            on=today,
            **_answers(money, customer, on=today),
        )
    except AlreadyPosted as posted:
        payment = routing.settle(posted.payment, by=None, on=today)
    except Refused as refusal:
        return mpesa.set_aside(callback, refusal.message, at=dates.now()).status
    mpesa.attach(callback, payment, at=dates.now())
    routing.tell(payment, now=dates.now())
    return payment.number


def _place_what_it_names(callback: Callback) -> str:
    """Place money that was booked without an account, once its confirmation names it.

    A payout whose fate it tells is taken back, or up again.
    """
    callback.refresh_from_db()
    if callback.b2c_id:
        payouts.settle_answered(callback.b2c, on=dates.today())
    payment = callback.payment
    if callback.kind in Callback.WITH_ACCOUNT and payment is not None:
        settled = routing.settle(payment, by=None, on=dates.today())
        routing.tell(settled, now=dates.now())
    return callback.status
