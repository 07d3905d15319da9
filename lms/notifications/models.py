"""What we say to customers (templates) and every message sent or meant to be sent (the outbox)."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Self

from django.core.exceptions import ValidationError
from django.db import models
from simple_history.models import HistoricalRecords

from lms import phones
from lms.customers.models import Customer
from lms.errors import Refused
from lms.notifications import hours, text


class Channel(models.TextChoices):
    SMS = "sms", "SMS"
    EMAIL = "email", "E-mail"


class Occasion(models.TextChoices):
    UPCOMING = "upcoming", "Instalment coming up"
    DUE_TODAY = "due_today", "Instalment due today"
    OVERDUE = "overdue", "Instalment overdue"
    PAYMENT_RECEIVED = "payment_received", "Payment received"
    GUARANTOR_DEMAND = "guarantor_demand", "Demand to a guarantor"
    BOOKS_OFF = "books_off", "Books do not agree (to staff)"


REMINDERS = (Occasion.UPCOMING, Occasion.DUE_TODAY, Occasion.OVERDUE)
# These wait for the morning. A receipt answers what the customer did this minute.
BY_DAY = (*REMINDERS, Occasion.GUARANTOR_DEMAND)

# What a template of each occasion may say, with values to preview it by.
_ALWAYS = {
    "customer": "Wanjiku",
    "lender": "Pesa Kwanza Credit",
    "loan": "LN000123",
    "paybill": "174379",
    "amount": "4,500.00",
}
_INSTALMENT = {**_ALWAYS, "instalment": "3", "due_date": "21 Nov 2026", "days": "3 days"}
_RECEIPT = {**_ALWAYS, "receipt": "RC000034", "balance": "31,500.00"}
_DEMAND = {**_ALWAYS, "borrower": "Otieno", "guaranteed": "20,000.00", "date": "5 Dec 2026"}
_OFF = {
    "staff": "Achieng",
    "lender": "Pesa Kwanza Credit",
    "day": "20 Nov 2026",
    "proofs": "1 proof",
    "list": "Customer credit: off by 120.00.",
}
SAMPLES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(REMINDERS, _INSTALMENT),
    Occasion.PAYMENT_RECEIVED: _RECEIPT,
    Occasion.GUARANTOR_DEMAND: _DEMAND,
    Occasion.BOOKS_OFF: _OFF,
}


class Wording(NamedTuple):
    """A template put into words. `segments` is None where the channel is not billed by length."""

    subject: str
    body: str
    segments: text.Segments | None


class MessageTemplate(models.Model):
    """What we say on one occasion over one channel. An inactive one is not sent at all."""

    occasion = models.CharField(max_length=16, choices=Occasion)
    channel = models.CharField(max_length=5, choices=Channel)
    subject = models.CharField(max_length=150, blank=True, help_text="E-mail only.")
    body = models.TextField(
        help_text="Placeholders are names in braces, like {customer}, {loan} or {amount}."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Untick to stop sending this message."
    )
    history = HistoricalRecords()

    class Meta:
        ordering = ["occasion", "channel"]
        constraints = [
            models.UniqueConstraint(
                fields=["occasion", "channel"],
                name="message_template_once",
                violation_error_message="There is a template for this occasion and channel.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_occasion_display()}, {self.get_channel_display()}"

    def clean(self) -> None:
        super().clean()
        if self.occasion not in SAMPLES:
            return  # The field itself says that this is no occasion.
        wrong = {}
        for field in ("subject", "body"):
            try:
                text.render(getattr(self, field), SAMPLES[self.occasion])
            except ValueError as error:
                wrong[field] = str(error)
        if self.channel == Channel.EMAIL and not self.subject.strip():
            wrong["subject"] = "An e-mail needs a subject."
        if self.channel == Channel.SMS and self.subject:
            wrong["subject"] = "An SMS has no subject: leave it empty."
        if wrong:
            raise ValidationError(wrong)

    @property
    def placeholders(self) -> list[str]:
        """The names this occasion may use, in alphabetical order."""
        return sorted(SAMPLES.get(self.occasion, ()))

    def compose(self, values: Mapping[str, str]) -> Wording:
        """Return the message for these values. Raises ValueError for an unknown placeholder."""
        body = text.render(self.body, values)
        if self.channel == Channel.SMS:
            body = text.transliterate(body)
            return Wording("", body, text.segments(body))
        # A line break in a subject would start another mail header.
        subject = " ".join(text.render(self.subject, values).split())
        return Wording(subject, body, None)

    def preview(self, values: Mapping[str, str] | None = None) -> Wording:
        """Return the message as a customer would read it, with sample values unless told."""
        return self.compose(SAMPLES[self.occasion] if values is None else values)


class MessageQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        if staff.sees_all_branches:
            return self
        return self.filter(customer__branch_id=staff.branch_id)

    def queued(self) -> Self:
        return self.filter(status=Message.Status.QUEUED)

    def due(self, *, now: datetime) -> Self:
        """Return what may be sent at this instant; what goes out by day not in the quiet hours.

        Tests columns of this table alone: the claim repeats it as the condition of an UPDATE,
        and PostgreSQL rechecks such a condition after a lock only where there is no join.
        """
        ready = self.queued().filter(not_before__lte=now)
        return ready if hours.is_allowed(now) else ready.exclude(occasion__in=BY_DAY)

    def stuck(self, *, before: datetime) -> Self:
        """Return what a worker claimed before this instant and never reported on."""
        return self.filter(status=Message.Status.SENDING, claimed_at__lt=before)

    def unwanted(self) -> Self:
        """Return what is queued for those who opted out since."""
        return self.queued().filter(customer__takes_messages=False)

    def to_the_dead(self) -> Self:
        """Return queued reminders to customers who have died."""
        return self.queued().filter(customer__died_on__isnull=False, occasion__in=REMINDERS)


class Message(models.Model):
    """One message to a customer, or to one of the staff, and what became of it. Sent at most once.

    A worker commits `sending` before it talks to the gateway. If it never comes back the message
    is `unknown` and only a person may send it again, as a new message.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        UNKNOWN = "unknown", "Unknown"
        CANCELLED = "cancelled", "Cancelled"

    NEXT = {
        Status.QUEUED: {Status.SENDING, Status.CANCELLED},
        Status.SENDING: {Status.SENT, Status.FAILED, Status.UNKNOWN, Status.QUEUED},
        # A worker that was only slow may still report.
        Status.UNKNOWN: {Status.SENT, Status.FAILED},
    }

    key = models.CharField(
        max_length=120, unique=True, help_text="Names the event; it is told only once."
    )
    channel = models.CharField(max_length=5, choices=Channel)
    recipient = models.CharField(max_length=254, help_text="Phone or e-mail address.")
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="messages"
    )
    occasion = models.CharField(max_length=16, choices=Occasion)
    about = models.CharField(
        max_length=40,
        blank=True,
        db_index=True,
        help_text="LN000123 instalment 3.",
    )
    template = models.ForeignKey(
        MessageTemplate, models.SET_NULL, null=True, blank=True, related_name="messages"
    )
    subject = models.CharField(max_length=200, blank=True)
    body = models.TextField()
    parts = models.PositiveSmallIntegerField("SMS parts", default=0)
    status = models.CharField(max_length=9, choices=Status, default=Status.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField("error or reason", max_length=300, blank=True)
    provider_id = models.CharField("gateway's number", max_length=100, blank=True)
    cost = models.DecimalField("cost (KES)", max_digits=10, decimal_places=4, null=True, blank=True)
    again_of = models.OneToOneField(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="again",
        verbose_name="sent again for",
    )
    run = models.UUIDField(
        editable=False, help_text="The call that queued it: tells a new row from one already there."
    )
    created_at = models.DateTimeField("created", auto_now_add=True)
    not_before = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField("sent", null=True, blank=True)
    history = HistoricalRecords()

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("resend_message", "Can send a failed or unknown message again"),
            ("cancel_message", "Can cancel a queued message"),
        ]
        constraints = [
            models.CheckConstraint(condition=~models.Q(recipient=""), name="message_has_recipient"),
            models.CheckConstraint(
                condition=models.Q(status="sent", sent_at__isnull=False)
                | (~models.Q(status="sent") & models.Q(sent_at__isnull=True)),
                name="message_sent_has_time",
            ),
            models.CheckConstraint(
                condition=~models.Q(status="sending") | models.Q(claimed_at__isnull=False),
                name="message_sending_has_claim",
            ),
        ]
        indexes = [models.Index(fields=["status", "not_before"], name="message_by_status")]

    def __str__(self) -> str:
        return f"{self.get_occasion_display()} to {self.shown_recipient}"

    @property
    def is_reminder(self) -> bool:
        return self.occasion in REMINDERS

    @property
    def shown_recipient(self) -> str:
        return phones.show(self.recipient) if self.channel == Channel.SMS else self.recipient

    def move_to(self, status: Status, *, by=None, reason: str = "", **facts) -> None:
        """Take one step of NEXT and record who, why and the facts that came with it.

        Raises Refused for any other step. The caller holds the lock on the row.
        """
        if status not in self.NEXT.get(self.status, ()):
            raise Refused(
                f"The message is {self.get_status_display().lower()}, "
                f"so it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status
        for name, fact in facts.items():
            setattr(self, name, fact)
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=["status", *facts])
