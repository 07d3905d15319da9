"""What a customer earns for having brought another."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import MoneyField, kes
from lms.payments.models import Payment

TAKEN_BACK = "taken_back"  # follows from the payment, so it is asked and not stored
TAKEN_BACK_LABEL = "Taken back"


class ReferralRewardQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(referrer__branch_id=staff.branch_id)

    def waiting(self) -> Self:
        """Rewards that a second person has not decided on yet."""
        return self.filter(status=ReferralReward.Status.PROPOSED)

    def in_state(self, state: str) -> Self:
        """Return rewards as staff read their state: a status, or taken back since."""
        reversed_ = Q(payment__status=Payment.Status.REVERSED)
        if state == TAKEN_BACK:
            return self.filter(reversed_)
        if state == ReferralReward.Status.APPROVED:
            return self.filter(status=state).exclude(reversed_)
        return self.filter(status=state)


class ReferralReward(models.Model):
    """One reward for bringing one customer, earned when that one paid the first loan back."""

    class Status(models.TextChoices):
        PROPOSED = "proposed", "Waiting"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"

    referrer = models.ForeignKey(Customer, models.PROTECT, related_name="rewards")
    referred = models.OneToOneField(Customer, models.PROTECT, related_name="reward_for_bringing")
    loan = models.OneToOneField(Loan, models.PROTECT, related_name="referral_reward")
    amount = MoneyField("amount (KES)")
    earned_on = models.DateField("earned", help_text="The day the first loan was paid back.")
    proposed_on = models.DateField("proposed")
    status = models.CharField(max_length=8, choices=Status, default=Status.PROPOSED)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    decided_on = models.DateField("decided", null=True)
    reason = models.CharField("reason of the refusal", max_length=200, blank=True)
    payment = models.OneToOneField(
        Payment, models.PROTECT, null=True, related_name="referral_reward"
    )
    history = HistoricalRecords()

    objects = ReferralRewardQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("approve_reward", "Can approve or refuse a referral reward")]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="reward_amount_positive"),
            models.CheckConstraint(
                condition=~Q(referrer=F("referred")), name="reward_not_for_oneself"
            ),
            models.CheckConstraint(
                condition=Q(status="approved", payment__isnull=False)
                | (~Q(status="approved") & Q(payment__isnull=True)),
                name="reward_paid_when_approved",
            ),
            models.CheckConstraint(
                condition=Q(status="proposed", decided_by__isnull=True, decided_on__isnull=True)
                | (~Q(status="proposed") & Q(decided_by__isnull=False, decided_on__isnull=False)),
                name="reward_decided_by_somebody",
            ),
        ]
        indexes = [models.Index(fields=["status", "-id"], name="reward_by_status")]

    def __str__(self) -> str:
        return f"{self.number} · {kes(self.amount)} to {self.referrer.name}"

    @property
    def number(self) -> str:
        return f"RR{self.pk:06d}" if self.pk else "RR(new)"

    @property
    def state(self) -> str:
        """The status as staff read it: a reward whose payment was reversed is taken back."""
        is_reversed = self.payment_id and self.payment.status == Payment.Status.REVERSED
        return TAKEN_BACK_LABEL if is_reversed else self.get_status_display()
