"""Applying stored callbacks: each kind is read by its parser and acted on, once.

What was stored stands in line by `due_at`. `claim` takes from its head: it counts the attempt and
moves the next one into the future before any work, so that a callback which kills its process is
met again only so often, and by no other process at once.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from lms.mpesa.callbacks import MalformedCallback, parse_c2b, parse_stk
from lms.mpesa.models import Callback
from lms.mpesa.operations.answers import apply_balances, apply_status, apply_timeout
from lms.mpesa.operations.inbox import Receipt, apply_confirmation, apply_stk, lock, settle
from lms.mpesa.operations.payout_answers import apply_b2c, apply_b2c_timeout
from lms.mpesa.operations.pulls import apply_notice, apply_pulled
from lms.mpesa.operations.sent_back import apply_reversal, apply_reversal_timeout
from lms.mpesa.pulled import parse_notice, parse_pulled
from lms.mpesa.results import parse_result
from lms.mpesa.reversal_results import parse_reversal

MAX_ATTEMPTS = 8  # at applying one callback
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
BATCH_LEASE = timedelta(seconds=10)  # longer than a batch takes
Kind = Callback.Kind
READERS = {
    Kind.STK: (parse_stk, apply_stk),
    Kind.CONFIRMATION: (parse_c2b, apply_confirmation),
    Kind.BALANCE: (parse_result, apply_balances),
    Kind.BALANCE_TIMEOUT: (parse_result, apply_timeout),
    Kind.STATUS: (parse_result, apply_status),
    Kind.STATUS_TIMEOUT: (parse_result, apply_timeout),
    Kind.B2C: (parse_result, apply_b2c),
    Kind.B2C_TIMEOUT: (parse_result, apply_b2c_timeout),
    Kind.REVERSAL: (parse_reversal, apply_reversal),
    Kind.REVERSAL_TIMEOUT: (parse_result, apply_reversal_timeout),
    Kind.PULL: (parse_pulled, apply_pulled),
    Kind.PULL_NOTICE: (parse_notice, apply_notice),
}


def claim(*, limit: int, at: datetime, late_by: timedelta = timedelta(0)) -> list[int]:
    """Take money callbacks that nobody tried yet from the head of the line; return their keys.

    They are to be applied together. `late_by` leaves those to others that are not so long due.
    """
    with transaction.atomic():
        due = Callback.objects.due(at=at - late_by).fresh().select_for_update(skip_locked=True)
        keys = list(due.values_list("pk", flat=True)[:limit])
        if keys:
            taken = Callback.objects.filter(pk__in=keys)
            taken.update(attempts=F("attempts") + 1, due_at=at + BATCH_LEASE)
    return keys


def claim_one(*, at: datetime, late_by: timedelta = timedelta(0)) -> int | None:
    """Take the first of the other callbacks, which are applied each by itself; return its key."""
    with transaction.atomic():
        due = Callback.objects.due(at=at - late_by).tried().select_for_update(skip_locked=True)
        callback = due.only("attempts").first()
        if callback is None:
            return None
        _count(callback, at=at)
    return callback.pk


def _count(callback: Callback, *, at: datetime) -> None:
    """Count an attempt at a locked callback; the next one comes after a growing pause."""
    pause = min(FIRST_PAUSE * 2**callback.attempts, LONGEST_PAUSE)
    callback.attempts, callback.due_at = callback.attempts + 1, at + pause
    callback.save(update_fields=["attempts", "due_at"])


def apply(callback: Callback, *, at: datetime, claimed: bool = False) -> Receipt | None:
    """Read a stored callback, move its request on, and return the money it proves, if any.

    The callback stays "received" until that money is booked and `attach` is called, so a process
    that died in between leaves it in line. Returns None when there is nothing (more) to book; the
    callback then says why. Raises nothing for a bad body: it is set aside for a person. The
    attempt is counted here, unless the callback was `claimed`.
    """
    if not claimed:
        with transaction.atomic():
            callback = lock(callback.pk)
            if callback.status != Callback.Status.RECEIVED:
                return None
            _count(callback, at=at)
    with transaction.atomic():
        callback = lock(callback.pk)
        if callback.status != Callback.Status.RECEIVED:
            return None
        if callback.attempts > MAX_ATTEMPTS:
            last = f" The last time: {callback.note}" if callback.note else ""
            note = f"Applying it failed {MAX_ATTEMPTS} times.{last}"
            return settle(callback, Callback.Status.FAILED, note, at=at)
        try:
            if callback.kind in READERS:
                parse, act = READERS[callback.kind]
                return act(callback, parse(bytes(callback.body)), at=at)
        except MalformedCallback as error:
            return settle(callback, Callback.Status.REVIEW, f"Not readable: {error}", at=at)
        return settle(callback, Callback.Status.IGNORED, "Only a question.", at=at)


def note_failure(callback_id: int, error: Exception) -> None:
    """Write on a callback what went wrong with it, for who looks at the inbox."""
    waiting = Callback.objects.filter(pk=callback_id, status=Callback.Status.RECEIVED)
    waiting.update(note=f"{type(error).__name__}: {error}"[:300])
