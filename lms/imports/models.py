"""A file that staff brought: where it stands, what it would change, and what it changed."""

from typing import Self

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from lms.errors import Refused


class ImportJobQuerySet(models.QuerySet):
    def seen_by(self, staff) -> Self:
        """One's own files; head office sees everyone's."""
        return self if staff.sees_all_branches else self.filter(created_by=staff)


class ImportJob(models.Model):
    """One file on its way in: uploaded, checked line by line, previewed, applied whole."""

    class Kind(models.TextChoices):
        SCHEDULE = "schedule", "Repayment schedules"
        CUSTOMERS = "customers", "Customers"
        LOANS = "loans", "Loans"
        PAYMENTS = "payments", "Payments"
        JOURNALS = "journals", "Manual journals"

    class Status(models.TextChoices):
        UPLOADED = "uploaded", "Uploaded"
        CHECKING = "checking", "Being checked"
        CHECKED = "checked", "Checked"
        CONFIRMED = "confirmed", "Waiting to be imported"
        APPLYING = "applying", "Being imported"
        DONE = "done", "Imported"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"
        DISCARDED = "discarded", "Discarded"

    # A step onto itself is a run that was killed and starts again.
    NEXT = {
        Status.UPLOADED: {Status.CHECKING, Status.DISCARDED},
        Status.CHECKING: {Status.CHECKING, Status.CHECKED, Status.REFUSED, Status.FAILED},
        Status.CHECKED: {
            Status.CHECKING,
            Status.CONFIRMED,
            Status.APPLYING,
            Status.DISCARDED,
        },
        Status.CONFIRMED: {Status.APPLYING, Status.DISCARDED},
        Status.APPLYING: {Status.APPLYING, Status.DONE, Status.REFUSED, Status.FAILED},
        Status.REFUSED: {Status.CHECKING, Status.DISCARDED},
        Status.FAILED: {Status.CHECKING, Status.DISCARDED},
    }
    UNDER_WAY = (Status.UPLOADED, Status.CHECKING, Status.CONFIRMED, Status.APPLYING)

    kind = models.CharField(max_length=9, choices=Kind)
    file = models.FileField(upload_to="imports/%Y/%m/")
    filename = models.CharField("file", max_length=200)
    sha256 = models.CharField("SHA-256", max_length=64, db_index=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.UPLOADED)
    rows = models.PositiveIntegerField("lines", default=0)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    wrong = models.PositiveIntegerField(default=0)
    left_out = models.PositiveIntegerField(
        default=0, help_text="Good lines of a loan that has a wrong one."
    )
    progress = models.PositiveIntegerField("lines handled", default=0)
    leave_out_bad = models.BooleanField(
        "leave out what is wrong",
        default=False,
        help_text="Import the good loans and leave out those with a wrong line.",
    )
    error = models.TextField(blank=True)
    report = models.FileField(upload_to="imports/%Y/%m/", blank=True)
    summary = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="imports")
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField("uploaded", auto_now_add=True)
    checked_at = models.DateTimeField("checked", null=True)
    applied_at = models.DateTimeField("imported", null=True)
    history = HistoricalRecords(excluded_fields=["summary", "progress"])

    objects = ImportJobQuerySet.as_manager()

    class Meta:
        verbose_name = "import"
        ordering = ["-pk"]
        indexes = [models.Index(fields=["status", "-id"], name="importjob_by_status")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} from {self.filename}"

    @property
    def is_under_way(self) -> bool:
        """The page of the job has to look again: a worker is on it or will be."""
        return self.status in self.UNDER_WAY

    @property
    def can_apply(self) -> bool:
        """Every line is good and something would change."""
        return self.status == self.Status.CHECKED and not self.wrong and bool(self.changes)

    @property
    def can_apply_rest(self) -> bool:
        """Some lines are wrong, and something is left when they are left out."""
        return self.status == self.Status.CHECKED and bool(self.wrong and self.changes)

    @property
    def changes(self) -> int:
        return self.new + self.changed

    @property
    def percent(self) -> int:
        """How much of the file is handled, 0 to 100."""
        return min(100, self.progress * 100 // self.rows) if self.rows else 0

    def move_to(self, status: Status, *, by, reason: str, fields: tuple[str, ...] = ()) -> None:
        """Take one step of NEXT and record who and why. Raises Refused for any other step."""
        if status not in self.NEXT.get(self.Status(self.status), ()):
            raise Refused(
                f"“{self.filename}” is {self.get_status_display().lower()}: "
                f"it cannot become {self.Status(status).label.lower()}."
            )
        self.status = status
        self._history_user, self._change_reason = by, reason[:100]
        self.save(update_fields=["status", *fields])
