"""Asking a customer's phone for money, and asking Safaricom what became of it."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from lms import phones
from lms.errors import Refused
from lms.mpesa.callbacks import MalformedCallback, clean, code, is_phone_of
from lms.mpesa.client import Daraja, Outcome, State, check_push
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations.addresses import callback_url_of
from lms.mpesa.operations.inbox import named_at_last
from lms.mpesa.result_codes import Fate, explain

Status = MpesaPayment.Status

FAILURE_CERTAIN_AFTER = timedelta(minutes=2)
# When to ask about a push that never called back, counted from the request; then give up.
QUERY_AFTER = (
    timedelta(seconds=90),
    timedelta(minutes=3),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
)


def push(
    *,
    phone: str,
    amount: Decimal,
    account: str,
    description: str,
    customer,
    by,
    at: datetime,
    request_key: str | None = None,
) -> MpesaPayment:
    """Ask a customer's phone for `amount` whole KES and return the request as it stands then.

    The row is saved first, Safaricom is asked outside any transaction, the answer is recorded.
    `account` is what the money is for (LN000123, at most 12 characters), `description` what the
    customer reads (at most 13). A repeated `request_key` (a form sent twice) returns the first
    request and sends nothing. Raises Refused for values that Safaricom would not take, and within
    a minute of an open request to the same phone.
    """
    try:
        phone = phones.normalise(phone)
    except ValueError as error:
        raise Refused(str(error), field="phone") from error
    callback_url = callback_url_of(Callback.Kind.STK, needs=("DARAJA_PASSKEY",))
    check_push(
        phone=phone,
        amount=amount,
        account=account,
        description=description,
        callback_url=callback_url,
    )
    wanted = MpesaPayment(
        phone=phone,
        amount=amount,
        account=account,
        purpose=description,
        customer=customer,
        requested_by=by,
        requested_at=at,
        request_key=request_key,
        next_query_at=at + QUERY_AFTER[0],
    )
    asked = _save_request(wanted, by=by, at=at)
    if asked is not wanted:
        return asked
    outcome = Daraja(by=by, about=asked.number).stk_push(
        phone=phone,
        amount=amount,
        account=account,
        description=description,
        callback_url=callback_url,
        at=at,
    )
    return _record_outcome(asked, outcome, by=by)


def _save_request(wanted: MpesaPayment, *, by, at: datetime) -> MpesaPayment:
    """Save the request in a transaction of its own, or return the one made with its key."""
    if again := _made_with_key(wanted):
        return again
    wanted._history_user, wanted._change_reason = by, "Requested"
    try:
        with transaction.atomic(durable=True):
            _close_abandoned(wanted.phone, at=at)
            recent = MpesaPayment.objects.open().filter(
                phone=wanted.phone, requested_at__gt=at - MpesaPayment.BETWEEN_PROMPTS
            )
            if not recent.exists():
                wanted.save()
                return wanted
    except IntegrityError:
        pass  # Someone else was faster: with this very form, or to this very phone.
    if again := _made_with_key(wanted):
        return again
    raise Refused(
        f"{phones.show(wanted.phone)} was asked less than a minute ago: wait for the answer, "
        "M-Pesa shows one request at a time.",
        field="phone",
    )


def _made_with_key(wanted: MpesaPayment) -> MpesaPayment | None:
    """Return the request made with the same key. Raises Refused when it asked something else."""
    if not wanted.request_key:
        return None
    made = MpesaPayment.objects.filter(request_key=wanted.request_key).first()
    same = made is None or (made.phone, made.amount, made.account) == (
        wanted.phone,
        wanted.amount,
        wanted.account,
    )
    if not same:
        raise Refused(f"This form was sent before, as {made}. Open it anew for another request.")
    return made


def _close_abandoned(phone: str, *, at: datetime) -> None:
    """Mark what a crash left "being sent" as unknown, so that it blocks nobody."""
    stale = MpesaPayment.objects.filter(
        phone=phone, status=Status.REQUESTED, requested_at__lte=at - MpesaPayment.BETWEEN_PROMPTS
    )
    for row in stale.select_for_update():
        row.move_to(Status.UNKNOWN, by=None, reason="Never heard whether it was sent")


def _record_outcome(asked: MpesaPayment, outcome: Outcome, *, by) -> MpesaPayment:
    """Write down what Safaricom answered; its callback may have come before."""
    answer = outcome.answer
    with transaction.atomic():
        row = MpesaPayment.objects.select_for_update().get(pk=asked.pk)
        row.response_code = outcome.code[:40]
        row.response_description = outcome.message[:200]
        fields = ("response_code", "response_description")
        checkout_id = clean(answer.get("CheckoutRequestID"), 100)
        taken = MpesaPayment.objects.filter(checkout_request_id=checkout_id).exclude(pk=row.pk)
        if outcome.state == State.ACCEPTED and not row.checkout_request_id and not taken.exists():
            row.checkout_request_id = checkout_id
            row.merchant_request_id = clean(answer.get("MerchantRequestID"), 100)
            fields += ("checkout_request_id", "merchant_request_id")
        status = {
            State.ACCEPTED: Status.SENT,
            State.REJECTED: Status.FAILED,
            State.UNKNOWN: Status.UNKNOWN,
        }[outcome.state]
        reason = f"Request {outcome.state}"
        if row.status == Status.REQUESTED:
            row.move_to(status, by=by, reason=reason, fields=fields)
        else:
            row.note(by=by, reason=reason, fields=fields)
    if row.checkout_request_id:
        kinds, name = (Callback.Kind.STK,), row.checkout_request_id
        named_at_last(kinds, push=None, checkout_id=name, at=asked.requested_at)
    return row


def query_push(asked: MpesaPayment, *, now: datetime, by=None) -> MpesaPayment:
    """Ask Safaricom what became of a request and record it; return the request.

    A query never makes a payment: it gives no receipt. Success makes the request "paid, receipt
    awaited", and paid where a confirmation with the receipt came already. Failure counts once the
    prompt's window is over and never undoes what is paid. Asked again with growing pauses for two
    hours, then left for a person. Asking twice does no harm.
    """
    outcome = None
    if asked.checkout_request_id:
        daraja = Daraja(by=by, about=asked.number)
        outcome = daraja.stk_query(asked.checkout_request_id, at=now)
    with transaction.atomic():
        row = MpesaPayment.objects.select_for_update().get(pk=asked.pk)
        if row.is_open:
            if outcome is not None:
                row.queries += 1
                row.queried_at = now
            _take_answer(row, outcome, now=now)
    if row.payment_id:
        Callback.objects.filter(receipt=row.receipt, push=None).update(push=row)
    return row


def _take_answer(row: MpesaPayment, outcome: Outcome | None, *, now: datetime) -> None:
    result = _result_of(outcome)
    fields = ("queries", "queried_at", "result_code", "result_desc")
    fate = explain(result).fate if result else Fate.PENDING
    certain = now - row.requested_at > FAILURE_CERTAIN_AFTER
    if fate == Fate.PENDING or (fate != Fate.PAID and not certain):
        _ask_later(row, now=now)
        return
    row.result_code = result
    row.result_desc = clean(outcome.answer.get("ResultDesc"), 200)
    if fate == Fate.PAID:
        row.move_to(Status.CONFIRMED, by=None, reason="Safaricom says paid", fields=fields)
        _claim_receipt(row)
    else:
        row.move_to(
            MpesaPayment.STATUS_OF[fate], by=None, reason="Safaricom says not paid", fields=fields
        )


def _result_of(outcome: Outcome | None) -> str:
    """Return the ResultCode of a query's answer as text, "" while there is none."""
    if outcome is None or outcome.state != State.ACCEPTED or outcome.is_pending:
        return ""
    try:
        return code(outcome.answer.get("ResultCode"))
    except MalformedCallback:
        return ""


