"""Pulling the payments whose confirmation never came. Asking moves no money: it may be repeated.

What a pull or its notification tells goes the way of a confirmation: stored first, applied once,
one payment a receipt.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.mpesa import pulled
from lms.mpesa.callbacks import MalformedCallback
from lms.mpesa.client import PHONE, Daraja, Outcome, State
from lms.mpesa.models import Callback, Pull
from lms.mpesa.operations.addresses import callback_url_of
from lms.mpesa.operations.inbox import Receipt, money, push_awaiting, settle
from lms.mpesa.pulled import PulledPayment
from lms.payments.models import Payment

Status = Pull.Status
PAGE = 100  # rows of a full page
MOST_PAGES = 1000
KEPT_APART = timedelta(days=4)  # how long a row that cannot be read is known again


def pull_is_set_up() -> bool:
    """Tell whether missed payments are pulled: a number is nominated for it."""
    return settings.DARAJA_PULL_NUMBER != ""


def register_pull(*, by) -> Outcome:
    """Ask Safaricom for the right to pull missed payments. Raises Refused unless it agrees."""
    number = settings.DARAJA_PULL_NUMBER
    if not PHONE.fullmatch(number):
        raise Refused(
            "DARAJA_PULL_NUMBER is no phone like 254712345678: nobody is nominated to pull."
        )
    outcome = Daraja(by=by, about=f"paybill {settings.DARAJA_SHORTCODE}").pull_register(
        number=number, callback_url=callback_url_of(Callback.Kind.PULL_NOTICE)
    )
    if outcome.state != State.ACCEPTED:
        said = " ".join(filter(None, [outcome.code, outcome.message]))
        raise Refused(f"Safaricom did not agree ({outcome.state}): {said}")
    return outcome


def pull(*, by, at: datetime) -> Pull:
    """Ask for the payments since the last good pull; store those that the books do not have.

    They are callbacks that wait to be applied (`Pull.callbacks`). From an hour before the end of
    the last good pull, at most 48 hours back, until `at`. Page after page; a run that breaks off
    keeps what it found, and the next one begins where it began. Raises Refused while no number is
    nominated, and while another run is at it.
    """
    if not pull_is_set_up():
        raise Refused("No number is nominated: DARAJA_PULL_NUMBER is empty.")
    run = _begin(by=by, at=at)
    daraja = Daraja(by=by, about=run.number)
    seen: set[str] = set()
    while run.pages < MOST_PAGES:
        outcome = daraja.pull_query(since=run.since, until=run.until, offset=run.pages * PAGE)
        if outcome.state != State.ACCEPTED:
            return _end(run, Status.FAILED, outcome.code, outcome.message)
        try:
            rows = pulled.rows_of(outcome.answer)
        except MalformedCallback as error:
            return _end(run, Status.FAILED, "unreadable", str(error))
        run.pages += 1
        fresh = _not_seen(rows, seen)
        run.found += len(fresh)
        run.new += _store(fresh, run, at=at)
        run.save_without_historical_record(update_fields=["pages", "found", "new"])
        if len(rows) < PAGE or not fresh:
            return _end(run, Status.DONE, outcome.code, outcome.message)
    return _end(run, Status.FAILED, "too-long", f"More than {MOST_PAGES} pages.")


def _begin(*, by, at: datetime) -> Pull:
    """Save the run before anything is asked."""
    with transaction.atomic(durable=True):
        running = Pull.objects.filter(
            status=Status.RUNNING, started_at__gt=at - Pull.RUNS_AT_MOST
        ).first()
        if running:
            raise Refused(f"{running.number} is at it: wait until it is done.")
        for died in Pull.objects.filter(status=Status.RUNNING).select_for_update():
            _end(died, Status.FAILED, "died", "It never came to its end.")
        last = Pull.objects.good().order_by("-until").first()
        earliest = at - Pull.REACHES_BACK
        since = max(earliest, last.until - Pull.OVERLAP) if last else earliest
        run = Pull(started_at=at, since=since, until=at, asked_by=by)
        run._history_user, run._change_reason = by, "Begun"
        run.save()
    return run


def _end(run: Pull, status: str, code: str, message: str) -> Pull:
    run.status, run.code, run.message = status, code[:40], message[:200]
    run.finished_at = dates.now()
    run._history_user, run._change_reason = run.asked_by, f"Ended: {message or code}"[:100]
    run.save(update_fields=["status", "code", "message", "finished_at"])
    return run


def _not_seen(rows: Iterable[Any], seen: set[str]) -> list[Any]:
    """Return the rows that this run has not met on a page before."""
    fresh = []
    for row in rows:
        known_by = pulled.receipt_of(row) or pulled.body_of(row).decode()
        if known_by not in seen:
            seen.add(known_by)
            fresh.append(row)
    return fresh


def _store(rows: list[Any], run: Pull | None, *, at: datetime) -> int:
    """Store, as they came, the rows that nobody knows yet; return how many they are."""
    receipts = {pulled.receipt_of(row) for row in rows} - {""}
    with transaction.atomic():
        known = set(
            Payment.objects.filter(reference__in=receipts).values_list("reference", flat=True)
        ) | set(
            Callback.objects.filter(
                receipt__in=receipts, kind__in=Callback.WITH_ACCOUNT
            ).values_list("receipt", flat=True)
        )
        new = [
            row
            for row in rows
            if pulled.receipt_of(row) not in known
            and (pulled.receipt_of(row) or not _is_kept(row, at=at))
        ]
        for row in new:
            Callback.objects.create(
                kind=Callback.Kind.PULL,
                body=pulled.body_of(row),
                received_at=at,
                receipt=pulled.receipt_of(row),
                pull=run,
            )
    return len(new)


def _is_kept(row: Any, *, at: datetime) -> bool:
    """Tell whether a row without a receipt was stored by a pull before."""
    return Callback.objects.filter(
        kind=Callback.Kind.PULL,
        receipt="",
        received_at__gt=at - KEPT_APART,
        body=pulled.body_of(row),
    ).exists()


def apply_pulled(callback: Callback, payment: PulledPayment, *, at: datetime) -> Receipt | None:
    """Return the money that a pulled row tells of. `callback` is locked."""
    callback.receipt = payment.receipt
    callback.amount = payment.amount
    callback.account = payment.account
    callback.phone = payment.msisdn
    callback.payer_name = payment.payer_name
    callback.paid_at = min(payment.at, callback.received_at) if payment.at else None
    callback.push = push_awaiting(callback)
    customer_id = callback.push.customer_id if callback.push else None
    return money(callback, customer_id=customer_id, at=at)


def apply_notice(callback: Callback, rows: list[Any], *, at: datetime) -> Receipt | None:
    """Take the one payment of a notification; several are stored as rows of their own first."""
    if not rows:
        return settle(callback, Callback.Status.IGNORED, "No payment in it.", at=at)
    if len(rows) == 1:
        return apply_pulled(callback, pulled.payment_of(rows[0]), at=at)
    new = _store(_not_seen(rows, set()), None, at=at)
    note = f"{len(rows)} payments in it, {new} new to us."
    return settle(callback, Callback.Status.IGNORED, note, at=at)
