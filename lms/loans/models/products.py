"""Loan products: the terms on offer and the limits within which a loan may differ."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from lms.loans.models.terms import FeeTerms, Terms
from lms.money import MoneyField, kes


class LoanProduct(Terms):
    """What the lender offers. A loan copies these terms; later changes leave it alone."""

    code = models.SlugField(max_length=12, unique=True)
    name = models.CharField(max_length=80, unique=True)
    description = models.TextField(blank=True)
    is_active = models.BooleanField("on offer", default=True)
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
    history = HistoricalRecords()

    class Meta:
        verbose_name = "loan product"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(min_principal__lte=F("max_principal")), name="product_amount_limits"
            ),
            models.CheckConstraint(
                condition=Q(min_repayments__lte=F("max_repayments")), name="product_term_limits"
            ),
            models.CheckConstraint(
                condition=Q(min_rate__lte=F("max_rate")), name="product_rate_limits"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        wrong = {}
        if not self.min_repayments <= self.number_of_repayments <= self.max_repayments:
            wrong["number_of_repayments"] = "The usual number lies outside the limits."
        if not self.min_rate <= self.rate <= self.max_rate:
            wrong["rate"] = "The usual rate lies outside the limits."
        if wrong:
            raise ValidationError(wrong)

    def breaches(self, loan: Terms) -> dict[str, str]:
        """Return what on a loan lies outside this product's limits: field name and sentence."""
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


class ProductFee(FeeTerms):
    """A fee that each loan of the product starts with."""

    product = models.ForeignKey(LoanProduct, models.CASCADE, related_name="fees")
    history = HistoricalRecords()

    class Meta(FeeTerms.Meta):
        verbose_name = "fee"
