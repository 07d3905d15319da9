"""The books: accounts, journal entries and transfers. Append-only, in Python and in the database.

Every transfer debits one account and credits another, so the books balance by construction.
A mistake is corrected by a mirrored entry that names the one it reverses.
"""

from typing import NoReturn

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from lms.errors import Refused
from lms.money import MoneyField
from lms.staff.models import Branch


class Account(models.Model):
    """One account of the chart. Its code is its identity and never changes."""

    class Kind(models.TextChoices):
        ASSET = "asset", "Asset"
        LIABILITY = "liability", "Liability"
        EQUITY = "equity", "Equity"
        INCOME = "income", "Income"
        EXPENSE = "expense", "Expense"

    DEBIT_KINDS = (Kind.ASSET, Kind.EXPENSE)

    code = models.CharField(max_length=10, primary_key=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=9, choices=Kind)
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class AppendOnly(models.Model):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args, **kwargs) -> None:
        if not self._state.adding:
            raise Refused("What is posted is not edited: reverse it.")
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs) -> NoReturn:
        raise Refused("What is posted is not deleted: reverse it.")


class JournalEntry(AppendOnly):
    """One event in the books: its day, what it was and who posted it."""

    date = models.DateField(db_index=True)
    kind = models.CharField(max_length=24, db_index=True)
    reference = models.CharField(
        max_length=80, unique=True, help_text="Names the event; posting it twice is refused."
    )
    narration = models.CharField(max_length=200)
    reverses = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="reversed_by"
    )
    posted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    posted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "journal entries"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"JE{self.pk:06d} {self.narration}"


class Transfer(AppendOnly):
    """One movement: `amount` KES from the credited account to the debited one."""

    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="transfers")
    debit = models.ForeignKey(Account, models.PROTECT, related_name="debits")
    credit = models.ForeignKey(Account, models.PROTECT, related_name="credits")
    amount = MoneyField("amount (KES)")
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    subject = models.CharField(
        max_length=16, blank=True, db_index=True, help_text="Whose money: a loan or payment number."
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount__gt=0), name="transfer_amount_positive"
            ),
            models.CheckConstraint(
                condition=~models.Q(debit=models.F("credit")), name="transfer_between_two_accounts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.debit_id} ← {self.credit_id} {self.amount:,.2f}"
