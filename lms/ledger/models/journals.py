"""Journals that people write: their lines, their papers, and the templates of recurring ones."""

from datetime import date
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import FileExtensionValidator
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from lms import dates, money
from lms.errors import Refused
from lms.ledger.beginning import is_in_books, must_be_in_books
from lms.ledger.models.books import Account, JournalEntry
from lms.ledger.splitting import Side
from lms.money import ZERO, MoneyField
from lms.staff.models import Approval, Branch

PAPERS = ["pdf", "jpg", "jpeg", "png", "csv", "xlsx", "docx"]


class AccountLine(models.Model):
    """An account of a branch, debited or credited."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    debit = MoneyField("debit (KES)", default=ZERO, blank=True)
    credit = MoneyField("credit (KES)", default=ZERO, blank=True)
    branch = models.ForeignKey(
        Branch,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: the branch of the whole journal.",
    )
    memo = models.CharField(max_length=120, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        if self.debit:
            return f"Dr {self.account_id} {self.debit:,.2f}"
        return f"Cr {self.account_id} {self.credit:,.2f}"


def one_side(name: str) -> models.CheckConstraint:
    """A line is either a debit or a credit of more than nothing."""
    return models.CheckConstraint(
        condition=Q(debit__gt=0, credit=0) | Q(debit=0, credit__gt=0), name=name
    )


def refuse_before_books(record: models.Model, name: str) -> None:
    """Raise ValidationError at a field whose day is before the books begin."""
    if day := getattr(record, name):
        try:
            must_be_in_books(day)
        except Refused as refusal:
            raise ValidationError({name: refusal.message}) from refusal


class JournalTemplate(models.Model):
    """A journal that comes back: the rent, a depreciation, an accrual of salaries."""

    class Every(models.IntegerChoices):
        MONTH = 1, "Month"
        QUARTER = 3, "Quarter"
        YEAR = 12, "Year"

    name = models.CharField(max_length=80, unique=True)
    narration = models.CharField(max_length=160)
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    every = models.PositiveSmallIntegerField("how often", choices=Every, default=Every.MONTH)
    first_on = models.DateField(
        "first date",
        help_text="The first journal has this date, the others the same day of their month.",
    )
    last_on = models.DateField("last date", null=True, blank=True)
    reverses_next_period = models.BooleanField(
        "reverse next period",
        default=False,
        help_text="Reverse each on the first day of the month after it, when it is approved.",
    )
    is_active = models.BooleanField("active", default=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "journal template"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(last_on__isnull=True) | Q(last_on__gte=F("first_on")),
                name="journal_template_ends_after_start",
                violation_error_message="The last date is before the first one.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raise ValidationError for a first date before the books begin."""
        super().clean()
        refuse_before_books(self, "first_on")

    def days(self, *, until: date) -> list[date]:
        """Return the dates of its journals up to a day, both ends counted.

        The first is the first in the books: they may have been given a later beginning since.
        """
        last = until if self.last_on is None else min(until, self.last_on)
        found, months = [], 0
        while (day := dates.add_months(self.first_on, months)) <= last:
            if is_in_books(day):
                found.append(day)
            months += self.every
        return found


class JournalTemplateLine(AccountLine):
    """One line of a template."""

    template = models.ForeignKey(JournalTemplate, models.CASCADE, related_name="lines")
    history = HistoricalRecords()

    class Meta:
        verbose_name = "line"
        ordering = ["pk"]
        constraints = [one_side("journal_template_line_one_side")]


class ManualJournalQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """Journals of one's own branch; head office sees them all."""
        return self if staff.sees_all_branches else self.filter(branch_id=staff.branch_id)

    def with_totals(self) -> Self:
        """Add `debits` and `credits`, the sums of the lines (KES)."""
        return self.annotate(
            debits=money.total("lines__debit"), credits=money.total("lines__credit")
        )

    def standing(self) -> Self:
        """Journals that are posted or may still be."""
        return self.exclude(status__in=ManualJournal.ENDED)


