"""People and businesses we lend to, and the papers that say who they are."""

import re
from datetime import date
from functools import partial
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import FileExtensionValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Substr, Upper
from simple_history.models import HistoricalRecords

from lms import dates, phones
from lms.errors import Refused
from lms.money import MoneyField
from lms.staff.models import Branch

KRA_PIN = re.compile(r"[AP]\d{9}[A-Z]")
ID_FORMATS = {
    "national_id": (re.compile(r"\d{6,9}"), "a national ID is 6 to 9 digits"),
    "passport": (re.compile(r"[A-Z]{1,2}\d{6,8}"), "a passport is letters and 6 to 8 digits"),
    "alien_id": (re.compile(r"\d{5,9}"), "an alien ID is 5 to 9 digits"),
    "military_id": (re.compile(r"\d{5,9}"), "a military ID is 5 to 9 digits"),
    "registration": (
        re.compile(r"[A-Z]{1,4}[-/]?[A-Z0-9][A-Z0-9/-]{3,20}"),
        "a business registration looks like BN-7XYZ123 or PVT-AB12CD3",
    ),
}


def check_id_number(kind: str, number: str) -> str:
    """Return an identity number in its stored form (capitals, no spaces).

    Raises ValueError, with a sentence for staff, when it does not look like its kind.
    Source: the number formats of the CRB data specification and of IPRS practice.
    """
    stored = re.sub(r"\s+", "", number).upper()
    pattern, rule = ID_FORMATS[kind]
    if not pattern.fullmatch(stored):
        raise ValueError(f"“{number}” does not look right: {rule}.")
    return stored


def check_kra_pin(pin: str) -> str:
    """Return a KRA PIN in its stored form. Raises ValueError when it is not one."""
    stored = re.sub(r"\s+", "", pin).upper()
    if not KRA_PIN.fullmatch(stored):
        raise ValueError(
            f"“{pin}” is not a KRA PIN: A (person) or P (business), nine digits, one letter, "
            "like A004416331M."
        )
    return stored


class PhoneHashField(models.CharField):
    """The SHA-256 of the phone beside it, in step with it however the row is written."""

    def pre_save(self, model_instance, add):
        value = phones.hashed(model_instance.phone)
        setattr(model_instance, self.attname, value)
        return value


class PhoneEnd(models.Func):
    """The last three digits of a phone, in the words of the index: parameters would not use it."""

    function = "SUBSTRING"
    template = "%(function)s(%(expressions)s, 10, 3)"
    output_field = models.CharField()

    def as_sqlite(self, compiler, connection, **context):
        return self.as_sql(compiler, connection, function="SUBSTR", **context)


class CustomerQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(branch_id=staff.branch_id)

    def numbered(self, text: str) -> Self:
        """Return the customer with the number in the text (CU000012, cu-12), or none."""
        found = re.fullmatch(r"CU[\s-]*0*(\d{1,12})", text.strip().upper())
        return self.filter(pk=int(found[1])) if found else self.none()

    def matching(self, text: str) -> Self:
        """Return customers by number, phone in any spelling, ID, PIN or words of the name."""
        text = " ".join(text.split())
        if not text:
            return self.none()
        if re.match(r"CU[\s-]*\d", text.upper()):
            return self.numbered(text)
        if phone := phones.parse(text):
            return self.filter(phone=phone)
        bare = text.replace(" ", "").upper()
        if any(character.isdigit() for character in bare):
            return self.filter(models.Q(id_number=bare) | models.Q(kra_pin=bare))
        names = self
        for word in text.split():
            names = names.filter(name__icontains=word)
        return names


