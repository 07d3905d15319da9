"""Paying out by M-Pesa from the pages of a loan and a customer: a dialog, one call, one page."""

from datetime import date
from decimal import Decimal

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from lms import dates, money, phones
from lms.backoffice import mpesa_float
from lms.backoffice.admin.loan_actions import LoanDialog
from lms.backoffice.admin.refunds import credit_of
from lms.backoffice.forms import StaffDialog, money_field
from lms.customers.models import Customer
from lms.errors import Refused
from lms.money import ZERO, kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import MpesaBalance
from lms.payments.models import Payout
from lms.payouts import operations
from lms.payouts.models import PayoutBatch
from lms.words import counted

TOLD = {
    Payout.Status.ON_ITS_WAY: "is on its way. Safaricom says within seconds whether it arrived.",
    Payout.Status.PAID: "has arrived.",
}


def float_note() -> str:
    """Say what the account holds that payouts leave from, as far as Safaricom told."""
    known = [each for each in MpesaBalance.objects.latest_known() if mpesa_float.is_float(each)]
    if not known:
        return ""
    each = known[0]
    age = mpesa_float.age_of(mpesa_float.standings([each], now=dates.now(), with_books=False)[0])
    return f" The utility account held {kes(each.current)} {age}."


def in_parts(amount: Decimal) -> str:
    """Say in which payments a sum goes, where one is not enough."""
    parts = mpesa.parts_of(amount)
    if len(parts) == 1:
        return ""
    sums = " and ".join(kes(part) for part in parts)
    return f" It is more than one payment may be, so it goes as {sums}."


class SendDialog(LoanDialog):
    """Shows to whom how much is sent, and in how many payments, before it is."""

    @property
    def subject(self) -> str:
        offer = operations.offer(self.loan, on=dates.today())
        if offer.refusal:
            return offer.refusal
        who = f"{self.loan.customer.name}, {phones.show(self.loan.customer.phone)}"
        return (
            f"{super().subject}: {kes(offer.amount)} is sent to {who}."
            f"{in_parts(offer.amount)}{float_note()}"
        )


class SendCreditDialog(StaffDialog):
    amount = money_field("Amount (whole KES)")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.customer = Customer.objects.get(pk=self.object_id)
        self.credit = credit_of(self.customer)
        if not self.is_bound and self.credit:
            self.initial["amount"] = Decimal(int(self.credit))

    @property
    def subject(self) -> str:
        phone = phones.show(self.customer.phone)
        return f"{self.customer}: {kes(self.credit)} of credit is held. It is sent to {phone}."


class BatchDialog(StaffDialog):
    note = forms.CharField(
        label="Note for the second person",
        max_length=200,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )


class Sending:
    """Gives a page what every payout by M-Pesa needs."""

    def show_payout(self, request: HttpRequest, payout: Payout) -> HttpResponse:
        """Go to the page of a payout that was just sent, where its fate appears by itself."""
        if payout.status in TOLD:
            messages.success(request, f"{payout} {TOLD[payout.status]}")
        else:
            messages.error(
                request, f"{payout} was not sent: {operations.why_failed(payout).rstrip('.')}."
            )
        page = reverse("admin:payments_payout_change", args=[payout.pk])
        return HttpResponse(headers={"HX-Redirect": page})

    def send_and_show(self, request: HttpRequest, form, object_id, send, **answers):
        record = self.get_object(request, str(object_id))
        if record is None:
            raise Http404
        try:
            payout = send(record, by=request.user, on=dates.today(), at=dates.now(), **answers)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        return self.show_payout(request, payout)


class LoanSending(Sending):
    """Pays approved loans out by M-Pesa, singly and together."""

    @action(
        description="Pay out by M-Pesa",
        permissions=["disburse"],
        icon="send_to_mobile",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Pay this loan out by M-Pesa",
            "description": "It is sent to the customer's phone at once, and cannot be called back. "
            "If Safaricom does not pay it, the loan is approved again.",
            "form_class": SendDialog,
            "form_submit_text": "Send the money",
        },
    )
    def send_payout(self, request, form, object_id):
        return self.send_and_show(request, form, object_id, operations.send_loan)

    @action(description="Pay out by M-Pesa together", permissions=["disburse"])
    def send_together(self, request, queryset):
        """Prepare a batch of the chosen loans, for a second person to approve."""
        on = dates.today()
        loans = queryset.select_related("customer", "refinances").order_by("pk")
        offers = operations.offers(loans[: operations.MOST_IN_BATCH], on=on)
        total = sum((offer.amount for offer in offers), ZERO)
        refused = [offer.refusal for offer in offers if offer.refusal]
        description = (
            f"{counted(len(offers), 'loan')}, {kes(total)} in all, to the phones of the customers. "
            "Nothing is sent before a second person approves it."
        )
        if refused:
            description += f" Not possible: {' '.join(refused)}"
        return self.perform_bulk(
            request,
            queryset,
            _prepare,
            BatchDialog,
            title="Pay these loans out by M-Pesa",
            description=description,
            submit="Ask for approval",
            done=lambda batch: f"{batch} waits for approval.",
        )


def _prepare(rows, *, note: str, by, on: date) -> PayoutBatch:
    loans = list(rows.select_related("customer", "refinances").order_by("pk"))
    return operations.prepare_batch(loans, note=note, by=by, on=on, at=dates.now())


class CreditSending(Sending):
    """Pays a customer's credit back by M-Pesa."""

    @action(
        description="Refund credit by M-Pesa",
        permissions=["refund"],
        icon="send_to_mobile",
        dialog={
            "title": "Send credit back by M-Pesa",
            "description": "By someone else than who took those payments. It cannot be called "
            "back; what Safaricom does not pay is credit again.",
            "form_class": SendCreditDialog,
            "form_submit_text": "Send the money",
        },
    )
    def send_credit(self, request, form, object_id):
        amount = money.money(form.cleaned_data["amount"])
        return self.send_and_show(request, form, object_id, operations.send_credit, amount=amount)


class PayoutSending(Sending):
    """Sees to a payout by M-Pesa that did not arrive, or only in part, on its page."""

    def has_disburse_permission(self, request: HttpRequest, obj=None) -> bool:
        """Whoever may pay out what it is: a loan, or credit."""
        if obj is None:
            return request.user.has_perm("loans.disburse_loan")
        payout = self.record_of(request, obj)
        is_refund = payout is not None and payout.kind == Payout.Kind.REFUND
        wanted = "payments.refund_payment" if is_refund else "loans.disburse_loan"
        return request.user.has_perm(wanted)

    @action(
        description="Send the rest again",
        permissions=["disburse"],
        icon="replay",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Send again what did not arrive",
            "description": "Safaricom said that it was not paid. It is sent to the customer's "
            "phone as it stands now.",
            "form_class": StaffDialog,
            "form_submit_text": "Send the money",
        },
    )
    def send_rest(self, request, form, object_id):
        return self.send_and_show(request, form, object_id, operations.send_rest)

    @action(
        description="Take back",
        permissions=["disburse"],
        icon="undo",
        dialog={
            "title": "Take this payout back",
            "description": "Nothing arrived: the loan is approved again, or the credit is back.",
            "form_class": StaffDialog,
            "form_submit_text": "Take back",
        },
    )
    def take_back(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            operations.take_back,
            form,
            done=lambda payout: f"{payout} is taken back.",
        )
