"""Money in and out: the cashier's four fields, the receipt, and the queue nobody claimed yet."""

from uuid import uuid4

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from lms import dates, money, phones, routing
from lms.backoffice.admin.imports import ImportLink
from lms.backoffice.admin.loan_actions import due_now
from lms.backoffice.admin.mpesa_asking import Asking
from lms.backoffice.admin.mpesa_payouts import B2C_COLOURS
from lms.backoffice.admin.mpesa_reversals import SendingBack
from lms.backoffice.admin.mpesa_story import INQUIRY_COLOURS, story_of_payment, story_of_payout
from lms.backoffice.admin.refunds import UndoRefund
from lms.backoffice.admin.sending import PayoutSending
from lms.backoffice.admin.suggesting import Suggesting, SuggestionFilter
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.by_operation import AddsByForm, OperationForm
from lms.backoffice.forms import ReasonDialog, StaffDialog
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.loans.operations import collection
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Inquiry
from lms.payments.models import Method, Payment, Payout, normal_reference

Status = Payment.Status
GOING_BACK = "Going back"
COLOURS = {
    "Unallocated": "warning",
    "Allocated": "success",
    "Reversed": "danger",
    GOING_BACK: "info",
}
MOST_FOUND = 500


# --- Taking money ------------------------------------------------------------------------
class PaymentForm(OperationForm):
    """A cashier's four fields. Receives and places the payment.

    Whether a reference was posted before is known only to the database, so the operation decides
    and its refusals are the form's errors. The key makes a second click the same payment.
    """

    form_key = forms.CharField(max_length=64, widget=forms.HiddenInput)

    class Meta:
        model = Payment
        fields = (
            "account", "amount", "method", "reference", "value_date", "payer_name", "note",
        )  # fmt: skip

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("form_key", uuid4().hex)
        self.initial.setdefault("value_date", dates.today())
        self.fields["method"].choices = Method.choices
        self.fields["account"].required = True
        self.fields["account"].label = "Loan number"

    def carry_out(self, answers: dict) -> Payment:
        return routing.take(
            request_key=answers.pop("form_key"),
            by=self.staff,
            on=dates.today(),
            branch=self.staff.branch,
            **answers,
        )

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors:
            routing.tell(self.instance, now=dates.now())


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


# --- Export ------------------------------------------------------------------------------
class PaymentResource(ModelResource):
    number = Field(column_name="number", attribute="number", readonly=True)
    customer = Field(column_name="customer", attribute="customer__name")
    branch = Field(column_name="branch", attribute="branch__code")
    taken_by = Field(column_name="taken_by", attribute="taken_by__username")

    class Meta:
        model = Payment
        fields = (
            "number", "value_date", "method", "reference", "amount", "account", "customer",
            "payer_name", "payer_phone", "status", "allocated", "credited", "refunded",
            "branch", "taken_by", "received_at", "note",
        )  # fmt: skip
        export_order = fields

    def dehydrate_payer_phone(self, payment) -> str:
        """Leave a hash out of the file: it is as private as the phone."""
        return "" if len(payment.payer_phone) == phones.HASH_LENGTH else payment.payer_phone


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


class InquiryInline(ReadOnlyTabular):
    """What was asked of Safaricom about a payment, and what it said."""

    model = Inquiry
    fields = ("asked_at", "asked_by", "shown_status", "shown_finding", "payer", "answered_at")
    readonly_fields = ("shown_status", "shown_finding")
    verbose_name_plural = "Inquiries"

    @display(description="Status", label=INQUIRY_COLOURS)
    def shown_status(self, inquiry):
        return inquiry.get_status_display()

    @display(description="What Safaricom says")
    def shown_finding(self, inquiry):
        return inquiry.finding