class Customer(models.Model):
    """One individual or business; a borrower once a loan is disbursed."""

    class Kind(models.TextChoices):
        INDIVIDUAL = "individual", "Individual"
        BUSINESS = "business", "Business"

    class IdKind(models.TextChoices):
        NATIONAL_ID = "national_id", "National ID"
        PASSPORT = "passport", "Passport"
        ALIEN_ID = "alien_id", "Alien ID"
        MILITARY_ID = "military_id", "Military ID"
        REGISTRATION = "registration", "Business registration"

    class Kyc(models.TextChoices):
        PENDING = "pending", "Pending"
        VERIFIED = "verified", "Verified"
        REJECTED = "rejected", "Rejected"

    class Gender(models.TextChoices):
        FEMALE = "female", "Female"
        MALE = "male", "Male"

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.INDIVIDUAL)
    first_name = models.CharField(max_length=60, blank=True)
    other_names = models.CharField(max_length=60, blank=True)
    last_name = models.CharField("surname", max_length=60, blank=True)
    business_name = models.CharField(max_length=120, blank=True)
    name = models.CharField(
        max_length=200, editable=False, help_text="The full name, as lists and letters show it."
    )
    phone = models.CharField(
        max_length=12,
        unique=True,
        help_text="Any spelling: 0712 345 678, +254712345678, 254…",
        error_messages={"unique": "Another customer already has this phone."},
    )
    phone_hash = PhoneHashField(
        max_length=64,
        editable=False,
        default="",
        help_text="By it a payment is known whose payer Safaricom names by hash. As private as "
        "the phone: not shown, not exported, not kept in history.",
    )
    email = models.EmailField("e-mail", blank=True)
    id_kind = models.CharField("ID type", max_length=12, choices=IdKind, default=IdKind.NATIONAL_ID)
    id_number = models.CharField("ID number", max_length=24)
    kra_pin = models.CharField(
        "KRA PIN",
        max_length=11,
        null=True,
        blank=True,
        unique=True,
        error_messages={"unique": "Another customer already has this KRA PIN."},
    )
    date_of_birth = models.DateField(null=True, blank=True)
    gender = models.CharField(max_length=6, choices=Gender, blank=True)
    died_on = models.DateField("died", null=True, editable=False)
    town = models.CharField("town or area", max_length=80, blank=True)
    address = models.CharField(max_length=160, blank=True)
    occupation = models.CharField("occupation or trade", max_length=80, blank=True)
    net_income = MoneyField(
        "net income a month (KES)",
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="After tax, statutory deductions and instalments to others.",
    )
    score_limit = MoneyField(
        "score limit (KES)",
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="The most the scorecard would lend.",
    )
    next_of_kin = models.CharField(max_length=120, blank=True)
    next_of_kin_phone = models.CharField(max_length=12, blank=True)
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="customers")
    loan_officer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="customers",
    )
    referred_by = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="referred",
        help_text="The customer who brought this one.",
    )
    referral_recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    kyc_status = models.CharField("KYC", max_length=8, choices=Kyc, default=Kyc.PENDING)
    photo = models.ImageField(upload_to="customers/photos/%Y/%m/", blank=True)
    takes_messages = models.BooleanField(
        "takes reminders", default=True, help_text="Untick when the customer opted out."
    )
    notes = models.TextField(blank=True)
    registered_at = models.DateTimeField("registered", auto_now_add=True)
    history = HistoricalRecords(excluded_fields=["phone_hash"])

    objects = CustomerQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("verify_customer", "Can verify or reject the KYC of a customer"),
            ("set_score_limit", "Can set the score limit of a customer"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["id_kind", "id_number"],
                name="customer_id_once",
                violation_error_message="Another customer already has this ID number.",
            ),
            models.CheckConstraint(
                condition=models.Q(phone__regex=r"^254[17][0-9]{8}$"),
                name="customer_phone_is_kenyan",
                violation_error_message="The phone is not a Kenyan mobile number.",
            ),
            models.CheckConstraint(
                condition=~models.Q(referred_by=models.F("id")),
                name="customer_not_referred_by_self",
            ),
            models.CheckConstraint(
                condition=models.Q(referred_by__isnull=True, referral_recorded_by__isnull=True)
                | models.Q(referred_by__isnull=False, referral_recorded_by__isnull=False),
                name="customer_referral_has_recorder",
            ),
        ]
        indexes = [
            models.Index(fields=["id_number"], name="customer_by_id_number"),
            models.Index(fields=["branch", "kyc_status"], name="customer_by_branch_kyc"),
            models.Index(Upper("name"), name="customer_by_name"),
            models.Index(fields=["phone_hash"], name="customer_by_phone_hash"),
            # Of a masked phone Safaricom shows the end: 2547 ***** 126.
            models.Index(Substr("phone", 10, 3), name="customer_by_phone_end"),
        ]

    def __str__(self) -> str:
        return f"{self.name} · {self.number}"

    def save(self, *args, **kwargs) -> None:
        self.name = self.compose_name()
        written = kwargs.get("update_fields")
        if written is not None and "phone" in written:
            kwargs["update_fields"] = {*written, "phone_hash"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        super().clean()
        wrong = self._normalise() | self._wrong_for_kind()
        if wrong:
            raise ValidationError(wrong)
        self.name = self.compose_name()

    def _normalise(self) -> dict[str, str]:
        """Bring numbers into their stored form; return what is not one, by field."""
        checks = {
            "phone": phones.normalise,
            "next_of_kin_phone": phones.normalise,
            "id_number": partial(check_id_number, self.id_kind),
            "kra_pin": check_kra_pin,
        }
        wrong = {}
        for field, check in checks.items():
            if written := getattr(self, field):
                try:
                    setattr(self, field, check(written))
                except ValueError as error:
                    wrong[field] = str(error)
        self.kra_pin = self.kra_pin or None
        return wrong

    def _wrong_for_kind(self) -> dict[str, str]:
        """Return what an individual or a business still lacks, by field."""
        wrong = {}
        is_business = self.kind == self.Kind.BUSINESS
        if is_business and not self.business_name.strip():
            wrong["business_name"] = "A business needs its registered name."
        if not is_business:
            for field in ("first_name", "last_name"):
                if not getattr(self, field).strip():
                    wrong[field] = "An individual needs a first name and a surname, as on the ID."
            if self.id_kind == self.IdKind.REGISTRATION:
                wrong["id_kind"] = "A business registration belongs to a business."
        expected = "P" if is_business else "A"
        if self.kra_pin and KRA_PIN.fullmatch(self.kra_pin) and self.kra_pin[0] != expected:
            wrong["kra_pin"] = f"The KRA PIN of this kind of customer starts with {expected}."
        return wrong

    def compose_name(self) -> str:
        """Return the full name made of the parts that this kind of customer has."""
        if self.kind == self.Kind.BUSINESS:
            return self.business_name.strip()
        return " ".join(f"{self.first_name} {self.other_names} {self.last_name}".split())

    def refer(self, referrer: Self, *, by) -> None:
        """Say who brought this customer, and who of the staff wrote it down. Does not save.

        Raises Refused for somebody who is the same person, came later, or was brought by them.
        """
        if wrong := self._wrong_for_referrer(referrer):
            raise Refused(wrong, field="referrer")
        self.referred_by, self.referral_recorded_by = referrer, by

    def _wrong_for_referrer(self, referrer: Self) -> str:
        """Return why somebody cannot have brought this customer, empty when they can."""
        if self.pk and referrer.pk == self.pk:
            return f"{self.name} cannot refer themselves."
        if referrer.phone == self.phone:
            return f"{referrer.name} has the same phone: nobody refers themselves."
        if referrer.id_number == self.id_number:
            return f"{referrer.name} has the same ID number: nobody refers themselves."
        if self.pk and referrer.referred_by_id == self.pk:
            return f"{self.name} referred {referrer.name}: they cannot refer one another."
        # By day and key alone nobody can come before the one who brought them, in any circle.
        if self.pk and (referrer.registered_at, referrer.pk) > (self.registered_at, self.pk):
            came = dates.show(dates.day_of(referrer.registered_at))
            return f"{referrer.name} was registered later, on {came}: a referrer comes first."
        return ""

    def age(self, *, on: date) -> int | None:
        """Return the age in whole years on a day, or None without a date of birth."""
        born = self.date_of_birth
        if born is None:
            return None
        return on.year - born.year - ((on.month, on.day) < (born.month, born.day))

    @property
    def number(self) -> str:
        return f"CU{self.pk:06d}" if self.pk else "CU(new)"

    @property
    def short_name(self) -> str:
        return self.first_name or self.name


def document_path(document: "CustomerDocument", filename: str) -> str:
    return f"customers/{document.customer_id}/documents/{filename}"


class CustomerDocument(models.Model):
    """One paper of a customer: the image, its number and when it runs out."""

    class Kind(models.TextChoices):
        ID_FRONT = "id_front", "ID, front"
        ID_BACK = "id_back", "ID, back"
        KRA = "kra", "KRA PIN certificate"
        REGISTRATION = "registration", "Business registration"
        PAYSLIP = "payslip", "Payslip"
        STATEMENT = "statement", "M-Pesa or bank statement"
        OTHER = "other", "Other"

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=12, choices=Kind)
    file = models.FileField(
        upload_to=document_path,
        validators=[FileExtensionValidator(["pdf", "jpg", "jpeg", "png"])],
    )
    number = models.CharField("document number", max_length=40, blank=True)
    expires_on = models.DateField(null=True, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "document"
        ordering = ["kind"]

    def __str__(self) -> str:
        return self.get_kind_display()
