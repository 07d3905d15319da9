"""What was asked of Daraja, and the token for asking."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q


class DarajaRequestQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Requests of the person's branch, and those about no customer."""
        if staff.sees_all_branches:
            return self
        return self.filter(
            Q(asked_by__branch_id=staff.branch_id)
            | Q(kind__in=[DarajaRequest.Kind.TOKEN, DarajaRequest.Kind.REGISTER])
        )


class DarajaRequest(models.Model):
    """One request to Daraja and its answer, without secrets; kept for some days, to be read."""

    class Kind(models.TextChoices):
        TOKEN = "token", "Access token"
        STK_PUSH = "stk_push", "STK push"
        STK_QUERY = "stk_query", "STK query"
        BALANCE = "balance", "Account balance"
        STATUS = "status", "Transaction status"
        REGISTER = "register", "Register addresses"
        B2C = "b2c", "Payout"
        REVERSAL = "reversal", "Reversal"
        PULL = "pull", "Pull of payments"
        PULL_REGISTER = "pull_reg", "Register for pull"
        SIMULATE = "simulate", "Simulated payment"

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        REJECTED = "rejected", "Rejected"
        UNKNOWN = "unknown", "Unknown"

    kind = models.CharField(max_length=9, choices=Kind)
    sent_at = models.DateTimeField("sent", db_index=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    about = models.CharField(max_length=40, blank=True, db_index=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField("in Safaricom's words", max_length=200, blank=True)
    milliseconds = models.PositiveIntegerField()
    request = models.TextField("what was sent", blank=True)
    answer = models.TextField("what came back", blank=True)

    objects = DarajaRequestQuerySet.as_manager()

    class Meta:
        verbose_name = "Daraja request"
        ordering = ["-pk"]
        permissions = [("register_darajarequest", "Can register the paybill's addresses")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.about}".strip()


class AccessToken(models.Model):
    """The one OAuth token of an app, shared by all processes: each new one kills the last."""

    url = models.CharField(max_length=200)
    key_hash = models.CharField(max_length=64)
    token = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    EARLY = timedelta(seconds=60)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["url", "key_hash"], name="one_token_per_app"),
        ]

    def __str__(self) -> str:
        return f"Token for {self.url}"

    def is_good(self, *, at: datetime) -> bool:
        """Tell whether the token lives for at least another minute."""
        return (
            bool(self.token) and self.expires_at is not None and self.expires_at > at + self.EARLY
        )
