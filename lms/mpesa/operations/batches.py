"""Applying many callbacks together: the ordinary ones, which bring money that nobody booked yet.

`read_many` reads them and says what money they bring, the room above books it, `attach_many` ties
both together, all in one transaction. What is not plain, it leaves alone: `apply` (in applying.py)
reads it by itself. Both write the same.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from django.conf import settings

from lms import history
from lms.mpesa.callbacks import (
    C2bPayment,
    MalformedCallback,
    StkResult,
    parse_c2b,
    parse_stk,
)
from lms.mpesa.models import Callback, MpesaPayment
from lms.mpesa.operations.inbox import (
    PAID_FIELDS,
    SETTLED,
    Receipt,
    read_confirmation,
    read_paid,
    read_stk,
    receipt_of,
)
from lms.payments.models import Payment
from lms.payments.operations import can_receive

PARSERS = {Callback.Kind.STK: parse_stk, Callback.Kind.CONFIRMATION: parse_c2b}
Status = MpesaPayment.Status


Said = C2bPayment | StkResult


def read_many(keys: Iterable[int], *, on: date) -> list[tuple[Callback, Receipt]]:
    """Lock and read callbacks; return those that plainly bring money by a day, with that money.

    Requests that were paid are moved on. Left out, and as they were: whatever another process
    holds, what cannot be read or brings no money, a second callback of one receipt, and money
    that is booked already or may answer a request that awaits its receipt.
    """
    locked = Callback.objects.select_for_update(skip_locked=True).filter(
        pk__in=list(keys), status=Callback.Status.RECEIVED
    )
    said = _first_of_each_receipt(locked.order_by("pk"))
    said = _without(said, Payment.objects.filter(reference__in=_receipts(said)), "reference")
    pushes = MpesaPayment.objects.filter(receipt__in=_receipts(said))
    said = _without(said, pushes, "receipt")
    confirmed = [(one, what) for one, what in said if isinstance(what, C2bPayment)]
    results = [(one, what) for one, what in said if isinstance(what, StkResult)]
    found = [*_read_confirmations(confirmed, on=on), *_read_results(results, on=on)]
    return sorted(found, key=lambda pair: pair[0].pk)


def _first_of_each_receipt(callbacks: Iterable[Callback]) -> list[tuple[Callback, Said]]:
    """Return each callback that names a receipt, and what it says; the first of each receipt."""
    found: dict[str, tuple[Callback, Said]] = {}
    for callback in callbacks:
        try:
            says = PARSERS[callback.kind](bytes(callback.body))
        except MalformedCallback:
            continue
        if says.receipt:
            found.setdefault(says.receipt, (callback, says))
    return list(found.values())


def _receipts(said: Iterable[tuple[Callback, Said]]) -> list[str]:
    return [what.receipt for _, what in said]


def _without(said: list, known, field: str) -> list:
    taken = set(known.values_list(field, flat=True))
    return [(one, what) for one, what in said if what.receipt not in taken]


def _read_confirmations(
    said: Sequence[tuple[Callback, C2bPayment]], *, on: date
) -> list[tuple[Callback, Receipt]]:
    awaited = {
        (account.lower(), amount)
        for account, amount in MpesaPayment.objects.filter(
            status=Status.CONFIRMED, amount__in={payment.amount for _, payment in said}
        ).values_list("account", "amount")
    }
    ours = str(settings.DARAJA_SHORTCODE)
    found = []
    for callback, payment in said:
        if payment.shortcode == ours and (payment.account.lower(), payment.amount) not in awaited:
            read_confirmation(callback, payment)
            money = receipt_of(callback, customer_id=None)
            if _is_bookable(money, on=on):
                found.append((callback, money))
    return found


def _is_bookable(money: Receipt, *, on: date) -> bool:
    day = min(money.value_date, on)
    return can_receive(amount=money.amount, reference=money.receipt, value_date=day, on=on)


def _read_results(
    said: Sequence[tuple[Callback, StkResult]], *, on: date
) -> list[tuple[Callback, Receipt]]:
    """Read the results of paid pushes, and move the requests that they answer."""
    asked = MpesaPayment.objects.select_for_update().order_by("pk")
    rows = {
        row.checkout_request_id: row
        for row in asked.filter(checkout_request_id__in=[r.checkout_request_id for _, r in said])
    }
    found, paid = [], []
    for callback, result in said:
        row = rows.pop(result.checkout_request_id, None)
        plain = row is not None and row.receipt is None and row.amount == result.amount
        if not plain or not row.can_become(Status.PAID):
            continue
        read_stk(callback, result)
        callback.push, callback.account = row, row.account
        money = receipt_of(callback, customer_id=row.customer_id)
        if _is_bookable(money, on=on):
            read_paid(row, result)
            row.step_to(Status.PAID)
            paid.append(row)
            found.append((callback, money))
    reasons = [f"Paid with {row.receipt}" for row in paid]
    fields = ("status", "next_query_at", *PAID_FIELDS)
    history.update(paid, fields, by=None, reason=reasons)
    return found


def attach_many(pairs: Sequence[tuple[Callback, Payment]], *, at: datetime) -> None:
    """Tie callbacks that `read_many` returned, and their requests, to the payments just booked."""
    pushes = []
    for callback, payment in pairs:
        callback.status, callback.processed_at = Callback.Status.APPLIED, at
        callback.note = f"Booked as {payment.number}."
        callback.payment = payment
        if callback.push is not None:
            callback.push.payment = payment
            pushes.append(callback.push)
    reasons = [f"Booked as {row.payment.number}" for row in pushes]
    history.update(pushes, ["payment"], by=None, reason=reasons)
    history.write([callback for callback, _ in pairs], [*SETTLED, "payment"])
