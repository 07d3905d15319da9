"""Applying a stored callback: each kind is read by its parser and acted on, once."""

from datetime import datetime

from django.db import transaction

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


def apply(callback: Callback, *, at: datetime) -> Receipt | None:
    """Read a stored callback, move its request on, and return the money it proves, if any.

    The callback stays "received" until that money is booked and `attach` is called, so a job that
    died in between is simply run again. Returns None when there is nothing (more) to book; the
    callback then says why. Raises nothing for a bad body: it is set aside for a person.
    """
    with transaction.atomic():
        callback = lock(callback.pk)
        if callback.status != Callback.Status.RECEIVED:
            return None
        callback.attempts += 1
        callback.save(update_fields=["attempts"])
    with transaction.atomic():
        callback = lock(callback.pk)
        if callback.status != Callback.Status.RECEIVED:
            return None
        if callback.attempts > MAX_ATTEMPTS:
            note = f"Applying it failed {MAX_ATTEMPTS} times: see the failed jobs."
            return settle(callback, Callback.Status.FAILED, note, at=at)
        try:
            if callback.kind in READERS:
                parse, act = READERS[callback.kind]
                return act(callback, parse(bytes(callback.body)), at=at)
        except MalformedCallback as error:
            return settle(callback, Callback.Status.REVIEW, f"Not readable: {error}", at=at)
        return settle(callback, Callback.Status.IGNORED, "Only a question.", at=at)
