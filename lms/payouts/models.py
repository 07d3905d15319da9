"""Loans that are paid out together by M-Pesa, once a second person agreed."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms.loans.models import Loan
from lms.money import MoneyField, kes
from lms.payments.models import Payout
from lms.staff.models import Branch
from lms.words import counted


class PayoutBatchQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(branch_id=staff.branch_id)

    def being_paid(self) -> Self:
        """Batches that were agreed to and are not through yet."""
        return self.filter(status=PayoutBatch.Status.APPROVED).order_by("pk")


class PayoutBatch(models.Model):
    """Approved loans that one person wants to pay out by M-Pesa, and another agrees to.

    What was agreed is the loans, with the amount and the phone of each: a loan of which either is
    another by then is left out.
    """

    class Status(models.TextChoices):
        SUBMITTED = "submitted", "Waits for approval"
        APPROVED = "approved", "Being paid"
        DONE = "done", "Done"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"

    branch = models.ForeignKey(Branch, models.PROTECT, null=True, blank=True, related_name="+")
    status = models.CharField(max_length=9, choices=Status, default=Status.SUBMITTED)
    number_of_loans = models.PositiveIntegerField("loans")
    total = MoneyField("total (KES)")
    prepared_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    prepared_at = models.DateTimeField("prepared")
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField("approved", null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)
    history = HistoricalRecords()

    objects = PayoutBatchQuerySet.as_manager()

    class Meta:
        verbose_name = "payout batch"
        verbose_name_plural = "payout batches"
        ordering = ["-pk"]
        permissions = [("approve_payoutbatch", "Can approve a batch of payouts by M-Pesa")]
        constraints = [
            models.CheckConstraint(condition=Q(total__gt=0), name="batch_total_positive"),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=models.F("prepared_by")),
                name="batch_takes_two",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {counted(self.number_of_loans, 'loan')}, {kes(self.total)}"

    @property
    def number(self) -> str:
        return f"PB{self.pk:06d}" if self.pk else "PB(new)"

    def move_to(self, status: str, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Save a step of the batch with who and why."""
        self.status = status
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=sorted({"status", *fields}))


class BatchLoan(models.Model):
    """One loan of a batch, the amount that was agreed, and what became of it."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        PAID_OUT = "paid_out", "Sent"
        REFUSED = "refused", "Left out"

    batch = models.ForeignKey(PayoutBatch, models.PROTECT, related_name="items")
    loan = models.ForeignKey(Loan, models.PROTECT, related_name="batch_items")
    amount = MoneyField("amount (KES)")
    phone = models.CharField("to the phone", max_length=12)
    status = models.CharField(max_length=8, choices=Status, default=Status.WAITING)
    refusal = models.CharField("why it was left out", max_length=300, blank=True)
    payout = models.OneToOneField(
        Payout, models.PROTECT, null=True, blank=True, related_name="batch_item"
    )
    is_live = models.BooleanField(default=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "loan of a batch"
        verbose_name_plural = "loans of a batch"
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="batch_amount_positive"),
            # A loan waits in one batch at a time.
            models.UniqueConstraint(
                fields=["loan"], condition=Q(is_live=True), name="batch_loan_waits_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loan.number} {kes(self.amount)}"
