"""How the portfolio stands: non-performing spells, nightly snapshots, classes and provisions."""

from datetime import date
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms.loans.models.loans import Loan
from lms.loans.models.products import LoanProduct
from lms.money import MoneyField
from lms.staff.models import Branch


class NonPerforming(models.Model):
    """A time in which a loan was non-performing. Its principal is frozen for the in duplum rule.

    Source: Banking Act, s. 44A: a later default starts the count again.
    """

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="defaults")
    since = models.DateField()
    principal = MoneyField("principal when it began (KES)")
    ended_on = models.DateField(null=True)

    class Meta:
        ordering = ["-since"]
        verbose_name = "non-performing spell"
        constraints = [
            models.UniqueConstraint(
                fields=["loan"], condition=Q(ended_on=None), name="non_performing_once_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.loan.number} since {self.since}"


class LoanSnapshot(models.Model):
    """Where one loan stood at the end of one day. Historical reports read these, not today's."""

    day = models.DateField()
    loan = models.ForeignKey(Loan, models.PROTECT, related_name="snapshots", db_index=False)
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+", db_index=False)
    product = models.ForeignKey(LoanProduct, models.PROTECT, related_name="+", db_index=False)
    loan_officer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    principal = MoneyField("principal (KES)")
    interest = MoneyField("interest (KES)")
    fees = MoneyField("fees (KES)")
    penalties = MoneyField("penalties (KES)")
    arrears = MoneyField("past due (KES)")
    days_past_due = models.PositiveIntegerField()
    classification = models.CharField("class", max_length=20)
    is_restructured = models.BooleanField()
    is_non_performing = models.BooleanField()

    class Meta:
        ordering = ["-day", "loan"]
        constraints = [
            models.UniqueConstraint(fields=["loan", "day"], name="snapshot_once_per_day")
        ]
        indexes = [models.Index(fields=["day", "branch"], name="snapshot_by_day")]

    def __str__(self) -> str:
        return f"{self.loan_id} on {self.day}"


class ProvisionTableQuerySet(models.QuerySet):
    def booked(self) -> Self:
        return self.filter(is_booked=True)


class ProvisionTable(models.Model):
    """One way to classify and provision: the lender's own, or a regulator's, side by side."""

    code = models.SlugField(max_length=16, unique=True)
    name = models.CharField(max_length=80)
    source = models.CharField(max_length=200, blank=True)
    is_booked = models.BooleanField(
        "goes to the books",
        default=False,
        help_text="The class of each loan and the allowance follow this table. One only.",
    )
    history = HistoricalRecords()

    objects = ProvisionTableQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_booked"],
                condition=Q(is_booked=True),
                name="one_provision_table_is_booked",
                violation_error_message="Another table goes to the books already.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def bands_on(self, day: date) -> list["ProvisionBand"]:
        """Return the bands in force on a day, from the mildest to the worst."""
        rows = self.bands.filter(valid_from__lte=day)
        latest = rows.aggregate(day=models.Max("valid_from"))["day"]
        return list(rows.filter(valid_from=latest).order_by("from_days"))


class ProvisionBand(models.Model):
    """A class: from so many days past due, so many percent of the principal, from a day on."""

    table = models.ForeignKey(ProvisionTable, models.CASCADE, related_name="bands")
    name = models.CharField("class", max_length=20)
    from_days = models.PositiveIntegerField("from days past due")
    rate = models.DecimalField(
        "provision (%)",
        max_digits=5,
        decimal_places=2,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    valid_from = models.DateField(default=date(2000, 1, 1))
    history = HistoricalRecords()

    class Meta:
        ordering = ["table", "valid_from", "from_days"]
        constraints = [
            models.UniqueConstraint(
                fields=["table", "valid_from", "from_days"], name="band_once_per_table_and_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} from {self.from_days} days: {Decimal(self.rate).normalize():f}%"


class Provision(models.Model):
    """What one table asks for one class of one branch at the end of one day."""

    day = models.DateField()
    table = models.ForeignKey(ProvisionTable, models.PROTECT, related_name="provisions")
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    classification = models.CharField("class", max_length=20)
    loans = models.PositiveIntegerField()
    principal = MoneyField("principal (KES)")
    required = MoneyField("provision (KES)")

    class Meta:
        ordering = ["-day", "table", "branch"]
        constraints = [
            models.UniqueConstraint(
                fields=["day", "table", "branch", "classification"], name="provision_once_per_class"
            )
        ]

    def __str__(self) -> str:
        return f"{self.classification} on {self.day}"
