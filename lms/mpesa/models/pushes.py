"""Payments asked for by M-Pesa: STK pushes, and what became of each."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms import phones
from lms.customers.models import Customer
from lms.money import MoneyField, kes
from lms.mpesa.models.steps import SentQuerySet, Stepwise
from lms.mpesa.result_codes import Explanation, Fate, explain
from lms.payments.models import Payment


class MpesaPaymentQuerySet(SentQuerySet):
    NAME, SENT = "checkout_request_id", "requested_at"

    def seen_by(self, staff) -> Self:
        """Requests to customers of the person's branch, and those the person made."""
        if staff.sees_all_branches:
            return self
        return self.filter(Q(customer__branch_id=staff.branch_id) | Q(requested_by=staff))

    def numbered(self, text: str) -> Self:
        """Return the request with the number in the text (MP000012), or none."""
        digits = text.strip().upper().removeprefix("MP").lstrip(" -")
        return self.filter(pk=int(digits)) if digits.isascii() and digits.isdigit() else self.none()

    def open(self) -> Self:
        """Requests whose fate is not known yet."""
        return self.filter(status__in=MpesaPayment.OPEN)

    def needing_review(self) -> Self:
        """Requests that a person must look at: paid without a receipt, or never answered."""
        return self.filter(
            status__in=[MpesaPayment.Status.CONFIRMED, MpesaPayment.Status.UNRESOLVED]
        )

    def due_for_query(self, *, now: datetime) -> Self:
        """Open requests about which Safaricom should be asked by `now`."""
        return self.open().filter(next_query_at__lte=now).order_by("next_query_at")


class MpesaPayment(Stepwise, models.Model):
    """An STK push we asked for, and what became of it. Paid is final."""

    class Status(models.TextChoices):
        REQUESTED = "requested", "Being sent"
        SENT = "sent", "Waiting for the customer"
        UNKNOWN = "unknown", "No answer from Safaricom"
        CONFIRMED = "confirmed", "Paid, receipt awaited"
        PAID = "paid", "Paid"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled by customer"
        TIMED_OUT = "timed_out", "Not answered by customer"
        UNRESOLVED = "unresolved", "Needs review"

    OPEN = (Status.REQUESTED, Status.SENT, Status.UNKNOWN)
    _LOST = {Status.FAILED, Status.CANCELLED, Status.TIMED_OUT}
    _WON = {Status.CONFIRMED, Status.PAID}
    # A late success wins over everything; a late failure never undoes what is paid.
    NEXT = {
        Status.REQUESTED: {Status.SENT, Status.UNKNOWN, Status.UNRESOLVED} | _LOST | _WON,
        Status.SENT: {Status.UNRESOLVED} | _LOST | _WON,
        Status.UNKNOWN: {Status.UNRESOLVED} | _LOST | _WON,
        Status.UNRESOLVED: _LOST | _WON,
        Status.FAILED: _WON,
        Status.CANCELLED: _WON,
        Status.TIMED_OUT: _WON,
        Status.CONFIRMED: {Status.PAID},
    }
    STATUS_OF = {
        Fate.FAILED: Status.FAILED,
        Fate.CANCELLED: Status.CANCELLED,
        Fate.TIMED_OUT: Status.TIMED_OUT,
    }
    BETWEEN_PROMPTS = timedelta(seconds=60)  # Daraja shows one prompt a minute to a subscriber
    SAME_PAYMENT_WITHIN = timedelta(minutes=15)  # how long after a request its money may be paid

    phone = models.CharField(max_length=12)
    amount = MoneyField("amount (KES)", help_text="Whole shillings.")
    account = models.CharField(max_length=12, help_text="Loan number, like LN000123.")
    purpose = models.CharField("shown to the customer", max_length=13)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="mpesa_payments"
    )
    status = models.CharField(
        max_length=10, choices=Status, default=Status.REQUESTED, editable=False
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="mpesa_payments_requested",
    )
    requested_at = models.DateTimeField("requested")
    request_key = models.CharField(
        max_length=64, null=True, blank=True, unique=True, editable=False
    )
    merchant_request_id = models.CharField("merchant request ID", max_length=100, blank=True)
    checkout_request_id = models.CharField(
        "checkout request ID", max_length=100, null=True, blank=True, unique=True
    )
    response_code = models.CharField("answer to the request", max_length=40, blank=True)
    response_description = models.CharField("in Safaricom's words", max_length=200, blank=True)
    result_code = models.CharField(max_length=32, blank=True)
    result_desc = models.CharField("result in Safaricom's words", max_length=200, blank=True)
    receipt = models.CharField("M-Pesa receipt", max_length=20, null=True, blank=True, unique=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    queries = models.PositiveSmallIntegerField("times asked", default=0)
    queried_at = models.DateTimeField("last asked", null=True, blank=True)
    next_query_at = models.DateTimeField("ask again", null=True, blank=True)
    payment = models.OneToOneField(
        Payment, models.PROTECT, null=True, blank=True, related_name="mpesa_payment"
    )
    history = HistoricalRecords()

    objects = MpesaPaymentQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa request"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="mpesa_amount_positive"),
            models.CheckConstraint(
                condition=Q(phone__regex=r"^254[17][0-9]{8}$"), name="mpesa_phone_is_kenyan"
            ),
            models.CheckConstraint(
                condition=~Q(status="paid") | Q(receipt__isnull=False),
                name="mpesa_paid_has_receipt",
            ),
            # Two people who press the button at once send one prompt, not two.
            models.UniqueConstraint(
                fields=["phone"],
                condition=Q(status="requested"),
                name="mpesa_one_request_in_flight",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="mpesa_by_status"),
            models.Index(fields=["phone", "-requested_at"], name="mpesa_by_phone"),
            models.Index(fields=["account", "-requested_at"], name="mpesa_by_account"),
            models.Index(
                fields=["next_query_at"],
                condition=Q(next_query_at__isnull=False),
                name="mpesa_due_for_query",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {kes(self.amount)} from {phones.show(self.phone)}"

    @property
    def number(self) -> str:
        return f"MP{self.pk:06d}" if self.pk else "MP(new)"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def explanation(self) -> Explanation | None:
        """Return Safaricom's result in plain words, or None while there is none."""
        return explain(self.result_code) if self.result_code else None

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT, saving `fields` with it. Raises Refused for any other step."""
        self.step_to(status)
        self.note(by=by, reason=reason, fields=("status", "next_query_at", *fields))

    def step_to(self, status: str) -> None:
        """Take one step of NEXT without saving it. Raises Refused for any other step."""
        self._step(status)
        if status not in self.OPEN:
            self.next_query_at = None

    def note(self, *, by, reason: str, fields: tuple[str, ...]) -> None:
        """Save `fields` with a line of history that says who and why."""
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted(set(fields)))
