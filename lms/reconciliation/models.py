"""Statements of banks and of M-Pesa held against the books, by account and period.

What a statement says is written once. Which line is which entry is a `Match`, made in one open
reconciliation; a match that was undone stays to be read.
"""

from datetime import date
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery
from simple_history.models import HistoricalRecords

from lms import dates
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Account, JournalEntry
from lms.ledger.models.books import AppendOnly
from lms.money import ZERO, MoneyField
from lms.payments.models import Payment
from lms.reconciliation import reading

MPESA_ACCOUNTS = (chart.MPESA_PAYBILL, chart.MPESA_UTILITY, chart.MPESA_WORKING)


class BankLayout(models.Model):
    """How one bank writes its statements: the titles of its columns and the order of its dates."""

    class DateFormat(models.TextChoices):
        DAY_FIRST = "day_first", "31/01/2026, 31 Jan 2026 or 2026-01-31"
        MONTH_FIRST = "month_first", "01/31/2026"
        COMPACT = "compact", "20260131"

    name = models.CharField("bank", max_length=60, unique=True)
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="+", help_text="The account of the chart it is about."
    )
    day = models.CharField("date", max_length=60, help_text="Title of the column in the file.")
    value_date = models.CharField(max_length=60, blank=True)
    reference = models.CharField(max_length=60, blank=True)
    narration = models.CharField(max_length=60)
    debit = models.CharField("money out (debit)", max_length=60, blank=True)
    credit = models.CharField("money in (credit)", max_length=60, blank=True)
    amount = models.CharField(
        "amount with a sign",
        max_length=60,
        blank=True,
        help_text="Instead of the two columns before it.",
    )
    out_is_positive = models.BooleanField("money out is written without a minus", default=False)
    balance = models.CharField(max_length=60, blank=True)
    date_format = models.CharField(max_length=11, choices=DateFormat, default=DateFormat.DAY_FIRST)
    history = HistoricalRecords()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount="") & ~Q(debit="") & ~Q(credit="")
                | ~Q(amount="") & Q(debit="") & Q(credit=""),
                name="banklayout_two_columns_or_a_sign",
                violation_error_message=(
                    "Name the two columns for money out and money in, or the one with a sign."
                ),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def columns(self) -> reading.Columns:
        names = ("day", "narration", "value_date", "reference", "debit", "credit", "amount",
                 "balance", "date_format", "out_is_positive")  # fmt: skip
        return reading.Columns(**{name: getattr(self, name) for name in names})


class OfWholeLender(models.QuerySet):
    """Money accounts belong to no branch: their statements are for those who see all of them."""

    def seen_by(self, staff) -> Self:
        return self if staff.sees_all_branches else self.none()


class ReconciliationQuerySet(OfWholeLender):
    def open(self) -> Self:
        return self.filter(status=Reconciliation.Status.OPEN)

    def of(self, account_id: str) -> Self:
        """Return those of one account, the earliest period first."""
        return self.filter(account_id=account_id).order_by("first")


class Reconciliation(models.Model):
    """One account over one period. Balances are KES as the statement writes them."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        SIGNED_OFF = "signed_off", "Signed off"

    NEXT = {Status.OPEN: {Status.SIGNED_OFF}, Status.SIGNED_OFF: {Status.OPEN}}

    account = models.ForeignKey(Account, models.PROTECT, related_name="reconciliations")
    first = models.DateField("from")
    last = models.DateField("to", help_text="The last day of the period; it counts.")
    opening = MoneyField("opening balance (KES)", null=True, blank=True)
    closing = MoneyField("closing balance (KES)", null=True, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False
    )
    made_at = models.DateTimeField("begun", auto_now_add=True)
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )
    signed_at = models.DateTimeField("signed off", null=True, editable=False)
    proof = models.JSONField("balances as signed", null=True, editable=False)
    # Kept with the first sign-off of the account, and by reopening too: entries that are posted
    # later and dated before the first day would else change what it came with, seen by nobody.
    books_before = MoneyField("books before the first day (KES)", null=True, editable=False)
    books_before_at = models.DateTimeField(null=True, editable=False)
    history = HistoricalRecords()

    objects = ReconciliationQuerySet.as_manager()

    class Meta:
        ordering = ["-last", "account"]
        permissions = [
            ("resolve_reconciliation", "Can match statement lines and book what is missing"),
            ("sign_off_reconciliation", "Can sign a reconciliation off"),
            ("reopen_reconciliation", "Can ask to reopen a reconciliation, and reopen it"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(last__gte=F("first")), name="reconciliation_period_forward"
            ),
            models.UniqueConstraint(
                fields=["account", "first"], name="reconciliation_once_a_period"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account.name}, {dates.show(self.first)} to {dates.show(self.last)}"

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN

    @property
    def is_mpesa(self) -> bool:
        return self.account_id in MPESA_ACCOUNTS

    @property
    def number(self) -> str:
        return f"RN{self.pk:05d}"

    def holds(self, day: date) -> bool:
        return self.first <= day <= self.last

    @property
    def lines(self) -> "StatementLineQuerySet":
        """Everything its statement and those before it say, as far as this period sees it."""
        return StatementLine.objects.seen_in(self)

    def move_to(self, status: Status, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT and record who and why. Raises Refused for any other step."""
        if status not in self.NEXT[self.Status(self.status)]:
            raise Refused(f"{self} is {self.get_status_display().lower()} already.")
        self.status = status
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=["status", *fields])


