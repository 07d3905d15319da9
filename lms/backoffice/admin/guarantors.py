"""Guarantors: who answers for a loan, for how much, and what is done with them."""

from django import forms
from django.contrib import admin
from django.db.models import Q
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminTextareaWidget,
)

from lms import dates, phones
from lms.backoffice.admin.behind_loan import (
    MOST_FOUND,
    BehindLoan,
    LoanStatusFilter,
    choice_field,
    consent_document_field,
    text_field,
)
from lms.backoffice.base import ReadOnlyTabular
from lms.backoffice.forms import (
    ReasonDialog,
    StaffDialog,
    date_field,
    money_field,
    one_customer,
    reason_field,
)
from lms.customers.models import Customer
from lms.loans.models import (
    Guarantor,
    GuarantorNotice,
)
from lms.loans.operations import security
from lms.money import kes

GUARANTOR_COLOURS = {
    "Proposed": "warning",
    "Consented": "success",
    "Released": "info",
    "Substituted": "info",
}


# --- Dialogs -------------------------------------------------------------------------------------
class GuarantorDialog(StaffDialog):
    @property
    def subject(self) -> str:
        row = Guarantor.objects.select_related("loan__customer", "customer").get(pk=self.object_id)
        capacity = row.stated_capacity
        return (
            f"{row.customer.name} for {kes(row.amount)} of {row.loan.number}, "
            f"{row.loan.customer.name}. Answers for {kes(row.exposure_elsewhere())} elsewhere; "
            + (f"capacity {kes(capacity)}." if capacity is not None else "no capacity is stated.")
        )


class ConsentDialog(GuarantorDialog):
    means = choice_field("How consent was given", Guarantor.Means)
    consented_on = date_field("Consented on", initial=dates.today)
    document = consent_document_field()


class CapacityDialog(GuarantorDialog):
    capacity = money_field("Can answer for in all (KES)")
    basis = text_field("Verified by", help_text="For example: payslips of three months.")


class NoticeDialog(GuarantorDialog):
    kind = choice_field("Notice", GuarantorNotice.Kind)
    channel = choice_field("Sent by", GuarantorNotice.Channel)
    sent_on = date_field("Sent on", initial=dates.today)
    text = forms.CharField(
        label="What was said",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="A demand by SMS has the words of its template; add what else was said.",
    )


class GuarantorReasonDialog(GuarantorDialog):
    reason = reason_field()


class SubstituteDialog(GuarantorDialog):
    customer = text_field(
        "New guarantor", most=80, help_text="Phone, ID number or customer number (CU000012)."
    )
    amount = money_field("Guarantees (KES)")
    capacity = money_field("Can answer for in all (KES)", required=False)
    relationship = text_field("Relationship", most=40, required=False)
    means = choice_field("How consent was given", Guarantor.Means)
    consented_on = date_field("Consented on", initial=dates.today)
    document = consent_document_field()
    reason = reason_field()

    def clean_customer(self) -> Customer:
        return one_customer(self.cleaned_data["customer"], self.request.user)


# --- Pages ---------------------------------------------------------------------------------------
class NoticeInline(ReadOnlyTabular):
    model = GuarantorNotice
    fields = ("sent_on", "kind", "channel", "text", "demand_from", "sent_by")
    readonly_fields = fields
    show_change_link = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("sent_by", "guarantor__customer")


class GuarantorResource(ModelResource):
    loan = Field(column_name="loan", attribute="loan__number")
    borrower = Field(column_name="borrower", attribute="loan__customer__name")
    guarantor = Field(column_name="guarantor", attribute="customer__name")
    phone = Field(column_name="phone", attribute="customer__phone")
    in_force = Field(column_name="in_force", attribute="in_force", readonly=True)

    class Meta:
        model = Guarantor
        fields = (
            "loan", "borrower", "guarantor", "phone", "amount", "in_force", "capacity", "status",
            "consented_on", "consent_means", "released_on", "release_reason",
        )  # fmt: skip
        export_order = fields