class ManualJournal(models.Model):
    """What an accountant asks the books to say, until a second person has it posted or not."""

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        SUBMITTED = "submitted", "Submitted"
        APPROVED = "approved", "Posted"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"

    ENDED = (Status.REJECTED, Status.WITHDRAWN)
    NEXT = {
        Status.DRAFT: {Status.SUBMITTED, Status.WITHDRAWN},
        Status.SUBMITTED: {Status.APPROVED, Status.REJECTED, Status.WITHDRAWN},
    }

    date = models.DateField(db_index=True, help_text="The day it counts from in the books.")
    narration = models.CharField(max_length=160, help_text="What it is for, as auditors read it.")
    branch = models.ForeignKey(Branch, models.PROTECT, related_name="+")
    status = models.CharField(
        max_length=9, choices=Status, default=Status.DRAFT, editable=False, db_index=True
    )
    reverses_next_period = models.BooleanField(
        "reverse next period",
        default=False,
        help_text="Reverse it on the first day of the month after it, when it is approved.",
    )
    reverses = models.ForeignKey(
        "self", models.PROTECT, null=True, editable=False, related_name="reversals"
    )
    template = models.ForeignKey(
        JournalTemplate, models.PROTECT, null=True, editable=False, related_name="journals"
    )
    template_month = models.DateField(null=True, editable=False)
    entry = models.OneToOneField(
        JournalEntry, models.PROTECT, null=True, editable=False, related_name="manual_journal"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    approval = models.OneToOneField(
        Approval, models.PROTECT, null=True, editable=False, related_name="+"
    )
    history = HistoricalRecords()

    objects = ManualJournalQuerySet.as_manager()

    class Meta:
        verbose_name = "manual journal"
        ordering = ["-pk"]
        permissions = [("approve_manualjournal", "Can approve or reject manual journals")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="approved", entry__isnull=False)
                | (~Q(status="approved") & Q(entry__isnull=True)),
                name="journal_posted_with_entry",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "withdrawn"]) | Q(approval__isnull=False),
                name="journal_decided_by_approval",
            ),
            models.UniqueConstraint(
                fields=["template", "template_month"], name="journal_once_per_period"
            ),
            models.UniqueConstraint(
                fields=["reverses"],
                condition=Q(status__in=["draft", "submitted", "approved"]),
                name="journal_reversed_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.narration}"

    def clean(self) -> None:
        """Raise ValidationError for a date before the books begin."""
        super().clean()
        refuse_before_books(self, "date")

    @property
    def number(self) -> str:
        return f"MJ{self.pk:06d}" if self.pk else "MJ(new)"

    @classmethod
    def key_of(cls, text: str) -> int | None:
        """Return the key that a number like MJ000012 names, None for other text."""
        digits = text.strip().upper().removeprefix("MJ")
        is_key = digits.isascii() and digits.isdigit() and len(digits) < 16
        return int(digits) if is_key else None

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT

    @property
    def is_posted(self) -> bool:
        return self.status == self.Status.APPROVED

    def sides(self) -> list[Side]:
        """Return the lines with their branches: the journal's where a line names none."""
        return [
            Side(line.account_id, line.branch_id or self.branch_id, line.debit, line.credit)
            for line in self.lines.all()
        ]

    def makers(self) -> set[int]:
        """Return the keys of those who wrote on it or its lines, or submitted it."""
        rows = self.history.values_list("history_user")
        lines = ManualLine.history.filter(journal_id=self.pk).values_list("history_user")
        return {key for (key,) in [*rows, *lines] if key is not None}

    def move_to(self, status: Status, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT and record who and why. Raises Refused for any other step."""
        if status not in self.NEXT.get(self.Status(self.status), ()):
            raise Refused(
                f"{self.number} is {self.get_status_display().lower()}: "
                f"it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=["status", *fields])


class ManualLine(AccountLine):
    """One line of a journal."""

    journal = models.ForeignKey(ManualJournal, models.PROTECT, related_name="lines")
    history = HistoricalRecords()

    class Meta:
        verbose_name = "line"
        ordering = ["pk"]
        constraints = [one_side("manual_line_one_side")]


def paper_path(paper: "JournalPaper", filename: str) -> str:
    return f"journals/{paper.journal_id}/{filename}"


class JournalPaper(models.Model):
    """A paper that a journal stands on: an invoice, a payroll, a board minute."""

    journal = models.ForeignKey(ManualJournal, models.PROTECT, related_name="papers")
    name = models.CharField(max_length=80, help_text="What it is, for example Invoice 118.")
    file = models.FileField(upload_to=paper_path, validators=[FileExtensionValidator(PAPERS)])
    uploaded_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "paper"
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name
