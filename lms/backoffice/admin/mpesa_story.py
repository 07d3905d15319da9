"""The story of a payment, a request or a question to M-Pesa: everything that happened to it.

Each story is made of sources, functions that yield events; what a person may not see on its own
page is left out. Something new that happens to payments (a reversal at Safaricom, a payout) is one
more source in PAYMENT.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from django.urls import reverse

from lms.ledger.models import JournalEntry
from lms.loans.models import Allocation
from lms.money import ZERO, kes
from lms.mpesa.error_codes import explain_error
from lms.mpesa.models import B2cPayment, Callback, DarajaRequest, Inquiry, MpesaPayment, Reversal
from lms.mpesa.result_codes import Explanation
from lms.payments.models import Payment, Payout

INQUIRY_COLOURS = {
    Inquiry.Status.ASKED.label: "info",
    Inquiry.Status.SENT.label: "info",
    Inquiry.Status.UNKNOWN.label: "warning",
    Inquiry.Status.ANSWERED.label: "success",
    Inquiry.Status.FAILED.label: "danger",
}
REVERSAL_COLOURS = {
    Reversal.Status.REQUESTED.label: "info",
    Reversal.Status.SENDING.label: "info",
    Reversal.Status.SENT.label: "info",
    Reversal.Status.UNKNOWN.label: "warning",
    Reversal.Status.UNRESOLVED.label: "warning",
    Reversal.Status.DONE.label: "success",
    Reversal.Status.FAILED.label: "danger",
}

PUSH_COLOURS = {
    MpesaPayment.Status.REQUESTED.label: "info",
    MpesaPayment.Status.SENT.label: "info",
    MpesaPayment.Status.UNKNOWN.label: "warning",
    MpesaPayment.Status.CONFIRMED.label: "warning",
    MpesaPayment.Status.PAID.label: "success",
    MpesaPayment.Status.FAILED.label: "danger",
    MpesaPayment.Status.CANCELLED.label: "default",
    MpesaPayment.Status.TIMED_OUT.label: "default",
    MpesaPayment.Status.UNRESOLVED.label: "warning",
}


class Event(NamedTuple):
    """One line of a story. `url` leads to its own page, `undone` strikes it through."""

    at: datetime
    what: str
    detail: str = ""
    url: str = ""
    undone: bool = False


Source = Callable[..., Iterable[Event]]
Record = MpesaPayment | Inquiry | B2cPayment | Reversal | Payment | Payout


# --- Stories -------------------------------------------------------------------------------------
def story_of_push(push: MpesaPayment, staff) -> list[Event]:
    """Return everything that happened to an STK push, and what was asked about it."""
    return _told([*_of_push(push, staff), *_booking(push, staff)])


def story_of_inquiry(inquiry: Inquiry, staff) -> list[Event]:
    """Return everything that happened to a question."""
    found = [*_changes(inquiry), *_callbacks(inquiry, staff), *_requests([inquiry.number], staff)]
    return _told([*found, *_booking(inquiry, staff)])


def story_of_b2c(part: B2cPayment, staff) -> list[Event]:
    """Return everything that happened to a payment to a customer, and what was asked about it."""
    return _told(_of_b2c(part, staff))


def story_of_payout(payout: Payout, parts: Iterable[B2cPayment], staff) -> list[Event]:
    """Return everything that happened to a payout and to each payment of it."""
    told = [event for part in parts for event in _of_b2c(part, staff)]
    return _told([*_changes(payout), *told])


def story_of_reversal(reversal: Reversal, staff) -> list[Event]:
    """Return everything that happened to money on its way back, and what was asked about it."""
    return _told([*_of_reversal(reversal, staff), *_booking(reversal, staff)])


def story_of_payment(payment: Payment, staff) -> list[Event]:
    """Return everything that happened to a payment: asked for, told, booked, placed, taken back."""
    return _told([event for source in PAYMENT for event in source(payment, staff)])


def _told(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.at)


# --- What is asked of Safaricom, and what it sends -----------------------------------------------
def _of_push(push: MpesaPayment, staff) -> Iterable[Event]:
    inquiries = list(push.inquiries.select_related("asked_by"))
    yield from _changes(push)
    yield from _callbacks(push, staff)
    yield from _requests([push.number, *(inquiry.number for inquiry in inquiries)], staff)
    for inquiry in inquiries:
        yield from _of_inquiry(inquiry, staff)


def _of_inquiry(inquiry: Inquiry, staff) -> Iterable[Event]:
    url = page_of(inquiry, staff)
    about = inquiry.receipt or (inquiry.b2c.number if inquiry.b2c_id else "our balances")
    asked = f"Asked Safaricom about {about}"
    yield Event(inquiry.asked_at, asked, f"{inquiry.number}{_by(inquiry.asked_by)}", url)
    if inquiry.answered_at:
        yield Event(inquiry.answered_at, inquiry.finding, inquiry.number, url)


def _of_b2c(part: B2cPayment, staff) -> Iterable[Event]:
    inquiries = list(part.inquiries.select_related("asked_by", "b2c"))
    yield from _changes(part)
    yield from _callbacks(part, staff)
    yield from _requests([part.number, *(inquiry.number for inquiry in inquiries)], staff)
    for inquiry in inquiries:
        yield from _of_inquiry(inquiry, staff)
    if entry := part.entry:
        booked, url = f"Booked as JE{entry.pk:06d}", page_of(entry, staff)
        yield Event(entry.posted_at, booked, kes(part.amount), url)


def _of_reversal(reversal: Reversal, staff) -> Iterable[Event]:
    approval, url = reversal.approval, page_of(reversal, staff)
    yield Event(
        approval.asked_at,
        f"Asked to be sent back: {approval.reason}",
        f"by {reversal.asked_by}",
        url,
    )
    yield from _changes(reversal)
    yield from _callbacks(reversal, staff)
    asked = reversal.payment.inquiries.filter(asked_at__gte=reversal.requested_at)
    inquiries = list(asked.select_related("asked_by"))
    yield from _requests([reversal.number, *(inquiry.number for inquiry in inquiries)], staff)
    for inquiry in inquiries:
        yield from _of_inquiry(inquiry, staff)


def _booking(record: Record, staff) -> Iterable[Event]:
    if payment := record.payment:
        seen = Payment.objects.seen_by(staff).filter(pk=payment.pk).exists()
        url = page_of(payment, staff) if seen else ""
        yield Event(payment.received_at, f"Booked as {payment.number}", kes(payment.amount), url)


def _changes(record: Record) -> Iterable[Event]:
    for change in record.history.select_related("history_user").order_by("history_id"):
        yield Event(
            change.history_date,
            change.history_change_reason or change.get_status_display(),
            f"{change.get_status_display()}{_by(change.history_user)}",
        )


def _callbacks(
    record: MpesaPayment | Inquiry | B2cPayment | Payment | Reversal, staff
) -> Iterable[Event]:
    for callback in record.callbacks.select_related("push"):
        failed = callback.kind == Callback.Kind.STK and callback.status == Callback.Status.IGNORED
        explained = callback.push.explanation if failed and callback.push else None
        yield Event(
            callback.received_at,
            f"Safaricom sent: {callback.get_kind_display()}",
            " ".join(filter(None, [callback.note, explained and explained.advice])),
            page_of(callback, staff),
        )


def _requests(numbers: Iterable[str], staff) -> Iterable[Event]:
    for asked in DarajaRequest.objects.filter(about__in=list(numbers)).exclude(kind="token"):
        explained = explain_error(asked.code)
        said = [asked.code, asked.message, explained and explained.meaning]
        yield Event(
            asked.sent_at,
            f"Sent to Daraja: {asked.get_kind_display()}",
            f"{asked.get_outcome_display()} in {asked.milliseconds:,} ms. "
            + " · ".join(filter(None, said)),
            page_of(asked, staff),
        )


# --- What happens to a payment -------------------------------------------------------------------
def _asked(payment: Payment, staff) -> Iterable[Event]:
    """The push that asked for it, with what was asked of Safaricom; questions about the payment."""
    about = []
    push = MpesaPayment.objects.filter(payment=payment).first()
    if push is not None:
        what = f"Asked by M-Pesa (STK): {push.number}"
        detail = f"{kes(push.amount)} for {push.account}{_by(push.requested_by)}"
        yield Event(push.requested_at, what, detail, page_of(push, staff))
        yield from list(_changes(push))[1:]
        about.append(push.number)
    for inquiry in payment.inquiries.select_related("asked_by"):
        yield from _of_inquiry(inquiry, staff)
        about.append(inquiry.number)
    yield from _requests(about, staff)


def _sent(payment: Payment, staff) -> Iterable[Event]:
    """Everything that Safaricom sent about it."""
    tied = list(_callbacks(payment, staff))
    answers = Callback.objects.filter(push__payment=payment, payment=None)
    yield from tied
    for callback in answers:
        what = f"Safaricom sent: {callback.get_kind_display()}"
        yield Event(callback.received_at, what, callback.note, page_of(callback, staff))


def _history(payment: Payment, staff) -> Iterable[Event]:
    """Who did what with it and why, and where its money stood then."""
    for change in payment.history.select_related("history_user").order_by("history_id"):
        parts = [
            f"{kes(amount)} {where}"
            for amount, where in (
                (change.allocated, "on loans"),
                (change.credited, "held as credit"),
                (change.refunded, "paid back"),
            )
            if amount
        ]
        stands = ", ".join(parts) or change.get_status_display()
        yield Event(
            change.history_date,
            change.history_change_reason or change.get_status_display(),
            f"{stands}{_by(change.history_user)}",
        )


def _books(payment: Payment, staff) -> Iterable[Event]:
    """Each entry of the books, with what it placed on which loan; what was taken back is struck."""
    parts: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    keys = {payment.entry_id}
    for part in _placed(payment):
        keys.add(part.entry_id)
        component = part.get_component_display().lower()
        parts[part.entry_id][part.repayment.loan.number].append(
            f"{component} {kes(abs(part.amount))}"
        )
    for recovery in payment.recoveries.select_related("loan"):
        keys.add(recovery.entry_id)
        parts[recovery.entry_id][recovery.loan.number].append(f"recovered {kes(recovery.amount)}")
    for fees in payment.fee_payments.select_related("loan"):
        keys |= {fees.entry_id, fees.credit_entry_id}
        parts[fees.entry_id][fees.loan.number].append(f"fees {kes(fees.amount)}")
    for entry in _entries(payment, keys - {None}):
        placed = "; ".join(f"{loan}: {', '.join(said)}" for loan, said in parts[entry.pk].items())
        yield Event(
            entry.posted_at,
            f"{'Reversed: ' if entry.reverses_id else 'Booked: '}{entry.narration}",
            f"{placed or kes(_amount(entry))}{_by(entry.posted_by)}",
            page_of(entry, staff),
            undone=hasattr(entry, "reversed_by"),
        )


def _placed(payment: Payment) -> Iterable[Allocation]:
    return payment.allocations.select_related("repayment__loan").order_by("pk")


def _entries(payment: Payment, keys: set[int]) -> Iterable[JournalEntry]:
    """Return the entries with these keys, those the payment left as credit, and their mirrors."""
    for kind in ("allocate", "credit"):
        keys |= set(
            JournalEntry.objects.keyed(f"{kind}:{payment.pk}:").values_list("pk", flat=True)
        )
    own = JournalEntry.objects.filter(pk__in=keys)
    mirrors = JournalEntry.objects.filter(reverses_id__in=keys)
    rows = (own | mirrors).select_related("posted_by", "reversed_by")
    return rows.prefetch_related("transfers").order_by("pk")


def _amount(entry: JournalEntry):
    """Return the largest transfer of an entry: what it is about (KES)."""
    return max((transfer.amount for transfer in entry.transfers.all()), default=ZERO)


def _refunds(payment: Payment, staff) -> Iterable[Event]:
    """What of it was paid back to the customer, and what of that was undone."""
    for refund in payment.refunds.select_related("payout__paid_by"):
        payout = refund.payout
        yield Event(
            payout.paid_at,
            f"Paid back to the customer: {payout}",
            f"{kes(refund.amount)} of this payment{_by(payout.paid_by)}",
            page_of(payout, staff),
            undone=payout.reversed_on is not None,
        )


# The sources of a payment's story. A further one takes the payment and who reads it.
def _sent_back(payment: Payment, staff) -> Iterable[Event]:
    """Each time it was to go back to its payer."""
    for reversal in payment.reversals.select_related("approval", "asked_by", "payment"):
        yield from _of_reversal(reversal, staff)


PAYMENT: tuple[Source, ...] = (_asked, _sent, _history, _books, _refunds, _sent_back)


def page_of(record, staff) -> str:
    """Return the address of a record's page, or "" where the person may not look at it."""
    opts = record._meta
    if not staff.has_perm(f"{opts.app_label}.view_{opts.model_name}"):
        return ""
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[record.pk])


def explained(push: MpesaPayment) -> Explanation | None:
    """Return in plain words why a push stands as it stands, or None while there is no code."""
    if push.explanation or push.status != MpesaPayment.Status.FAILED:
        return push.explanation
    return explain_error(push.response_code)


def _by(person) -> str:
    return f", by {person}" if person else ""
