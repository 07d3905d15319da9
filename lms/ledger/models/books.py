"""The books: accounts, journal entries and transfers. Append-only, in Python and in the database.

Every transfer debits one account and credits another, so the books balance by construction.
A mistake is corrected by a mirrored entry that names the one it reverses.
"""

from decimal import Decimal
from typing import NoReturn

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connections, models
from simple_history.models import HistoricalRecords

from lms import money
from lms.errors import Refused
from lms.ledger import chart
from lms.money import MoneyField, kes
from lms.staff.models import Branch

DECEMBER = 12


class AccountQuerySet(models.QuerySet):
    def postable(self):
        """Accounts that may be chosen to post to: in use, and no headers."""
        return self.filter(is_header=False, is_active=True)

    def manual(self):
        """Accounts that a person may post to by hand."""
        return self.postable().filter(takes_manual_entries=True)


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
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name="header",
        related_name="children",
        limit_choices_to={"is_header": True},
        help_text="The header it is summed under in reports.",
    )
    is_header = models.BooleanField(
        "header", default=False, help_text="Sums the accounts under it; takes no postings."
    )
    is_contra = models.BooleanField(
        "contra account",
        default=False,
        help_text="Stands on the other side than its kind, as an allowance does among assets.",
    )
    stands_for = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="stand_ins",
        db_index=False,
        limit_choices_to={"code__in": chart.PER_PRODUCT},
        help_text="For loans of some products it takes the place of this account.",
    )
    takes_manual_entries = models.BooleanField(
        default=True, help_text="Off where loans, receipts or drawers are kept in step with it."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: it is kept and reported, but no longer offered."
    )
    history = HistoricalRecords()

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(is_header=True, takes_manual_entries=True),
                name="account_header_takes_no_entries",
                violation_error_message="A header takes no entries: switch manual entries off.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"

    @property
    def normal_side(self) -> str:
        """The side on which the account grows: "debit" or "credit"."""
        return "debit" if (self.kind in self.DEBIT_KINDS) != self.is_contra else "credit"

    def signed(self, net: Decimal) -> Decimal:
        """Return debits less credits (KES) as this account shows them: positive when it grew."""
        return net if self.normal_side == "debit" else -net

    @property
    def is_used(self) -> bool:
        """Whether anything was ever posted to it."""
        return self.debits.exists() or self.credits.exists()

    @property
    def standing(self) -> Decimal:
        """What stands on it after all that was posted, on its usual side (KES)."""
        debited, credited = (
            rows.aggregate(sum=money.total("amount"))["sum"] for rows in (self.debits, self.credits)
        )
        return self.signed(money.money(debited) - money.money(credited))

    @property
    def is_ours(self) -> bool:
        """Whether operations post to it by its name in the chart."""
        return self.pk in chart.POSTED_TO

    @property
    def is_relied_on(self) -> bool:
        """Whether its kind and side stay as they are: money was, or is to be, posted to it."""
        return self.is_used or self.is_ours or self.profiles.exists()

    def clean(self) -> None:
        """Raise ValidationError for a place in the chart that would make its sums wrong."""
        super().clean()
        if self.parent and (not self.parent.is_header or self.parent.kind != self.kind):
            raise ValidationError({"parent": "Choose a header of the same kind."})
        above = self.parent
        while above:
            if above.pk == self.pk:
                raise ValidationError({"parent": "An account cannot stand under itself."})
            above = above.parent
        if self.stands_for:
            self._clean_stand_in(self.stands_for)
        if self._state.adding:
            return
        if not self.is_header and self.children.exists():
            raise ValidationError({"is_header": "Accounts stand under it: it stays a header."})
        known = Account.objects.get(pk=self.pk)
        self._clean_switches(known)
        shape = ("kind", "is_header", "is_contra", "stands_for_id")
        changed = any(getattr(self, name) != getattr(known, name) for name in shape)
        if changed and self.is_relied_on:
            raise ValidationError("Money is posted to it: its kind and side stay as they are.")

    def _clean_switches(self, known: "Account") -> None:
        """Raise ValidationError for what may not be switched on, or off, compared with `known`."""
        if not self.is_active and (self.pk in chart.NEEDED or self.profiles.exists()):
            raise ValidationError({"is_active": "Loans, receipts or drawers are posted to it."})
        if known.is_active and not self.is_active and (standing := self.standing):
            raise ValidationError(
                {
                    "is_active": f"Its balance is {kes(standing)}: bring it to zero first, by a "
                    "journal or by closing the year."
                }
            )
        if not self.takes_manual_entries:
            return
        if self.pk in chart.KEPT:
            raise ValidationError(
                {
                    "takes_manual_entries": "Loans, receipts or drawers are kept in step with it: "
                    "a typed entry would part them from the books."
                }
            )
        if not known.takes_manual_entries and (other := self.stand_ins.first()):
            raise ValidationError(
                {
                    "takes_manual_entries": f"{other} stands for it: loans are kept in step with "
                    "both, so neither takes typed entries."
                }
            )

    def _clean_stand_in(self, common: "Account") -> None:
        """Raise ValidationError unless this account can be what a common one is, for some loans."""
        same = (self.kind, self.is_contra) == (common.kind, common.is_contra)
        if common.pk not in chart.PER_PRODUCT or self.is_ours or self.is_header or not same:
            raise ValidationError(
                {"stands_for": f"Only an account of the kind of {common} can stand for it."}
            )
        if self.takes_manual_entries and not common.takes_manual_entries:
            raise ValidationError(
                {
                    "takes_manual_entries": f"Loans are kept in step with it, as with {common}: "
                    "switch manual entries off."
                }
            )


