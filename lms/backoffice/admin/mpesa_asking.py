"""Asking Safaricom: balances, the fate of one payment, and the log of every request to Daraja."""

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from lms import dates
from lms.backoffice import mpesa_float
from lms.backoffice.admin.mpesa_story import INQUIRY_COLOURS, story_of_inquiry
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import StaffDialog
from lms.errors import Refused
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.error_codes import explain_error
from lms.mpesa.models import DarajaRequest, Inquiry, MpesaBalance
from lms.payments.models import Payment, normal_reference

OUTCOME_COLOURS = {"Accepted": "success", "Rejected": "danger", "Unknown": "warning"}
ASKED = "Safaricom was asked. The answer appears by itself, most often within seconds."


def in_plain_words(code: str) -> str:
    """Return what a code of Daraja's own means and what to do, or a dash where there is none."""
    explained = explain_error(code)
    return f"{explained.meaning} {explained.advice}" if explained else "-"


class ReceiptDialog(StaffDialog):
    """Asks for the receipt number, as it stands in the customer's message from M-Pesa."""

    receipt = forms.CharField(
        label="M-Pesa receipt",
        max_length=20,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "off", "placeholder": "UKL7AB12CD"}
        ),
        help_text="From the customer's message from M-Pesa.",
    )


class RegisterDialog(StaffDialog):
    """What M-Pesa does with a payment while our validation cannot be reached."""

    unreachable = forms.ChoiceField(
        label="While we cannot be reached, M-Pesa",
        choices=[
            ("Completed", "takes the payment; it waits unallocated"),
            ("Cancelled", "turns the customer away"),
        ],
        initial="Completed",
        widget=UnfoldAdminRadioSelectWidget,
    )


class Asking:
    """Gives a page the permission to ask Safaricom."""

    def has_ask_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("mpesa.ask_inquiry")

    def show_inquiry(self, request: HttpRequest, inquiry: Inquiry) -> HttpResponse:
        """Go to the page of a question that was just asked, where its answer appears."""
        if inquiry.status == Inquiry.Status.SENT:
            messages.success(request, ASKED)
        else:
            messages.error(request, f"{inquiry.number}: {inquiry.finding}")
        page = reverse("admin:mpesa_inquiry_change", args=[inquiry.pk])
        return HttpResponse(headers={"HX-Redirect": page})


# --- Balances ------------------------------------------------------------------------------------
class AccountFilter(DropdownFilter):
    title = "account"
    parameter_name = "account"

    def lookups(self, request, model_admin):
        known = MpesaBalance.objects.latest_known().values_list("account", flat=True)
        return [(name, name) for name in sorted(set(known))]

    def queryset(self, request, queryset):
        return queryset.filter(account=self.value()) if self.value() else queryset


