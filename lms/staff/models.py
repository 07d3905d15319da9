"""The people who work here and the branches they work in."""

from datetime import date

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
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
