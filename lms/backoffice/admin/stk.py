"""Asking a customer's phone for money, from a loan, an instalment or a customer."""

from decimal import Decimal
from urllib.parse import urlsplit
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from lms import dates, money, phones, routing
from lms.backoffice.admin.loan_actions import due_now
from lms.backoffice.admin.mpesa_live import Live
from lms.backoffice.forms import StaffDialog
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Loan, Repayment
from lms.money import SHILLING, UP, ZERO, kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import MpesaPayment

LARGEST = 250_000  # what M-Pesa takes in one transaction
DESCRIPTION = "Loan payment"


class StkPushDialog(StaffDialog):
    """Phone and amount, filled in with what is due. The key makes a second click the same push."""

    phone = forms.CharField(
        label="Phone to ask",
        max_length=20,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel"}),
    )
    amount = forms.IntegerField(
        label="Amount (whole KES)",
        min_value=1,
        max_value=LARGEST,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    request_key = forms.CharField(
        max_length=64, widget=forms.HiddenInput, initial=lambda: uuid4().hex
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        loan, due = self.asked_for()
        if loan is None:
            return
        self.subject = f"{loan.number} · {loan.customer.name}: {kes(due)} is due."
        self.initial.setdefault("phone", phones.show(loan.customer.phone))
        if due:
            whole = money.money(due, SHILLING, UP)
            self.initial.setdefault("amount", min(int(whole), LARGEST))

    def asked_for(self) -> tuple[Loan | None, Decimal]:
        """Return the loan that would be paid, and how much to propose (KES)."""
        loan = Loan.objects.select_related("customer").get(pk=self.object_id)
        return loan, due_now(loan, on=dates.today())

    def clean_phone(self) -> str:
        try:
            return phones.normalise(self.cleaned_data["phone"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class InstalmentPushDialog(StkPushDialog):
    def asked_for(self) -> tuple[Loan | None, Decimal]:
        row = Repayment.objects.select_related("loan__customer").get(pk=self.object_id)
        return row.loan, row.outstanding


class CustomerPushDialog(StkPushDialog):
    """Asks for which of the customer's running loans; the oldest unless told."""

    account = forms.ChoiceField(label="Loan to pay", widget=UnfoldAdminSelectWidget)
    field_order = ("account", "phone", "amount")

    def asked_for(self) -> tuple[Loan | None, Decimal]:
        on = dates.today()
        loans = Loan.objects.active().filter(customer_id=self.object_id).select_related("customer")
        dues = [(loan, due_now(loan, on=on)) for loan in loans.order_by("pk")]
        self.fields["account"].choices = [
            (loan.number, f"{loan.number}: {kes(due)} is due") for loan, due in dues
        ]
        return dues[0] if dues else (None, ZERO)


def loan_of(record: Loan | Repayment | Customer, account: str) -> Loan:
    """Return the loan that a record is about. Raises Refused for one that takes no money now."""
    if isinstance(record, Repayment):
        if record.is_paid:
            raise Refused("Repayment is already paid.")
        loan = record.loan
    elif isinstance(record, Customer):
        loan = Loan.objects.filter(customer=record).get(pk=Loan.key_of(account))
    else:
        loan = record
    if not routing.takes_money(loan):
        raise Refused(f"{loan.number} is {loan.get_status_display().lower()}: nothing to collect.")
    return loan


def push(
    record: Loan | Repayment | Customer,
    *,
    by,
    phone: str,
    amount: int,
    request_key: str,
    account: str = "",
) -> MpesaPayment:
    """Ask the phone to pay on the loan of a record; of a customer, on the one with this number.

    A key that was used before returns the push it made. Raises Refused.
    """
    loan = loan_of(record, account)
    return mpesa.push(
        phone=phone,
        amount=Decimal(amount),
        account=loan.number,
        description=DESCRIPTION,
        customer=loan.customer,
        by=by,
        at=dates.now(),
        request_key=request_key,
    )


class StkPush(Live):
    """Gives a page the action; the page lists `stk_push` and names the dialog of its model."""

    def has_collect_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("loans.collect_loan")

    def push_and_show(self, request: HttpRequest, form: StkPushDialog, object_id) -> HttpResponse:
        """Send the push and stay on the record's page, where its fate appears by itself.

        From a list it leads to the page of the push.
        """
        record = self.get_object(request, str(object_id))
        if record is None:
            raise Http404
        answers = {k: v for k, v in form.cleaned_data.items() if not k.startswith("_")}
        try:
            asked = push(record, by=request.user, **answers)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        if asked.status == MpesaPayment.Status.FAILED:
            messages.error(request, f"{asked} was not sent: {asked.response_description}")
        else:
            messages.success(
                request,
                f"{phones.show(asked.phone)} was asked for {kes(asked.amount)}. "
                "The customer types the PIN; this page follows.",
            )
        own = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[record.pk]
        )
        here = self.back_from(request, record.pk)
        followed = reverse("admin:mpesa_mpesapayment_change", args=[asked.pk])
        return HttpResponse(
            headers={"HX-Redirect": here if urlsplit(here).path == own else followed}
        )


def stk_action(form_class: type[StkPushDialog]):
    """Return the action `stk_push` with the dialog of one model."""

    @action(
        description="Ask by M-Pesa (STK)",
        permissions=["collect"],
        icon="phone_iphone",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Ask the customer to pay by M-Pesa",
            "description": "The phone shows a prompt; the money lands on this loan.",
            "form_class": form_class,
            "form_submit_text": "Send the prompt",
        },
    )
    def stk_push(self, request, form, object_id):
        return self.push_and_show(request, form, object_id)

    return stk_push


class LoanStkPush(StkPush):
    stk_push = stk_action(StkPushDialog)


class RepaymentStkPush(StkPush):
    stk_push = stk_action(InstalmentPushDialog)


class CustomerStkPush(StkPush):
    stk_push = stk_action(CustomerPushDialog)
