"""Guarantors and collateral: lists of what stands behind the loans, and what is done with it."""

from datetime import timedelta

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from lms import dates, phones
from lms.backoffice.base import EditableTabular, ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, date_field, money_field, reason_field
from lms.customers.models import Customer
from lms.loans.models import (
    Collateral,
    CollateralDocument,
    Guarantor,
    GuarantorNotice,
    Loan,
    Valuation,
)
from lms.loans.models.security import PAPERS, SOON_DAYS, cover_ratio
from lms.loans.operations import security
from lms.money import kes

MOST_FOUND = 500
GUARANTOR_COLOURS = {
    "Proposed": "warning",
    "Consented": "success",
    "Released": "info",
    "Substituted": "info",
}
COLLATERAL_COLOURS = {"Held": "success", "Released": "info"}


# --- Fields --------------------------------------------------------------------------------------
def text_field(label: str, most: int = 120, **options) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})
    return forms.CharField(label=label, max_length=most, widget=widget, **options)


def choice_field(label: str, choices) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, widget=UnfoldAdminSelectWidget)


def consent_document_field() -> forms.FileField:
    return forms.FileField(
        label="Signed form or recording sheet",
        required=False,
        validators=PAPERS,
        widget=UnfoldAdminFileFieldWidget,
        help_text="PDF or picture.",
    )


# --- Dialogs on a guarantor ----------------------------------------------------------------------
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
        label="What was said", widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
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
        text = self.cleaned_data["customer"]
        found = list(Customer.objects.seen_by(self.request.user).matching(text)[:2])
        if len(found) != 1:
            what = "No customer is" if not found else "More than one customer is"
            raise forms.ValidationError(f"{what} known by “{text}”: give the phone or the ID.")
        return found[0]


# --- Dialogs on a collateral ---------------------------------------------------------------------
class CollateralDialog(StaffDialog):
    @property
    def subject(self) -> str:
        thing = Collateral.objects.select_related("loan__customer").get(pk=self.object_id)
        return (
            f"{thing} {thing.serial}, {thing.loan.number} {thing.loan.customer.name}: "
            f"{kes(thing.value)}, {kes(thing.forced_sale_value)} in a forced sale."
        )