# --- The page ----------------------------------------------------------------------------
@admin.register(Payment)
class PaymentAdmin(ImportLink, Suggesting, PaymentActions, AddsByForm, Totals, StaffAdmin):
    import_kind = "payments"
    add_form = PaymentForm
    resource_classes = (PaymentResource,)
    list_display = ("receipt_number", "value_date", "method", "shown_reference", "shown_amount",
                    "payer", "account", "shown_status", "credit")  # fmt: skip
    list_select_related = ("customer", "branch", "taken_by")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        SuggestionFilter,
        ("method", ChoicesDropdownFilter),
        ("value_date", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    search_fields = ("reference",)
    search_help_text = "RC000034, M-Pesa receipt, slip or loan number, phone, or customer's name"
    ordering = ("-pk",)
    sortable_by = ()
    add_form_template = "admin/payments/add_form.html"
    change_form_outer_before_template = "admin/payments/receipt.html"
    change_form_outer_after_template = "admin/payments/story_slot.html"
    add_fieldsets = (
        ("Payment", {"fields": ("account", ("amount", "method"), "reference", "form_key")}),
        (
            "Details",
            {"classes": ["collapse"], "fields": ("value_date", "payer_name", "note")},
        ),
    )
    fieldsets = (
        (
            "Details",
            {
                "fields": (
                    ("method", "reference"),
                    ("value_date", "received_at"),
                    ("account", "customer"),
                    ("payer_name", "shown_phone"),
                    ("branch", "taken_by"),
                    "note",
                )
            },
        ),
    )
    readonly_fields = ("shown_phone", "received_at", "taken_by")

    # --- Taking money --------------------------------------------------------------------------
    def get_readonly_fields(self, request, obj=None):
        return self.readonly_fields if obj else ()

    def get_inlines(self, request, obj):
        return (InquiryInline,) if obj and obj.inquiries.exists() else ()

    def get_changeform_initial_data(self, request):
        asked = super().get_changeform_initial_data(request)
        return {"account": asked.get("account", "")}

    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path("hint/", view(self.hint_view), name="payments_payment_hint"),
            path("<int:pk>/receipt/", view(self.receipt_view), name="payments_payment_receipt"),
            path("<int:pk>/story/", view(self.story_view), name="payments_payment_story"),
            *super().get_urls(),
        ]

    def story_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that tells everything that happened to a payment."""
        payment = self.get_object(request, str(pk))
        if payment is None:
            raise Http404
        if not self.has_view_permission(request, payment):
            raise PermissionDenied
        story = story_of_payment(payment, request.user)
        return render(request, "admin/payments/story.html", {"story": story})

    def hint_view(self, request: HttpRequest) -> HttpResponse:
        """Say whose loan is being typed and what is due on it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        typed = request.GET.get("account", "").strip()
        loans = Loan.objects.seen_by(request.user).select_related("customer", "position")
        loan = loans.meant_by(typed).get(typed)
        due = due_now(loan, on=dates.today()) if loan else None
        return render(
            request, "admin/payments/hint.html", {"typed": typed, "loan": loan, "due": due}
        )

    # --- The receipt ---------------------------------------------------------------------------
    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        payment = self.get_object(request, object_id) if object_id else None
        told = {}
        if payment:
            told = {
                "receipt": receipt_of(payment),
                "suggestion": self.candidates_of(request, payment),
            }
        return super().changeform_view(
            request, object_id, form_url, {**told, **(extra_context or {})}
        )

    def receipt_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The receipt for the customer, on A4 or on an 80 mm roll."""
        payment = self.get_object(request, str(pk))
        if payment is None:
            raise Http404
        if not self.has_view_permission(request, payment):
            raise PermissionDenied
        return render(request, "admin/payments/printed.html", {"receipt": receipt_of(payment)})

    # --- Lists ---------------------------------------------------------------------------------
    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        """Find keys by an index first: receipt, reference, phone, loan, then the customer."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if found := list(Payment.objects.numbered(term).values_list("pk", flat=True)):
            return queryset.filter(pk__in=found), False
        if queryset.filter(reference=normal_reference(term)).exists():
            return queryset.filter(reference=normal_reference(term)), False
        if loan := Loan.objects.known_as(term).first():
            keys = loan_payments(loan)
            return queryset.filter(pk__in=keys), False
        customers = list(Customer.objects.matching(term).values_list("pk", flat=True)[:MOST_FOUND])
        found = queryset.filter(customer_id__in=customers)
        if phone := phones.parse(term):
            keys = queryset.filter(payer_phone=phone).values_list("pk", flat=True)
            keys = {*found.values_list("pk", flat=True)[:MOST_FOUND], *keys[:MOST_FOUND]}
            found = queryset.filter(pk__in=keys)
        return found, False

    def totals_of(self, rows):
        sums = rows.select_related(None).aggregate(
            count=Count("pk"),
            amount=money.total("amount"),
            allocated=money.total("allocated"),
            credited=money.total("credited"),
            refunded=money.total("refunded"),
        )
        waiting = rows.unallocated().select_related(None).aggregate(sum=money.total("amount"))
        return [
            ("Payments", f"{sums['count']:,}"),
            ("Received", kes(sums["amount"])),
            ("Allocated", kes(sums["allocated"])),
            ("Held as credit", kes(sums["credited"])),
            ("Paid back", kes(sums["refunded"])),
            ("Unallocated", kes(waiting["sum"])),
        ]

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Receipt")
    def receipt_number(self, payment):
        return payment.number

    @display(description="Reference")
    def shown_reference(self, payment):
        return payment.reference or "-"

    @display(description="Amount")
    def shown_amount(self, payment):
        return kes(payment.amount)

    @display(description="From")
    def payer(self, payment):
        return (payment.customer and payment.customer.name) or payment.payer_name or "-"

    @display(description="Payer's phone")
    def shown_phone(self, payment):
        return phones.show_payer(payment.payer_phone) or "-"

    @display(description="Status", label=COLOURS)
    def shown_status(self, payment):
        return state_of(payment)

    @display(description="Credit")
    def credit(self, payment):
        return kes(payment.credited) if payment.credited else "-"


