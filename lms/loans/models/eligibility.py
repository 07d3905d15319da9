"""Who may borrow on a version of a product: rules as rows, each with its limit."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms.loans.models.products import PartOfVersion, ProductVersion
from lms.money import kes


class EligibilityRule(PartOfVersion, models.Model):
    """One thing asked of a borrower. `operations.eligibility` says who passes, and by how much."""

    class Kind(models.TextChoices):
        MIN_AGE = "min_age", "Minimum age"
        MAX_AGE = "max_age", "Maximum age at the end of the term"
        KYC = "kyc", "KYC complete"
        ARREARS = "arrears", "Arrears elsewhere"
        ACTIVE_LOANS = "active_loans", "Active loans"
        EXPOSURE = "exposure", "Exposure"
        SCORE = "score", "Amount within the score limit"
        AFFORDABILITY = "affordability", "Affordability"
        COOL_OFF = "cool_off", "Cool-off"

    # What the limit counts, after the number.
    UNITS = {
        Kind.MIN_AGE: "years",
        Kind.MAX_AGE: "years",
        Kind.ARREARS: "days late",
        Kind.ACTIVE_LOANS: "loans",
        Kind.EXPOSURE: "KES",
        Kind.SCORE: "% of the score limit",
        Kind.AFFORDABILITY: "% of net income",
        Kind.COOL_OFF: "days",
    }
    AT_LEAST = (Kind.MIN_AGE, Kind.COOL_OFF)

    version = models.ForeignKey(ProductVersion, models.CASCADE, related_name="rules")
    kind = models.CharField("rule", max_length=13, choices=Kind)
    limit = models.DecimalField(
        max_digits=14,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Years, days, loans, KES or percent, as the rule has it; KYC has none.",
    )
    is_hard = models.BooleanField(
        "hard", default=True, help_text="A hard rule refuses the loan, a soft one only warns."
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name = "eligibility rule"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "kind"],
                name="rule_once_a_version",
                violation_error_message="This rule stands here already.",
            ),
            models.CheckConstraint(
                condition=Q(kind="kyc", limit__isnull=True)
                | Q(~Q(kind="kyc"), limit__isnull=False, limit__gte=0),
                name="rule_has_its_limit",
                violation_error_message="Every rule but KYC needs a limit of 0 or more.",
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

    def clean(self) -> None:
        super().clean()
        if self.kind == self.Kind.KYC:
            self.limit = None
        elif self.limit is None:
            raise ValidationError({"limit": "Write the limit of this rule."})

    @property
    def summary(self) -> str:
        """The rule as staff say it: at most 40% of net income, hard."""
        weight = "hard" if self.is_hard else "soft"
        if self.limit is None:
            return f"Verified, {weight}"
        most = "at least" if self.kind in self.AT_LEAST else "at most"
        return f"{most} {shown(self.kind, self.limit)}, {weight}".capitalize()


def shown(kind: str, amount: Decimal) -> str:
    """Return a number of a rule with its unit: 18 years, KES 50,000.00, 40% of net income."""
    unit = EligibilityRule.UNITS[EligibilityRule.Kind(kind)]
    if unit == "KES":
        return kes(amount)
    number = f"{Decimal(amount).normalize():f}"
    return f"{number}{unit}" if unit.startswith("%") else f"{number} {unit}"
