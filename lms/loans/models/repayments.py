"""The instalments of a loan: what is due, what was paid, waived, cancelled and penalised."""

from datetime import date
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import LessThanOrEqual
from simple_history.models import HistoricalRecords

from lms import dates, money
from lms.loans.allocation import COMPONENTS
from lms.loans.models.loans import Loan
from lms.money import CENT, ZERO, MoneyField


class Component(models.TextChoices):
    PRINCIPAL = "principal", "Principal"
    INTEREST = "interest", "Interest"
    FEES = "fees", "Fees"
    PENALTIES = "penalties", "Penalties"


def late_components() -> tuple[str, ...]:
    """Return what makes a loan late while it is unpaid: penalties only where a setting says so."""
    also = (Component.PENALTIES,) if settings.PENALTIES_MAKE_ARREARS else ()
    return (Component.PRINCIPAL, Component.INTEREST, *also)


def _due() -> models.Expression:
    return F("principal") + F("interest") + F("fees") + F("penalties")


def _sum(suffix: str) -> models.Expression:
    return sum((F(f"{name}_{suffix}") for name in COMPONENTS[1:]), F(f"{COMPONENTS[0]}_{suffix}"))


class RepaymentQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        if staff.sees_all_branches:
            return self
        return self.filter(loan__branch_id=staff.branch_id)

    def unpaid(self) -> Self:
        """Instalments on which something is still owed."""
        return self.filter(status__in=Repayment.OPEN)

    def overdue(self, *, on: date) -> Self:
        """Unpaid and due before `on`: the due day itself is still on time."""
        return self.unpaid().filter(due_date__lt=on)

    def due_between(self, first: date, last: date) -> Self:
        """Unpaid and due from `first` to `last`, both included."""
        return self.unpaid().filter(due_date__range=(first, last))

    def in_state(self, state: str, *, on: date) -> Self:
        """Return the rows that staff see in this status on a day; `overdue` is one of them."""
        if state == "overdue":
            return self.overdue(on=on)
        if state in Repayment.OPEN:
            return self.filter(status=state, due_date__gte=on)
        return self.filter(status=state)

    def with_totals(self) -> Self:
        """Add `due_total`, `paid_total`, `waived_total` and `owing_total`, exact in SQL."""
        return self.annotate(
            due_total=money.exact(_due()),
            paid_total=money.exact(_sum("paid")),
            waived_total=money.exact(_sum("waived")),
            owing_total=money.exact(_due() - _sum("paid") - _sum("waived")),
        )


