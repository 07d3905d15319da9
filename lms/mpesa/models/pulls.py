"""The runs that ask Safaricom for payments whose confirmation never came."""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords


class PullQuerySet(models.QuerySet):
    def good(self) -> Self:
        """Pulls that read everything they asked for."""
        return self.filter(status=Pull.Status.DONE)


class Pull(models.Model):
    """One run over the payments of a window of time, and what it found. Kept to be read."""

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Not finished"

    REACHES_BACK = timedelta(hours=48)  # Safaricom tells nothing older
    OVERLAP = timedelta(hours=1)
    RUNS_AT_MOST = timedelta(minutes=10)  # one that took longer died

    started_at = models.DateTimeField("started", db_index=True)
    since = models.DateTimeField("from")
    until = models.DateTimeField("to")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    status = models.CharField(max_length=7, choices=Status, default=Status.RUNNING)
    pages = models.PositiveIntegerField(default=0)
    found = models.PositiveIntegerField("payments told", default=0)
    new = models.PositiveIntegerField("new to us", default=0)
    code = models.CharField(max_length=40, blank=True)
    message = models.CharField("in Safaricom's words", max_length=200, blank=True)
    finished_at = models.DateTimeField("finished", null=True, blank=True)
    history = HistoricalRecords()

    objects = PullQuerySet.as_manager()

    class Meta:
        verbose_name = "M-Pesa pull"
        ordering = ["-pk"]
        permissions = [("run_pull", "Can ask Safaricom for payments we missed")]
        indexes = [models.Index(fields=["status", "-until"], name="pull_by_status")]

    def __str__(self) -> str:
        return f"{self.number} · {self.get_status_display().lower()}"

    @property
    def number(self) -> str:
        return f"PL{self.pk:06d}" if self.pk else "PL(new)"

    @property
    def outcome(self) -> str:
        """Say in one line what became of the run."""
        if self.status == self.Status.DONE:
            return f"{self.found:,} told, {self.new:,} new"
        return " ".join(filter(None, [self.code, self.message])) or self.get_status_display()
