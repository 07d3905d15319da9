"""The people who work here, the branches they work in, and what takes two of them."""

from datetime import date

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from simple_history.models import HistoricalRecords

from lms import dates, phones
from lms.errors import Refused
from lms.money import ZERO, MoneyField


class Branch(models.Model):
    """An office of the lender. Staff see the customers, loans and money of their own branch."""

    code = models.SlugField(max_length=8, unique=True, help_text="Short code, for example NRB.")
    name = models.CharField(max_length=80, unique=True)
    phone = models.CharField(max_length=20, blank=True)
    town = models.CharField(max_length=80, blank=True)
    is_active = models.BooleanField("active", default=True)
    requires_drawer = models.BooleanField(
        "cash only in drawers",
        default=False,
        help_text="Whoever takes or pays cash here must have opened their drawer.",
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name_plural = "branches"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def head(cls) -> "Branch":
        """Return the first branch, where money of unknown owner is kept. Raises Refused."""
        branch = cls.objects.filter(is_active=True).order_by("pk").first()
        if branch is None:
            raise Refused("There is no branch yet: create one first.")
        return branch


class Holiday(models.Model):
    """A day on which the office is closed and nobody is expected to pay. Sundays need no row."""

    day = models.DateField(unique=True)
    name = models.CharField(max_length=60)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-day"]

    def __str__(self) -> str:
        return f"{self.name}, {dates.show(self.day)}"

    @classmethod
    def days(cls) -> frozenset[date]:
        return frozenset(cls.objects.values_list("day", flat=True))


class Staff(AbstractUser):
    """A member of staff. Without a branch they belong to head office and see every branch."""

    branch = models.ForeignKey(
        Branch,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="staff",
        help_text="Leave empty for head office, which sees every branch.",
    )
    phone = models.CharField(max_length=12, blank=True)
    approval_limit = MoneyField(
        "approval limit (KES)",
        default=ZERO,
        help_text="The largest loan this person may approve.",
    )
    history = HistoricalRecords(excluded_fields=["password", "last_login"])

    class Meta:
        verbose_name = "member of staff"
        verbose_name_plural = "staff"
        ordering = ["first_name", "last_name", "username"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(approval_limit__gte=0), name="staff_approval_limit_not_negative"
            )
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    def clean(self) -> None:
        super().clean()
        if self.phone:
            try:
                self.phone = phones.normalise(self.phone)
            except ValueError as error:
                raise ValidationError({"phone": str(error)}) from error

    @property
    def sees_all_branches(self) -> bool:
        return self.is_superuser or self.branch_id is None


class ApprovalQuerySet(models.QuerySet):
    def waiting(self):
        return self.filter(status=Approval.Status.WAITING)

    def seen_by(self, staff: Staff):
        """What concerns the person's branch, and what they asked for themselves."""
        if staff.sees_all_branches:
            return self
        return self.filter(models.Q(branch_id=staff.branch_id) | models.Q(asked_by=staff))


class Approval(models.Model):
    """A sensitive action that waits for a second person, with all that is needed to carry it out.

    The room that asked carries it out, in the transaction of the decision. `kind` names the
    action, `subject` what it is done to; `payload` holds its answers, `diff` shows a person what
    would change. Without a branch it concerns the whole house.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"

    kind = models.CharField(max_length=30)
    subject = models.CharField(max_length=80, help_text="What it is done to.")
    summary = models.CharField(max_length=200)
    payload = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    diff = models.TextField("what would change", blank=True)
    branch = models.ForeignKey(
        Branch, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    reason = models.CharField(max_length=200)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.WAITING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=200, blank=True, help_text="Why it was decided so.")
    history = HistoricalRecords()

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("decide_approval", "Can decide what others asked for")]
        indexes = [models.Index(fields=["status"], name="approval_by_status")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(status="waiting"),
                name="approval_waits_once",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status="waiting", decided_by__isnull=True, decided_at__isnull=True
                )
                | models.Q(decided_by__isnull=False, decided_at__isnull=False)
                & ~models.Q(status="waiting"),
                name="approval_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~models.Q(status__in=["approved", "rejected"])
                | ~models.Q(decided_by=models.F("asked_by")),
                name="approval_takes_two",
            ),
        ]

    def __str__(self) -> str:
        return self.summary

    @property
    def is_waiting(self) -> bool:
        return self.status == self.Status.WAITING
