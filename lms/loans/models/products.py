"""Loan products, and the versions of their terms: what is offered, from when to when."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.text import capfirst
from simple_history.models import HistoricalRecords

from lms import dates
from lms.errors import Refused
from lms.loans.models.terms import FeeTerms, Terms
from lms.money import MoneyField, kes


class LoanProductQuerySet(models.QuerySet):
    def open_on(self, day: date) -> Self:
        """Products that can be applied for on a day: on offer, with approved terms in force."""
        in_force = ProductVersion.objects.in_force(on=day).values("product_id")
        return self.filter(is_active=True, pk__in=in_force)


class LoanProduct(models.Model):
    """What the lender offers, by name. What it costs stands on its versions."""

    code = models.SlugField(max_length=12, unique=True)
    name = models.CharField(max_length=80, unique=True)
    description = models.TextField(blank=True)
    is_active = models.BooleanField("on offer", default=True)
    notice_days = models.PositiveSmallIntegerField(
        "notice of a new price (days)",
        default=30,
        help_text="A version that changes the price starts no sooner after its approval.",
    )
    history = HistoricalRecords()

    objects = LoanProductQuerySet.as_manager()

    class Meta:
        verbose_name = "loan product"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def version_on(self, day: date) -> "ProductVersion | None":
        """Return the approved version in force on a day, or None."""
        version = self.versions.in_force(on=day).first()
        if version is not None:
            version.product = self
        return version


class Change(NamedTuple):
    """One thing that differs between two versions, as staff read it."""

    name: str
    before: str
    after: str
    is_price: bool


class ProductVersionQuerySet(models.QuerySet):
    def in_force(self, *, on: date) -> Self:
        """Approved versions on whose terms a loan can be made on a day; both ends count."""
        return self.filter(
            Q(ends_on__isnull=True) | Q(ends_on__gte=on),
            status=ProductVersion.Status.APPROVED,
            starts_on__lte=on,
        )


class ProductVersion(Terms):
    """The terms, limits and fees of a product for some time. Once approved they never change.

    Status holds decisions; whether an approved version is future, current or expired follows from
    the calendar and is asked with a day. A loan copies the terms and keeps them.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        APPROVED = "approved", "Approved"
        WITHDRAWN = "withdrawn", "Withdrawn"

    STATES = {
        "draft": "Draft",
        "future": "Future",
        "current": "Current",
        "expired": "Expired",
        "withdrawn": "Withdrawn",
    }
    LIMIT_FIELDS = (
        "min_principal",
        "max_principal",
        "min_repayments",
        "max_repayments",
        "min_rate",
        "max_rate",
    )
    # What an approval fixes for ever.
    FIXED_FIELDS = (*Terms.TERM_FIELDS, *LIMIT_FIELDS, "posting_profile")
    # What may differ without the customer paying more or less; all else needs notice.
    FREE_FIELDS = frozenset(
        {
            "number_of_repayments",
            "surplus",
            "income_basis",
            "closing_tolerance",
            "posting_profile",
            "min_principal",
            "max_principal",
            "min_repayments",
            "max_repayments",
        }
    )

    product = models.ForeignKey(LoanProduct, models.PROTECT, related_name="versions")
    number = models.PositiveSmallIntegerField("version", editable=False)
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT, editable=False)
    min_principal = MoneyField(
        "smallest amount (KES)", default=Decimal(1000), validators=[MinValueValidator(1)]
    )
    max_principal = MoneyField(
        "largest amount (KES)", default=Decimal(100000), validators=[MinValueValidator(1)]
    )
    min_repayments = models.PositiveSmallIntegerField(
        "fewest repayments", default=1, validators=[MinValueValidator(1)]
    )
    max_repayments = models.PositiveSmallIntegerField(
        "most repayments", default=12, validators=[MinValueValidator(1)]
    )
    min_rate = models.DecimalField("lowest rate (%)", max_digits=8, decimal_places=4, default=0)
    max_rate = models.DecimalField("highest rate (%)", max_digits=8, decimal_places=4, default=100)
    note = models.CharField("what changed and why", max_length=200, blank=True)
    starts_on = models.DateField("in force from", null=True, editable=False)
    ends_on = models.DateField("until", null=True, editable=False)
    approval_reference = models.CharField(max_length=60, blank=True, editable=False)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    approved_on = models.DateField("approved", null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    history = HistoricalRecords()

    objects = ProductVersionQuerySet.as_manager()

    class Meta:
        verbose_name = "product version"
        ordering = ["product", "-number"]
        permissions = [("approve_productversion", "Can approve or withdraw terms of a product")]
        constraints = [
            models.UniqueConstraint(fields=["product", "number"], name="version_number_once"),
            models.CheckConstraint(
                condition=Q(min_principal__lte=F("max_principal")), name="version_amount_limits"
            ),
            models.CheckConstraint(
                condition=Q(min_repayments__lte=F("max_repayments")), name="version_term_limits"
            ),
            models.CheckConstraint(
                condition=Q(min_rate__lte=F("max_rate")), name="version_rate_limits"
            ),
            models.CheckConstraint(
                condition=~Q(status="approved")
                | (Q(starts_on__isnull=False) & ~Q(approval_reference="")),
                name="version_approved_with_reference",
            ),
            models.CheckConstraint(
                condition=Q(ends_on__isnull=True) | Q(ends_on__gte=F("starts_on")),
                name="version_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.product} v{self.number}"

    @property
    def name(self) -> str:
        return self.product.name

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT

    def state(self, *, on: date) -> str:
        """Return draft or withdrawn as decided, else future, current or expired on a day."""
        if self.status != self.Status.APPROVED:
            return self.status
        if on < self.starts_on:
            return "future"
        return "current" if self.ends_on is None or on <= self.ends_on else "expired"

    # --- What may be stored --------------------------------------------------------------------
    def clean(self) -> None:
        super().clean()
        wrong = {}
        if not self.min_repayments <= self.number_of_repayments <= self.max_repayments:
            wrong["number_of_repayments"] = "The usual number lies outside the limits."
        if not self.min_rate <= self.rate <= self.max_rate:
            wrong["rate"] = "The usual rate lies outside the limits."
        wrong |= self.impossible()
        if wrong:
            raise ValidationError(wrong)

    def save(self, *args, update_fields: Sequence[str] | None = None, **kwargs) -> None:
        """Store it. Raises Refused for a change to terms or limits that were approved."""
        touched = set(self.FIXED_FIELDS) & set(
            self.FIXED_FIELDS if update_fields is None else update_fields
        )
        if self.pk and touched:
            stored = ProductVersion.objects.filter(pk=self.pk).first()
            if (
                stored
                and not stored.is_draft
                and stored.values_of(touched) != self.values_of(touched)
            ):
                raise Refused(_is_fixed(stored))
        super().save(*args, update_fields=update_fields, **kwargs)

    def values_of(self, fields) -> dict:
        return {name: getattr(self, name) for name in sorted(fields)}

    def must_be_draft(self) -> None:
        """Raise Refused where the stored version was decided on."""
        if self.pk and not ProductVersion.objects.filter(pk=self.pk, status="draft").exists():
            raise Refused(_is_fixed(self))

    # --- Questions -----------------------------------------------------------------------------
    def breaches(self, loan: Terms) -> dict[str, str]:
        """Return what on a loan lies outside the limits: field name and sentence."""
        found = {}
        if not self.min_principal <= loan.principal <= self.max_principal:
            found["principal"] = (
                f"{self.name} lends {kes(self.min_principal)} to {kes(self.max_principal)}."
            )
        if not self.min_repayments <= loan.number_of_repayments <= self.max_repayments:
            found["number_of_repayments"] = (
                f"{self.name} takes {self.min_repayments} to {self.max_repayments} repayments."
            )
        if loan.rate_period == self.rate_period and not (
            self.min_rate <= loan.rate <= self.max_rate
        ):
            found["rate"] = (
                f"{self.name} is priced {self.min_rate.normalize():f}% to "
                f"{self.max_rate.normalize():f}% {self.get_rate_period_display()}."
            )
        if loan.rate_period != self.rate_period:
            found["rate_period"] = f"{self.name} is priced {self.get_rate_period_display()}."
        return found

    def must_be_in_force(self, *, on: date) -> None:
        """Raise Refused unless a loan can be made on these terms on a day."""
        state = self.state(on=on)
        if state == "current":
            return
        why = {
            "draft": "are not approved",
            "withdrawn": "were withdrawn",
            "future": f"start on {dates.show(self.starts_on)}",
            "expired": f"ended on {dates.show(self.ends_on)}",
        }[state]
        raise Refused(f"The terms of {self} {why}: take the current terms first.")

    def changes_from(self, other: "ProductVersion | None") -> list[Change]:
        """Return what differs from another version, in the order of the page."""
        if other is None:
            return []
        changes = [
            Change(
                name=capfirst(self._meta.get_field(name).verbose_name),
                before=other.shown(name),
                after=self.shown(name),
                is_price=name not in self.FREE_FIELDS,
            )
            for name in self.FIXED_FIELDS
            if getattr(self, name) != getattr(other, name)
        ]
        for part, is_price in (("fees", True), ("rules", False)):
            before = {str(row): row.summary for row in getattr(other, part).all()}
            after = {str(row): row.summary for row in getattr(self, part).all()}
            changes += [
                Change(name, before.get(name, "None"), after.get(name, "None"), is_price)
                for name in before | after
                if before.get(name) != after.get(name)
            ]
        return changes

    def shown(self, name: str) -> str:
        """Return the value of a field as staff read it."""
        field, value = self._meta.get_field(name), getattr(self, name)
        if field.choices:
            return str(getattr(self, f"get_{name}_display")())
        if field.verbose_name.endswith("(KES)"):
            return kes(value)
        if isinstance(value, bool):
            return "Yes" if value else "No"
        if value is None:
            return "None"
        return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)

    @property
    def previous(self) -> "ProductVersion | None":
        """The approved version before this one, where there is one."""
        return self.product.versions.filter(
            status=self.Status.APPROVED, number__lt=self.number
        ).first()

    def starts_at_the_earliest(self, *, on: date) -> date | None:
        """Return the first day these terms may start when they are approved on a day.

        None for the first version of a product, which may start on any day.
        """
        approved = self.product.versions.filter(status=self.Status.APPROVED).exclude(pk=self.pk)
        newest = approved.order_by("-starts_on").first()
        if newest is None:
            return None
        # One that has not started yet is no way around the notice.
        others = {newest, self.product.version_on(on)}
        priced = any(change.is_price for other in others for change in self.changes_from(other))
        return on + timedelta(days=self.product.notice_days if priced else 0)


def _is_fixed(version: ProductVersion) -> str:
    status = version.get_status_display().lower()
    return f"{version} is {status}: its terms stay as they are. Make a new version."


class PartOfVersion:
    """A row of a version, fixed with it: writing is refused once the version is decided on."""

    def save(self, *args, **kwargs) -> None:
        self.version.must_be_draft()
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        self.version.must_be_draft()
        return super().delete(*args, **kwargs)


class ProductFee(PartOfVersion, FeeTerms):
    """A fee that each loan of the version starts with."""

    version = models.ForeignKey(ProductVersion, models.CASCADE, related_name="fees")
    history = HistoricalRecords()

    class Meta(FeeTerms.Meta):
        verbose_name = "fee"
