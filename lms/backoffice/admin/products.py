"""Loan products by name, each with the versions of its terms."""

from django.contrib import admin
from django.db.models import Count, Prefetch, Q
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates
from lms.backoffice.admin.loan_story import rhythm_of
from lms.backoffice.admin.product_versions import STATE_COLOURS, example_loan
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import StaffDialog
from lms.loans.models import Loan, LoanProduct, ProductVersion
from lms.loans.operations import offers
from lms.loans.penalties import describe
from lms.money import kes


class VersionInline(ReadOnlyTabular):
    model = ProductVersion
    verbose_name_plural = "versions"
    tab = False
    hide_title = True
    show_change_link = False
    fields = ("shown_number", "shown_state", "price", "starts_on", "ends_on", "approval_reference",
              "approved_by", "note")  # fmt: skip
    readonly_fields = fields
    ordering = ("-number",)

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("product", "approved_by")

    @display(description="Version")
    def shown_number(self, version):
        return format_html('<a class="text-link" href="{}">{}</a>', _page_of(version), version)

    @display(description="Status", label=STATE_COLOURS)
    def shown_state(self, version):
        return version.STATES[version.state(on=dates.today())]

    @display(description="Price")
    def price(self, version):
        return version.rate_label


class LoanProductResource(ModelResource):
    class Meta:
        model = LoanProduct
        fields = ("code", "name", "description", "is_active", "notice_days")
        export_order = fields


@admin.register(LoanProduct)
class LoanProductAdmin(StaffAdmin):
    opens = frozenset({"add", "change"})
    resource_classes = (LoanProductResource,)
    list_display = ("name", "code", "price", "shown_method", "amounts", "rhythm", "penalty",
                    "running", "is_active")  # fmt: skip
    list_filter = (("is_active", BooleanRadioFilter),)
    search_fields = ("name", "code")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": (("name", "code"), "description", ("is_active", "notice_days"))}),
    )
    actions_detail = ("new_version",)
    actions_row = ("new_version",)
    offers = {"new_version": lambda product: not product.versions.filter(status="draft").exists()}

    def get_queryset(self, request):
        """Bring the terms in force, and count the running loans that the person may see."""
        running = Q(loans__status=Loan.Status.ACTIVE)
        if not request.user.sees_all_branches:
            running &= Q(loans__branch=request.user.branch_id)
        in_force = ProductVersion.objects.in_force(on=dates.today())
        return (
            super()
            .get_queryset(request)
            .annotate(loans_running=Count("loans", running))
            .prefetch_related(Prefetch("versions", in_force, to_attr="in_force"))
        )

    def get_readonly_fields(self, request, obj=None):
        """The code names the product in files and letters, so it stays."""
        return (*super().get_readonly_fields(request, obj), *(("code",) if obj else ()))

    def get_inlines(self, request, obj):
        return (VersionInline,) if obj else ()

    # --- A new product goes on to its first terms ------------------------------------------------
    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if not change:
            offers.new_version(obj, by=request.user, on=dates.today())

    def response_add(self, request, obj, post_url_continue=None):
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"{obj} is saved. Write its terms, then have them approved.")
        return redirect(_page_of(obj.versions.get()))

    def has_renew_permission(self, request, obj=None):
        return request.user.has_perm("loans.add_productversion")

    @action(
        description="New version",
        permissions=["renew"],
        icon="edit_document",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "New version of the terms",
            "description": "A draft with the latest terms, fees and rules, to be changed and "
            "approved. Running loans keep theirs.",
            "form_class": StaffDialog,
            "form_submit_text": "Make the draft",
        },
    )
    def new_version(self, request, form, object_id):
        made = []

        def draft(product, **answers):
            made.append(offers.new_version(product, **answers))
            return made[0]

        response = self.perform(
            request, object_id, draft, form, done=lambda version: f"{version} is a draft."
        )
        if made:
            response["HX-Redirect"] = _page_of(made[0])
        return response

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Price")
    def price(self, product):
        return next((version.rate_label for version in product.in_force), "No terms in force")

    @display(description="Method")
    def shown_method(self, product):
        return next((version.get_method_display() for version in product.in_force), "-")

    @display(description="Lends")
    def amounts(self, product):
        return next((amounts_of(version) for version in product.in_force), "-")

    @display(description="Repayments")
    def rhythm(self, product):
        return next(
            (f"{each.number_of_repayments}, every {rhythm_of(each)}" for each in product.in_force),
            "-",
        )

    @display(description="Late penalty")
    def penalty(self, product):
        return next(
            (describe(example_loan(version).penalty_rule) for version in product.in_force), "-"
        )

    @display(description="Running loans", ordering="loans_running")
    def running(self, product):
        return product.loans_running


def amounts_of(version: ProductVersion) -> str:
    return f"{kes(version.min_principal)} to {version.max_principal:,.2f}"


def _page_of(version: ProductVersion) -> str:
    return reverse("admin:loans_productversion_change", args=[version.pk])
