"""The terms that a version of a product offers and a loan copies."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from lms.ledger.models import PostingProfile
from lms.loans import allocation
from lms.loans.calculator import Fee
from lms.money import ZERO, MoneyField, kes


class Method(models.TextChoices):
    FLAT = "flat", "Flat"
    EQUAL_INSTALMENTS = "declining_equal_instalments", "Declining balance, equal instalments"
    EQUAL_PRINCIPAL = "declining_equal_principal", "Declining balance, equal principal"
    INTEREST_ONLY = "interest_only", "Interest only, principal at the end"
    SINGLE_PAYMENT = "single_payment", "Single payment"


class RatePeriod(models.TextChoices):
    YEAR = "year", "a year"
    MONTH = "month", "a month"
    WEEK = "week", "a week"
    DAY = "day", "a day"
    TERM = "term", "for the whole term"


class DayCount(models.TextChoices):
    PERIODIC = "periodic", "Equal periods"
    ACTUAL_365 = "actual/365", "Actual days / 365"
    ACTUAL_360 = "actual/360", "Actual days / 360"
    THIRTY_360 = "30/360", "30 / 360"
    ACTUAL_ACTUAL = "actual/actual", "Actual / actual"


class Unit(models.TextChoices):
    DAYS = "days", "days"
    WEEKS = "weeks", "weeks"
    MONTHS = "months", "months"


class GraceInterest(models.TextChoices):
    BILLED = "billed", "billed when it falls due"
    CAPITALISED = "capitalised", "added to the principal"
    ACCRUED = "accrued", "billed with the first full instalment"
    FREE = "free", "forgiven"


class Rounding(models.TextChoices):
    HALF_UP = "half_up", "to the nearest"
    UP = "up", "upwards"


class Multiple(models.TextChoices):
    CENT = "0.01", "1 cent"
    ONE = "1", "KES 1"
    FIVE = "5", "KES 5"
    TEN = "10", "KES 10"
    FIFTY = "50", "KES 50"


class PenaltyBase(models.TextChoices):
    NONE = "none", "No penalty"
    FIXED = "fixed", "Fixed amount"
    INSTALMENT = "instalment", "% of the overdue instalment"
    PRINCIPAL = "principal", "% of the overdue principal"
    PRINCIPAL_AND_INTEREST = "principal_and_interest", "% of overdue principal and interest"
    OUTSTANDING = "outstanding_principal", "% of the outstanding principal"


class PenaltyFrequency(models.TextChoices):
    ONCE = "once", "once per instalment"
    DAILY = "daily", "every day"
    WEEKLY = "weekly", "every week"
    MONTHLY = "monthly", "every month, by days"


class PenaltyStart(models.TextChoices):
    AFTER_GRACE = "after_grace", "from the end of grace"
    DUE_DATE = "due_date", "from the due date once grace has passed"


class PenaltyCap(models.TextChoices):
    NONE = "none", "No cap"
    AMOUNT = "amount", "KES amount"
    BASE = "percent_of_base", "% of what it is charged on"
    PRINCIPAL = "percent_of_principal", "% of the loan principal"


class AllocationOrder(models.TextChoices):
    PENALTIES_FIRST = (
        "penalties_fees_interest_principal",
        "Penalties, fees, interest, principal",
    )
    INTEREST_FEES = "interest_fees_principal", "Interest, fees and penalties, principal"
    INTEREST_PRINCIPAL = (
        "interest_principal_fees_penalties",
        "Interest, principal, fees, penalties",
    )
    PRINCIPAL_FIRST = (
        "principal_interest_fees_penalties",
        "Principal, interest, fees, penalties",
    )


class PenaltyStop(models.TextChoices):
    NONE = "none", "until it is paid"
    MATURITY = "maturity", "until the last instalment of the loan is due"


class Rebate(models.TextChoices):
    """What becomes of a flat loan's interest for the time that an early settlement saves."""

    NONE = "none", "None: all of it is owed"
    PRO_RATA = "pro_rata", "In proportion to the instalments left"
    RULE_OF_78 = "rule_of_78", "Rule of 78"
    ACTUARIAL = "actuarial", "Actuarial, at the true rate"


class IncomeBasis(models.TextChoices):
    CASH = "cash", "when it is paid"
    ACCRUAL = "accrual", "as the days pass"


class HolidayRule(models.TextChoices):
    KEEP = "keep", "stays on the day"
    NEXT = "next", "moves to the next working day"
    PREVIOUS = "previous", "moves to the working day before"


