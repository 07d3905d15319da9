"""What was decided about a running loan: new terms, new dates, more money, or an end to it."""

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms import money
from lms.ledger.models import JournalEntry
from lms.loans.models.loans import Loan
from lms.money import ZERO, MoneyField
from lms.payments.models import Payment, Payout


class LoanChange(models.Model):
    """One decision that changed a disbursed loan, with what it was before and after.

    `before` and `after` hold the fields of the loan and of each instalment that the change wrote,
    so the two schedules can be shown side by side and the last change can be undone.
    """

    class Kind(models.TextChoices):
        RESCHEDULE = "reschedule", "Rescheduled"
        RESTRUCTURE = "restructure", "Restructured"
        TOP_UP = "top_up", "Topped up"
        TRANCHE = "tranche", "Tranche paid out"
        PREPAYMENT = "prepayment", "Principal prepaid"
        SETTLEMENT = "settlement", "Settled early"
        WRITE_OFF = "write_off", "Written off"
        DEATH = "death", "Borrower died"

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="changes")
    number = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=11, choices=Kind)
    amount = MoneyField("amount (KES)", default=ZERO)
    summary = models.CharField(max_length=200)
    reason = models.CharField(max_length=200)
    made_on = models.DateField("from")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Nobody where a payment that came by itself was more than was due.",
    )
    made_at = models.DateTimeField("recorded", auto_now_add=True)
    entry = models.ForeignKey(JournalEntry, models.PROTECT, null=True, related_name="+")
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="+")
    payout = models.ForeignKey(Payout, models.PROTECT, null=True, related_name="+")
    before = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    marks = models.JSONField(
        default=dict, help_text="The last rows of the loan that were there: nothing came after."
    )
    undone_on = models.DateField(null=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    undone_because = models.CharField(max_length=200, blank=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["loan", "number"], name="change_number_once_per_loan")
        ]

    def __str__(self) -> str:
        return f"{self.loan.number}: {self.get_kind_display().lower()}"

    @property
    def begins_schedule(self) -> bool:
        """Whether a schedule begins on its day, on the terms of then: a prepayment goes on."""
        return "carried" in self.after and self.kind != self.Kind.PREPAYMENT


class Tranche(models.Model):
    """A further part of a loan, to be paid out on a later day than the first."""

    loan = models.ForeignKey(Loan, models.CASCADE, related_name="tranches")
    planned_on = models.DateField("planned for")
    amount = MoneyField("amount (KES)")
    paid_on = models.DateField("paid out", null=True, editable=False)
    payout = models.OneToOneField(Payout, models.PROTECT, null=True, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering = ["planned_on", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="tranche_amount_positive"),
            models.UniqueConstraint(
                fields=["loan", "planned_on"], name="tranche_day_once_per_loan"
            ),
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} of {self.loan.number}"


class Recovery(models.Model):
    """Money that came for a loan after it was written off. Append-only, like an allocation."""

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="recoveries")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="recoveries")
    amount = MoneyField("amount (KES)")
    counts_on = models.DateField("counts from")
    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="recoveries")
    reverses = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="reversed_by"
    )

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "recoveries"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, reverses=None) | Q(amount__lt=0, reverses__isnull=False),
                name="recovery_positive_unless_reversal",
            )
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} on {self.loan.number}"


class DeathClaim(models.Model):
    """A borrower's death and what the insurer pays for the loan."""

    class Status(models.TextChoices):
        REPORTED = "reported", "Reported"
        CLAIMED = "claimed", "Claimed"
        PAID = "paid", "Paid"
        REFUSED = "refused", "Refused"

    loan = models.OneToOneField(Loan, models.PROTECT, related_name="death_claim")
    died_on = models.DateField("died")
    reported_on = models.DateField("reported")
    insurer = models.CharField(max_length=80, blank=True)
    claim_number = models.CharField(max_length=40, blank=True)
    amount = MoneyField("claimed (KES)", default=ZERO)
    status = models.CharField(max_length=8, choices=Status, default=Status.REPORTED)
    decided_on = models.DateField("paid or refused", null=True, editable=False)
    payment = models.OneToOneField(Payment, models.PROTECT, null=True, editable=False)
    note = models.CharField(max_length=200, blank=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.loan.number}: death of {self.loan.customer.name}"
