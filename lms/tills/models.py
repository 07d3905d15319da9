"""Cash in people's hands: drawers, what moves through them, and the way to the bank.

A drawer's cash is the sum of its movements, and every movement has its entry in the books. So
over all drawers that are not closed the movements are the balance of `chart.TILL_CASH`.
"""

from decimal import Decimal
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from lms import money
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.models.books import AppendOnly
from lms.money import MoneyField
from lms.staff.models import Approval, Branch


class OfBranch(models.QuerySet):
    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.filter(branch_id=staff.branch_id)


class DrawerSessionQuerySet(OfBranch):
    def unclosed(self) -> Self:
        """Drawers that hold cash: open, or counted and waiting for a decision."""
        return self.exclude(status=DrawerSession.Status.CLOSED)

    def left_open(self, *, on) -> Self:
        """Drawers that were opened before `on` and are not closed."""
        return self.unclosed().filter(opened_on__lt=on)

    def with_difference(self) -> Self:
        """Drawers in which another sum was counted than the books expected."""
        return self.filter(Q(counted__lt=F("expected")) | Q(counted__gt=F("expected")))


class DrawerSession(models.Model):
    """One cashier's drawer, from the opening count to the closing count.

    One at a time: the database refuses a second one that is not closed.
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        COUNTED = "counted", "Difference to approve"
        CLOSED = "closed", "Closed"

    cashier = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="drawers")
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="drawers")
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN, editable=False)
    opened_on = models.DateField()
    opened_at = models.DateTimeField(auto_now_add=True)
    expected = MoneyField("expected (KES)", null=True, editable=False)
    counted = MoneyField("counted (KES)", null=True, editable=False)
    closed_on = models.DateField("counted on", null=True, editable=False)
    approval = models.OneToOneField(
        Approval, models.PROTECT, null=True, editable=False, related_name="drawer"
    )
    history = HistoricalRecords()

    objects = DrawerSessionQuerySet.as_manager()

    class Meta:
        verbose_name = "drawer"
        ordering = ["-pk"]
        permissions = [
            ("use_drawersession", "Can open a drawer and handle cash in it"),
            ("oversee_drawersession", "Can count and move cash in another person's drawer"),
            ("approve_difference", "Can approve the difference of a drawer"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["cashier"],
                condition=~Q(status="closed"),
                name="one_drawer_per_cashier",
            ),
            models.CheckConstraint(
                condition=Q(status="open") | Q(expected__isnull=False, counted__isnull=False),
                name="drawer_counted_before_closed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {self.cashier}"

    @property
    def number(self) -> str:
        return f"DS{self.pk:06d}" if self.pk else "DS(new)"

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN

    @property
    def difference(self) -> Decimal | None:
        """What was counted above (or, negative, below) what the books expected (KES)."""
        return None if self.counted is None else self.counted - self.expected

    def holds(self) -> Decimal:
        """Return the cash that the books say is in the drawer (KES)."""
        return self.movements.aggregate(sum=money.total("amount"))["sum"]


class CashCount(AppendOnly):
    """Notes and coins that somebody counted. A drawer counted again has one more of these."""

    class Moment(models.TextChoices):
        OPENING = "opening", "Opening count"
        CLOSING = "closing", "Closing count"

    session = models.ForeignKey(DrawerSession, models.PROTECT, related_name="counts")
    moment = models.CharField(max_length=7, choices=Moment)
    pieces = models.JSONField(help_text="How many of each face, as in {'1000': 3}.")
    total = MoneyField("total (KES)")
    counted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    counted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.get_moment_display()}, {money.kes(self.total)}"


class DrawerMovement(AppendOnly):
    """Cash that went into a drawer (more than zero) or out of it, with its entry in the books.

    The entry is the one of the event, so a receipt's leads to its payment.
    """

    class Kind(models.TextChoices):
        FLOAT = "float", "Float from the vault"
        RECEIPT = "receipt", "Received from customers"
        PAYOUT = "payout", "Paid to customers"
        UNDONE = "undone", "Receipts and payouts undone"
        SENT = "sent", "Sent to other drawers"
        ACCEPTED = "accepted", "Accepted from other drawers"
        TAKEN_BACK = "taken_back", "Taken back, not accepted"
        BANKED = "banked", "Taken to the bank"
        DIFFERENCE = "difference", "Over or short"
        VAULT = "vault", "Returned to the vault"

    session = models.ForeignKey(DrawerSession, models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=10, choices=Kind)
    amount = MoneyField("amount (KES)")
    entry = models.OneToOneField(JournalEntry, models.PROTECT, related_name="drawer_movement")
    moved_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="drawer_movement_not_zero")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {money.kes(self.amount)}"


class TillTransferQuerySet(OfBranch):
    def waiting(self) -> Self:
        return self.filter(status=TillTransfer.Status.WAITING)


class TillTransfer(models.Model):
    """Cash one cashier hands to another. It is nobody's until the other one has counted it."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting for acceptance"
        ACCEPTED = "accepted", "Accepted"
        TAKEN_BACK = "taken_back", "Taken back"

    key = models.CharField(max_length=64, unique=True, editable=False)
    sender = models.ForeignKey(DrawerSession, models.PROTECT, related_name="sent")
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="cash_sent_to"
    )
    receiver = models.ForeignKey(
        DrawerSession, models.PROTECT, null=True, editable=False, related_name="accepted"
    )
    amount = MoneyField("amount (KES)")
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    sent_on = models.DateField()
    sent_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    objects = TillTransferQuerySet.as_manager()

    class Meta:
        verbose_name = "transfer between drawers"
        verbose_name_plural = "transfers between drawers"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="till_transfer_positive"),
            models.CheckConstraint(
                condition=~Q(status="accepted") | Q(receiver__isnull=False),
                name="till_transfer_accepted_by_a_drawer",
            ),
        ]

    def __str__(self) -> str:
        return f"TT{self.pk:06d} · {money.kes(self.amount)}"