class Repayment(models.Model):
    """One instalment. Stored status holds what people or money decided; overdue is asked."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        PARTIAL = "partial", "Partial"
        COMPLETED = "completed", "Completed"
        WAIVED = "waived", "Waived"
        CANCELLED = "cancelled", "Cancelled"
        RESCHEDULED = "rescheduled", "Rescheduled"
        WRITTEN_OFF = "written_off", "Written off"

    OPEN = (Status.PENDING, Status.PARTIAL)
    # What these still show as unpaid is not owed on them.
    GONE = (Status.CANCELLED, Status.RESCHEDULED)
    # The `version` of principal that was paid between two due dates: it ends no period.
    BETWEEN = 0

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="repayments")
    number = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    version = models.PositiveSmallIntegerField(
        "schedule",
        default=1,
        db_default=1,
        editable=False,
        help_text="Which schedule of the loan it is of; 0 for principal paid between due dates.",
    )
    due_date = models.DateField()
    principal = MoneyField("principal (KES)", default=ZERO)
    interest = MoneyField("interest (KES)", default=ZERO)
    fees = MoneyField("fees (KES)", default=ZERO)
    penalties = MoneyField("penalties (KES)", default=ZERO, editable=False)
    principal_paid = MoneyField(default=ZERO, editable=False)
    interest_paid = MoneyField(default=ZERO, editable=False)
    fees_paid = MoneyField(default=ZERO, editable=False)
    penalties_paid = MoneyField(default=ZERO, editable=False)
    principal_waived = MoneyField(default=ZERO, editable=False)
    interest_waived = MoneyField(default=ZERO, editable=False)
    fees_waived = MoneyField(default=ZERO, editable=False)
    penalties_waived = MoneyField(default=ZERO, editable=False)
    penalties_since = models.DateField(
        null=True,
        editable=False,
        help_text="What is owed of it has stood unchanged since this day, and what its lateness "
        "cost by then is charged. Empty: since it was due.",
    )
    status = models.CharField(max_length=11, choices=Status, default=Status.PENDING, editable=False)
    paid_on = models.DateField("settled", null=True, editable=False)
    history = HistoricalRecords()

    objects = RepaymentQuerySet.as_manager()

    class Meta:
        ordering = ["loan", "number"]
        permissions = [
            ("waive_repayment", "Can waive interest, fees and penalties"),
            ("waive_principal", "Can waive principal, which books a loss"),
            ("cancel_repayment", "Can cancel an instalment"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["loan", "number"],
                name="repayment_number_once_per_loan",
                violation_error_message="The loan has an instalment with this number.",
            ),
            *[
                models.CheckConstraint(
                    condition=Q(**{f"{name}__gte": 0})
                    & Q(**{f"{name}_paid__gte": 0})
                    & Q(**{f"{name}_waived__gte": 0}),
                    name=f"repayment_{name}_not_negative",
                )
                for name in COMPONENTS
            ],
            *[
                models.CheckConstraint(
                    condition=LessThanOrEqual(
                        money.exact(F(f"{name}_paid") + F(f"{name}_waived")), F(name)
                    ),
                    name=f"repayment_{name}_not_overpaid",
                )
                for name in COMPONENTS
            ],
        ]
        indexes = [
            models.Index(fields=["due_date", "id"], name="repayment_by_due_date"),
            models.Index(fields=["status", "due_date", "id"], name="repayment_by_status_due"),
            # Few rows are open, whatever the age of the book; the loan leads to the branch.
            models.Index(
                fields=["due_date", "id", "loan"],
                condition=Q(status__in=["pending", "partial"]),
                name="repayment_open_by_due_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loan.number} instalment {self.number}"

    def owing_of(self, component: str) -> Decimal:
        """Return what is still owed of one component (KES); nothing when it is off the schedule."""
        if self.status in self.GONE:
            return ZERO
        return (
            getattr(self, component)
            - getattr(self, f"{component}_paid")
            - getattr(self, f"{component}_waived")
        )

    @property
    def owing(self) -> dict[str, Decimal]:
        return {name: self.owing_of(name) for name in COMPONENTS}

    @property
    def amount_due(self) -> Decimal:
        return self.principal + self.interest + self.fees + self.penalties

    @property
    def amount_paid(self) -> Decimal:
        return sum((getattr(self, f"{name}_paid") for name in COMPONENTS), ZERO)

    @property
    def amount_waived(self) -> Decimal:
        return sum((getattr(self, f"{name}_waived") for name in COMPONENTS), ZERO)

    @property
    def outstanding(self) -> Decimal:
        """What the customer still owes on this instalment (KES)."""
        return sum(self.owing.values(), ZERO)

    @property
    def is_paid(self) -> bool:
        return self.status == self.Status.COMPLETED

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def is_untouched(self) -> bool:
        """Nothing was paid, waived or penalised on it, so it may still be edited."""
        return self.status == self.Status.PENDING and not (
            self.amount_paid or self.amount_waived or self.penalties
        )

    def is_overdue(self, *, on: date) -> bool:
        return self.is_open and self.due_date < on

    def days_late(self, *, on: date) -> int:
        return (on - self.due_date).days if self.is_overdue(on=on) else 0

    def state(self, *, on: date) -> str:
        """Return the status that staff see on a day: the stored one, or `overdue`."""
        return "overdue" if self.is_overdue(on=on) else self.status

    def settle(self, *, on: date) -> None:
        """Let the stored status follow from what is paid and waived. Does not save."""
        if self.status in self.GONE:
            return
        if self.outstanding == 0 and self.amount_due:
            if self.status == self.Status.WRITTEN_OFF:
                return
            paid = self.amount_paid > 0 or not self.amount_waived
            self.status = self.Status.COMPLETED if paid else self.Status.WAIVED
            self.paid_on = self.paid_on or on
        else:
            self.status = self.Status.PARTIAL if self.amount_paid else self.Status.PENDING
            self.paid_on = None

    # The two doors that the vocabulary of the house names on the instalment itself. The verbs
    # live with the others in operations, which an auditor reads from top to bottom.
    def waive_amount(
        self,
        *,
        amount: Decimal,
        reason: str,
        waived_by,
        component: str | None = None,
        on: date | None = None,
    ) -> list["Waiver"]:
        """Give up `amount` KES of what is owed: `operations.relief.waive`, today unless told."""
        from lms.loans.operations import relief  # noqa: PLC0415

        return relief.waive(
            self,
            amount=amount,
            component=component,
            reason=reason,
            by=waived_by,
            on=on or dates.today(),
        )

    def cancel(self, *, reason: str, cancelled_by, on: date | None = None) -> "Repayment":
        """Take the instalment off the schedule: `operations.relief.cancel`, today unless told."""
        from lms.loans.operations import relief  # noqa: PLC0415

        return relief.cancel(self, reason=reason, by=cancelled_by, on=on or dates.today())


class WaiverQuerySet(models.QuerySet):
    def standing(self) -> Self:
        """Every waiver that was not reversed."""
        return self.filter(reversed_on=None)


class Waiver(models.Model):
    """What was given up of one component of one instalment, why and by whom.

    A write-off is one too, as far as the schedule goes: what is written off leaves the instalment,
    but its customer still owes it.
    """

    class Kind(models.TextChoices):
        RELIEF = "relief", "Waived"
        REBATE = "rebate", "Rebate for settling early"
        IN_DUPLUM = "in_duplum", "Suspended by the in duplum rule"
        TOLERANCE = "tolerance", "Small remainder given up at closing"
        RESTRUCTURE = "restructure", "Given up in a restructuring"
        WRITE_OFF = "write_off", "Written off"

    repayment = models.ForeignKey(Repayment, models.PROTECT, related_name="waivers")
    component = models.CharField(max_length=9, choices=Component)
    amount = MoneyField("amount (KES)", validators=[MinValueValidator(CENT)])
    asked = MoneyField(
        "decided (KES)",
        null=True,
        editable=False,
        help_text="What was to be given up, where money of an earlier day left less to give up.",
    )
    kind = models.CharField(max_length=11, choices=Kind, default=Kind.RELIEF, editable=False)
    reason = models.CharField(max_length=200)
    waived_on = models.DateField("waived")
    waived_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="waivers",
        help_text="Empty: the nightly close.",
    )
    reversed_on = models.DateField(null=True, editable=False)
    history = HistoricalRecords()

    objects = WaiverQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0) | Q(amount=0, asked__gt=0), name="waiver_amount_positive"
            )
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} of {self.get_component_display().lower()}"


class PenaltyQuerySet(models.QuerySet):
    def standing(self) -> Self:
        """Every charge that was not cancelled."""
        return self.filter(cancelled_on=None)

    def automatic(self) -> Self:
        """Standing charges that a rule made, not a person."""
        return self.standing().filter(charged_by=None)


class Penalty(models.Model):
    """A charge for paying late, with the rule and the business date that made it.

    `suspended` is the part that the in duplum rule keeps from being charged: shown, not owed.
    """

    repayment = models.ForeignKey(Repayment, models.PROTECT, related_name="penalty_charges")
    amount = MoneyField("amount (KES)", validators=[MinValueValidator(0)])
    suspended = MoneyField("suspended in duplum (KES)", default=ZERO, editable=False)
    charged_on = models.DateField("charged")
    rule = models.CharField(max_length=120, help_text="The rule in words, or why staff charged it.")
    charged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    cancelled_on = models.DateField(
        null=True, editable=False, help_text="Money that counts from an earlier day took it back."
    )
    history = HistoricalRecords()

    objects = PenaltyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "penalties"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gte=0, suspended__gte=0)
                & (Q(amount__gt=0) | Q(suspended__gt=0)),
                name="penalty_amount_positive",
            ),
            models.UniqueConstraint(
                fields=["repayment", "rule", "charged_on"],
                condition=Q(cancelled_on=None),
                name="penalty_once_per_rule_and_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} on {self.repayment}"
