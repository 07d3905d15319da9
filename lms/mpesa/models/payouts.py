"""Money we ask Safaricom to pay to a customer (B2C), and what became of it."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms import phones
from lms.ledger.models import JournalEntry
from lms.money import MoneyField, kes
from lms.mpesa.models.steps import SentQuerySet, Stepwise
from lms.mpesa.result_codes import Explanation, explain_payout
from lms.payments.models import Payout


class B2cPaymentQuerySet(SentQuerySet):
    def seen_by(self, staff) -> Self:
        """Payments out of the books of the person's branch."""
        if staff.sees_all_branches:
            return self
        return self.filter(payout__branch_id=staff.branch_id)

    def numbered(self, text: str) -> Self:
        """Return the payment with the number in the text (MB000012), or none."""
        digits = text.strip().upper().removeprefix("MB").lstrip(" -")
        return self.filter(pk=int(digits)) if digits.isascii() and digits.isdigit() else self.none()

    def undecided(self) -> Self:
        """Payments of which nobody knows yet whether they are paid."""
        return self.filter(status__in=B2cPayment.UNDECIDED)

    def counting(self) -> Self:
        """Payments that were or may be paid: what limits are held against."""
        return self.exclude(status=B2cPayment.Status.FAILED)

    def waiting(self) -> Self:
        """Payments that were promised and certainly not sent yet."""
        return self.filter(status=B2cPayment.Status.WAITING).order_by("pk")

    def needing_review(self) -> Self:
        """Payments whose fate a person must find out, or whose money lies in suspense."""
        return self.filter(Q(status=B2cPayment.Status.UNRESOLVED) | Q(is_adrift=True))

    def due_for_query(self, *, now: datetime) -> Self:
        """Payments about which Safaricom should be asked by `now`."""
        asked = self.filter(status__in=B2cPayment.ASKED_ABOUT, next_query_at__lte=now)
        return asked.order_by("next_query_at")

    def answered_by(self, *, conversation_id: str, originator_id: str) -> Self:
        """Payments to which a result with these ids is the answer; "" names none."""
        ids = Q(pk=None)
        if conversation_id:
            ids |= Q(conversation_id=conversation_id)
        if originator_id:
            ids |= Q(originator_id=originator_id)
        return self.filter(ids)


class B2cPayment(Stepwise, models.Model):
    """One payment to a customer's phone: a payout, or one part of a large one. Paid is final.

    It is saved before it is sent, and sent at most once: taking the step from waiting to being
    sent, committed before the request leaves, is the leave to send it.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting to be sent"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Waiting for Safaricom"
        UNKNOWN = "unknown", "No answer from Safaricom"
        PAID = "paid", "Paid"
        FAILED = "failed", "Failed"
        UNRESOLVED = "unresolved", "Needs review"

    ASKED_ABOUT = (Status.SENDING, Status.SENT, Status.UNKNOWN)
    UNDECIDED = (Status.WAITING, *ASKED_ABOUT, Status.UNRESOLVED)
    # A late success wins over everything; a late failure never undoes what is paid.
    NEXT = {
        Status.WAITING: {Status.SENDING, Status.FAILED, Status.UNRESOLVED},
        Status.SENDING: {
            Status.SENT, Status.UNKNOWN, Status.UNRESOLVED, Status.FAILED, Status.PAID
        },
        Status.SENT: {Status.UNKNOWN, Status.UNRESOLVED, Status.FAILED, Status.PAID},
        Status.UNKNOWN: {Status.SENDING, Status.UNRESOLVED, Status.FAILED, Status.PAID},
        Status.UNRESOLVED: {Status.SENDING, Status.FAILED, Status.PAID},
        Status.FAILED: {Status.PAID},
    }  # fmt: skip

    payout = models.ForeignKey(Payout, models.PROTECT, related_name="parts")
    phone = models.CharField(max_length=12)
    amount = MoneyField("amount (KES)", help_text="Whole shillings.")
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING, editable=False)
    originator_id = models.CharField("our ID", max_length=100, unique=True)
    conversation_id = models.CharField(
        "conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    requested_on = models.DateField("asked for on", db_index=True)
    requested_at = models.DateTimeField("asked for")
    sent_at = models.DateTimeField("sent", null=True, blank=True)
    response_code = models.CharField("answer to the request", max_length=40, blank=True)
    response_description = models.CharField("in Safaricom's words", max_length=200, blank=True)
    result_code = models.CharField(max_length=32, blank=True)
    result_desc = models.CharField("result in Safaricom's words", max_length=200, blank=True)
    receipt = models.CharField("M-Pesa receipt", max_length=20, null=True, blank=True, unique=True)
    receiver = models.CharField("paid to", max_length=120, blank=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    entry = models.OneToOneField(
        JournalEntry,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="b2c_payment",
    )
    queries = models.PositiveSmallIntegerField("times asked", default=0)
    queried_at = models.DateTimeField("last asked", null=True, blank=True)
    next_query_at = models.DateTimeField("ask again", null=True, blank=True)
    is_adrift = models.BooleanField(
        "paid after it was taken back",
        default=False,
        editable=False,
        help_text="Its money lies in suspense until it is taken up again.",
    )
    is_unknown_there = models.BooleanField(
        "unknown to Safaricom", default=False, help_text="What it said when it was last asked."
    )
    history = HistoricalRecords()

    objects = B2cPaymentQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa payout"
        ordering = ["-pk"]
        permissions = [
            ("settle_b2cpayment", "Can ask to settle an M-Pesa payout whose fate is unknown"),
            ("approve_b2cpayment", "Can approve settling an M-Pesa payout"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="b2c_amount_positive"),
            models.CheckConstraint(
                condition=Q(phone__regex=r"^254[17][0-9]{8}$"), name="b2c_phone_is_kenyan"
            ),
            models.CheckConstraint(
                condition=~Q(status="paid") | Q(receipt__isnull=False), name="b2c_paid_has_receipt"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="b2c_by_status"),
            models.Index(fields=["phone", "requested_on"], name="b2c_by_phone"),
            models.Index(
                fields=["next_query_at"],
                condition=Q(next_query_at__isnull=False),
                name="b2c_due_for_query",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {kes(self.amount)} to {phones.show(self.phone)}"

    @property
    def number(self) -> str:
        return f"MB{self.pk:06d}" if self.pk else "MB(new)"

    @property
    def is_undecided(self) -> bool:
        return self.status in self.UNDECIDED

    @property
    def may_be_sent_again(self) -> bool:
        """Tell whether it certainly never reached Safaricom, or Safaricom knows nothing of it."""
        never_left = self.status == self.Status.UNRESOLVED and self.sent_at is None
        asked = self.status in (self.Status.UNKNOWN, self.Status.UNRESOLVED)
        return never_left or (asked and self.is_unknown_there)

    @property
    def explanation(self) -> Explanation | None:
        """Return Safaricom's result in plain words, or None while there is none."""
        return explain_payout(self.result_code) if self.result_code else None

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT, saving `fields` with it. Raises Refused for any other step."""
        self._step(status)
        if status not in self.ASKED_ABOUT:
            self.next_query_at = None
        self.note(by=by, reason=reason, fields=("status", "next_query_at", *fields))

    def note(self, *, by, reason: str, fields: tuple[str, ...]) -> None:
        """Save `fields` with a line of history that says who and why."""
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted(set(fields)))
