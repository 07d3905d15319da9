"""Papers that left the house, kept as they were handed out."""

from django.conf import settings
from django.db import models

from lms.loans.models.loans import Loan


class IssuedDocument(models.Model):
    """One printed paper about a loan. What it said never changes; further prints say COPY."""

    class Kind(models.TextChoices):
        PAYOFF = "payoff", "Payoff quote"
        CLEARANCE = "clearance", "Clearance letter"

    LETTERS = {Kind.PAYOFF: "PQ", Kind.CLEARANCE: "CL"}

    kind = models.CharField(max_length=9, choices=Kind)
    loan = models.ForeignKey(Loan, models.PROTECT, related_name="documents")
    body = models.TextField(editable=False)
    prints = models.PositiveIntegerField("times printed", default=0, editable=False)
    issued_on = models.DateField("issued")
    issued_at = models.DateTimeField("recorded", auto_now_add=True)
    issued_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-pk"]
        verbose_name = "issued document"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"

    @property
    def number(self) -> str:
        return f"{self.LETTERS[self.kind]}{self.pk:06d}" if self.pk else "(new)"