def loan_payments(loan: Loan) -> list[int]:
    """Return the keys of the payments that were placed on a loan or typed for it."""
    placed = Payment.objects.filter(
        Q(allocations__repayment__loan=loan) | Q(fee_payments__loan=loan)
    ).order_by()
    typed = Payment.objects.filter(customer_id=loan.customer_id, account__iexact=loan.number)
    return list(
        {
            *placed.values_list("pk", flat=True).distinct()[:MOST_FOUND],
            *typed.values_list("pk", flat=True)[:MOST_FOUND],
        }
    )


def state_of(payment: Payment) -> str:
    """Return how a payment stands, as staff read it."""
    return GOING_BACK if payment.is_going_back else payment.get_status_display()


def receipt_of(payment: Payment) -> dict:
    """Return what a receipt says: where each shilling went, and what is owed afterwards."""
    parts = payment.allocations.select_related("repayment__loan__position").order_by("pk")
    standing = [part for part in parts if not part.reverses_id]
    taken_back = {part.reverses_id for part in parts if part.reverses_id}
    loans = {part.repayment.loan_id: part.repayment.loan for part in standing}
    return {
        "payment": payment,
        "status": state_of(payment),
        "colour": COLOURS[state_of(payment)],
        "reversal": payment.reversals.first(),
        "lines": [
            (part.repayment, part.get_component_display(), part.amount, part.pk in taken_back)
            for part in standing
        ],
        "fees": payment.fee_payments.select_related("loan"),
        "loans": list(loans.values()),
        "unallocated": payment.unallocated,
    }


# --- Money out ---------------------------------------------------------------------------
PAYOUT_COLOURS = {
    Payout.Status.ON_ITS_WAY.label: "info",
    Payout.Status.PARTLY.label: "warning",
    Payout.Status.FAILED.label: "warning",
    Payout.Status.PAID.label: "success",
    Payout.Status.REVERSED.label: "danger",
}


@admin.register(Payout)
class PayoutAdmin(PayoutSending, UndoRefund, Totals, StaffAdmin):
    """What was paid to customers: loans, further parts of them, credit given back."""

    change_form_outer_before_template = "admin/payments/payout_slot.html"
    list_display = ("shown_number", "paid_on", "kind", "shown_state", "method", "reference",
                    "shown_amount", "customer_name", "subject", "branch", "paid_by")  # fmt: skip
    list_select_related = ("customer", "branch", "paid_by")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("method", ChoicesDropdownFilter),
        ("paid_on", RangeDateFilter),
    )
    search_fields = ("subject",)
    search_help_text = "PO000012, loan number, reference, or the customer's phone, ID or name"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Payout",
            {
                "fields": (
                    ("kind", "subject"),
                    ("customer", "branch"),
                    ("shown_amount", "shown_arrived"),
                    ("method", "reference"),
                    ("paid_on", "entry"),
                    ("paid_by", "paid_at"),
                    "reversed_on",
                )
            },
        ),
    )
    readonly_fields = ("shown_amount", "shown_arrived")

    def get_urls(self):
        view = self.admin_site.admin_view(self.fate_view)
        return [path("<int:pk>/fate/", view, name="payments_payout_fate"), *super().get_urls()]

    def fate_view(self, request, pk: int):
        """The part of the page that follows a payout by M-Pesa until its fate is known."""
        payout = self.get_object(request, str(pk))
        if payout is None or not self.has_view_permission(request, payout):
            raise Http404
        parts = list(payout.parts.order_by("pk"))
        for part in parts:
            part.colour = B2C_COLOURS[part.get_status_display()]
        return render(
            request,
            "admin/payments/payout_fate.html",
            {
                "payout": payout,
                "colour": PAYOUT_COLOURS[payout.get_status_display()],
                "parts": parts,
                "story": story_of_payout(payout, parts, request.user),
                "follows": payout.status == Payout.Status.ON_ITS_WAY,
            },
        )

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if (found := queryset.numbered(term)).exists():
            return found, False
        if key := Loan.key_of(term):
            return queryset.filter(subject=f"LN{key:06d}"), False
        if queryset.filter(reference=normal_reference(term)).exists():
            return queryset.filter(reference=normal_reference(term)), False
        customers = Customer.objects.matching(term).values_list("pk", flat=True)[:MOST_FOUND]
        return queryset.filter(customer_id__in=list(customers)), False

    def totals_of(self, rows):
        sums = rows.aggregate(count=Count("pk"), amount=money.total("amount"))
        return [("Payouts", f"{sums['count']:,}"), ("Paid out", kes(sums["amount"]))]

    @display(description="State", label=PAYOUT_COLOURS)
    def shown_state(self, payout):
        return payout.get_status_display()

    @display(description="Payout")
    def shown_number(self, payout):
        return payout.number

    @display(description="Amount")
    def shown_amount(self, payout):
        return kes(payout.amount)

    @display(description="Arrived")
    def shown_arrived(self, payout):
        return kes(payout.arrived)

    @display(description="Customer")
    def customer_name(self, payout):
        return payout.customer.name