@admin.register(MpesaBalance)
class MpesaBalanceAdmin(Asking, StaffAdmin):
    """What our M-Pesa accounts hold, as Safaricom last said."""

    list_display = ("account", "shortcode", "shown_current", "shown_available", "as_of",
                    "shown_age", "shown_booked", "shown_difference")  # fmt: skip
    list_filter = (
        ("is_latest", BooleanRadioFilter),
        AccountFilter,
        ("as_of", RangeDateTimeFilter),
    )
    ordering = ("-as_of", "account")
    sortable_by = ()
    fields = (
        ("account", "shortcode"),
        ("shown_current", "shown_available"),
        ("shown_reserved", "shown_uncleared"),
        ("as_of", "inquiry"),
    )
    readonly_fields = (
        "shown_current", "shown_available", "shown_reserved", "shown_uncleared",
    )  # fmt: skip
    actions_list = ("ask_now",)

    def has_ask_permission(self, request: HttpRequest, obj=None) -> bool:
        """Cashiers ask about payments; what the lender owns is not for them."""
        return super().has_ask_permission(request) and self.has_view_permission(request)

    @action(
        description="Ask Safaricom now",
        permissions=["ask"],
        icon="sync",
        dialog={
            "title": "Ask Safaricom for the balances",
            "description": "They are asked for every 15 minutes anyway. The answer comes within "
            "seconds; reload to see it.",
            "form_class": StaffDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_now(self, request: HttpRequest, form) -> HttpResponse:
        try:
            asked = mpesa.ask_balances(by=request.user, at=dates.now())
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        for inquiry in asked:
            if inquiry.status == Inquiry.Status.SENT:
                messages.success(request, f"{inquiry} asked: reload in a few seconds.")
            else:
                messages.error(request, f"{inquiry}: {inquiry.finding}")
        page = reverse("admin:mpesa_mpesabalance_changelist")
        return HttpResponse(headers={"HX-Redirect": f"{page}?is_latest__exact=1"})

    def get_list_display(self, request: HttpRequest):
        """Leave the books out for people of a branch: they are those of all branches."""
        every = super().get_list_display(request)
        return every if request.user.sees_all_branches else every[:-2]

    def get_changelist_instance(self, request: HttpRequest):
        found = super().get_changelist_instance(request)
        with_books = request.user.sees_all_branches
        for each in mpesa_float.standings(
            found.result_list, now=dates.now(), with_books=with_books
        ):
            each.balance.standing = each
        return found

    @display(description="Current")
    def shown_current(self, balance):
        return kes(balance.current)

    @display(description="Available")
    def shown_available(self, balance):
        return kes(balance.available)

    @display(description="Reserved")
    def shown_reserved(self, balance):
        return kes(balance.reserved)

    @display(description="Uncleared")
    def shown_uncleared(self, balance):
        return kes(balance.uncleared)

    @display(description="Age")
    def shown_age(self, balance):
        return mpesa_float.age_of(balance.standing)

    @display(description="In the books")
    def shown_booked(self, balance):
        if not balance.is_latest or balance.standing.booked is None:
            return "-"
        codes = " + ".join(balance.standing.codes)
        return f"{kes(balance.standing.booked)} ({codes})"

    @display(description="Difference")
    def shown_difference(self, balance):
        return kes(balance.standing.difference) if balance.is_latest else "-"


# --- Questions -----------------------------------------------------------------------------------
@admin.register(Inquiry)
class InquiryAdmin(Asking, StaffAdmin):
    """What was asked of Safaricom and what it answered."""

    list_display = ("shown_number", "asked_at", "kind", "receipt", "shown_status", "shown_finding",
                    "payment", "asked_by")  # fmt: skip
    list_select_related = ("asked_by", "payment", "push")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("asked_at", RangeDateTimeFilter),
    )
    search_fields = ("receipt",)
    search_help_text = "M-Pesa receipt or conversation ID"
    ordering = ("-pk",)
    sortable_by = ()
    change_form_outer_before_template = "admin/mpesa/inquiry_slot.html"
    fieldsets = (
        (
            "Question",
            {
                "fields": (
                    ("kind", "receipt"),
                    ("asked_by", "asked_at"),
                    ("push", "payment"),
                    ("conversation_id", "originator_id"),
                )
            },
        ),
        (
            "Answer",
            {
                "fields": (
                    ("transaction_status", "shown_amount"),
                    ("payer", "payee"),
                    ("paid_at", "answered_at"),
                    ("code", "message"),
                    "in_plain_words",
                )
            },
        ),
    )
    readonly_fields = ("shown_amount", "in_plain_words")
    actions_list = ("ask_payment",)
    actions_detail = ("ask_again",)
    offers = {
        "ask_again": lambda inquiry: inquiry.kind == Inquiry.Kind.STATUS and not inquiry.is_open
    }

    def get_urls(self):
        view = self.admin_site.admin_view(self.fate_view)
        return [path("<int:pk>/fate/", view, name="mpesa_inquiry_fate"), *super().get_urls()]

    def fate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that follows a question until it is answered."""
        inquiry = self.get_object(request, str(pk))
        if inquiry is None or not self.has_view_permission(request, inquiry):
            raise Http404
        return render(
            request,
            "admin/mpesa/inquiry_fate.html",
            {
                "inquiry": inquiry,
                "colour": INQUIRY_COLOURS[inquiry.get_status_display()],
                "story": story_of_inquiry(inquiry, request.user),
                "payment": Payment.objects.seen_by(request.user)
                .filter(pk=inquiry.payment_id)
                .first(),
            },
        )

    @action(
        description="Ask about a receipt",
        permissions=["ask"],
        icon="travel_explore",
        dialog={
            "title": "Ask Safaricom what became of a payment",
            "description": "If it was paid to us and the books do not have it, it is booked when "
            "the answer comes, once.",
            "form_class": ReceiptDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_payment(self, request: HttpRequest, form) -> HttpResponse:
        try:
            inquiry = mpesa.ask_payment(
                form.cleaned_data["receipt"], by=request.user, at=dates.now()
            )
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        return self.show_inquiry(request, inquiry)

    @action(
        description="Ask again",
        permissions=["ask"],
        icon="sync",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Ask Safaricom again",
            "description": "Nothing is paid twice by asking.",
            "form_class": StaffDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_again(self, request: HttpRequest, form, object_id) -> HttpResponse:
        inquiry = self.get_object(request, str(object_id))
        try:
            made = mpesa.ask_again(inquiry, by=request.user, at=dates.now())
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        return self.show_inquiry(request, made)

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if (found := queryset.filter(receipt=normal_reference(term))).exists():
            return found, False
        return queryset.answered_by(conversation_id=term, originator_id=term), False

    @display(description="Inquiry")
    def shown_number(self, inquiry):
        return inquiry.number

    @display(description="Status", label=INQUIRY_COLOURS)
    def shown_status(self, inquiry):
        return inquiry.get_status_display()

    @display(description="What Safaricom says")
    def shown_finding(self, inquiry):
        return inquiry.finding

    @display(description="Code in plain words")
    def in_plain_words(self, inquiry):
        return in_plain_words(inquiry.code)

    @display(description="Amount")
    def shown_amount(self, inquiry):
        return kes(inquiry.amount)


# --- The log -------------------------------------------------------------------------------------
@admin.register(DarajaRequest)
class DarajaRequestAdmin(StaffAdmin):
    """Every request to Daraja of the last days, without secrets. To be read."""

    list_display = ("sent_at", "kind", "about", "asked_by", "shown_outcome", "code", "message",
                    "in_plain_words", "milliseconds")  # fmt: skip
    list_select_related = ("asked_by",)
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("outcome", ChoicesDropdownFilter),
        ("sent_at", RangeDateTimeFilter),
    )
    search_fields = ("=about", "=code")
    search_help_text = "MP000012, MQ000012, or Safaricom's code"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Request",
            {
                "fields": (
                    ("kind", "sent_at"),
                    ("about", "asked_by"),
                    ("shown_outcome", "milliseconds"),
                    ("code", "message"),
                    "in_plain_words",
                )
            },
        ),
        ("Bodies, without secrets", {"fields": ("shown_request", "shown_answer")}),
    )
    readonly_fields = ("shown_outcome", "in_plain_words", "shown_request", "shown_answer")
    actions_list = ("register",)

    def has_register_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("mpesa.register_darajarequest")

    @action(
        description="Register the paybill",
        permissions=["register"],
        icon="app_registration",
        dialog={
            "title": "Tell Safaricom where payments are posted",
            "description": "In production this works once for a paybill; later changes are made in "
            "Safaricom's portal.",
            "form_class": RegisterDialog,
            "form_submit_text": "Register",
        },
    )
    def register(self, request: HttpRequest, form) -> HttpResponse:
        try:
            mpesa.register_addresses(unreachable=form.cleaned_data["unreachable"], by=request.user)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        messages.success(request, "Safaricom posts payments to the paybill here from now on.")
        page = reverse("admin:mpesa_darajarequest_changelist")
        return HttpResponse(headers={"HX-Redirect": page})

    @display(description="Code in plain words")
    def in_plain_words(self, asked):
        return in_plain_words(asked.code)

    @display(description="Outcome", label=OUTCOME_COLOURS)
    def shown_outcome(self, asked):
        return asked.get_outcome_display()

    @display(description="Sent")
    def shown_request(self, asked):
        return format_html('<pre class="office-raw">{}</pre>', asked.request or "-")

    @display(description="Answered")
    def shown_answer(self, asked):
        return format_html('<pre class="office-raw">{}</pre>', asked.answer or "-")
