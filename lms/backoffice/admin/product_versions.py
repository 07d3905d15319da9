"""Versions of the terms of a product: what they cost, who approved them, from when they hold."""

from decimal import Decimal

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.functional import cached_property
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from lms import dates
from lms.backoffice.admin.loan_preview import FEE_FIELDS, preview_of, sentences, typed_fees
from lms.backoffice.base import EditableTabular, StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, date_field
from lms.errors import Refused
from lms.loans.models import EligibilityRule, Loan, ProductFee, ProductVersion
from lms.loans.operations import offers
from lms.money import kes, money

THOUSAND = Decimal(1000)
STATE_COLOURS = {
    "Draft": "info",
    "Future": "primary",
    "Current": "success",
    "Expired": "default",
    "Withdrawn": "warning",
}


def example_amount(version: ProductVersion) -> Decimal:
    """Return the middle of what is lent, in whole thousands where it is that much."""
    middle = (version.min_principal + version.max_principal) / 2
    return money(middle, THOUSAND) if middle >= THOUSAND else money(middle)


def example_loan(version: ProductVersion) -> Loan:
    """Return an unsaved loan of the example amount on the usual terms."""
    loan = Loan(principal=example_amount(version))
    loan.copy_terms(version)
    return loan


# --- Dialogs -------------------------------------------------------------------------------------
class ApproveDialog(StaffDialog):
    """Shows what changes before it is agreed to."""

    form_before_template = "admin/loans/approve_before.html"
    reference = forms.CharField(
        label="Approval reference",
        max_length=60,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="The minute or letter in which the board or the regulator agreed.",
    )
    starts_on = date_field("In force from")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        today = dates.today()
        self.initial["starts_on"] = self.version.starts_at_the_earliest(on=today) or today

    @cached_property
    def version(self) -> ProductVersion:
        return ProductVersion.objects.select_related("product").get(pk=self.object_id)

    @property
    def subject(self) -> str:
        earliest = self.version.starts_at_the_earliest(on=dates.today())
        if earliest is None:
            return f"{self.version} is the first version: it may start on any day."
        return f"{self.version} may start on {dates.show(earliest)} at the earliest."

    def get_before_template_context(self, request, object_id=None) -> dict:
        return {
            **super().get_before_template_context(request, object_id),
            **changes_of(self.version),
        }


def changes_of(version: ProductVersion) -> dict:
    """Return the context of the table of changes: a draft's against the terms in force today."""
    base = version.product.version_on(dates.today()) if version.is_draft else version.previous
    return {"base": base, "changes": version.changes_from(base)}


# --- Rows of a version ---------------------------------------------------------------------------
class WhileDraft(EditableTabular):
    """Rows that may be written until the version is decided on."""

    ordering = ("pk",)
    tab = False
    hide_title = True

    def has_add_permission(self, request, obj=None):
        return _is_open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request, obj=None):
        return _is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return _is_open(obj) and super().has_delete_permission(request, obj)


def _is_open(version: ProductVersion | None) -> bool:
    return version is None or version.is_draft


class FeeInline(WhileDraft):
    model = ProductFee
    fields = FEE_FIELDS


class RuleInline(WhileDraft):
    model = EligibilityRule
    fields = ("kind", "limit", "is_hard")


class StateFilter(DropdownFilter):
    title = "status"
    parameter_name = "state"

    def lookups(self, request, model_admin):
        return ProductVersion.STATES.items()

    def queryset(self, request, queryset):
        on, approved = dates.today(), queryset.filter(status=ProductVersion.Status.APPROVED)
        rows = {
            "future": approved.filter(starts_on__gt=on),
            "current": queryset.in_force(on=on),
            "expired": approved.filter(ends_on__lt=on),
            "draft": queryset.filter(status=ProductVersion.Status.DRAFT),
            "withdrawn": queryset.filter(status=ProductVersion.Status.WITHDRAWN),
        }
        return rows.get(self.value(), queryset)


class ProductVersionResource(ModelResource):
    class Meta:
        model = ProductVersion
        fields = (
            "product__code", "number", "status", "starts_on", "ends_on", "approval_reference",
            *ProductVersion.FIXED_FIELDS,
        )  # fmt: skip
        export_order = fields


