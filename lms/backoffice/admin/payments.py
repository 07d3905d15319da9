"""Money in: the cashier's four fields, the receipt, and the queue nobody claimed yet."""

from uuid import uuid4

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from lms import dates, money, phones, routing
from lms.backoffice.admin.imports import ImportLink
from lms.backoffice.admin.loan_actions import due_now
from lms.backoffice.admin.mpesa_story import INQUIRY_COLOURS, story_of_payment
from lms.backoffice.admin.payment_actions import PaymentActions
from lms.backoffice.admin.suggesting import Suggesting, SuggestionFilter
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.by_operation import AddsByForm, OperationForm
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import kes
from lms.mpesa.models import Inquiry
from lms.payments.models import Method, Payment, normal_reference

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
