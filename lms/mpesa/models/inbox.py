"""What Daraja posted, stored before a word of it is believed."""

from datetime import datetime
from typing import NoReturn, Self

from django.db import models
from django.db.models import Q

from lms.errors import Refused
from lms.money import MoneyField
from lms.mpesa.models.inquiries import Inquiry
from lms.mpesa.models.pushes import MpesaPayment
from lms.payments.models import Payment


class CallbackQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Callbacks about the person's branch, and those whose owner nobody knows."""
        if staff.sees_all_branches:
            return self
        balances = [Callback.Kind.BALANCE, Callback.Kind.BALANCE_TIMEOUT]
        unowned = Q(payment=None, push=None) & ~Q(kind__in=balances)
        pushed = Q(payment=None, push__customer__branch_id=staff.branch_id)
        return self.filter(Q(payment__branch_id=staff.branch_id) | pushed | unowned)

    def due(self, *, at: datetime) -> Self:
        """Callbacks to be applied by an instant, those that waited longest first."""
        return self.filter(status=Callback.Status.RECEIVED, due_at__lte=at).order_by("due_at", "pk")

    def fresh(self) -> Self:
        """Callbacks that may bring money, and that nobody has tried to apply yet."""
        return self.filter(attempts=0, kind__in=Callback.MONEY)

    def tried(self) -> Self:
        """The others: what was tried before, and what brings no money."""
        return self.exclude(attempts=0, kind__in=Callback.MONEY)

    def line_up(self, *, at: datetime) -> int:
        """Put these back in line, to be applied from an instant on; return how many."""
        return self.update(status=Callback.Status.RECEIVED, due_at=at)

    def needing_review(self) -> Self:
        return self.filter(status__in=[Callback.Status.REVIEW, Callback.Status.FAILED])


class Callback(models.Model):
    """What Daraja posted, byte for byte, stored before a word of it is believed."""

    class Kind(models.TextChoices):
        STK = "stk", "STK result"
        VALIDATION = "validation", "C2B validation"
        CONFIRMATION = "confirmation", "C2B confirmation"
        BALANCE = "balance", "Balance result"
        BALANCE_TIMEOUT = "balance-timeout", "Balance timeout"
        STATUS = "status", "Payment status result"
        STATUS_TIMEOUT = "status-timeout", "Payment status timeout"

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        APPLIED = "applied", "Applied"
        DUPLICATE = "duplicate", "Duplicate"
        IGNORED = "ignored", "No money in it"
        REVIEW = "review", "Needs review"
        FAILED = "failed", "Could not be applied"

    MONEY = (Kind.CONFIRMATION, Kind.STK)
    EVIDENCE = frozenset({"kind", "body", "headers", "remote_addr", "received_at"})

    kind = models.CharField(max_length=20, choices=Kind)
    body = models.BinaryField(editable=False)
    headers = models.JSONField(default=dict)
    remote_addr = models.GenericIPAddressField("sent from", null=True, blank=True)
    received_at = models.DateTimeField("received", db_index=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.RECEIVED)
    note = models.CharField(
        "what was made of it", max_length=300, blank=True, help_text="Why it stands as it stands."
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(
        "next attempt", null=True, editable=False, help_text="While it is received, not before."
    )
    processed_at = models.DateTimeField("processed", null=True, blank=True)
    checkout_id = models.CharField("checkout request ID", max_length=100, blank=True, db_index=True)
    conversation_id = models.CharField("conversation ID", max_length=100, blank=True, db_index=True)
    receipt = models.CharField("M-Pesa receipt", max_length=20, blank=True, db_index=True)
    amount = MoneyField("amount (KES)", null=True, blank=True)
    account = models.CharField("account as typed", max_length=40, blank=True)
    phone = models.CharField("payer's phone", max_length=64, blank=True)
    payer_name = models.CharField(max_length=120, blank=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    push = models.ForeignKey(
        MpesaPayment, models.PROTECT, null=True, blank=True, related_name="callbacks"
    )
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, blank=True, related_name="callbacks"
    )
    inquiry = models.ForeignKey(
        Inquiry, models.PROTECT, null=True, blank=True, related_name="callbacks"
    )

    objects = CallbackQuerySet.as_manager()

    class Meta:
        verbose_name = "Daraja callback"
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["status", "-id"], name="callback_by_status"),
            models.Index(fields=["account", "paid_at"], name="callback_by_account"),
            models.Index(
                fields=["due_at", "id"], condition=Q(status="received"), name="callback_in_line"
            ),
        ]

    def __str__(self) -> str:
        known_by = self.receipt or self.checkout_id or self.conversation_id or self.pk
        return f"{self.get_kind_display()} {known_by}"

    def save(self, *args, **kwargs) -> None:
        if not self._state.adding:
            changed = kwargs.get("update_fields")
            if changed is None or self.EVIDENCE & set(changed):
                raise Refused("What Daraja sent is evidence: it is not edited.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs) -> NoReturn:
        raise Refused("What Daraja sent is evidence: it is not deleted.")

    @property
    def text(self) -> str:
        """Return the body as staff read it; bytes that are not text show as \\xNN."""
        return bytes(self.body).decode("utf-8", errors="backslashreplace")