@admin.register(Guarantor)
class GuarantorAdmin(BehindLoan):
    resource_classes = (GuarantorResource,)
    list_display = ("shown_name", "loan_number", "borrower", "shown_amount", "shown_in_force",
                    "shown_status", "consented_on")  # fmt: skip
    list_select_related = ("loan__customer", "customer")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        LoanStatusFilter,
        ("consented_on", RangeDateFilter),
        ("loan__branch", RelatedDropdownFilter),
    )
    search_help_text = "Loan number, or the phone, ID or name of guarantor or borrower"
    fieldsets = (
        (
            "Guarantee",
            {
                "fields": (
                    ("customer", "loan"),
                    ("shown_amount", "relationship"),
                    ("shown_status", "shown_in_force"),
                )
            },
        ),
        (
            "Capacity",
            {
                "fields": (
                    ("shown_capacity", "shown_exposure"),
                    ("capacity_verified_on", "capacity_basis"),
                )
            },
        ),
        (
            "Consent",
            {
                "fields": (
                    ("consented_on", "consent_means"),
                    ("consent_recorded_by", "consent_document"),
                    "shown_claim",
                )
            },
        ),
        ("End", {"fields": (("released_on", "release_reason"), "replaced_by")}),
    )
    readonly_fields = ("shown_amount", "shown_status", "shown_in_force", "shown_capacity",
                       "shown_exposure", "shown_claim")  # fmt: skip
    inlines = (NoticeInline,)
    actions = ("release_selected",)
    actions_detail = ("consent", "notify", "verify_capacity", "substitute", "release")
    actions_row = ("consent", "notify", "release")
    offers = {
        "consent": lambda row: row.status == Guarantor.Status.PROPOSED,
        "verify_capacity": lambda row: row.is_open,
        "substitute": lambda row: row.is_open,
        "release": lambda row: row.is_open,
    }

    def get_queryset(self, request):
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return rows.with_in_force()

    def of_own(self, text):
        people = Customer.objects.matching(text).values_list("pk", flat=True)
        return Q(customer_id__in=list(people[:MOST_FOUND]))

    @display(description="Guarantor", header=True)
    def shown_name(self, row):
        return [row.customer.name, phones.show(row.customer.phone)]

    @display(description="Guaranteed", ordering="amount")
    def shown_amount(self, row):
        return kes(row.amount)

    @display(description="In force")
    def shown_in_force(self, row):
        return kes(row.in_force) if row.is_standing else "-"

    @display(description="Status", label=GUARANTOR_COLOURS)
    def shown_status(self, row):
        return row.get_status_display()

    @display(description="Capacity")
    def shown_capacity(self, row):
        return kes(row.stated_capacity)

    @display(description="Exposure as guarantor, all loans")
    def shown_exposure(self, row):
        return kes(Guarantor.objects.exposure(row.customer))

    @display(description="Can be claimed")
    def shown_claim(self, row):
        return "Yes" if row.can_be_claimed(dates.today()) else "No"

    # --- Actions -------------------------------------------------------------------------------
    def has_consent_permission(self, request, obj=None):
        return request.user.has_perm("loans.consent_guarantor")

    def has_notify_permission(self, request, obj=None):
        return request.user.has_perm("loans.notify_guarantor")

    def has_substitute_permission(self, request, obj=None):
        return request.user.has_perm("loans.substitute_guarantor")

    def has_release_permission(self, request, obj=None):
        return request.user.has_perm("loans.release_guarantor")

    @action(
        description="Record consent",
        permissions=["consent"],
        icon="handshake",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Record the consent",
            "description": "From then on this person answers for the loan up to the amount.",
            "form_class": ConsentDialog,
            "form_submit_text": "Record",
        },
    )
    def consent(self, request, form, object_id):
        return self.perform(
            request, object_id, security.consent, form, done="The consent is on record."
        )

    @action(
        description="Verify capacity",
        permissions=["consent"],
        icon="balance",
        dialog={
            "title": "Verify what this person can answer for",
            "description": "It limits all their guarantees together.",
            "form_class": CapacityDialog,
            "form_submit_text": "Record",
        },
    )
    def verify_capacity(self, request, form, object_id):
        return self.perform(
            request, object_id, security.verify_capacity, form, done="The capacity is on record."
        )

    @action(
        description="Record notice",
        permissions=["notify"],
        icon="mail",
        dialog={
            "title": "Record a notice",
            "description": "A demand needs arrears; a claim is possible 14 days after it. A demand "
            "by SMS of today is sent to the guarantor's phone; all else is only recorded.",
            "form_class": NoticeDialog,
            "form_submit_text": "Record",
        },
    )
    def notify(self, request, form, object_id):
        return self.perform(
            request, object_id, security.notify, form, done=lambda notice: f"{notice} recorded."
        )

    @action(
        description="Substitute",
        permissions=["substitute"],
        icon="swap_horiz",
        dialog={
            "title": "Put another guarantor in this place",
            "description": "The new one has consented; the old one is free from today.",
            "form_class": SubstituteDialog,
            "form_submit_text": "Substitute",
        },
    )
    def substitute(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            security.substitute,
            form,
            done=lambda new: f"{new.customer.name} answers now.",
        )

    @action(
        description="Release",
        permissions=["release"],
        icon="lock_open",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Release this guarantor",
            "description": "They no longer answer for the loan.",
            "form_class": GuarantorReasonDialog,
            "form_submit_text": "Release",
        },
    )
    def release(self, request, form, object_id):
        return self.perform(request, object_id, security.release_guarantor, form, done="Released.")

    @admin.action(description="Release (loans that ended)", permissions=["release"])
    def release_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            security.release_ended,
            ReasonDialog,
            title="Release these guarantors",
            description="Of loans that ended: all of them, or none when one loan still runs.",
            submit="Release",
            done=lambda made: f"{len(made)} released.",
        )