class BankingQuerySet(OfBranch):
    def in_transit(self) -> Self:
        return self.filter(status=Banking.Status.IN_TRANSIT)

    def standing(self) -> Self:
        """Every slip whose cash did not come back."""
        return self.exclude(status=Banking.Status.RETURNED)


class Banking(models.Model):
    """Cash on its way to the bank, with the number of its slip. From a drawer or the vault."""

    class Status(models.TextChoices):
        IN_TRANSIT = "in_transit", "On its way"
        CONFIRMED = "confirmed", "In the bank"
        RETURNED = "returned", "Back in the vault"

    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    session = models.ForeignKey(
        DrawerSession, models.PROTECT, null=True, blank=True, related_name="bankings"
    )
    slip_number = models.CharField(max_length=40)
    amount = MoneyField("amount (KES)")
    banked_on = models.DateField("left on")
    banked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    status = models.CharField(
        max_length=10, choices=Status, default=Status.IN_TRANSIT, editable=False
    )
    ended_on = models.DateField("arrived or back on", null=True, editable=False)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    arrived_entry = models.OneToOneField(
        JournalEntry, models.PROTECT, null=True, editable=False, related_name="arrived_slip"
    )
    history = HistoricalRecords()

    objects = BankingQuerySet.as_manager()

    class Meta:
        verbose_name = "banking slip"
        ordering = ["-pk"]
        permissions = [("confirm_banking", "Can confirm that cash arrived in the bank")]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="banking_amount_positive"),
            models.UniqueConstraint(
                fields=["slip_number"], condition=~Q(status="returned"), name="slip_banked_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slip_number} · {money.kes(self.amount)}"


class Place(models.TextChoices):
    """Where the lender's own money lies, apart from people's drawers."""

    VAULT = chart.CASH, "Cash in the vault"
    BANK = chart.BANK, "Bank"
    PAYBILL = chart.MPESA_PAYBILL, "M-Pesa paybill"
    UTILITY = chart.MPESA_UTILITY, "M-Pesa utility"
    WORKING = chart.MPESA_WORKING, "M-Pesa working"


class FundsTransfer(models.Model):
    """Money moved between the lender's own accounts, and what the bank or M-Pesa took for it."""

    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    source = models.CharField("from", max_length=10, choices=Place)
    destination = models.CharField("to", max_length=10, choices=Place)
    amount = MoneyField("amount that arrives (KES)")
    charge = MoneyField("charge (KES)", default=money.ZERO)
    reference = models.CharField(
        max_length=40, help_text="M-Pesa receipt or bank reference. Posted once."
    )
    moved_on = models.DateField()
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, editable=False, related_name="+"
    )
    entry = models.OneToOneField(
        JournalEntry, models.PROTECT, null=True, editable=False, related_name="funds_transfer"
    )
    reversed_on = models.DateField(null=True, editable=False)
    history = HistoricalRecords()

    objects = OfBranch.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [("reverse_fundstransfer", "Can reverse a funds transfer")]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0) & Q(charge__gte=0), name="funds_transfer_positive"
            ),
            models.CheckConstraint(
                condition=~Q(source=F("destination")), name="funds_transfer_between_two_places"
            ),
            models.UniqueConstraint(
                fields=["reference"],
                condition=Q(reversed_on__isnull=True),
                name="funds_transfer_booked_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} · {money.kes(self.amount)}"
