"""Collateral: what is pledged for a loan, what it is worth, and what is done with it."""

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
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
)

from lms import dates
from lms.backoffice.admin.behind_loan import (
    BehindLoan,
    LoanStatusFilter,
    text_field,
)
from lms.backoffice.base import EditableTabular, ReadOnlyTabular
from lms.backoffice.forms import StaffDialog, date_field, money_field, reason_field
from lms.loans.models import (
    Collateral,
    CollateralDocument,
    Valuation,
)
from lms.loans.models.security import SOON_DAYS, cover_ratio
from lms.loans.operations import security
from lms.money import kes

COLLATERAL_COLOURS = {"Held": "success", "Released": "info"}


# --- Dialogs -------------------------------------------------------------------------------------
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


# --- Pages ---------------------------------------------------------------------------------------
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
