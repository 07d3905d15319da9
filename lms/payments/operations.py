"""The verbs of money in and out: receive a payment, undo a receipt, pay out."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from django.db import IntegrityError, transaction

from lms import history
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.beginning import must_be_in_books
from lms.ledger.books import must_be_open
from lms.ledger.models import JournalEntry
from lms.ledger.operations import COMMON, Accounts, Line, Posting, post, post_many, reverse
from lms.money import CENT, ZERO, kes
from lms.payments.models import Payment, Payout, Refund, normal_reference
from lms.tills.models import DrawerMovement, DrawerSession
from lms.tills.operations import cash

# Where money of each method lies; cash lies in the drawer of who handles it, or in the vault.
CASH_ACCOUNTS = {
    Payment.Method.MPESA: chart.MPESA_PAYBILL,
    Payment.Method.BANK: chart.BANK,
    Payment.Method.CHEQUE: chart.CHEQUES,
    Payment.Method.OPENING: chart.OPENING_BALANCES,
    Payment.Method.REFINANCE: chart.REFINANCE_CLEARING,
    Payment.Method.INSURANCE: chart.BANK,
    Payment.Method.REWARD: chart.REFERRAL_REWARDS,
    # Promised and sent, and paid once Safaricom says so.
    Payout.Method.B2C: chart.PAYOUTS_ON_THEIR_WAY,
}
MPESA_RECEIPT = re.compile(r"[A-Z0-9]{8,12}")


class AlreadyPosted(Refused):
    """The reference was posted before; `payment` is the one that has it."""

    def __init__(self, payment: Payment) -> None:
        super().__init__(
            f"{payment.get_method_display()} reference {payment.reference} was posted already: "
            f"{payment.number}, {kes(payment.amount)} on {payment.value_date:%d %b %Y}.",
            field="reference",
        )
        self.payment = payment


def _check(*, method: str, amount: Decimal, reference: str | None, value_date: date, on: date):
    if amount <= 0:
        raise Refused("The amount must be more than KES 0.00.", field="amount")
    if amount != amount.quantize(CENT):
        raise Refused("The amount has parts of a cent.", field="amount")
    if value_date > on:
        raise Refused("A payment cannot be dated in the future.", field="value_date")
    must_be_in_books(value_date, field="value_date")
    needs_reference = method in (
        Payment.Method.MPESA,
        Payment.Method.BANK,
        Payment.Method.CHEQUE,
    )
    if needs_reference and not reference:
        raise Refused(
            "Type the M-Pesa receipt, bank slip or cheque number: it guards against posting twice.",
            field="reference",
        )
    if method == Payment.Method.MPESA and not MPESA_RECEIPT.fullmatch(reference):
        raise Refused(
            f"“{reference}” is not an M-Pesa receipt: they are 10 letters and digits, "
            "like UKL7AB12CD.",
            field="reference",
        )


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
            drawer, place = _place_of(method, by=by, branch_id=branch.pk)
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
        _check(
            method=Payment.Method.MPESA,
            amount=amount,
            reference=normal_reference(reference),
            value_date=value_date,
            on=on,
        )
    except Refused:
        return False
    return True


def _unsaved(
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
    """Return a new payment, not saved yet. Raises Refused for impossible input."""
    reference = normal_reference(reference)
    _check(method=method, amount=amount, reference=reference, value_date=value_date, on=on)
    return Payment(
        method=method,
        amount=amount,
        reference=reference,
        value_date=value_date,
        account=account.strip()[:40],
        customer=customer,
        payer_name=payer_name[:120],
        payer_phone=payer_phone[:64],
        branch=branch,
        received_in=branch,
        note=note[:200],
        request_key=request_key,
        taken_by=by,
    )


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


def learn_account(payment: Payment, *, account: str, payer_name: str, reason: str) -> None:
    """Write down what the payer typed, on a receipt that came without it and waits for its owner.

    Call it with the payment locked. A payment that has an account, or is placed, stays as it is.
    """
    if payment.account or payment.status != Payment.Status.UNALLOCATED or not account.strip():
        return
    payment.account = account.strip()[:40]
    payment.payer_name = payment.payer_name or payer_name[:120]
    history.update([payment], ["account", "payer_name"], by=None, reason=reason)


def _place_of(method: str, *, by, branch_id: int) -> tuple[DrawerSession | None, str]:
    """Return the account in which money of a method lies, and the locked drawer if it is one."""
    if method != Payment.Method.CASH:
        return None, CASH_ACCOUNTS[method]
    drawer = cash.drawer_of(by, branch_id=branch_id)
    return drawer, cash.account_of(drawer, branch_id=branch_id)


def _same(again: Payment, wanted: Payment) -> Payment:
    """Return the payment that a form made. Raises Refused when it now says something else."""
    for name in ("method", "amount", "reference", "value_date", "account"):
        if getattr(again, name) != getattr(wanted, name):
            raise Refused(
                f"This form was sent before, as {again}. Open it anew for another payment."
            )
    return again


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


def pay_out(
    *,
    method: str,
    amount: Decimal,
    reference: str | None,
    customer_id: int,
    subject: str,
    branch_id: int,
    by,
    on: date,
    narration: str,
    lines: Iterable[Line],
    key: str,
    kind: str = Payout.Kind.DISBURSEMENT,
    debit: str = chart.LOAN_PRINCIPAL,
    accounts: Accounts = COMMON,
) -> Payout:
    """Record money that left, or is about to (method B2C), and post its entry.

    Inside the caller's transaction. What is to be sent by M-Pesa is owed until it arrives.

    `lines` are the other transfers of the same event; the one that pays `amount` KES from where
    money of `method` lies against `debit` is added here. `key` names the event; `accounts` take the
    place of those of the chart.
    Cash of a drawer stands in the books from its opening on at the earliest.
    Raises Refused when the reference was used before, for a day of a closed month, and as
    `cash.drawer_of` does.
    """
    reference = normal_reference(reference)
    drawer, place = _place_of(method, by=by, branch_id=branch_id)
    if (day := cash.booked_on(drawer, on)) != on:
        must_be_open(on)
    entry = post(
        kind=kind,
        reference=key,
        on=day,
        narration=narration,
        lines=[Line(debit, place, amount), *lines],
        branch_id=branch_id,
        by=by,
        subject=subject,
        accounts=accounts,
        on_that_day=True,
    )
    cash.count_in(
        drawer,
        -amount,
        kind=DrawerMovement.Kind.PAYOUT,
        entry=entry,
        branch_id=branch_id,
    )
    payout = Payout(
        kind=kind,
        method=method,
        reference=reference,
        amount=amount,
        customer_id=customer_id,
        subject=subject,
        paid_on=on,
        branch_id=branch_id,
        entry=entry,
        paid_by=by,
    )
    if method == Payout.Method.B2C:
        payout.status = Payout.Status.ON_ITS_WAY
    else:
        payout.arrived = amount
    try:
        # No savepoint: whoever is refused here ends the transaction it belongs to.
        with transaction.atomic(savepoint=False):
            history.create([payout], by=by, reason="Paid out")
    except IntegrityError as error:
        raise Refused(
            f"Reference {reference} was used for another payout.", field="reference"
        ) from error
    return payout


def lock_payout(pk: int) -> Payout:
    """Return a payout with its entry, locked until the transaction ends."""
    rows = Payout.objects.select_for_update(of=("self",)).select_related("entry", "customer")
    return rows.get(pk=pk)


def undo_payout(payout: Payout, *, reason: str, by, on: date) -> Payout:
    """Reverse a payout whose money is back or never left, with everything that its entry booked.

    Runs inside the caller's transaction. Raises Refused when it is reversed already. What Safaricom
    was asked to pay is reversed only when it says that nothing of it arrives: what arrived cannot
    be called back, and what the customer brings back is a payment.
    """
    payout = lock_payout(payout.pk)
    if payout.reversed_on:
        raise Refused(f"{payout} was reversed on {payout.reversed_on:%d %b %Y} already.")
    if payout.arrived and payout.method == Payout.Method.B2C:
        raise Refused(
            f"{kes(payout.arrived)} of {payout.number} arrived by M-Pesa and cannot be called "
            "back: what the customer brings back is taken as a payment."
        )
    if Payout.Status.REVERSED not in Payout.NEXT.get(payout.status, ()):
        raise Refused(
            f"{payout} is {payout.get_status_display().lower()}: it can be taken back once "
            "Safaricom says that nothing of it arrives."
        )
    on = max(on, payout.entry.date)
    mirror = reverse(payout.entry, reason=reason, on=on, by=by)
    cash.undo(payout.entry, mirror, reason=reason, by=by, on=on)
    payout.reversed_on, payout.status = on, Payout.Status.REVERSED
    payout._history_user, payout._change_reason = by, reason[:100]
    payout.save(update_fields=["reversed_on", "status"])
    return payout


class Arrival(NamedTuple):
    """What was booked when Safaricom paid: the payout as it stands then, and the entry.

    The money lies in suspense where it was no longer owed.
    """

    payout: Payout
    entry: JournalEntry
    in_suspense: bool = False


def arrive(payout: Payout, *, amount: Decimal, reference: str, on: date) -> Arrival:
    """Book that Safaricom paid `amount` KES of a payout, under its M-Pesa receipt.

    Runs inside the caller's transaction; nobody is asked. What had been taken back before (a
    failure that was none), or is more than was promised, lies in suspense until somebody sees to
    it. Raises Refused when the receipt is booked already.
    """
    payout = lock_payout(payout.pk)
    reference = normal_reference(reference)
    is_reversed = payout.status == Payout.Status.REVERSED
    if is_reversed or payout.arrived + amount > payout.amount:
        late = _book_arrival(
            payout, amount, reference, kind="payout_late", debit=chart.SUSPENSE, on=on
        )
        return late._replace(in_suspense=True)
    arrival = _book_arrival(
        payout,
        amount,
        reference,
        kind="payout_arrived",
        debit=chart.PAYOUTS_ON_THEIR_WAY,
        on=on,
    )
    payout.arrived += amount
    if not Payout.objects.filter(reference=reference).exists():
        payout.reference = payout.reference or reference
    is_whole = payout.arrived == payout.amount
    if is_whole:
        payout.status = Payout.Status.PAID
    elif payout.status == Payout.Status.FAILED:
        payout.status = Payout.Status.PARTLY
    payout._history_user, payout._change_reason = None, f"Arrived: {reference}"
    payout.save(update_fields=["arrived", "reference", "status"])
    return arrival


def _book_arrival(
    payout: Payout, amount: Decimal, reference: str, *, kind: str, debit: str, on: date
) -> Arrival:
    entry = post(
        kind=kind,
        reference=f"arrived:{payout.pk}:{reference}",
        on=max(on, payout.entry.date),
        narration=f"{payout.number} paid by M-Pesa {reference}",
        lines=[Line(debit, chart.MPESA_UTILITY, amount)],
        branch_id=payout.branch_id,
        by=None,
        subject=payout.number,
    )
    return Arrival(payout, entry)


def take_up(payout: Payout, late: Payout, *, amount: Decimal, reference: str, on: date) -> Payout:
    """Book that money which left for a payout taken back since pays for another one.

    Runs inside the caller's transaction. `late` was reversed before its money left after all, and
    that money waits in suspense, in the books of the branch of `late`.
    """
    payout = lock_payout(payout.pk)
    owed, lies = payout.branch_id, late.branch_id
    lines = [Line(chart.PAYOUTS_ON_THEIR_WAY, chart.SUSPENSE, amount)]
    if owed != lies:
        lines = [
            Line(chart.PAYOUTS_ON_THEIR_WAY, chart.BETWEEN_BRANCHES, amount, owed),
            Line(chart.BETWEEN_BRANCHES, chart.SUSPENSE, amount, lies),
        ]
    post(
        kind="payout_taken_up",
        reference=f"arrived:{payout.pk}:{reference}",
        on=max(on, payout.entry.date),
        narration=f"{payout.number} was paid by M-Pesa {reference}, sent for {late.number}",
        lines=lines,
        branch_id=payout.branch_id,
        by=None,
        subject=payout.number,
    )
    payout.arrived += amount
    if not Payout.objects.filter(reference=reference).exists():
        payout.reference = reference
    payout.status = Payout.Status.PAID if payout.arrived == payout.amount else Payout.Status.PARTLY
    payout._history_user, payout._change_reason = None, f"Arrived: {reference}"
    payout.save(update_fields=["arrived", "reference", "status"])
    return payout


def set_payout_status(payout: Payout, status: str, *, reason: str, by=None) -> Payout:
    """Take one step of a payout that is on its way, inside the caller's transaction.

    Raises Refused for a step that `Payout.NEXT` does not allow.
    """
    payout = lock_payout(payout.pk)
    if status not in Payout.NEXT.get(payout.status, ()):
        raise Refused(
            f"{payout} is {payout.get_status_display().lower()}, so it cannot become "
            f"{Payout.Status(status).label.lower()}."
        )
    payout.status = status
    payout._history_user, payout._change_reason = by, reason[:100]
    payout.save(update_fields=["status"])
    return payout


def must_not_be_going_back(payment: Payment) -> None:
    """Refuse to touch a payment that Safaricom was asked to send back to its payer."""
    if payment.is_going_back:
        raise Refused(
            f"{payment.number} is being sent back to its payer: wait for Safaricom's answer."
        )


def begin_going_back(payment: Payment, *, by, reason: str) -> None:
    """Hold a payment of which nothing is placed, while it may be on its way back to the payer.

    Call it with the payment locked. Raises Refused for one that is placed, reversed or held.
    """
    must_not_be_going_back(payment)
    if payment.status != Payment.Status.UNALLOCATED or payment.unallocated != payment.amount:
        raise Refused(
            f"{payment.number} is {payment.get_status_display().lower()}: only money that waits "
            "unallocated, all of it, can be sent back."
        )
    payment.is_going_back = True
    _keep_where_it_goes(payment, by=by, reason=reason)


def end_going_back(payment: Payment, *, by, reason: str) -> None:
    """Let go of a payment that did not go back; a person, not its account number, places it.

    Call it with the payment locked. A payment that is not held stays as it is.
    """
    if payment.is_going_back:
        payment.is_going_back, payment.waits_for_staff = False, True
        _keep_where_it_goes(payment, by=by, reason=reason)


def undo_sent_back(payment: Payment, *, reason: str, by, on: date) -> Payment:
    """Reverse the receipt of a payment that Safaricom gave back to its payer.

    Runs inside the caller's transaction, which holds the row lock of the payment. Raises Refused
    for one that was placed meanwhile, and as `undo_receipt` does.
    """
    payment.is_going_back = False
    return undo_receipt(payment, reason=reason, by=by, on=on)


def _keep_where_it_goes(payment: Payment, *, by, reason: str) -> None:
    payment._history_user, payment._change_reason = by, reason[:100]
    payment.save(update_fields=["is_going_back", "waits_for_staff"])


def must_not_be_refunded(payment: Payment) -> None:
    """Refuse to touch a payment of which a part was given back to the customer."""
    if payment.refunded:
        raise Refused(
            f"{kes(payment.refunded)} of {payment.number} was paid back to the customer: "
            "undo that refund first."
        )


def refund_credit(
    customer, *, amount: Decimal, method: str, reference: str | None, by, on: date
) -> Payout:
    """Pay credit back to its customer, from the oldest payment on, out of the branch that holds it.

    Raises Refused above the credit, and for a person who took one of those payments.
    """
    reference = normal_reference(reference)
    _check(method=method, amount=amount, reference=reference, value_date=on, on=on)
    with transaction.atomic():
        held = list(
            Payment.objects.select_for_update(of=("self",))
            .with_credit()
            .filter(customer=customer)
            .select_related("received_in")
            .order_by("pk")
        )
        if not held:
            raise Refused(f"{customer.name} has no credit.")
        branch = held[0].received_in
        parts = _refunds(held, branch, amount, by=by)
        payout = pay_out(
            kind=Payout.Kind.REFUND,
            debit=chart.CUSTOMER_CREDIT,
            method=method,
            amount=amount,
            reference=reference,
            customer_id=customer.pk,
            subject=customer.number,
            branch_id=branch.pk,
            by=by,
            on=on,
            narration=f"Credit of {customer.name} paid back",
            lines=(),
            key=f"refund:{parts[0][0].pk}:{parts[0][0].refunds.count() + 1}",
        )
        for payment, part in parts:
            _move_credit(payment, part, by=by, reason=f"Paid back: {payout}")
        Refund.objects.bulk_create(
            Refund(payout=payout, payment=payment, amount=part) for payment, part in parts
        )
    return payout


def _refunds(held: list[Payment], branch, amount: Decimal, *, by) -> list[tuple[Payment, Decimal]]:
    """Return how much of each payment is given back."""
    here = [payment for payment in held if payment.received_in_id == branch.pk]
    most = sum((payment.credited for payment in here), ZERO)
    if amount > most:
        where = "" if len(here) == len(held) else f" in {branch}"
        raise Refused(f"Only {kes(most)} of credit is held{where}.", field="amount")
    parts = []
    for payment in here:
        if part := min(payment.credited, amount):
            amount -= part
            parts.append((payment, part))
            if payment.taken_by_id is not None and payment.taken_by_id == by.pk:
                raise Refused(f"You took {payment.number} yourself: someone else must refund it.")
    return parts


def _move_credit(payment: Payment, refunded: Decimal, *, by, reason: str) -> None:
    payment.credited -= refunded
    payment.refunded += refunded
    payment._history_user, payment._change_reason = by, reason[:100]
    payment.save(update_fields=["credited", "refunded"])


def undo_refund(payout: Payout, *, reason: str, by, on: date) -> Payout:
    """Take a refund back that did not reach the customer: it is credit again.

    Raises Refused for another payout, without a reason, or when it is reversed already.
    """
    if payout.kind != Payout.Kind.REFUND:
        raise Refused(f"{payout} is no refund.")
    if not (reason := reason.strip()):
        raise Refused("Give a reason: it stays on the record.", field="reason")
    with transaction.atomic():
        payout = undo_payout(payout, reason=reason, by=by, on=on)
        refunds = list(payout.refunds.order_by("payment_id"))
        keys = [refund.payment_id for refund in refunds]
        payments = {
            payment.pk: payment
            for payment in Payment.objects.select_for_update().filter(pk__in=keys).order_by("pk")
        }
        for refund in refunds:
            payment = payments[refund.payment_id]
            _move_credit(payment, -refund.amount, by=by, reason=f"Refund undone: {reason}")
    return payout
