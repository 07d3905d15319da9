"""Where the money went, and where each loan stands."""

from collections.abc import Collection
from typing import NoReturn

from django.conf import settings
from django.db import models
from django.db.models import F, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Round
from django.db.models.lookups import GreaterThan

from lms import money
from lms.errors import Refused
from lms.ledger.models import JournalEntry
from lms.loans.allocation import COMPONENTS
from lms.loans.models.changes import Recovery
from lms.loans.models.loans import Loan
from lms.loans.models.repayments import Component, Repayment, Waiver, late_components
from lms.money import ZERO, MoneyField
from lms.payments.models import Payment


class Allocation(models.Model):
    """How much of a payment went to one component of one instalment.

    Append-only: taking it back is a row of the negative amount that names this one, so what is
    allocated is always the plain sum.
    """

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="allocations")
    repayment = models.ForeignKey(Repayment, models.PROTECT, related_name="allocations")
    component = models.CharField(max_length=9, choices=Component)
    amount = MoneyField("amount (KES)")
    counts_on = models.DateField(
        "counts from", help_text="The value date, or the day on which credit was used."
    )
    from_credit = models.BooleanField(
        default=False, help_text="Paid from the customer's credit, for what was due on that day."
    )
    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="allocations")
    reverses = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="reversed_by"
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, reverses=None) | Q(amount__lt=0, reverses__isnull=False),
                name="allocation_positive_unless_reversal",
            )
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} of {self.get_component_display().lower()}"

    def save(self, *args, **kwargs) -> None:
        if not self._state.adding:
            raise Refused("An allocation is not edited: take it back.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs) -> NoReturn:
        raise Refused("An allocation is not deleted: take it back.")


def _unpaid(name: str) -> models.Expression:
    return F(name) - F(f"{name}_paid") - F(f"{name}_waived")


def _in_arrears() -> GreaterThan:
    """Enough is unpaid of an instalment for it to count as late once it is due."""
    unpaid = sum((_unpaid(name) for name in late_components()), models.Value(ZERO))
    return GreaterThan(money.exact(unpaid), settings.ARREARS_TOLERANCE)


class PositionQuerySet(models.QuerySet):
    def rebuild(self, loan_ids: Collection[int]) -> None:
        """Write the position of these loans anew from their rows.

        Principal is what was lent less what was paid and waived, whether or not it stands on the
        schedule; the other components are what is open on the instalments.
        """
        lent = dict(
            Loan.objects.filter(pk__in=loan_ids, disbursed_on__isnull=False).values_list(
                "pk", F("principal") - F("undisbursed") + F("capitalised")
            )
        )
        # Plain sums: an expression of several columns takes Django three times as long to spell.
        sums = {
            f"sum_{name}{suffix}": models.Sum(f"{name}{suffix}")
            for name in COMPONENTS
            for suffix in ("", "_paid", "_waived")
        }
        positions = {
            pk: Position(
                loan_id=pk,
                principal=money.money(principal),
                unscheduled=money.money(principal),
                **dict.fromkeys(COMPONENTS[1:], ZERO),
            )
            for pk, principal in lent.items()
        }
        rows = Repayment.objects.filter(loan_id__in=lent).order_by().values("loan_id", "status")
        for row in rows.annotate(since=Min("due_date", filter=_in_arrears()), **sums):
            positions[row["loan_id"]].take_in(row)
        positions = list(positions.values())
        self.bulk_create(
            positions,
            update_conflicts=True,
            unique_fields=["loan"],
            update_fields=[
                "principal", "unscheduled", "interest", "fees", "penalties", "overdue_since"
            ],
            batch_size=500,
        )  # fmt: skip


class Position(models.Model):
    """What one disbursed loan owes. Rebuildable from its rows; lists filter and sort on it.

    `overdue_since` is the oldest unpaid due date: once it has passed, the days past due are
    counted from it, so a night in which nothing happens writes nothing.
    """

    loan = models.OneToOneField(Loan, models.CASCADE, primary_key=True, related_name="position")
    principal = MoneyField("principal (KES)")
    interest = MoneyField("interest (KES)")
    fees = MoneyField("fees (KES)")
    penalties = MoneyField("penalties (KES)")
    unscheduled = MoneyField("principal on no instalment (KES)")
    overdue_since = models.DateField("oldest unpaid due date", null=True, db_index=True)
    last_event_on = models.DateField(
        null=True, help_text="No payment, waiver or penalty counts from a later day than this."
    )
    schedule_set_on = models.DateField(
        null=True, help_text="The schedule was last changed then: replays do not go behind it."
    )
    interest_earned = MoneyField(
        "interest earned by time (KES)", default=ZERO, help_text="On the accrual basis only."
    )
    interest_suspended = MoneyField("of it in suspense (KES)", default=ZERO)
    classification = models.CharField("class", max_length=20, default="Normal", db_index=True)

    objects = PositionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.loan.number}: {money.kes(self.outstanding)}"

    @property
    def outstanding(self):
        return self.principal + self.interest + self.fees + self.penalties

    def take_in(self, row: dict) -> None:
        """Add the sums of its instalments of one status. Does not save."""
        stands = row["status"] not in Repayment.GONE
        for name in COMPONENTS:
            due, paid, waived = (
                money.money(row[f"sum_{name}{suffix}"]) for suffix in ("", "_paid", "_waived")
            )
            if name == "principal":
                self.principal -= paid + waived
                self.unscheduled -= due if stands else paid + waived
            elif stands:
                setattr(self, name, getattr(self, name) + due - paid - waived)
        if row["status"] in Repayment.OPEN and row["since"]:
            self.overdue_since = min(self.overdue_since or row["since"], row["since"])


def written_off_balance() -> Round:
    """Return, for annotating loans, what each customer still owes of what was written off (KES)."""
    lost = Waiver.objects.standing().filter(
        repayment__loan=OuterRef("pk"), kind=Waiver.Kind.WRITE_OFF
    )
    recovered = Recovery.objects.filter(loan=OuterRef("pk"))
    lost, recovered = (
        Coalesce(
            Subquery(rows.order_by().values(key).annotate(sum=money.total("amount")).values("sum")),
            models.Value(ZERO),
            output_field=MoneyField(),
        )
        for rows, key in ((lost, "repayment__loan"), (recovered, "loan"))
    )
    return money.exact(lost - recovered)


def last_payment_on() -> Subquery:
    """Return, for annotating loans, the value date of the latest standing payment on each."""
    latest = Allocation.objects.filter(
        repayment__loan=OuterRef("pk"), payment__reversed_on__isnull=True
    ).order_by("-payment__value_date")
    return Subquery(latest.values("payment__value_date")[:1])
