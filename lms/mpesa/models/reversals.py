"""Money of customers that Safaricom was asked to send back, and what became of it."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms.money import MoneyField, kes
from lms.mpesa.models.steps import SentQuerySet, Stepwise
from lms.mpesa.reversal_codes import Explanation, explain
from lms.payments.models import Payment
from lms.staff.models import Approval


class ReversalQuerySet(SentQuerySet):
    def seen_by(self, staff) -> Self:
        """Reversals of the person's branch, and those the person had a hand in."""
        if staff.sees_all_branches:
            return self
        own = Q(asked_by=staff) | Q(approved_by=staff)
        return self.filter(Q(payment__branch_id=staff.branch_id) | own)

    def numbered(self, text: str) -> Self:
        """Return the reversal with the number in the text (RV000012), or none."""
        digits = text.strip().upper().removeprefix("RV").lstrip(" -")
        known = digits.isascii() and digits.isdigit() and len(digits) <= 12
        return self.filter(pk=int(digits)) if known else self.none()

    def open(self) -> Self:
        """Reversals whose fate is not known yet."""
        return self.filter(status__in=Reversal.OPEN)

    def needing_review(self) -> Self:
        return self.filter(status=Reversal.Status.UNRESOLVED)

    def answered_by(self, *, conversation_id: str, originator_id: str) -> Self:
        """Reversals to which a result with these ids is the answer; "" names none."""
        ids = Q(conversation_id=conversation_id) if conversation_id else Q(pk=None)
        return self.filter(ids | Q(originator_id=originator_id) if originator_id else ids)

    def due_for_query(self, *, now: datetime) -> Self:
        """Reversals about which Safaricom should be asked by `now`."""
        asked = [Reversal.Status.SENT, Reversal.Status.UNKNOWN]
        return self.filter(status__in=asked, next_query_at__lte=now).order_by("next_query_at")


class Reversal(Stepwise, models.Model):
    """A payment that Safaricom was asked to send back to its payer. Sent once; done is final.

    Until it is done or failed its payment is held (`Payment.is_going_back`).
    """

    class Status(models.TextChoices):
        REQUESTED = "requested", "To be sent"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Waiting for Safaricom"
        UNKNOWN = "unknown", "No answer from Safaricom"
        UNRESOLVED = "unresolved", "Needs review"
        DONE = "done", "Sent back"
        FAILED = "failed", "Not sent back"

    # Whoever takes it from requested to sending is the only one to send it. A late success wins
    # over a failure; a late failure never undoes what is done.
    NEXT = {
        Status.REQUESTED: {Status.SENDING, Status.FAILED},
        Status.SENDING: {
            Status.SENT, Status.UNKNOWN, Status.UNRESOLVED, Status.DONE, Status.FAILED,
        },
        Status.SENT: {Status.UNKNOWN, Status.UNRESOLVED, Status.DONE, Status.FAILED},
        Status.UNKNOWN: {Status.UNRESOLVED, Status.DONE, Status.FAILED},
        Status.UNRESOLVED: {Status.DONE, Status.FAILED},
        Status.FAILED: {Status.UNRESOLVED, Status.DONE},
    }  # fmt: skip
    OPEN = (
        Status.REQUESTED, Status.SENDING, Status.SENT, Status.UNKNOWN, Status.UNRESOLVED,
    )  # fmt: skip

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="reversals")
    receipt = models.CharField("M-Pesa receipt", max_length=20, db_index=True)
    amount = MoneyField("amount (KES)", help_text="Whole shillings, all of the payment.")
    shortcode = models.CharField(max_length=10)
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="reversal")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.REQUESTED, editable=False
    )
    requested_at = models.DateTimeField("approved")
    sent_at = models.DateTimeField("sent", null=True, blank=True)
    conversation_id = models.CharField(
        "conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    originator_id = models.CharField(
        "originator conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    response_code = models.CharField("answer to the request", max_length=40, blank=True)
    response_description = models.CharField("in Safaricom's words", max_length=200, blank=True)
    result_code = models.CharField(max_length=32, blank=True)
    result_desc = models.CharField("result in Safaricom's words", max_length=200, blank=True)
    transaction_id = models.CharField("receipt of the reversal", max_length=20, blank=True)
    confirmed_at = models.DateTimeField(
        "confirmed", null=True, blank=True, help_text="When Safaricom proved that it was sent back."
    )
    queries = models.PositiveSmallIntegerField("times asked", default=0)
    queried_at = models.DateTimeField("last asked", null=True, blank=True)
    next_query_at = models.DateTimeField("ask again", null=True, blank=True)
    review = models.CharField("what to look at", max_length=300, blank=True)
    history = HistoricalRecords()

    objects = ReversalQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa reversal"
        ordering = ["-pk"]
        permissions = [
            ("ask_reversal", "Can ask for a payment to be sent back to its payer"),
            ("approve_reversal", "Can approve sending a payment back to its payer"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="reversal_amount_positive"),
            models.CheckConstraint(
                condition=~Q(asked_by=models.F("approved_by")), name="reversal_takes_two"
            ),
            # Whatever happens, two requests for one payment are never on their way at once.
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(status__in=["requested", "sending", "sent", "unknown", "unresolved"]),
                name="one_open_reversal_a_payment",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="reversal_by_status"),
            models.Index(
                fields=["next_query_at"],
                condition=Q(next_query_at__isnull=False),
                name="reversal_due_for_query",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {kes(self.amount)} of {self.receipt}"

    @property
    def number(self) -> str:
        return f"RV{self.pk:06d}" if self.pk else "RV(new)"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def explanation(self) -> Explanation | None:
        """Return Safaricom's result in plain words, or None while there is none."""
        return explain(self.result_code) if self.result_code else None

    @property
    def finding(self) -> str:
        """Say in one line how it stands."""
        if self.review:
            return self.review
        if self.explanation:
            return self.explanation.meaning
        said = " ".join(filter(None, [self.response_code, self.response_description]))
        return said if self.status in (self.Status.FAILED, self.Status.UNKNOWN) else ""

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT, saving `fields` with it. Raises Refused for any other step."""
        self._step(status)
        if status in (self.Status.UNRESOLVED, self.Status.DONE, self.Status.FAILED):
            self.next_query_at = None
        if status in (self.Status.DONE, self.Status.FAILED):
            self.review = ""
        self.note(by=by, reason=reason, fields=("status", "next_query_at", "review", *fields))

    def note(self, *, by, reason: str, fields: tuple[str, ...]) -> None:
        """Save `fields` with a line of history that says who and why."""
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted(set(fields)))
