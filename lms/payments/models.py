"""Money received and money paid out, whatever the channel."""

import re
from datetime import date
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import LessThanOrEqual
from simple_history.models import HistoricalRecords

from lms import money
from lms.customers.models import Customer
from lms.ledger.models import JournalEntry
from lms.money import ZERO, MoneyField
from lms.staff.models import Branch


def normal_reference(text: str) -> str | None:
    """Return a reference in the one form it is stored in: capitals, no spaces; None when empty."""
    return re.sub(r"\s+", "", text or "").upper() or None


class Method(models.TextChoices):
    CASH = "cash", "Cash"
    MPESA = "mpesa", "M-Pesa"
    BANK = "bank", "Bank"
    CHEQUE = "cheque", "Cheque"


class PayoutQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(branch_id=staff.branch_id)

    def numbered(self, text: str) -> Self:
        """Return the payout with the number in the text (PO000012), or none."""
        found = re.fullmatch(r"PO[\s-]*0*(\d{1,12})", text.strip().upper())
        return self.filter(pk=int(found[1])) if found else self.none()

    def on_their_way(self) -> Self:
        """Payouts that were promised and have not all arrived: the books hold them as owed."""
        return self.filter(status__in=Payout.PROMISED)

    def needing_review(self) -> Self:
        """Payouts that did not arrive, or only in part: a person must see to them."""
        return self.filter(status__in=[Payout.Status.PARTLY, Payout.Status.FAILED])


class PaymentQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Payments of the person's branch, and the unallocated queue, which belongs to all."""
        if staff.sees_all_branches:
            return self
        return self.filter(Q(branch_id=staff.branch_id) | Q(status=Payment.Status.UNALLOCATED))

    def numbered(self, text: str) -> Self:
        """Return the payment with the receipt number in the text (RC000012), or none."""
        found = re.fullmatch(r"RC[\s-]*0*(\d{1,12})", text.strip().upper())
        return self.filter(pk=int(found[1])) if found else self.none()

    def unallocated(self) -> Self:
        """Money that arrived and waits for someone to say whose it is."""
        return self.filter(status=Payment.Status.UNALLOCATED)

    def placeable(self) -> Self:
        """Unallocated money that is not on its way back to the payer."""
        return self.unallocated().filter(is_going_back=False)

    def standing(self) -> Self:
        """Every payment that was not reversed."""
        return self.exclude(status=Payment.Status.REVERSED)

    def of_money(self) -> Self:
        """Payments that brought money, where others only move what is owed or given."""
        return self.exclude(method__in=Payment.WITHOUT_MONEY)

    def with_credit(self) -> Self:
        """Payments of which a part is held as the customer's credit."""
        return self.standing().filter(credited__gt=0)