@admin.register(ProductVersion)
class ProductVersionAdmin(StaffAdmin):
    opens = frozenset({"change"})
    resource_classes = (ProductVersionResource,)
    list_display = ("shown_name", "shown_state", "price", "shown_method", "starts_on", "ends_on",
                    "approval_reference", "running")  # fmt: skip
    list_display_links = ("shown_name",)
    list_select_related = ("product",)
    list_filter = (
        StateFilter,
        ("product", RelatedDropdownFilter),
        ("method", ChoicesDropdownFilter),
    )
    search_fields = ("product__name", "product__code", "approval_reference", "note")
    ordering = ("product__name", "-number")
    inlines = (FeeInline, RuleInline)
    change_form_after_template = "admin/loans/preview_slot.html"
    actions_detail = ("approve_version", "withdraw_version")
    actions_row = ("approve_version", "withdraw_version")
    offers = {
        "approve_version": lambda version: version.is_draft,
        "withdraw_version": lambda version: version.state(on=dates.today()) in ("draft", "future"),
    }
    conditional_fields = {
        "penalty_value": "penalty_base != 'none'",
        "penalty_frequency": "penalty_base != 'none'",
        "penalty_grace_days": "penalty_base != 'none'",
        "penalty_start": "penalty_base != 'none'",
        "penalty_stop": "penalty_base != 'none'",
        "penalty_cap_kind": "penalty_base != 'none'",
        "penalty_cap_value": "penalty_base != 'none' && penalty_cap_kind != 'none'",
    }
    standing = (
        "product", "shown_state", "starts_on", "ends_on", "approval_reference", "approved_by",
        "approved_on", "created_by", "shown_changes",
    )  # fmt: skip
    fieldsets = (
        (
            "Version",
            {
                "fields": (
                    ("product", "shown_state"),
                    ("starts_on", "ends_on"),
                    ("approval_reference", "approved_by"),
                    ("approved_on", "created_by"),
                    "note",
                    "shown_changes",
                )
            },
        ),
        (
            "Price",
            {
                "fields": (
                    "method",
                    ("rate", "rate_period"),
                    ("day_count", "recalculates"),
                    ("rebate", "income_basis"),
                    "posting_profile",
                )
            },
        ),
        (
            "Rhythm",
            {
                "fields": (
                    ("repay_every", "repay_unit"),
                    ("number_of_repayments", "holiday_rule"),
                )
            },
        ),
        (
            "Grace",
            {"fields": (("principal_grace", "interest_grace"), "grace_interest")},
        ),
        (
            "Late penalties",
            {
                "fields": (
                    ("penalty_base", "penalty_value"),
                    ("penalty_frequency", "penalty_grace_days"),
                    ("penalty_start", "penalty_stop"),
                    ("penalty_cap_kind", "penalty_cap_value"),
                    "npl_days",
                )
            },
        ),
        (
            "Rounding and allocation",
            {
                "fields": (
                    ("instalment_multiple", "interest_multiple"),
                    "rounding_mode",
                    ("allocation_order", "allocation_direction"),
                    ("surplus", "closing_tolerance"),
                )
            },
        ),
        (
            "Limits",
            {
                "fields": (
                    ("min_principal", "max_principal"),
                    ("min_repayments", "max_repayments"),
                    ("min_rate", "max_rate"),
                )
            },
        ),
    )

    # --- Who may do what -----------------------------------------------------------------------
    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and _is_open(obj)

    def has_approve_permission(self, request, obj=None):
        return request.user.has_perm("loans.approve_productversion")

    def get_queryset(self, request):
        """Count the running loans that the person may see."""
        running = Q(loans__status=Loan.Status.ACTIVE)
        if not request.user.sees_all_branches:
            running &= Q(loans__branch=request.user.branch_id)
        return (
            super()
            .get_queryset(request)
            .select_related("product", "approved_by", "created_by")
            .annotate(loans_running=Count("loans", running))
        )

    def get_readonly_fields(self, request, obj=None):
        if obj is None or obj.is_draft:
            return (*super().get_readonly_fields(request, obj), *self.standing)
        return tuple(flatten_fieldsets(self.get_fieldsets(request, obj)))

    # --- The example ---------------------------------------------------------------------------
    def get_urls(self):
        view = self.admin_site.admin_view(self.preview_view)
        url = path("<int:pk>/preview/", view, name="loans_productversion_preview_of")
        return [url, *super().get_urls()]

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        version = self.get_object(request, object_id) if object_id else None
        if version is not None:
            url = reverse("admin:loans_productversion_preview_of", args=[version.pk])
            follows = self.has_change_permission(request, version)
            slot = {"preview_slot": {"url": url, "follows": follows}}
            extra_context = {**slot, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def preview_view(self, request, pk):
        """Show what the version costs as it is typed, on the example amount; store nothing."""
        version = self.get_object(request, str(pk))
        if version is None:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        fees = None
        if request.method == "POST" and self.has_change_permission(request, version):
            form = self.get_form(request, version, change=True)(request.POST, instance=version)
            priced = [name for name in form.fields if name != "note"]
            if not form.is_valid() and (wrong := sentences(form, priced)):
                return render(request, "admin/loans/preview.html", {"wrong": wrong})
            fees = typed_fees(request, version, ProductFee)
        if fees is None:
            fees = [fee.as_fee() for fee in version.fees.all()]
        return render(request, "admin/loans/preview.html", self._example(version, fees))

    def _example(self, version: ProductVersion, fees) -> dict:
        loan = example_loan(version)
        try:
            preview = preview_of(loan, on=dates.today(), fees=fees)
        except Refused as refusal:
            return {"wrong": [refusal.message]}
        heading = (
            f"{version.rate_label} is {preview.apr:,.2f}% APR: {kes(loan.principal)} lent today"
        )
        return {"preview": preview, "heading": heading}

    # --- Actions -------------------------------------------------------------------------------
    @action(
        description="Approve",
        permissions=["approve"],
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Approve these terms",
            "description": "They cannot be changed afterwards; running loans keep theirs.",
            "form_class": ApproveDialog,
            "form_submit_text": "Approve",
        },
    )
    def approve_version(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            offers.approve_version,
            form,
            done=lambda version: f"{version} holds from {dates.show(version.starts_on)}.",
        )

    @action(
        description="Withdraw",
        permissions=["approve"],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Withdraw these terms",
            "description": "They never come into force; the terms before them go on.",
            "form_class": ReasonDialog,
            "form_submit_text": "Withdraw",
        },
    )
    def withdraw_version(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            offers.withdraw_version,
            form,
            done=lambda version: f"{version} is withdrawn.",
        )

    # --- Columns and facts ---------------------------------------------------------------------
    @display(description="Version", ordering="product__name")
    def shown_name(self, version):
        return str(version)

    @display(description="Status", label=STATE_COLOURS)
    def shown_state(self, version):
        return version.STATES[version.state(on=dates.today())]

    @display(description="Price")
    def price(self, version):
        return version.rate_label

    @display(description="Method")
    def shown_method(self, version):
        return version.get_method_display()

    @display(description="Changes")
    def shown_changes(self, version):
        return render_to_string("admin/loans/changes.html", changes_of(version))

    @display(description="Running loans", ordering="loans_running")
    def running(self, version):
        return version.loans_running