class RevalueDialog(CollateralDialog):
    value = money_field("Value (KES)")
    forced_sale_percent = forms.IntegerField(
        label="Forced sale (%)",
        min_value=0,
        max_value=100,
        initial=70,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    valued_on = date_field("Valued on", initial=dates.today)
    valuer = text_field("Valuer", most=80, required=False)
    note = text_field("Note", most=200, required=False)


class RegisterDialog(CollateralDialog):
    mpsr_number = text_field("MPSR registration number", most=40)
    registered_on = date_field("Registered on", initial=dates.today)
    registration_expires_on = date_field("Ends on", required=False)


class InsureDialog(CollateralDialog):
    insured_until = date_field("Insured until")


class CustodyDialog(CollateralDialog):
    location = text_field("Kept where", most=80)
    received_on = date_field("Received on", initial=dates.today)


class OwnerDialog(CollateralDialog):
    consented_on = date_field("Consented on", initial=dates.today)


class ReleaseCollateralDialog(CollateralDialog):
    released_to = text_field("Given to")
    reason = reason_field()


class CollateralReasonDialog(CollateralDialog):
    reason = reason_field()


# --- Filters -------------------------------------------------------------------------------------
class LoanStatusFilter(DropdownFilter):
    title = "loan"
    parameter_name = "loan_status"

    def lookups(self, request, model_admin):
        return Loan.Status.choices

    def queryset(self, request, queryset):
        return queryset.filter(loan__status=self.value()) if self.value() else queryset


class WorkFilter(DropdownFilter):
    """What somebody should see to, as of today."""

    title = "to do"
    parameter_name = "work"

    def lookups(self, request, model_admin):
        return [
            ("unregistered", "Not registered"),
            ("ending", "Registration ends within 30 days"),
            ("ended", "Registration has ended"),
            ("uninsured", "Insurance has ended"),
        ]

    def queryset(self, request, queryset):
        on = dates.today()
        found = {
            "unregistered": queryset.unregistered,
            "ending": lambda: queryset.registration_ending(on=on),
            "ended": lambda: queryset.registration_ended(on=on),
            "uninsured": lambda: queryset.uninsured(on=on),
        }.get(self.value())
        return found() if found else queryset


class BehindLoan(StaffAdmin):
    """Rows that stand behind a loan, found by its number or its borrower and by their own marks."""

    branch_path = "loan__branch"
    ordering = ("-pk",)
    search_fields = ("pk",)

    def get_list_filter(self, request):
        found = super().get_list_filter(request)
        return found if request.user.sees_all_branches else found[:-1]

    def of_own(self, text: str) -> Q:
        """Return what finds rows by themselves rather than by their loan."""
        raise NotImplementedError

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        loans = Loan.objects.seen_by(request.user).matching(term).values_list("pk", flat=True)
        by_loan = Q(loan_id__in=list(loans[:MOST_FOUND]))
        return queryset.filter(by_loan | self.of_own(term)), False

    @display(description="Loan", ordering="loan")
    def loan_number(self, row):
        return f"{row.loan.number} · {row.loan.get_status_display()}"

    @display(description="Borrower")
    def borrower(self, row):
        return row.loan.customer.name


# --- Guarantors ----------------------------------------------------------------------------------
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
            "description": "A demand needs arrears; a claim is possible 14 days after it.",
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


# --- Collateral ----------------------------------------------------------------------------------
class ValuationInline(ReadOnlyTabular):
    model = Valuation
    fields = ("valued_on", "shown_value", "forced_sale_percent", "valuer", "note", "recorded_by")
    readonly_fields = fields
    show_change_link = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("recorded_by")

    @display(description="Value")
    def shown_value(self, row):
        return kes(row.value)


class CollateralDocumentInline(EditableTabular):
    model = CollateralDocument
    fields = ("kind", "file", "note")


class CollateralResource(ModelResource):
    loan = Field(column_name="loan", attribute="loan__number")
    borrower = Field(column_name="borrower", attribute="loan__customer__name")
    forced_sale_value = Field(
        column_name="forced_sale_value", attribute="forced_sale_value", readonly=True
    )

    class Meta:
        model = Collateral
        fields = (
            "loan", "borrower", "kind", "description", "serial", "owner", "owner_name", "value",
            "valued_on", "forced_sale_percent", "forced_sale_value", "status", "location",
            "mpsr_number", "registered_on", "registration_expires_on", "insured_until",
            "released_on", "released_to", "release_reason",
        )  # fmt: skip
        export_order = fields


@admin.register(Collateral)
class CollateralAdmin(BehindLoan):
    opens = frozenset({"change"})  # its papers; everything else changes through actions
    resource_classes = (CollateralResource,)
    list_display = ("shown_name", "loan_number", "borrower", "shown_value", "shown_forced",
                    "shown_status", "shown_registration", "insured_until", "location")  # fmt: skip
    list_select_related = ("loan__customer",)
    list_filter = (
        WorkFilter,
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        LoanStatusFilter,
        ("loan__branch", RelatedDropdownFilter),
    )
    search_help_text = "Serial, plate or title number, MPSR number, loan number, or the borrower"
    fieldsets = (
        (
            "What it is",
            {
                "fields": (
                    ("loan", "kind"),
                    ("description", "serial"),
                    ("owner", "owner_name"),
                    ("owner_consented_on", "shown_status"),
                )
            },
        ),
        (
            "Worth",
            {"fields": (("shown_value", "valued_on"), ("shown_forced", "shown_cover"))},
        ),
        (
            "Registration and insurance",
            {
                "fields": (
                    ("mpsr_number", "registered_on"),
                    ("registration_expires_on", "insured_until"),
                )
            },
        ),
        (
            "Custody",
            {
                "fields": (
                    "location",
                    ("received_on", "received_by"),
                    ("released_on", "released_to"),
                    "release_reason",
                )
            },
        ),
    )
    inlines = (ValuationInline, CollateralDocumentInline)
    actions_detail = (
        "revalue",
        "register",
        "insure",
        "take_custody",
        "owner_consent",
        "release",
        "restore",
    )
    actions_row = ("revalue", "register", "take_custody", "release")
    offers = {
        **dict.fromkeys(
            ("revalue", "register", "insure", "take_custody", "release"),
            lambda row: row.status == Collateral.Status.HELD,
        ),
        "owner_consent": lambda row: (
            row.owner == Collateral.Owner.THIRD and row.owner_consented_on is None
        ),
        "restore": lambda row: row.status == Collateral.Status.RELEASED,
    }

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_readonly_fields(self, request, obj=None):
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def of_own(self, text):
        return Q(serial__iexact=text) | Q(mpsr_number=text.upper()) | Q(description__icontains=text)

    @display(description="Collateral", header=True)
    def shown_name(self, row):
        return [str(row), row.serial]

    @display(description="Value", ordering="value")
    def shown_value(self, row):
        return kes(row.value)

    @display(description="Forced sale")
    def shown_forced(self, row):
        return f"{kes(row.forced_sale_value)} ({row.forced_sale_percent}%)"

    @display(description="Status", label=COLLATERAL_COLOURS)
    def shown_status(self, row):
        return row.get_status_display()

    @display(
        description="MPSR",
        label={"Registered": "success", "Ends soon": "warning", "Ended": "danger"},
    )
    def shown_registration(self, row):
        if row.registered_on is None:
            return "-"
        on = dates.today()
        if not row.is_registered(on=on):
            return "Ended"
        soon = on + timedelta(days=SOON_DAYS)
        return "Registered" if row.is_registered(on=soon) else "Ends soon"

    @display(description="Cover of the loan")
    def shown_cover(self, row):
        ratio = cover_ratio(row.loan)
        return "Nothing is owed" if ratio is None else f"{ratio:.0%}"

    # --- Actions -------------------------------------------------------------------------------
    def has_revalue_permission(self, request, obj=None):
        return request.user.has_perm("loans.revalue_collateral")

    def has_register_permission(self, request, obj=None):
        return request.user.has_perm("loans.register_collateral")

    def has_custody_permission(self, request, obj=None):
        return request.user.has_perm("loans.custody_collateral")

    def has_release_permission(self, request, obj=None):
        return request.user.has_perm("loans.release_collateral")

    @action(
        description="Revalue",
        permissions=["revalue"],
        icon="request_quote",
        dialog={
            "title": "Record a valuation",
            "description": "The latest by day counts; the others stay in the history.",
            "form_class": RevalueDialog,
            "form_submit_text": "Record",
        },
    )
    def revalue(self, request, form, object_id):
        return self.perform(
            request, object_id, security.revalue, form, done=lambda made: f"Valued at {made}."
        )

    @action(
        description="Register with MPSR",
        permissions=["register"],
        icon="app_registration",
        dialog={
            "title": "Record the registration",
            "description": "In the movable property security rights register, new or renewed.",
            "form_class": RegisterDialog,
            "form_submit_text": "Record",
        },
    )
    def register(self, request, form, object_id):
        return self.perform(request, object_id, security.register, form, done="Registered.")

    @action(
        description="Insure",
        permissions=["register"],
        icon="verified_user",
        dialog={
            "title": "Record the insurance",
            "description": "Add the policy under Documents.",
            "form_class": InsureDialog,
            "form_submit_text": "Record",
        },
    )
    def insure(self, request, form, object_id):
        return self.perform(request, object_id, security.insure, form, done="Insurance recorded.")

    @action(
        description="Take into custody",
        permissions=["custody"],
        icon="lock",
        dialog={
            "title": "Take into custody",
            "description": "The thing itself, its logbook or its title.",
            "form_class": CustodyDialog,
            "form_submit_text": "Take",
        },
    )
    def take_custody(self, request, form, object_id):
        return self.perform(request, object_id, security.take_custody, form, done="In custody.")

    @action(
        description="Owner's consent",
        permissions=["register"],
        icon="handshake",
        dialog={
            "title": "Record the owner's consent",
            "description": "The owner is not the borrower and agreed to pledge it.",
            "form_class": OwnerDialog,
            "form_submit_text": "Record",
        },
    )
    def owner_consent(self, request, form, object_id):
        return self.perform(
            request, object_id, security.consent_of_owner, form, done="The consent is on record."
        )

    @action(
        description="Release",
        permissions=["release"],
        icon="lock_open",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Release this collateral",
            "description": "It is given back and no longer secures the loan.",
            "form_class": ReleaseCollateralDialog,
            "form_submit_text": "Release",
        },
    )
    def release(self, request, form, object_id):
        return self.perform(request, object_id, security.release_collateral, form, done="Released.")

    @action(
        description="Take release back",
        permissions=["release"],
        icon="undo",
        dialog={
            "title": "Take the release back",
            "description": "It was not given away, or came back: it secures the loan again.",
            "form_class": CollateralReasonDialog,
            "form_submit_text": "Take back",
        },
    )
    def restore(self, request, form, object_id):
        return self.perform(request, object_id, security.restore, form, done="Held again.")