class Payment(models.Model):
    """One receipt of money. `allocated + credited + refunded + unallocated = amount`, always."""

    class Status(models.TextChoices):
        UNALLOCATED = "unallocated", "Unallocated"
        ALLOCATED = "allocated", "Allocated"
        REVERSED = "reversed", "Reversed"

    class Method(models.TextChoices):
        CASH = "cash", "Cash"
        MPESA = "mpesa", "M-Pesa"
        BANK = "bank", "Bank"
        CHEQUE = "cheque", "Cheque"
        OPENING = "opening", "Paid before takeover"
        REFINANCE = "refinance", "Paid by a new loan"
        INSURANCE = "insurance", "Insurance claim"
        REWARD = "reward", "Referral reward"

    WITHOUT_MONEY = (Method.OPENING, Method.REFINANCE, Method.REWARD)

    method = models.CharField(max_length=9, choices=Method)
    reference = models.CharField(
        max_length=40,
        null=True,
        blank=True,
        unique=True,
        help_text="M-Pesa receipt, slip or cheque number. Each can be posted once.",
    )
    request_key = models.CharField(
        max_length=64, null=True, blank=True, unique=True, editable=False
    )
    amount = MoneyField("amount (KES)")
    allocated = MoneyField("allocated (KES)", default=ZERO, editable=False)
    credited = MoneyField("held as credit (KES)", default=ZERO, editable=False)
    refunded = MoneyField("paid back (KES)", default=ZERO, db_default=ZERO, editable=False)
    value_date = models.DateField(help_text="The day the money counts from.")
    account = models.CharField(
        "account as typed", max_length=40, blank=True, help_text="Loan number, like LN000123."
    )
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="payments"
    )
    payer_name = models.CharField(max_length=120, blank=True)
    payer_phone = models.CharField(max_length=64, blank=True)
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="payments")
    received_in = models.ForeignKey(
        Branch,
        models.PROTECT,
        editable=False,
        related_name="+",
        db_index=False,
        help_text="Its books hold this money until it pays a loan, and as credit.",
    )
    status = models.CharField(
        max_length=11, choices=Status, default=Status.UNALLOCATED, editable=False
    )
    note = models.CharField(max_length=200, blank=True)
    waits_for_staff = models.BooleanField(
        default=False,
        editable=False,
        help_text="A person took it off a loan, so only a person may place it again.",
    )
    is_going_back = models.BooleanField(
        "going back to the payer",
        default=False,
        db_default=False,
        editable=False,
        help_text="Safaricom was asked to send it back: until it answers, nobody may use it.",
    )
    entry = models.OneToOneField(
        JournalEntry, models.PROTECT, editable=False, related_name="payment", null=True
    )
    taken_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="payments_taken",
    )
    received_at = models.DateTimeField("recorded", auto_now_add=True)
    reversed_on = models.DateField(null=True, blank=True, editable=False)
    history = HistoricalRecords()

    objects = PaymentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("match_payment", "Can match an unallocated payment to a loan"),
            ("reverse_payment", "Can reverse a payment"),
            ("refund_payment", "Can pay a customer's credit back"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_amount_positive"),
            models.CheckConstraint(
                condition=Q(allocated__gte=0) & Q(credited__gte=0) & Q(refunded__gte=0),
                name="payment_parts_not_negative",
            ),
            models.CheckConstraint(
                condition=LessThanOrEqual(
                    money.exact(F("allocated") + F("credited") + F("refunded")), F("amount")
                ),
                name="payment_parts_within_amount",
            ),
            models.CheckConstraint(
                condition=Q(is_going_back=False) | Q(status="unallocated"),
                name="payment_that_goes_back_is_nobodys",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="payment_by_status"),
            models.Index(fields=["value_date"], name="payment_by_value_date"),
            models.Index(fields=["payer_phone"], name="payment_by_payer_phone"),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {money.kes(self.amount)}"

    @property
    def number(self) -> str:
        return f"RC{self.pk:06d}" if self.pk else "RC(new)"

    @property
    def booked_on(self) -> date:
        """The day from which its money stands in the books: cash not before its drawer was opened.

        What it pays is not booked before that; it counts on the loan from the value date.
        """
        return self.entry.date if self.method == self.Method.CASH else self.value_date

    @property
    def unallocated(self) -> Decimal:
        if self.status == self.Status.REVERSED:
            return ZERO
        return self.amount - self.allocated - self.credited - self.refunded


class Payout(models.Model):
    """Money paid out to a customer: a loan, a further part of one, credit given back."""

    class Kind(models.TextChoices):
        DISBURSEMENT = "disbursement", "Disbursement"
        TRANCHE = "tranche", "Tranche"
        TOP_UP = "top_up", "Top-up"
        REFUND = "refund", "Refund of credit"

    class Method(models.TextChoices):
        CASH = "cash", "Cash"
        MPESA = "mpesa", "M-Pesa"
        BANK = "bank", "Bank"
        CHEQUE = "cheque", "Cheque"
        B2C = "b2c", "M-Pesa, sent by us"

    class Status(models.TextChoices):
        ON_ITS_WAY = "on_its_way", "On its way"
        PARTLY = "partly", "Partly arrived"
        FAILED = "failed", "Did not arrive"
        PAID = "paid", "Paid"
        REVERSED = "reversed", "Reversed"

    # Money handed over is paid at once. Money that Safaricom is asked to pay is on its way until
    # it says what became of it; a late success wins over a failure.
    NEXT = {
        Status.ON_ITS_WAY: {Status.PARTLY, Status.FAILED, Status.PAID},
        Status.PARTLY: {Status.ON_ITS_WAY, Status.PAID},
        Status.FAILED: {Status.ON_ITS_WAY, Status.PARTLY, Status.PAID, Status.REVERSED},
        Status.PAID: {Status.REVERSED},
    }
    PROMISED = (Status.ON_ITS_WAY, Status.PARTLY, Status.FAILED)

    kind = models.CharField(max_length=12, choices=Kind, default=Kind.DISBURSEMENT)
    method = models.CharField(max_length=9, choices=Method)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.PAID, db_default=Status.PAID, editable=False
    )
    reference = models.CharField(max_length=40, null=True, blank=True, unique=True)
    amount = MoneyField("amount (KES)")
    arrived = MoneyField("arrived (KES)", default=ZERO, db_default=ZERO, editable=False)
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="payouts")
    subject = models.CharField("paid for", max_length=16, db_index=True)
    paid_on = models.DateField()
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="payouts")
    entry = models.OneToOneField(JournalEntry, models.PROTECT, related_name="payout")
    paid_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="payouts_made"
    )
    paid_at = models.DateTimeField("recorded", auto_now_add=True)
    reversed_on = models.DateField(null=True, blank=True, editable=False)
    history = HistoricalRecords()

    objects = PayoutQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payout_amount_positive"),
            models.CheckConstraint(
                condition=Q(status="reversed", reversed_on__isnull=False)
                | (~Q(status="reversed") & Q(reversed_on__isnull=True)),
                name="payout_reversed_on_a_day",
            ),
            # What is paid by hand is there; what is sent is there once Safaricom says so.
            models.CheckConstraint(
                condition=Q(status="reversed")
                | Q(status="paid", arrived=F("amount"))
                | Q(method="b2c", status="failed", arrived=0)
                | Q(method="b2c", status__in=["on_its_way", "partly"], arrived__lt=F("amount")),
                name="payout_status_follows_what_arrived",
            ),
        ]
        indexes = [
            models.Index(
                fields=["status", "-id"],
                condition=Q(status__in=["on_its_way", "partly", "failed"]),
                name="payout_by_open_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {money.kes(self.amount)}"

    @property
    def number(self) -> str:
        return f"PO{self.pk:06d}" if self.pk else "PO(new)"

    @property
    def is_promised(self) -> bool:
        """Tell whether the books still owe a part of it to the customer."""
        return self.status in self.PROMISED


class Refund(models.Model):
    """How much of a payment's credit one payout gave back. Stands until the payout is reversed."""

    payout = models.ForeignKey(Payout, models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount = MoneyField("amount (KES)")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive")
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} of {self.payment.number}"