class AllocationDirection(models.TextChoices):
    VERTICAL = "vertical", "Finish the oldest instalment first"
    HORIZONTAL = "horizontal", "One component across all overdue instalments"


class Surplus(models.TextChoices):
    ADVANCE = "advance", "pays the next instalments in advance"
    CREDIT = "credit", "stays as the customer's credit"
    SHORTEN = "shorten", "pays principal: fewer instalments"
    LOWER = "lower", "pays principal: lower instalments"


class Terms(models.Model):
    """What a version of a product and a loan share, from interest and rhythm to allocation."""

    method = models.CharField(
        "interest method", max_length=28, choices=Method, default=Method.EQUAL_INSTALMENTS
    )
    rate = models.DecimalField(
        "interest rate (%)",
        max_digits=8,
        decimal_places=4,
        default=Decimal("2.5"),
        validators=[MinValueValidator(0), MaxValueValidator(1000)],
    )
    rate_period = models.CharField(max_length=5, choices=RatePeriod, default=RatePeriod.MONTH)
    day_count = models.CharField(max_length=13, choices=DayCount, default=DayCount.PERIODIC)
    repay_every = models.PositiveSmallIntegerField(
        "one repayment every", default=1, validators=[MinValueValidator(1)]
    )
    repay_unit = models.CharField("unit", max_length=6, choices=Unit, default=Unit.MONTHS)
    number_of_repayments = models.PositiveSmallIntegerField(
        default=6, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    principal_grace = models.PositiveSmallIntegerField(
        "periods without principal", default=0, help_text="Interest is still due in them."
    )
    interest_grace = models.PositiveSmallIntegerField("periods without interest payment", default=0)
    grace_interest = models.CharField(
        "interest of those periods is",
        max_length=11,
        choices=GraceInterest,
        default=GraceInterest.BILLED,
    )
    instalment_multiple = models.CharField(
        "round instalments to", max_length=4, choices=Multiple, default=Multiple.ONE
    )
    interest_multiple = models.CharField(
        "round interest to", max_length=4, choices=Multiple, default=Multiple.ONE
    )
    rounding_mode = models.CharField(
        "rounding", max_length=7, choices=Rounding, default=Rounding.HALF_UP
    )
    penalty_base = models.CharField(max_length=22, choices=PenaltyBase, default=PenaltyBase.NONE)
    penalty_value = models.DecimalField(
        "penalty (KES or %)",
        max_digits=10,
        decimal_places=2,
        default=ZERO,
        validators=[MinValueValidator(0)],
    )
    penalty_frequency = models.CharField(
        "charged", max_length=7, choices=PenaltyFrequency, default=PenaltyFrequency.ONCE
    )
    penalty_grace_days = models.PositiveSmallIntegerField("days of grace", default=0)
    penalty_start = models.CharField(
        "counted", max_length=11, choices=PenaltyStart, default=PenaltyStart.AFTER_GRACE
    )
    penalty_cap_kind = models.CharField(
        "capped at", max_length=20, choices=PenaltyCap, default=PenaltyCap.NONE
    )
    penalty_cap_value = models.DecimalField(
        "cap (KES or %)",
        max_digits=12,
        decimal_places=2,
        default=ZERO,
        validators=[MinValueValidator(0)],
    )
    allocation_order = models.CharField(
        "a payment pays",
        max_length=40,
        choices=AllocationOrder,
        default=AllocationOrder.PENALTIES_FIRST,
    )
    allocation_direction = models.CharField(
        "direction",
        max_length=10,
        choices=AllocationDirection,
        default=AllocationDirection.VERTICAL,
    )
    surplus = models.CharField(
        "money beyond what is due", max_length=7, choices=Surplus, default=Surplus.ADVANCE
    )
    penalty_stop = models.CharField(
        "charged on", max_length=8, choices=PenaltyStop, default=PenaltyStop.NONE
    )
    recalculates = models.BooleanField(
        "interest follows the actual balance",
        default=False,
        help_text="Declining balance by the day: who pays late owes more, who pays early less.",
    )
    income_basis = models.CharField(
        "interest is earned", max_length=7, choices=IncomeBasis, default=IncomeBasis.CASH
    )
    rebate = models.CharField(
        "rebate of flat interest when settled early",
        max_length=10,
        choices=Rebate,
        default=Rebate.PRO_RATA,
    )
    holiday_rule = models.CharField(
        "due on a Sunday or holiday", max_length=8, choices=HolidayRule, default=HolidayRule.KEEP
    )
    npl_days = models.PositiveSmallIntegerField(
        "non-performing after days past due",
        default=90,
        validators=[MinValueValidator(1)],
        help_text="From then on the in duplum rule caps interest and penalties.",
    )
    closing_tolerance = MoneyField(
        "closes with at most this unpaid (KES)",
        default=ZERO,
        validators=[MinValueValidator(0)],
        help_text="A remainder up to this amount is given up when the last instalment is paid.",
    )

    posting_profile = models.ForeignKey(
        PostingProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="The accounts that its loans are posted to in place of the common ones.",
    )

    # Every field above but the profile; `Loan.copy_terms` and the forms go through this list.
    TERM_FIELDS = (
        "method",
        "rate",
        "rate_period",
        "day_count",
        "repay_every",
        "repay_unit",
        "number_of_repayments",
        "principal_grace",
        "interest_grace",
        "grace_interest",
        "instalment_multiple",
        "interest_multiple",
        "rounding_mode",
        "penalty_base",
        "penalty_value",
        "penalty_frequency",
        "penalty_grace_days",
        "penalty_start",
        "penalty_cap_kind",
        "penalty_cap_value",
        "allocation_order",
        "allocation_direction",
        "surplus",
        "penalty_stop",
        "recalculates",
        "income_basis",
        "rebate",
        "holiday_rule",
        "npl_days",
        "closing_tolerance",
    )

    class Meta:
        abstract = True

    def impossible(self) -> dict[str, str]:
        """Return which terms cannot go together: field name and sentence."""
        if not self.recalculates:
            return {}
        found = {}
        if self.method == Method.FLAT:
            found["recalculates"] = "Flat interest does not follow the balance."
        elif not self.day_count.startswith("actual/"):
            found["day_count"] = "Interest that follows the actual balance counts actual days."
        if self.interest_grace:
            found["interest_grace"] = (
                "Interest that follows the actual balance is paid in every period."
            )
        return found

    @property
    def periods_a_year(self) -> Decimal:
        """How many repayment periods a year has: 12, 52 or 365 of the unit, divided by `every`."""
        in_a_year = {Unit.DAYS: 365, Unit.WEEKS: 52, Unit.MONTHS: 12}[Unit(self.repay_unit)]
        return Decimal(in_a_year) / self.repay_every

    @property
    def annual_rate(self) -> Decimal:
        """The nominal rate in percent a year. A rate for the whole term is spread over it."""
        if self.rate_period == RatePeriod.TERM:
            return self.rate * self.periods_a_year / self.number_of_repayments
        times = {"year": 1, "month": 12, "week": 52, "day": 365}[self.rate_period]
        return self.rate * times

    @property
    def rate_label(self) -> str:
        """The rate as staff say it: 3% a month, flat."""
        shown = f"{self.rate.normalize():f}% {self.get_rate_period_display()}"
        return f"{shown}, flat" if self.method == Method.FLAT else shown


class FeeTerms(models.Model):
    """One fee: an amount or a percentage of the principal, and when it is taken."""

    class Kind(models.TextChoices):
        AMOUNT = "amount", "KES"
        PERCENT = "percent", "% of principal"

    class When(models.TextChoices):
        DEDUCTED = "deducted", "deducted from the disbursement"
        PAID_BEFORE = "paid_before", "paid before the disbursement"
        FIRST_INSTALMENT = "first_instalment", "with the first instalment"
        ADDED_TO_PRINCIPAL = "added_to_principal", "added to the principal"
        SPREAD = "spread", "spread over the instalments"

    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.PERCENT)
    value = models.DecimalField(
        max_digits=12, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    when = models.CharField("taken", max_length=18, choices=When, default=When.DEDUCTED)
    excise_rate = models.DecimalField(
        "excise duty (%)",
        max_digits=5,
        decimal_places=2,
        default=Decimal(20),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="20% on fees since 1 July 2022; 0 where it does not apply.",
    )

    class Meta:
        abstract = True
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """The fee as staff say it: 2.5% of principal, deducted from the disbursement."""
        amount = (
            kes(self.value)
            if self.kind == self.Kind.AMOUNT
            else f"{self.value.normalize():f}{self.get_kind_display()}"
        )
        excise = f", {self.excise_rate.normalize():f}% excise" if self.excise_rate else ""
        return f"{amount}, {self.get_when_display()}{excise}"

    def as_fee(self) -> Fee:
        return Fee(
            name=self.name,
            kind=self.kind,
            value=self.value,
            when=self.when,
            excise_rate=self.excise_rate,
        )


assert set(AllocationOrder.values) == set(allocation.ORDERS)  # noqa: S101  one list, two spellings