class StatementFile(models.Model):
    """One statement that staff brought: looked at first, then taken in whole or set aside."""

    class Status(models.TextChoices):
        READ = "read", "Read, not taken in"
        TAKEN = "taken", "Taken in"
        DISCARDED = "discarded", "Set aside"
        WITHDRAWN = "withdrawn", "Taken out again"

    NEXT = {
        Status.READ: {Status.TAKEN, Status.DISCARDED},
        Status.TAKEN: {Status.WITHDRAWN},
        Status.DISCARDED: set(),
        Status.WITHDRAWN: set(),
    }

    reconciliation = models.ForeignKey(Reconciliation, models.PROTECT, related_name="files")
    layout = models.ForeignKey(
        BankLayout, models.PROTECT, null=True, blank=True, verbose_name="bank", related_name="+"
    )
    file = models.FileField(upload_to="statements/%Y/%m/")
    filename = models.CharField("name", max_length=200)
    sha256 = models.CharField("SHA-256", max_length=64)
    status = models.CharField(max_length=9, choices=Status, default=Status.READ)
    new = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField("here already", default=0)
    outside = models.PositiveIntegerField("outside the period", default=0)
    failed = models.PositiveIntegerField("not completed", default=0)
    wrong = models.PositiveIntegerField(default=0)
    summary = models.JSONField(default=dict, blank=True)
    brought_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    brought_at = models.DateTimeField("brought", auto_now_add=True)
    history = HistoricalRecords(excluded_fields=["summary"])

    objects = OfWholeLender.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.filename

    @property
    def can_be_taken(self) -> bool:
        return self.status == self.Status.READ and not self.wrong and bool(self.new)

    def move_to(self, status: Status, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT and record who and why. Raises Refused for any other step."""
        if status not in self.NEXT[self.Status(self.status)]:
            raise Refused(f"“{self.filename}” is {self.get_status_display().lower()}.")
        self.status = status
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=["status", *fields])


class Verdict(models.TextChoices):
    """How a line or an entry stands. Asked of the matches, never stored."""

    MISSING_HERE = "missing_here", "Missing here"
    MISSING_THERE = "missing_there", "Missing on the statement"
    DIFFERS = "differs", "Amount differs"
    DUPLICATE = "duplicate", "Duplicate"
    MATCHED = "matched", "Matched"
    FAILED = "failed", "Not completed"


class StatementLineQuerySet(OfWholeLender):
    def seen_in(self, reconciliation: Reconciliation) -> Self:
        """Lines up to the end of a period with `matched_by` and `difference` as it sees them.

        Lines of earlier periods that are matched in an earlier one are settled and left out.
        """
        live = MatchedLine.objects.filter(
            line=OuterRef("pk"),
            is_live=True,
            match__reconciliation__last__lte=reconciliation.last,
        )
        earlier = live.filter(match__reconciliation__last__lt=reconciliation.first)
        return (
            self.filter(account_id=reconciliation.account_id, day__lte=reconciliation.last)
            .filter(Q(day__gte=reconciliation.first) | ~Exists(earlier) & Q(happened=True))
            .annotate(
                matched_by=Subquery(live.values("match")[:1]),
                difference=Subquery(live.values("match__difference")[:1]),
            )
        )

    def with_match(self) -> Self:
        """Annotate `matched_by` and `difference` as things stand now."""
        live = MatchedLine.objects.filter(line=OuterRef("pk"), is_live=True)
        return self.annotate(
            matched_by=Subquery(live.values("match")[:1]),
            difference=Subquery(live.values("match__difference")[:1]),
        )

    def standing(self, verdict: str) -> Self:
        """Keep the lines of one verdict; after `seen_in` or `with_match`."""
        free = Q(happened=True, matched_by__isnull=True)
        wanted = {
            Verdict.MATCHED: Q(matched_by__isnull=False, difference=ZERO),
            Verdict.DIFFERS: Q(matched_by__isnull=False) & ~Q(difference=ZERO),
            Verdict.DUPLICATE: free & Q(repeats=True),
            Verdict.MISSING_HERE: free & Q(repeats=False),
            Verdict.FAILED: Q(happened=False),
        }
        return self.filter(wanted[Verdict(verdict)])

    def unmatched(self) -> Self:
        """Lines that happened and that no entry answers to, as things stand now."""
        live = MatchedLine.objects.filter(line=OuterRef("pk"), is_live=True)
        return self.filter(~Exists(live), happened=True)


class StatementLine(models.Model):
    """One line of a statement, as it was written. Money in is more than zero, KES."""

    reconciliation = models.ForeignKey(Reconciliation, models.PROTECT, related_name="own_lines")
    file = models.ForeignKey(StatementFile, models.PROTECT, related_name="lines")
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    number = models.PositiveIntegerField("line of the file")
    key = models.CharField(max_length=64)
    day = models.DateField("date")
    at = models.DateTimeField("time", null=True)
    value_date = models.DateField(null=True)
    reference = models.CharField(max_length=40, blank=True, db_index=True)
    kind = models.CharField(max_length=80, blank=True)
    narration = models.CharField(max_length=300, blank=True)
    party = models.CharField("other party", max_length=120, blank=True)
    linked = models.CharField("linked transaction", max_length=40, blank=True)
    account_no = models.CharField("account as typed", max_length=40, blank=True)
    amount = MoneyField("amount (KES)")
    balance = MoneyField("balance (KES)", null=True)
    happened = models.BooleanField("completed", default=True)
    repeats = models.BooleanField("said before", default=False)

    objects = StatementLineQuerySet.as_manager()

    class Meta:
        ordering = ["day", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["account", "key"], name="statementline_told_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="statementline_moves_money"),
        ]
        indexes = [models.Index(fields=["account", "day"], name="statementline_by_day")]

    def __str__(self) -> str:
        return f"{self.reference or self.narration[:40]} {self.amount:,.2f}"

    @property
    def verdict(self) -> Verdict:
        """How the line stands; after `seen_in` or `with_match`."""
        if not self.happened:
            return Verdict.FAILED
        if self.matched_by is not None:
            return Verdict.DIFFERS if self.difference else Verdict.MATCHED
        return Verdict.DUPLICATE if self.repeats else Verdict.MISSING_HERE

    @property
    def is_charge(self) -> bool:
        return reading.looks_like_charge(self.kind, self.narration, self.amount)

    @property
    def is_receipt(self) -> bool:
        """Money that a customer may have sent: it came in and undoes nothing."""
        return self.amount > 0 and self.happened and "revers" not in self.kind.lower()


class ClearedChequeQuerySet(models.QuerySet):
    def standing(self) -> Self:
        return self.filter(entry__reversed_by__isnull=True)


class Match(models.Model):
    """Lines and entries that are one event. `difference` is the statement less the books, KES."""

    class How(models.TextChoices):
        REFERENCE = "reference", "By reference"
        AMOUNT_AND_DAY = "amount_and_day", "By amount and day"
        REVERSED = "reversed", "Entered and reversed"
        BOOKED = "booked", "Booked from the line"
        MANUAL = "manual", "By hand"

    BY_A_PERSON = (How.BOOKED, How.MANUAL)

    reconciliation = models.ForeignKey(Reconciliation, models.PROTECT, related_name="matches")
    how = models.CharField(max_length=14, choices=How)
    difference = MoneyField("difference (KES)", default=ZERO)
    reason = models.CharField(max_length=200, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)
    is_live = models.BooleanField("stands", default=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "matches"

    def __str__(self) -> str:
        return f"Match {self.pk}, {self.get_how_display().lower()}"


class ClearedCheque(AppendOnly):
    """A cheque whose money came to the bank. It stands until its entry is reversed."""

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="clearings")
    entry = models.OneToOneField(JournalEntry, models.PROTECT, related_name="cleared_cheque")

    objects = ClearedChequeQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.payment.reference} cleared"


class MatchedLine(models.Model):
    """A line of a match. It stands in one at most."""

    match = models.ForeignKey(Match, models.PROTECT, related_name="lines")
    line = models.ForeignKey(StatementLine, models.PROTECT, related_name="matches")
    is_live = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["line"], condition=Q(is_live=True), name="matchedline_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.line} in {self.match}"


class MatchedEntry(models.Model):
    """An entry of a match, and what it moved on the account, KES. It stands in one at most."""

    match = models.ForeignKey(Match, models.PROTECT, related_name="entries")
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="reconciled")
    amount = MoneyField("amount (KES)")
    is_live = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "entry"], condition=Q(is_live=True), name="matchedentry_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.entry} in {self.match}"