def _ask_later(row: MpesaPayment, *, now: datetime) -> None:
    fields = ("queries", "queried_at", "next_query_at")
    later = [row.requested_at + pause for pause in QUERY_AFTER if row.requested_at + pause > now]
    if not later:
        row.move_to(Status.UNRESOLVED, by=None, reason="No result within two hours", fields=fields)
        return
    row.next_query_at = later[0]
    if row.status == Status.REQUESTED:
        row.move_to(
            Status.UNKNOWN, by=None, reason="Never heard whether it was sent", fields=fields
        )
    else:
        row.note(by=None, reason="Asked Safaricom: no result yet", fields=fields)


def _claim_receipt(row: MpesaPayment) -> None:
    """Give a request proved paid the receipt of the one confirmation that fits it, if there is."""
    used = MpesaPayment.objects.exclude(receipt=None).values("receipt")
    booked = Callback.objects.filter(
        kind__in=Callback.WITH_ACCOUNT,
        account__iexact=row.account,
        amount=row.amount,
        paid_at__range=(
            row.requested_at - MpesaPayment.BETWEEN_PROMPTS,
            row.requested_at + MpesaPayment.SAME_PAYMENT_WITHIN,
        ),
        payment__isnull=False,
    ).exclude(receipt__in=used)
    fits = {found.receipt: found for found in booked if is_phone_of(found.phone, phone=row.phone)}
    if len(fits) == 1:
        (found,) = fits.values()
        row.receipt, row.paid_at, row.payment_id = found.receipt, found.paid_at, found.payment_id
        row.move_to(
            Status.PAID,
            by=None,
            reason=f"Confirmation {found.receipt} fits",
            fields=("receipt", "paid_at", "payment"),
        )