class PostingProfile(models.Model):
    """The accounts that loans of some products are posted to, in place of the common ones.

    A version of a product names it and its loans keep it. Once such a version is approved the
    profile is fixed: balances built on an account are run down on the same.
    """

    name = models.CharField(max_length=60, unique=True)
    accounts = models.ManyToManyField(
        Account,
        related_name="profiles",
        limit_choices_to={"stands_for__isnull": False, "is_active": True},
        help_text="One for each common account that these loans do not share.",
    )
    is_fixed = models.BooleanField("fixed", default=False, editable=False)
    history = HistoricalRecords(m2m_fields=[accounts])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def places(self) -> dict[str, str]:
        """The code posted to by the code of the common account whose place it takes."""
        return dict(self.accounts.values_list("stands_for_id", "code"))


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


class JournalEntryQuerySet(models.QuerySet):
    def keyed(self, prefix: str):
        """Entries whose reference begins with a prefix, found by its index on either engine."""
        if connections[self.db].vendor == "postgresql":
            return self.filter(reference__startswith=prefix)
        # SQLite reads the whole table for LIKE, and compares letters by their code.
        return self.filter(
            reference__gte=prefix, reference__lt=f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"
        )


class PeriodQuerySet(models.QuerySet):
    def closed(self):
        return self.filter(status=Period.Status.CLOSED)


class Period(models.Model):
    """A calendar month of the books. Closed, it takes no postings and carries its balances."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    first = models.DateField("first day", unique=True)
    last = models.DateField("last day")
    status = models.CharField(max_length=6, choices=Status, default=Status.OPEN)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    objects = PeriodQuerySet.as_manager()

    class Meta:
        ordering = ["-first"]
        permissions = [
            ("close_period", "Can close a month or a year of the books"),
            ("reopen_period", "Can ask to reopen a month of the books, and decide it"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(first__lt=models.F("last")), name="period_has_days"
            ),
            models.CheckConstraint(
                condition=models.Q(status="open", closed_by__isnull=True, closed_at__isnull=True)
                | models.Q(status="closed", closed_by__isnull=False, closed_at__isnull=False),
                name="period_closed_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first:%B %Y}"

    @property
    def is_closed(self) -> bool:
        return self.status == self.Status.CLOSED

    @property
    def ends_year(self) -> bool:
        """The financial year is the calendar year."""
        return self.first.month == DECEMBER


class PeriodBalance(models.Model):
    """All that was ever debited and credited to an account in a branch, by the end of a month.

    Kept from its closing to its reopening, so that balances need not add up the whole history.
    """

    period = models.ForeignKey(Period, models.PROTECT, related_name="balances", db_index=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+", db_index=False)
    debit = MoneyField("debits (KES)")
    credit = MoneyField("credits (KES)")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "account", "branch"], name="period_balance_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} in {self.period}: {self.debit:,.2f} / {self.credit:,.2f}"


class JournalEntry(AppendOnly):
    """One event in the books: its day, what it was and who posted it."""

    date = models.DateField(db_index=True)
    kind = models.CharField(max_length=24)
    reference = models.CharField(
        max_length=80, unique=True, help_text="Names the event; posting it twice is refused."
    )
    narration = models.CharField(max_length=200)
    reverses = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="reversed_by"
    )
    posted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    posted_at = models.DateTimeField(auto_now_add=True)

    objects = JournalEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "journal entries"
        ordering = ["-pk"]
        permissions = [("view_books", "Can read the reports of the books")]

    def __str__(self) -> str:
        return f"JE{self.pk:06d} {self.narration}"


class Transfer(AppendOnly):
    """One movement: `amount` KES from the credited account to the debited one.

    `date` is the day of its entry, kept here for the reports: every sum of the books asks for it.
    Each index is paid for by every posting, so there is one for each question and no other.
    """

    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="transfers")
    date = models.DateField()
    debit = models.ForeignKey(Account, models.PROTECT, related_name="debits", db_index=False)
    credit = models.ForeignKey(Account, models.PROTECT, related_name="credits", db_index=False)
    amount = MoneyField("amount (KES)")
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    subject = models.CharField(
        max_length=16, blank=True, help_text="Whose money: a loan or payment number."
    )

    class Meta:
        ordering = ["pk"]
        indexes = [
            # A sum of the books over some days reads this index alone, from its first day on.
            models.Index(
                fields=["date"],
                include=["debit", "credit", "branch", "amount"],
                name="transfer_by_date",
            ),
            # The statement of an account.
            models.Index(fields=["debit", "date"], name="transfer_by_debit"),
            models.Index(fields=["credit", "date"], name="transfer_by_credit"),
            # Not db_index: its twin for LIKE is asked by nobody.
            models.Index(fields=["subject"], name="transfer_by_subject"),
        ]
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
