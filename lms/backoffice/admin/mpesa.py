"""M-Pesa: what was asked of phones, what Safaricom sent, and what became of each."""

import json
from contextlib import suppress

from django.contrib import admin
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates, jobs, money, phones
from lms.backoffice.admin.mpesa_asking import Asking, ReceiptDialog
from lms.backoffice.admin.mpesa_inbox import Inbox, OutcomeFilter
from lms.backoffice.admin.mpesa_live import LiveView
from lms.backoffice.admin.mpesa_story import PUSH_COLOURS, explained, story_of_push
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import StaffDialog
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Loan
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, Inquiry, MpesaPayment
from lms.payments.models import normal_reference

Status = MpesaPayment.Status
MOST_FOUND = 500


# --- Requests ----------------------------------------------------------------------------
class CallbackInline(ReadOnlyTabular):
    model = Callback
    fields = ("received_at", "kind", "status", "receipt", "note")
    readonly_fields = fields
    verbose_name_plural = "what Safaricom sent"


@admin.register(MpesaPayment)
class MpesaPaymentAdmin(Asking, LiveView, Totals, StaffAdmin):
    """STK pushes. Made from a loan, an instalment or a customer; to be followed here."""

    list_display = ("shown_number", "requested_at", "shown_phone", "customer_name", "account",
                    "shown_amount", "shown_status", "shown_result", "receipt",
                    "requested_by")  # fmt: skip
    list_select_related = ("customer", "requested_by", "payment")
    list_filter = (("status", ChoicesDropdownFilter), ("requested_at", RangeDateTimeFilter))
    search_fields = ("account",)
    search_help_text = "MP000012, phone, loan number, receipt, or the customer's name"
    ordering = ("-pk",)
    sortable_by = ()
    change_form_outer_before_template = "admin/mpesa/push_slot.html"
    fieldsets = (
        (
            "Request",
            {
                "fields": (
                    ("shown_phone", "customer"),
                    ("shown_amount", "account"),
                    ("requested_by", "requested_at"),
                    ("queries", "queried_at"),
                    ("checkout_request_id", "merchant_request_id"),
                    ("result_code", "result_desc"),
                    ("shown_result", "shown_advice"),
                    ("response_code", "response_description"),
                )
            },
        ),
    )
    readonly_fields = ("shown_phone", "shown_amount", "shown_result", "shown_advice")
    inlines = (CallbackInline,)
    actions_detail = ("ask_safaricom", "ask_receipt")
    offers = {
        "ask_safaricom": lambda push: push.is_open and bool(push.checkout_request_id),
        "ask_receipt": lambda push: push.status != Status.PAID,
    }

    def get_urls(self):
        view = self.admin_site.admin_view(self.fate_view)
        return [path("<int:pk>/fate/", view, name="mpesa_mpesapayment_fate"), *super().get_urls()]

    def fate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that follows a request until its fate is known."""
        push = self.get_object(request, str(pk))
        if push is None or not self.has_view_permission(request, push):
            raise Http404
        return render(
            request,
            "admin/mpesa/push_fate.html",
            {
                "push": push,
                "explained": explained(push),
                "colour": PUSH_COLOURS[push.get_status_display()],
                "story": story_of_push(push, request.user),
                "follows": push.is_open or push.inquiries.filter(status__in=Inquiry.OPEN).exists(),
            },
        )

    def has_collect_permission(self, request, obj=None):
        return request.user.has_perm("loans.collect_loan")

    @action(
        description="Ask Safaricom now",
        permissions=["collect"],
        icon="sync",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Ask Safaricom what became of it",
            "description": "Nothing is paid twice by asking.",
            "form_class": StaffDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_safaricom(self, request, form, object_id):
        def ask(push, *, by, on):
            return mpesa.query_push(push, now=dates.now(), by=by)

        return self.perform(
            request,
            object_id,
            ask,
            form,
            done=lambda push: f"{push.number}: {push.get_status_display().lower()}.",
        )

    @action(
        description="Ask about a receipt",
        permissions=["ask"],
        icon="travel_explore",
        dialog={
            "title": "Ask Safaricom about the customer's receipt",
            "description": "The customer says it is paid: type the receipt of their message from "
            "M-Pesa. Money that the books do not have is booked when the answer comes, once.",
            "form_class": ReceiptDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_receipt(self, request, form, object_id):
        def ask(push, *, by, on, receipt):
            return mpesa.ask_payment(receipt, by=by, at=dates.now(), push=push)

        return self.perform(
            request,
            object_id,
            ask,
            form,
            done=lambda inquiry: f"{inquiry.number}: {inquiry.get_status_display().lower()}.",
        )

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.upper().startswith("MP") and (found := queryset.numbered(term)).exists():
            return found, False
        if phone := phones.parse(term):
            return queryset.filter(phone=phone), False
        if key := Loan.key_of(term):
            return queryset.filter(account=f"LN{key:06d}"), False
        if (found := queryset.filter(receipt=normal_reference(term))).exists():
            return found, False
        customers = Customer.objects.matching(term).values_list("pk", flat=True)[:MOST_FOUND]
        return queryset.filter(customer_id__in=list(customers)), False

    def totals_of(self, rows):
        sums = rows.select_related(None).aggregate(count=Count("pk"), asked=money.total("amount"))
        paid = rows.filter(status=Status.PAID).select_related(None)
        return [
            ("Requests", f"{sums['count']:,}"),
            ("Asked for", kes(sums["asked"])),
            ("Paid", kes(paid.aggregate(sum=money.total("amount"))["sum"])),
        ]

    @display(description="Request")
    def shown_number(self, push):
        return push.number

    @display(description="Phone")
    def shown_phone(self, push):
        return phones.show(push.phone)

    @display(description="Customer")
    def customer_name(self, push):
        return push.customer.name if push.customer else "-"

    @display(description="Amount")
    def shown_amount(self, push):
        return kes(push.amount)

    @display(description="Result in plain words")
    def shown_result(self, push):
        return found.meaning if (found := explained(push)) else "-"

    @display(description="What to tell the customer")
    def shown_advice(self, push):
        return found.advice if (found := explained(push)) else "-"

    @display(description="Status", label=PUSH_COLOURS)
    def shown_status(self, push):
        return push.get_status_display()


# --- The inbox ---------------------------------------------------------------------------
def apply_again(callback: Callback, *, by, on) -> Callback:
    """Put a callback back in line and apply it at once. Raises Refused for one that is done."""
    reopened = mpesa.reopen(callback, by=by, at=dates.now())
    jobs.apply_callback(reopened.pk)
    reopened.refresh_from_db()
    if reopened.status in (Callback.Status.REVIEW, Callback.Status.FAILED):
        raise Refused(f"It still cannot be applied. {reopened.note}")
    return reopened


@admin.register(Callback)
class CallbackAdmin(Inbox, StaffAdmin):
    """What Safaricom posted, as it came. Evidence: to be read, and applied again when it failed."""

    list_display = ("received_at", "kind", "shown_outcome", "receipt", "shown_amount", "account",
                    "payer", "next_step")  # fmt: skip
    list_select_related = ("payment", "push", "inquiry")
    list_filter = (
        OutcomeFilter,
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("received_at", RangeDateTimeFilter),
    )
    search_fields = ("receipt",)
    search_help_text = "M-Pesa receipt, account as typed, checkout or conversation ID"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "What it says",
            {
                "fields": (
                    ("kind", "shown_outcome"),
                    ("receipt", "shown_amount"),
                    ("account", "payer"),
                    ("paid_at", "payment"),
                    ("push", "checkout_id"),
                    ("inquiry", "conversation_id"),
                    ("reversal", "pull"),
                    "note",
                    "what_to_do",
                )
            },
        ),
        (
            "As it came",
            {
                "fields": (
                    ("received_at", "remote_addr"),
                    ("attempts", "processed_at"),
                    "raw_body",
                    "headers",
                )
            },
        ),
    )
    readonly_fields = ("shown_outcome", "shown_amount", "payer", "what_to_do", "raw_body")
    actions_detail = ("apply_again",)
    offers = {
        "apply_again": lambda callback: (
            callback.status in (Callback.Status.REVIEW, Callback.Status.FAILED)
        )
    }

    def has_apply_permission(self, request, obj=None):
        return request.user.has_perm("payments.match_payment")

    @action(
        description="Apply again",
        permissions=["apply"],
        icon="replay",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Apply this callback again",
            "description": "After what stood in its way is mended. A receipt is posted once, "
            "however often it is applied.",
            "form_class": StaffDialog,
            "form_submit_text": "Apply again",
        },
    )
    def apply_again(self, request, form, object_id):
        return self.perform(
            request, object_id, apply_again, form, done=lambda callback: f"{callback.note}"
        )

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        for field, value in (
            ("receipt", normal_reference(term)),
            ("checkout_id", term),
            ("conversation_id", term),
            ("account", term),
        ):
            if (found := queryset.filter(**{field: value})).exists():
                return found, False
        if key := Loan.key_of(term):
            return queryset.filter(account=f"LN{key:06d}"), False
        return queryset.none(), False

    @display(description="Amount")
    def shown_amount(self, callback):
        return kes(callback.amount)

    @display(description="From")
    def payer(self, callback):
        shown = phones.show(callback.phone) if len(callback.phone) == 12 else callback.phone[:16]
        return " · ".join(filter(None, [callback.payer_name, shown])) or "-"

    @display(description="Body")
    def raw_body(self, callback):
        text = callback.text
        with suppress(ValueError, RecursionError):  # not JSON: shown as it came
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        return format_html('<pre class="office-raw">{}</pre>', text)
