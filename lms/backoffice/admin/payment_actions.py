"""What may be done with a payment that was received: place it, take it back, reverse it, ask."""

from django import forms
from django.http import HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from lms import dates, phones, routing
from lms.backoffice.admin.mpesa_asking import Asking
from lms.backoffice.admin.mpesa_reversals import SendingBack
from lms.backoffice.forms import ReasonDialog, StaffDialog
from lms.loans.models import Loan
from lms.loans.operations import collection
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.payments.models import Payment

Status = Payment.Status


class MatchDialog(StaffDialog):
    """Says whose money it is. What is known of the payment stands above the field."""

    account = forms.CharField(
        label="Loan number",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "placeholder": "LN000123"}),
    )

    @property
    def subject(self) -> str:
        payment = Payment.objects.get(pk=self.object_id)
        payer = " ".join(filter(None, [payment.payer_name, phones.show_payer(payment.payer_phone)]))
        return (
            f"{payment.number}: {kes(payment.amount)} by {payment.get_method_display()} "
            f"{payment.reference or ''} on {dates.show(payment.value_date)}"
            f"{f', from {payer}' if payer else ''}, account typed “{payment.account or '-'}”."
        )

    def clean_account(self) -> str:
        account = self.cleaned_data["account"]
        self.loan = Loan.objects.seen_by(self.request.user).meant_by(account).get(account)
        if self.loan is None:
            raise forms.ValidationError(
                f"There is no loan “{account}”. Numbers look like LN000123."
            )
        return account


def match(payment: Payment, *, by, on, account: str, loan: Loan) -> Payment:
    """Place a payment on the chosen loan and tell its customer. Raises Refused."""
    placed = routing.match(payment, loan, by=by, on=on)
    routing.tell(placed, now=dates.now())
    return placed


class PaymentActions(SendingBack, Asking):
    """What may be done with a payment that was received."""

    actions_detail = (
        "print_receipt",
        "place_here",
        "match_to",
        "take_back",
        "reverse",
        "send_back",
        "ask_safaricom",
    )
    actions_row = ("print_receipt", "match_to", "take_back", "reverse")
    offers = {
        "place_here": lambda payment: False,  # it stands beside each candidate
        "match_to": lambda payment: (
            payment.status == Status.UNALLOCATED and not payment.is_going_back
        ),
        "take_back": lambda payment: payment.status == Status.ALLOCATED,
        "reverse": lambda payment: payment.status != Status.REVERSED and not payment.is_going_back,
        "send_back": lambda payment: (
            payment.method == Payment.Method.MPESA
            and payment.status == Status.UNALLOCATED
            and not payment.is_going_back
        ),
        "ask_safaricom": lambda payment: (
            payment.method == Payment.Method.MPESA and bool(payment.reference)
        ),
    }

    def has_match_permission(self, request, obj=None):
        return request.user.has_perm("payments.match_payment")

    def has_reverse_permission(self, request, obj=None):
        return request.user.has_perm("payments.reverse_payment")

    @action(
        description="Print receipt", permissions=["view"], icon="print", attrs={"target": "_blank"}
    )
    def print_receipt(self, request, object_id):
        return HttpResponseRedirect(reverse("admin:payments_payment_receipt", args=[object_id]))

    @action(
        description="Match to…",
        permissions=["match"],
        icon="join",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Match to a loan",
            "description": "The money pays the oldest dues of that loan first.",
            "form_class": MatchDialog,
            "form_submit_text": "Match",
        },
    )
    def match_to(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            match,
            form,
            loan=form.loan,
            done=lambda payment: f"{payment.number} is placed on {form.loan.number}.",
        )

    @action(
        description="Return to unallocated",
        permissions=["match"],
        icon="undo",
        dialog={
            "title": "Take this payment off its loan",
            "description": "Everything it paid is owed again. It waits for a person to place it.",
            "form_class": ReasonDialog,
            "form_submit_text": "Return to unallocated",
        },
    )
    def take_back(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            collection.take_back,
            form,
            done=lambda payment: f"{payment.number} waits unallocated.",
        )

    @action(
        description="Reverse",
        permissions=["reverse"],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reverse this payment",
            "description": "For money that never was: a bounced cheque, a receipt typed twice. "
            "Everything it paid is owed again.",
            "form_class": ReasonDialog,
            "form_submit_text": "Reverse",
        },
    )
    def reverse(self, request, form, object_id):
        return self.perform(
            request, object_id, collection.reverse_payment, form, done="The payment is reversed."
        )

    @action(
        description="Ask Safaricom",
        permissions=["ask"],
        icon="travel_explore",
        dialog={
            "title": "Ask Safaricom about this receipt",
            "description": "What Safaricom knows of it appears on this page, under Inquiries. "
            "Nothing is booked twice by asking.",
            "form_class": StaffDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_safaricom(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            lambda payment, *, by, on: mpesa.ask_about(payment, by=by, at=dates.now()),
            form,
            done=lambda inquiry: f"{inquiry.number}: {inquiry.get_status_display().lower()}.",
        )
