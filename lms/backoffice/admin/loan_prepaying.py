"""Principal paid before it is due: both ways are shown before one of them is taken."""

from datetime import date
from uuid import uuid4

from django import forms
from django.db.models import Q
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from lms import dates, routing
from lms.backoffice.admin.loan_actions import method_field, reference_field
from lms.backoffice.admin.loan_changes import PREVIEWS, PreviewedDialog, told_of
from lms.backoffice.forms import date_field, money_field
from lms.loans.models import Loan, LoanChange
from lms.loans.operations import prepaying
from lms.payments import operations as payments
from lms.payments.models import Payment

NEW_MONEY = ("amount", "method", "reference", "value_date")


class PrepayDialog(PreviewedDialog):
    """A cashier's fields, or a payment that waits; under them what each way leaves."""

    verb = "prepay"
    waiting = forms.ModelChoiceField(
        Payment.objects.none(),
        required=False,
        label="Payment that waits",
        empty_label="None: new money",
        widget=UnfoldAdminSelectWidget,
        help_text="Unallocated money of this customer. It counts from the day it was paid.",
    )
    amount = money_field("Amount (KES)")
    method = method_field()
    reference = reference_field()
    value_date = date_field("Paid on", initial=dates.today)
    keep = forms.ChoiceField(
        label="What is left",
        choices=[
            ("instalment", "fewer instalments of the same amount"),
            ("term", "as many instalments, each lower"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    request_key = forms.CharField(
        max_length=64, widget=forms.HiddenInput, initial=lambda: uuid4().hex
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        theirs = Q(customer=self.loan.customer_id) | Q(account__iexact=self.loan.number)
        self.fields["waiting"].queryset = Payment.objects.placeable().filter(theirs)
        if not self.fields["waiting"].queryset.exists():
            del self.fields["waiting"]
        if self.is_bound and self.data.get("waiting"):
            for name in NEW_MONEY:
                self.fields[name].required = False

    @property
    def is_unanswered(self) -> bool:
        return not (self.data.get("amount") or self.data.get("waiting"))


def previewed(loan: Loan, answers: dict) -> dict:
    """Return what the answers of the dialog would make of a loan, both ways. Raises Refused."""
    amount, on = answers.get("amount"), answers.get("value_date")
    if waiting := answers.get("waiting"):
        amount, on = waiting.amount, waiting.value_date
    return {"prepaid": prepaying.preview(loan, amount=amount, on=on).values()}


def prepay(
    loan: Loan, *, keep: str, by, on: date, waiting: Payment | None = None, **answers
) -> LoanChange:
    """Prepay principal with a payment that waits or with new money, and tell the customer.

    Raises Refused before anything is received where the money prepays nothing.
    """
    payment = waiting
    if payment is None:
        if again := Payment.objects.filter(request_key=answers["request_key"]).first():
            payment = again
        else:
            day = answers["value_date"]
            prepaying.plan(loan, amount=answers["amount"], keep=keep, on=day)
            payment = payments.receive(
                account=loan.number,
                branch=loan.branch,
                customer=loan.customer,
                by=by,
                on=on,
                **answers,
            )
        if change := loan.changes.filter(payment=payment, undone_on=None).first():
            return change
    change = prepaying.prepay(loan, payment=payment, keep=keep, by=by, on=on)
    payment.refresh_from_db()
    routing.tell(payment, now=dates.now())
    return change


PREVIEWS["prepay"] = (PrepayDialog, "loans.settle_loan", previewed)


class LoanPrepaying:
    """The verb of the loan page for money that is to pay principal ahead of time."""

    def has_prepay_permission(self, request, obj=None):
        return request.user.has_perm("loans.settle_loan")

    @action(
        description="Prepay principal",
        permissions=["prepay", "take"],
        icon="price_check",
        dialog={
            "title": "Prepay principal",
            "description": "What is due is paid first. The rest pays principal, and the "
            "instalments to come are made anew.",
            "form_class": PrepayDialog,
            "form_submit_text": "Prepay",
        },
    )
    def prepay(self, request, form, object_id):
        return self.perform(request, object_id, prepay, form, done=told_of)
