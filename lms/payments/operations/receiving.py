"""Money that arrived: one receipt or many, each once; and undoing one."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import groupby

from django.db import IntegrityError, transaction

from lms import history
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.operations import Line, Posting, post_many, reverse
from lms.money import kes
from lms.payments.models import Payment, normal_reference
from lms.payments.operations.checking import (
    CASH_ACCOUNTS,
    must_be_possible,
    must_not_be_going_back,
    must_not_be_refunded,
    place_of,
)
from lms.tills.models import DrawerMovement
from lms.tills.operations import cash


class AlreadyPosted(Refused):
    """The reference was posted before; `payment` is the one that has it."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(
            f"{payment.get_method_display()} reference {payment.reference} was posted already: "
            f"{payment.number}, {kes(payment.amount)} on {payment.value_date:%d %b %Y}.",
            field="reference",
        )
        self.payment = payment


def receive(
    *,
    method: str,
    amount: Decimal,
    reference: str | None,
    value_date: date,
    account: str,
    branch,
    by,
    on: date,
    customer=None,
    payer_name: str = "",
    payer_phone: str = "",
    note: str = "",
    request_key: str | None = None,
) -> Payment:
    """Record money that arrived and book it as unallocated, in a transaction of its own.

    A repeated `request_key` (a form sent twice) returns the payment made the first time.
    Cash goes into the open drawer of `by`, and stands in the books from its opening on at the
    earliest; for whoever paid, it counts from `value_date`. Raises AlreadyPosted when the
    reference was posted before, Refused for impossible input, for a form sent again with other
    answers, and as `cash.drawer_of` does.
    """
    payment = _unsaved(
        method=method,
        amount=amount,
        reference=reference,
        value_date=value_date,
        account=account,
        customer=customer,
        payer_name=payer_name,
        payer_phone=payer_phone,
        branch=branch,
        note=note,
        request_key=request_key,
        by=by,
        on=on,
    )
    try:
        with transaction.atomic():
            Payment.objects.bulk_create([payment])
            drawer, place = place_of(method, by=by, branch_id=branch.pk)
            _book([payment], place=place, on=cash.booked_on(drawer, value_date), by=by)
            cash.count_in(
                drawer,
                amount,
                kind=DrawerMovement.Kind.RECEIPT,
                entry=payment.entry,
                branch_id=branch.pk,
            )
    except IntegrityError:
        if request_key and (again := Payment.objects.filter(request_key=request_key).first()):
            return _same(again, payment)
        reference = payment.reference
        if reference and (posted := Payment.objects.filter(reference=reference).first()):
            raise AlreadyPosted(posted) from None
        raise
    return payment


def receive_many(arrived: Iterable[Mapping], *, by, on: date) -> list[Payment]:
    """Record money that arrived by M-Pesa as `receive` does, in a few statements.

    Each of `arrived` has the answers of `receive`. Inside the caller's transaction, which an
    IntegrityError ends when a reference was posted before. Returns the payments in order.
    Raises Refused for impossible input.
    """
    payments = [
        _unsaved(**answers, method=Payment.Method.MPESA, by=by, on=on) for answers in arrived
    ]
    place = CASH_ACCOUNTS[Payment.Method.MPESA]
    # In one order, so that two who bring the same receipts wait for one another, not in a circle.
    by_day = groupby(
        sorted(payments, key=lambda payment: (payment.value_date, payment.reference)),
        key=lambda payment: payment.value_date,
    )
    for day, some in by_day:
        saved = Payment.objects.bulk_create(some)
        _book(saved, place=place, on=day, by=by)
    return payments


def can_receive(*, amount: Decimal, reference: str, value_date: date, on: date) -> bool:
    """Tell whether `receive` would take this money by M-Pesa, as far as its answers go."""
    try:
        must_be_possible(
            method=Payment.Method.MPESA,
            amount=amount,
            reference=normal_reference(reference),
            value_date=value_date,
            on=on,
        )
    except Refused:
        return False
    return True


def _unsaved(*, by, on: date, **answers) -> Payment:
    """Return a new payment, not saved yet. Raises Refused for impossible input."""
    payment = Payment(**answers, received_in=answers["branch"], taken_by=by)
    payment.reference = normal_reference(payment.reference)
    must_be_possible(
        method=payment.method,
        amount=payment.amount,
        reference=payment.reference,
        value_date=payment.value_date,
        on=on,
    )
    payment.account = payment.account.strip()[:40]
    payment.payer_name = payment.payer_name[:120]
    payment.payer_phone = payment.payer_phone[:64]
    payment.note = payment.note[:200]
    return payment


def _book(payments: list[Payment], *, place: str, on: date, by) -> None:
    """Book new payments, whose money lies in `place`, on a day as unallocated."""
    entries = post_many(
        [
            Posting(
                reference=f"receipt:{payment.pk}",
                narration=f"{payment.get_method_display()} {payment.reference or payment.number}",
                lines=[Line(place, chart.UNALLOCATED, payment.amount)],
                branch_id=payment.branch_id,
                subject=payment.number,
            )
            for payment in payments
        ],
        kind="receipt",
        on=on,
        by=by,
    )
    for payment, entry in zip(payments, entries, strict=True):
        payment.entry = entry
    history.write(payments, ["entry"])
    history.keep(payments, kind=history.ADDED, by=by, reason="Received")


def _same(again: Payment, wanted: Payment) -> Payment:
    """Return the payment that a form made. Raises Refused when it now says something else."""
    for name in ("method", "amount", "reference", "value_date", "account"):
        if getattr(again, name) != getattr(wanted, name):
            raise Refused(
                f"This form was sent before, as {again}. Open it anew for another payment."
            )
    return again


def learn_account(payment: Payment, *, account: str, payer_name: str, reason: str) -> None:
    """Write down what the payer typed, on a receipt that came without it and waits for its owner.

    Call it with the payment locked. A payment that has an account, or is placed, stays as it is.
    """
    if payment.account or payment.status != Payment.Status.UNALLOCATED or not account.strip():
        return
    payment.account = account.strip()[:40]
    payment.payer_name = payment.payer_name or payer_name[:120]
    history.update([payment], ["account", "payer_name"], by=None, reason=reason)


def undo_receipt(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Reverse the receipt of a payment of which nothing is allocated any more.

    Runs inside the caller's transaction, which holds the row lock of the payment.
    """
    if payment.allocated or payment.credited:
        raise Refused(f"{payment.number} is still allocated.")
    must_not_be_going_back(payment)
    must_not_be_refunded(payment)
    on = max(on, payment.entry.date)
    mirror = reverse(payment.entry, reason=reason, on=on, by=by)
    cash.undo(payment.entry, mirror, reason=reason, by=by, on=on)
    payment.status = Payment.Status.REVERSED
    payment.reversed_on = on
    payment._history_user, payment._change_reason = by, reason[:100]
    payment.save(update_fields=["status", "reversed_on", "is_going_back"])
    return payment
