"""The story of a request or question to M-Pesa: everything that happened to it, oldest first."""

from collections.abc import Iterable
from typing import NamedTuple

from lms.money import kes
from lms.mpesa.models import DarajaRequest, Inquiry, MpesaPayment, Reversal

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


class Event(NamedTuple):
    """One line of a story."""

    at: object
    what: str
    detail: str


def story_of_push(push: MpesaPayment) -> list[Event]:
    """Return everything that happened to an STK push, and what was asked about it."""
    found = [*_changes(push), *_callbacks(push), *_requests(push.number)]
    for inquiry in push.inquiries.select_related("asked_by"):
        found += _question(inquiry)
    return _in_order(found, push)


def story_of_inquiry(inquiry: Inquiry) -> list[Event]:
    """Return everything that happened to a question."""
    found = [*_changes(inquiry), *_callbacks(inquiry), *_requests(inquiry.number)]
    return _in_order(found, inquiry)


def story_of_reversal(reversal: Reversal) -> list[Event]:
    """Return everything that happened to money on its way back, and what was asked about it."""
    found = [*_changes(reversal), *_callbacks(reversal), *_requests(reversal.number)]
    approval = reversal.approval
    found.append(
        Event(approval.asked_at, f"Asked for: {approval.reason}", f"by {reversal.asked_by}")
    )
    asked = reversal.payment.inquiries.filter(asked_at__gte=reversal.requested_at)
    for inquiry in asked.select_related("asked_by"):
        found += _question(inquiry)
    return _in_order(found, reversal)


def _question(inquiry: Inquiry) -> Iterable[Event]:
    who = f", by {inquiry.asked_by}" if inquiry.asked_by else ""
    asked = f"Asked Safaricom about {inquiry.receipt}"
    yield Event(inquiry.asked_at, asked, f"{inquiry.number}{who}")
    if inquiry.answered_at:
        yield Event(inquiry.answered_at, inquiry.finding, inquiry.number)


def _in_order(found: list[Event], record: MpesaPayment | Inquiry | Reversal) -> list[Event]:
    if payment := record.payment:
        found.append(Event(payment.received_at, f"Booked as {payment.number}", kes(payment.amount)))
    return sorted(found, key=lambda event: event.at)


def _changes(record: MpesaPayment | Inquiry | Reversal) -> Iterable[Event]:
    for change in record.history.select_related("history_user").order_by("history_id"):
        yield Event(
            change.history_date,
            change.history_change_reason or change.get_status_display(),
            f"{change.get_status_display()}"
            + (f", by {change.history_user}" if change.history_user else ""),
        )


def _callbacks(record: MpesaPayment | Inquiry | Reversal) -> Iterable[Event]:
    for callback in record.callbacks.all():
        yield Event(
            callback.received_at, f"Safaricom sent: {callback.get_kind_display()}", callback.note
        )


def _requests(number: str) -> Iterable[Event]:
    for asked in DarajaRequest.objects.filter(about=number).exclude(kind="token"):
        said = " ".join(filter(None, [asked.code, asked.message]))
        yield Event(
            asked.sent_at,
            f"Sent to Daraja: {asked.get_kind_display()}",
            f"{asked.get_outcome_display()} in {asked.milliseconds:,} ms. {said}".strip(),
        )
