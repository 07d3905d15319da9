"""Each night that was closed: its steps, how far they came, and the loans that stopped."""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q

from lms.loans.models import Loan


class DayClose(models.Model):
    """One step of the close of one day. A crash leaves it running, and the next run goes on."""

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    day = models.DateField()
    step = models.CharField(max_length=16)
    position = models.PositiveSmallIntegerField(help_text="The order of the step in the night.")
    status = models.CharField(max_length=7, choices=Status, default=Status.RUNNING)
    reached = models.BigIntegerField(
        default=0, help_text="Loans up to this key are done; a crash resumes after it."
    )
    rows = models.PositiveIntegerField("rows written", default=0)
    failures = models.PositiveIntegerField("loans that failed", default=0)
    summary = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    run_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Who last asked for it to run. Empty: the nightly schedule.",
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    seconds = models.DecimalField("duration (s)", max_digits=10, decimal_places=2, default=0)

    class Meta:
        ordering = ["-day", "position"]
        verbose_name = "step of a night"
        verbose_name_plural = "nightly closes"
        permissions = [("run_dayclose", "Can close a day")]
        constraints = [
            models.UniqueConstraint(fields=["day", "step"], name="step_once_per_day"),
            models.CheckConstraint(
                condition=~Q(status="done") | Q(finished_at__isnull=False), name="done_has_an_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step} of {self.day}"


class CloseFailure(models.Model):
    """A loan on which a step stopped. The others were closed; this one is tried again."""

    day = models.DateField()
    step = models.CharField(max_length=16)
    loan = models.ForeignKey(Loan, models.PROTECT, related_name="close_failures")
    error = models.TextField()
    failed_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["day", "step", "loan"], name="failure_once_per_step")
        ]

    def __str__(self) -> str:
        return f"{self.loan.number}: {self.step} of {self.day}"


class Proof(models.Model):
    """What one proof of the books found in a night: the books beside the rows they stand for."""

    day = models.DateField()
    position = models.PositiveSmallIntegerField()
    name = models.CharField("what is proved", max_length=60)
    books = models.DecimalField("in the books", max_digits=18, decimal_places=2)
    rows = models.DecimalField("in the rows", max_digits=18, decimal_places=2)
    holds = models.BooleanField(help_text="Both sides are the same.")
    is_count = models.BooleanField(help_text="Both sides are numbers of rows, not KES.")
    detail = models.CharField("where", max_length=300, blank=True)
    proved_at = models.DateTimeField("proved")

    class Meta:
        ordering = ["-day", "position"]
        verbose_name = "proof of the books"
        verbose_name_plural = "proofs of the books"
        constraints = [models.UniqueConstraint(fields=["day", "name"], name="proof_once_per_day")]

    def __str__(self) -> str:
        return f"{self.name} on {self.day}"

    def show(self, amount: Decimal) -> str:
        """Return one of its figures as staff read it."""
        return f"{amount:,.0f}" if self.is_count else f"{amount:,.2f}"

    @property
    def difference(self) -> Decimal:
        return self.books - self.rows
