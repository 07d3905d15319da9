"""What customers paid of the fees of a loan before it was paid out."""

from decimal import Decimal
from typing import Self

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from lms import money
from lms.ledger.models import JournalEntry
from lms.loans.models.loans import Loan
from lms.money import ZERO, MoneyField
from lms.payments.models import Payment


class FeePaymentQuerySet(models.QuerySet):
    def standing(self) -> Self:
        """What still pays the fees of its loan."""
        return self.filter(ended_on=None)

    def placed(self) -> Self:
        """What was not taken back: it pays the fees, or became credit when the loan was ended."""
        return self.filter(entry__reversed_by=None)


class FeePayment(models.Model):
    """How much of a payment paid fees before the disbursement, and the excise duty on them.

    It ends when the payment is taken back, or when the loan is rejected or withdrawn: then
    `credit_entry` made it the customer's credit.
    """

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="fee_payments")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="fee_payments")
    fee = MoneyField("fees (KES)", default=ZERO)
    excise = MoneyField("excise duty (KES)", default=ZERO)
    paid_on = models.DateField("paid")
    entry = models.OneToOneField(JournalEntry, models.PROTECT, related_name="fee_payment")
    ended_on = models.DateField("taken back or made credit", null=True, editable=False)
    credit_entry = models.OneToOneField(
        JournalEntry, models.PROTECT, null=True, editable=False, related_name="fee_credit"
    )
    history = HistoricalRecords()

    objects = FeePaymentQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(fee__gte=0, excise__gte=0) & (Q(fee__gt=0) | Q(excise__gt=0)),
                name="fee_payment_positive",
            ),
            models.CheckConstraint(
                condition=Q(credit_entry=None) | Q(ended_on__isnull=False),
                name="fee_payment_credit_has_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{money.kes(self.amount)} of fees on {self.loan.number}"

    @property
    def amount(self) -> Decimal:
        return self.fee + self.excise
