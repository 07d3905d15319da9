"""What stands behind a loan: the people who answer for it and the things that secure it."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import (
    FileExtensionValidator,
    MaxValueValidator,
    MinValueValidator,
)
from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce
from simple_history.models import HistoricalRecords

from lms import money
from lms.customers.models import Customer
from lms.loans.allocation import COMPONENTS
from lms.loans.models.changes import Recovery
from lms.loans.models.loans import Loan
from lms.loans.models.repayments import Waiver
from lms.money import CENT, ZERO, MoneyField, kes

PAPERS = [FileExtensionValidator(["pdf", "jpg", "jpeg", "png"])]
DEMAND_DAYS = 14  # from the demand to a claim on the guarantor
SOON_DAYS = 30  # what runs out within these is work for somebody
_MONEY = models.DecimalField(max_digits=14, decimal_places=2)


def _sum_of(rows, column: str) -> Coalesce:
    """Return the sum of a column over the rows of the loan of a guarantor, as a column."""
    found = rows.order_by().values("pk_of_loan").annotate(sum=money.total(column)).values("sum")
    return Coalesce(Subquery(found, output_field=_MONEY), ZERO, output_field=_MONEY)


def owed_of(path: str = "loan") -> Case:
    """Return, as a column, what security still has to answer for on the loan at `path`, or
    on the row itself for "".

    Before the disbursement that is the principal; after a write-off, what was written off and
    not recovered.
    """
    at = f"{path}__" if path else ""
    principal, *charges = (F(f"{at}position__{part}") for part in COMPONENTS)
    owed = Coalesce(sum(charges, principal), ZERO, output_field=_MONEY)
    of_loan = OuterRef(path or "pk")
    written_off = (
        Waiver.objects.standing()
        .filter(kind=Waiver.Kind.WRITE_OFF, repayment__loan=of_loan)
        .annotate(pk_of_loan=F("repayment__loan"))
    )
    recovered = Recovery.objects.filter(loan=of_loan).annotate(pk_of_loan=F("loan"))
    lost = owed + _sum_of(written_off, "amount") - _sum_of(recovered, "amount")
    status = f"{at}status"
    return Case(
        When(**{status: Loan.Status.ACTIVE}, then=money.exact(owed)),
        When(**{status: Loan.Status.WRITTEN_OFF}, then=money.exact(lost)),
        When(**{status: Loan.Status.CLOSED}, then=ZERO),
        default=F(f"{at}principal"),
        output_field=_MONEY,
    )


class GuarantorQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(loan__branch_id=staff.branch_id)

    def standing(self) -> Self:
        """Who has consented and was not released, on loans that are asked for or owed."""
        return self.filter(
            status=Guarantor.Status.CONSENTED, loan__status__in=Guarantor.BINDING_LOANS
        )

    def with_in_force(self) -> Self:
        """Annotate `in_force`: the amount guaranteed, at most what is owed on the loan (KES)."""
        return self.annotate(owed_of_loan=owed_of()).annotate(
            in_force=Case(
                When(amount__lt=F("owed_of_loan"), then=F("amount")),
                default=F("owed_of_loan"),
                output_field=_MONEY,
            )
        )

    def exposure(self, customer: Customer) -> Decimal:
        """Return the sum of what a customer answers for among these rows (KES)."""
        rows = self.standing().filter(customer=customer).with_in_force()
        return money.money(rows.aggregate(sum=money.total("in_force"))["sum"])


class Guarantor(models.Model):
    """A customer who answers for a loan up to an amount, once their consent is on record."""

    class Status(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        CONSENTED = "consented", "Consented"
        RELEASED = "released", "Released"
        SUBSTITUTED = "substituted", "Substituted"

    class Means(models.TextChoices):
        FORM = "form", "Signed form"
        SMS = "sms", "SMS"
        VOICE = "voice", "Recorded call"
        PERSON = "person", "In person"

    OPEN = (Status.PROPOSED, Status.CONSENTED)
    BINDING_LOANS = (
        Loan.Status.SUBMITTED,
        Loan.Status.APPROVED,
        Loan.Status.ACTIVE,
        Loan.Status.WRITTEN_OFF,
    )

    loan = models.ForeignKey(Loan, models.CASCADE, related_name="guarantors")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="guarantees")
    amount = MoneyField("guaranteed (KES)", validators=[MinValueValidator(CENT)])
    relationship = models.CharField(max_length=40, blank=True)
    capacity = MoneyField(
        "capacity (KES)",
        null=True,
        blank=True,
        validators=[MinValueValidator(CENT)],
        help_text="What this person can answer for in all, by payslip, statement or savings.",
    )
    status = models.CharField(
        max_length=11, choices=Status, default=Status.PROPOSED, editable=False
    )
    capacity_verified_on = models.DateField("capacity verified", null=True, editable=False)
    capacity_basis = models.CharField("verified by", max_length=120, blank=True, editable=False)
    consented_on = models.DateField("consent given", null=True, editable=False)
    consent_means = models.CharField(
        "means of consent", max_length=6, choices=Means, blank=True, editable=False
    )
    consent_recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    consent_document = models.FileField(
        upload_to="loans/consents/%Y/%m/", blank=True, validators=PAPERS, editable=False
    )
    released_on = models.DateField("released", null=True, editable=False)
    release_reason = models.CharField(max_length=200, blank=True, editable=False)
    replaced_by = models.OneToOneField(
        "self", models.PROTECT, null=True, editable=False, related_name="replaces"
    )
    history = HistoricalRecords()

    objects = GuarantorQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("consent_guarantor", "Can record the consent and the capacity of a guarantor"),
            ("notify_guarantor", "Can record a notice to a guarantor"),
            ("substitute_guarantor", "Can put another guarantor in the place of one"),
            ("release_guarantor", "Can release a guarantor"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["loan", "customer"],
                condition=Q(status__in=["proposed", "consented"]),
                name="guarantor_once_per_loan",
                violation_error_message="This customer guarantees the loan already.",
            ),
            models.CheckConstraint(
                condition=~Q(status="consented") | Q(consented_on__isnull=False),
                name="guarantor_consent_has_day",
            ),
            models.CheckConstraint(
                condition=~Q(status="substituted") | Q(replaced_by__isnull=False),
                name="guarantor_substitute_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer.name} for {kes(self.amount)}"

    def clean(self) -> None:
        super().clean()
        if self.customer_id and self.loan_id and self.customer_id == self.loan.customer_id:
            raise ValidationError({"customer": "The borrower cannot guarantee their own loan."})
        has_all = self.customer_id and self.loan_id and self.amount is not None
        if has_all and self.status == self.Status.PROPOSED and (sentence := self.beyond_capacity()):
            raise ValidationError({"amount": sentence})

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def is_standing(self) -> bool:
        return self.status == self.Status.CONSENTED and self.loan.status in self.BINDING_LOANS

    @property
    def stated_capacity(self) -> Decimal | None:
        """The capacity stated here, or else the one verified last on another guarantee."""
        if self.capacity is not None:
            return self.capacity
        known = Guarantor.objects.filter(
            customer_id=self.customer_id, capacity_verified_on__isnull=False
        )
        return (
            known.order_by("-capacity_verified_on", "-pk")
            .values_list("capacity", flat=True)
            .first()
        )

    def exposure_elsewhere(self) -> Decimal:
        """Return what the customer answers for on other loans (KES)."""
        return Guarantor.objects.exclude(loan_id=self.loan_id).exposure(self.customer)

    def beyond_capacity(self) -> str:
        """Return by how much the amount is too much beside what is guaranteed elsewhere, or ""."""
        capacity = self.stated_capacity
        if capacity is None:
            return ""
        elsewhere = self.exposure_elsewhere()
        beyond = self.amount + elsewhere - capacity
        if beyond <= 0:
            return ""
        return (
            f"{self.customer.name} can answer for {kes(capacity)} and answers for "
            f"{kes(elsewhere)} elsewhere: {kes(self.amount)} is {kes(beyond)} too much."
        )

    def can_be_claimed(self, on: date) -> bool:
        """Tell whether a demand was sent and its fourteen days are over by `on`."""
        return (
            self.status == self.Status.CONSENTED
            and self.loan.status in (Loan.Status.ACTIVE, Loan.Status.WRITTEN_OFF)
            and self.notices.filter(demand_from__lte=on).exists()
        )


class GuarantorNotice(models.Model):
    """What a guarantor was told, and when. Written once; a demand says from when it binds."""

    class Kind(models.TextChoices):
        INFORMATION = "information", "Information"
        STATEMENT = "statement", "Statement"
        DEMAND = "demand", "Demand"

    class Channel(models.TextChoices):
        SMS = "sms", "SMS"
        EMAIL = "email", "E-mail"
        LETTER = "letter", "Letter"
        HAND = "hand", "By hand"
        CALL = "call", "Call"

    guarantor = models.ForeignKey(Guarantor, models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=11, choices=Kind)
    sent_on = models.DateField("sent")
    channel = models.CharField(max_length=6, choices=Channel)
    text = models.TextField("what was said")
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    demand_from = models.DateField(
        "claim possible from", null=True, editable=False, help_text="Fourteen days after a demand."
    )
    history = HistoricalRecords()

    class Meta:
        ordering = ["-sent_on", "-pk"]
        verbose_name = "notice"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="demand", demand_from__isnull=False)
                | (~Q(kind="demand") & Q(demand_from=None)),
                name="guarantor_notice_demand_has_day",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.guarantor.customer.name}"


class CollateralQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(loan__branch_id=staff.branch_id)

    def held(self) -> Self:
        return self.filter(status=Collateral.Status.HELD)

    def binding(self) -> Self:
        """Held for loans that are approved or owed."""
        return self.held().filter(
            loan__status__in=(
                Loan.Status.APPROVED, Loan.Status.ACTIVE, Loan.Status.WRITTEN_OFF
            )
        )  # fmt: skip

    def unregistered(self) -> Self:
        return self.binding().filter(registered_on=None)

    def registration_ending(self, *, on: date) -> Self:
        """Registrations that end from `on` up to 30 days after it."""
        days = (on, on + timedelta(days=SOON_DAYS))
        return self.binding().filter(registration_expires_on__range=days)

    def registration_ended(self, *, on: date) -> Self:
        return self.binding().filter(registration_expires_on__lt=on)

    def uninsured(self, *, on: date) -> Self:
        """What was insured and is no longer on `on`."""
        return self.binding().filter(insured_until__lt=on)

    def forced_sale_total(self) -> Decimal:
        """Return the sum of the forced-sale values of these rows (KES)."""
        return sum((row.forced_sale_value for row in self), ZERO)


class Collateral(models.Model):
    """Something of value that secures a loan. Its value is that of the latest valuation."""

    class Kind(models.TextChoices):
        VEHICLE = "vehicle", "Vehicle (logbook)"
        LAND = "land", "Land (title)"
        STOCK = "stock", "Stock in trade"
        HOUSEHOLD = "household", "Household goods"
        MACHINE = "machine", "Machinery"
        OTHER = "other", "Other"

    class Owner(models.TextChoices):
        BORROWER = "borrower", "The borrower"
        THIRD = "third", "Someone else"

    class Status(models.TextChoices):
        HELD = "held", "Held"
        RELEASED = "released", "Released"

    loan = models.ForeignKey(Loan, models.CASCADE, related_name="collateral")
    kind = models.CharField(max_length=9, choices=Kind)
    description = models.CharField(max_length=160)
    serial = models.CharField("serial, logbook or title number", max_length=60, blank=True)
    owner = models.CharField(max_length=8, choices=Owner, default=Owner.BORROWER)
    owner_name = models.CharField(
        "owner's name and ID", max_length=120, blank=True, help_text="When it is someone else."
    )
    owner_consented_on = models.DateField("owner consented", null=True, blank=True)
    value = MoneyField("value (KES)", validators=[MinValueValidator(CENT)])
    valued_on = models.DateField("valued")
    forced_sale_percent = models.PositiveSmallIntegerField(
        "forced sale (%)", default=70, validators=[MaxValueValidator(100)]
    )
    location = models.CharField("kept at", max_length=80, blank=True)
    status = models.CharField(max_length=8, choices=Status, default=Status.HELD, editable=False)
    mpsr_number = models.CharField("MPSR registration", max_length=40, blank=True, editable=False)
    registered_on = models.DateField("registered", null=True, editable=False)
    registration_expires_on = models.DateField("registration ends", null=True, editable=False)
    insured_until = models.DateField(
        "insured until", null=True, blank=True, help_text="Empty: not insured."
    )
    received_on = models.DateField("taken into custody", null=True, editable=False)
    received_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    released_on = models.DateField("released", null=True, editable=False)
    released_to = models.CharField(max_length=120, blank=True, editable=False)
    release_reason = models.CharField(max_length=200, blank=True, editable=False)
    history = HistoricalRecords()

    objects = CollateralQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "collateral"
        permissions = [
            ("revalue_collateral", "Can value collateral anew"),
            ("register_collateral", "Can record registration and insurance of collateral"),
            ("custody_collateral", "Can take collateral into custody"),
            ("release_collateral", "Can release collateral, and take a release back"),
            ("release_owed_collateral", "Can release collateral of a loan that is still owed"),
        ]
        indexes = [
            models.Index(fields=["serial"], name="collateral_by_serial"),
            models.Index(fields=["registration_expires_on"], name="collateral_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.description}"

    def clean(self) -> None:
        super().clean()
        if self.owner == self.Owner.THIRD and not self.owner_name.strip():
            raise ValidationError({"owner_name": "Say whose it is."})

    @property
    def forced_sale_value(self) -> Decimal:
        """What a hurried sale would bring (KES)."""
        return money.money(self.value * self.forced_sale_percent / 100)

    def is_registered(self, *, on: date) -> bool:
        ends = self.registration_expires_on
        return self.registered_on is not None and (ends is None or ends >= on)


def cover_ratio(loan: Loan) -> Decimal | None:
    """Return the forced-sale value of what is held over what is owed, 1.25 for 125%.

    Before the disbursement over the principal. None where nothing is owed.
    """
    found = Loan.objects.filter(pk=loan.pk).annotate(owed=owed_of(""))
    owed = money.money(found.values_list("owed", flat=True).get())
    if owed <= 0:
        return None
    return (loan.collateral.held().forced_sale_total() / owed).quantize(CENT)


class Valuation(models.Model):
    """What a collateral was found to be worth on a day, and by whom."""

    collateral = models.ForeignKey(Collateral, models.CASCADE, related_name="valuations")
    value = MoneyField("value (KES)", validators=[MinValueValidator(CENT)])
    forced_sale_percent = models.PositiveSmallIntegerField(
        "forced sale (%)", validators=[MaxValueValidator(100)]
    )
    valued_on = models.DateField("valued")
    valuer = models.CharField(max_length=80, blank=True)
    note = models.CharField(max_length=200, blank=True)
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    history = HistoricalRecords()

    class Meta:
        ordering = ["-valued_on", "-pk"]
        get_latest_by = ["valued_on", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(value__gt=0), name="valuation_value_positive")
        ]

    def __str__(self) -> str:
        return f"{kes(self.value)} on {self.valued_on:%d %b %Y}"


def document_path(document: "CollateralDocument", filename: str) -> str:
    return f"loans/collateral/{document.collateral_id}/{filename}"


class CollateralDocument(models.Model):
    """One paper of a collateral: logbook, title, report of the valuer, policy."""

    class Kind(models.TextChoices):
        TITLE = "title", "Logbook or title"
        VALUATION = "valuation", "Valuation report"
        INSURANCE = "insurance", "Insurance policy"
        AGREEMENT = "agreement", "Security agreement"
        PHOTO = "photo", "Photo"
        OTHER = "other", "Other"

    collateral = models.ForeignKey(Collateral, models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=9, choices=Kind)
    file = models.FileField(upload_to=document_path, validators=PAPERS)
    note = models.CharField(max_length=120, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "document"
        ordering = ["kind", "pk"]

    def __str__(self) -> str:
        return self.get_kind_display()
