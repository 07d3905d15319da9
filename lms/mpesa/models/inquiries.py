"""Questions that Safaricom answers later, and the balances it told."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms.money import MoneyField, kes
from lms.mpesa.models.payouts import B2cPayment
from lms.mpesa.models.pushes import MpesaPayment
from lms.mpesa.models.steps import SentQuerySet, Stepwise
from lms.payments.models import Payment


class InquiryQuerySet(SentQuerySet):
    ANSWER, SENT = "code", "asked_at"

    def seen_by(self, staff) -> Self:
        """Questions that people of the person's branch asked, or that are about its money."""
        if staff.sees_all_branches:
            return self
        own = Q(asked_by__branch_id=staff.branch_id) | Q(payment__branch_id=staff.branch_id)
        own |= Q(b2c__payout__branch_id=staff.branch_id)
        return self.filter(own | Q(push__customer__branch_id=staff.branch_id))

    def answered_by(self, *, conversation_id: str, originator_id: str) -> Self:
        """Questions to which a result with these ids is the answer; "" names none."""
        ids = Q(conversation_id=conversation_id) if conversation_id else Q(pk=None)
        return self.filter(ids | Q(originator_id=originator_id) if originator_id else ids)


class Inquiry(Stepwise, models.Model):
    """A question to Safaricom whose answer comes later, as a callback. Asking moves no money."""

    class Kind(models.TextChoices):
        BALANCE = "balance", "Balances"
        STATUS = "status", "A payment"
        PAYOUT = "payout", "A payout"

    class Status(models.TextChoices):
        ASKED = "asked", "Being asked"
        SENT = "sent", "Waiting for the answer"
        UNKNOWN = "unknown", "No answer from Safaricom"
        ANSWERED = "answered", "Answered"
        FAILED = "failed", "Not answered"

    # A late answer wins; a late timeout never undoes one.
    NEXT = {
        Status.ASKED: {Status.SENT, Status.UNKNOWN, Status.ANSWERED, Status.FAILED},
        Status.SENT: {Status.UNKNOWN, Status.ANSWERED, Status.FAILED},
        Status.UNKNOWN: {Status.ANSWERED, Status.FAILED},
        Status.FAILED: {Status.ANSWERED},
    }
    OPEN = (Status.ASKED, Status.SENT)

    kind = models.CharField(max_length=7, choices=Kind)
    shortcode = models.CharField(max_length=10)
    receipt = models.CharField("M-Pesa receipt", max_length=20, blank=True, db_index=True)
    push = models.ForeignKey(
        MpesaPayment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="inquiries",
        verbose_name="M-Pesa request",
    )
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, blank=True, related_name="inquiries"
    )
    b2c = models.ForeignKey(
        B2cPayment,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="inquiries",
        verbose_name="M-Pesa payout",
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.ASKED, editable=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    asked_at = models.DateTimeField("asked")
    conversation_id = models.CharField(
        "conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    originator_id = models.CharField(
        "originator conversation ID", max_length=100, null=True, blank=True, unique=True
    )
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField("in Safaricom's words", max_length=200, blank=True)
    answered_at = models.DateTimeField("answered", null=True, blank=True)
    transaction_status = models.CharField("status at Safaricom", max_length=30, blank=True)
    amount = MoneyField("amount (KES)", null=True, blank=True)
    payer = models.CharField("from", max_length=120, blank=True)
    payee = models.CharField("to", max_length=120, blank=True)
    paid_at = models.DateTimeField("paid", null=True, blank=True)
    history = HistoricalRecords()

    objects = InquiryQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa inquiry"
        verbose_name_plural = "M-Pesa inquiries"
        ordering = ["-pk"]
        permissions = [("ask_inquiry", "Can ask Safaricom about balances and payments")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="balance", receipt="")
                | (Q(kind="status") & ~Q(receipt=""))
                | Q(kind="payout", b2c__isnull=False),
                name="inquiry_about_a_payment_names_it",
            ),
        ]
        indexes = [models.Index(fields=["kind", "shortcode", "-asked_at"], name="inquiry_by_kind")]

    def __str__(self) -> str:
        about = self.receipt or (
            self.b2c.number if self.b2c_id else f"balances of {self.shortcode}"
        )
        return f"{self.number} · {about}"

    @property
    def number(self) -> str:
        return f"MQ{self.pk:06d}" if self.pk else "MQ(new)"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def finding(self) -> str:
        """Say in one line what became of the question."""
        if self.status != self.Status.ANSWERED:
            return " ".join(filter(None, [self.code, self.message])) or "-"
        if self.kind == self.Kind.BALANCE:
            return "Balances received."
        said = f"{self.transaction_status} at Safaricom"
        return f"{said}: {kes(self.amount)}" if self.amount is not None else said

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT, saving `fields` with it. Raises Refused for any other step."""
        self._step(status)
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted({"status", *fields}))


class MpesaBalanceQuerySet(models.QuerySet):
    def latest_known(self) -> Self:
        """The last balance of each account, the lender's own paybill first."""
        return self.filter(is_latest=True).order_by("shortcode", "account")


class MpesaBalance(models.Model):
    """What one of our M-Pesa accounts held at an instant, in Safaricom's words."""

    shortcode = models.CharField(max_length=10)
    account = models.CharField(max_length=60)
    current = MoneyField("current (KES)")
    available = MoneyField("available (KES)", null=True, blank=True)
    reserved = MoneyField("reserved (KES)", null=True, blank=True)
    uncleared = MoneyField("uncleared (KES)", null=True, blank=True)
    as_of = models.DateTimeField("as of")
    is_latest = models.BooleanField("last known", default=False)
    inquiry = models.ForeignKey(
        Inquiry, models.PROTECT, related_name="balances", verbose_name="asked by"
    )

    objects = MpesaBalanceQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa balance"
        ordering = ["-as_of", "account"]
        constraints = [
            models.UniqueConstraint(
                fields=["inquiry", "account"], name="one_balance_an_account_and_inquiry"
            ),
            models.UniqueConstraint(
                fields=["shortcode", "account"],
                condition=Q(is_latest=True),
                name="one_latest_balance_an_account",
            ),
        ]
        indexes = [models.Index(fields=["-as_of", "account"], name="balance_by_day")]

    def __str__(self) -> str:
        return f"{self.account} of {self.shortcode}: {kes(self.current)}"
