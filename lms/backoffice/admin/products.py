"""Loan products: the terms on offer, with what they cost a customer."""

from decimal import Decimal

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404
from django.shortcuts import render
from django.urls import path, reverse
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display

from lms import dates
from lms.backoffice.admin.loan_preview import FEE_FIELDS, preview_of, sentences, typed_fees
from lms.backoffice.admin.loan_story import rhythm_of
from lms.backoffice.base import EditableTabular, StaffAdmin
from lms.errors import Refused
from lms.loans.models import Loan, LoanProduct, ProductFee
from lms.loans.penalties import describe
from lms.money import kes, money

THOUSAND = Decimal(1000)


def example_amount(product: LoanProduct) -> Decimal:
    """Return the middle of what the product lends, in whole thousands where it is that much."""
    middle = (product.min_principal + product.max_principal) / 2
    return money(middle, THOUSAND) if middle >= THOUSAND else money(middle)


def example_loan(product: LoanProduct) -> Loan:
    """Return an unsaved loan of the example amount on the usual terms."""
    loan = Loan(principal=example_amount(product))
    loan.copy_terms(product)
    return loan


class FeeInline(EditableTabular):
    model = ProductFee
    fields = FEE_FIELDS
    ordering = ("pk",)
    tab = False


class LoanProductResource(ModelResource):
    class Meta:
        model = LoanProduct
        fields = (
            "code", "name", "is_active", "method", "rate", "rate_period", "day_count",
            "repay_every", "repay_unit", "number_of_repayments", "min_principal",
            "max_principal", "min_repayments", "max_repayments", "min_rate", "max_rate",
            "penalty_base", "penalty_value", "penalty_frequency", "penalty_grace_days",
            "allocation_order", "surplus",
        )  # fmt: skip
        export_order = fields


@admin.register(LoanProduct)
class LoanProductAdmin(StaffAdmin):
    opens = frozenset({"add", "change"})
    resource_classes = (LoanProductResource,)
    list_display = ("name", "code", "price", "shown_method", "amounts", "rhythm", "penalty",
                    "running", "is_active")  # fmt: skip
    list_filter = (("is_active", BooleanRadioFilter), ("method", ChoicesDropdownFilter))
    search_fields = ("name", "code")
    ordering = ("name",)
    inlines = (FeeInline,)
    change_form_after_template = "admin/loans/preview_slot.html"
    conditional_fields = {
        "penalty_value": "penalty_base != 'none'",
        "penalty_frequency": "penalty_base != 'none'",
        "penalty_grace_days": "penalty_base != 'none'",
        "penalty_start": "penalty_base != 'none'",
        "penalty_cap_kind": "penalty_base != 'none'",
        "penalty_cap_value": "penalty_base != 'none' && penalty_cap_kind != 'none'",
    }
    fieldsets = (
        ("What", {"fields": (("name", "code"), "description", "is_active")}),
        ("Price", {"fields": ("method", ("rate", "rate_period"), "day_count")}),
        (
            "Rhythm",
            {"fields": (("repay_every", "repay_unit"), "number_of_repayments")},
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
                    "penalty_start",
                    ("penalty_cap_kind", "penalty_cap_value"),
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
                    "surplus",
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

    def get_queryset(self, request):
        """Count the running loans that the person may see."""
        running = Q(loans__status=Loan.Status.ACTIVE)
        if not request.user.sees_all_branches:
            running &= Q(loans__branch=request.user.branch_id)
        return super().get_queryset(request).annotate(loans_running=Count("loans", running))

    def get_readonly_fields(self, request, obj=None):
        """The code names the product in files and letters, so it stays."""
        return ("code",) if obj else ()

    # --- The example ---------------------------------------------------------------------------
    def get_urls(self):
        wrap = self.admin_site.admin_view
        return [
            path("preview/", wrap(self.preview_view), name="loans_loanproduct_preview"),
            path("<int:pk>/preview/", wrap(self.preview_view), name="loans_loanproduct_preview_of"),
            *super().get_urls(),
        ]

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        may_write = (
            self.has_change_permission(request) if object_id else self.has_add_permission(request)
        )
        url = (
            reverse("admin:loans_loanproduct_preview_of", args=[object_id])
            if object_id and str(object_id).isdecimal()
            else reverse("admin:loans_loanproduct_preview")
        )
        extra_context = {
            "preview_slot": {"url": url, "follows": may_write},
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, extra_context)

    def preview_view(self, request, pk=None):
        """Show what the product costs as it is typed, on the example amount; store nothing."""
        product = None
        if pk is not None and (product := self.get_object(request, str(pk))) is None:
            raise Http404
        allowed = self.has_view_permission(request) if product else self.has_add_permission(request)
        if not allowed:
            raise PermissionDenied
        if request.method == "POST" and (product is None or self.has_change_permission(request)):
            form = self.get_form(request, product, change=product is not None)(
                request.POST, instance=product
            )
            named = {"name", "code", "description"}
            priced = [name for name in form.fields if name not in named]
            if not form.is_valid() and (wrong := sentences(form, priced)):
                return render(request, "admin/loans/preview.html", {"wrong": wrong})
            product, fees = form.instance, typed_fees(request, form.instance, ProductFee)
        elif product is not None:
            fees = None
        else:
            return render(request, "admin/loans/preview.html")
        if fees is None:
            fees = [fee.as_fee() for fee in product.fees.all()] if product.pk else []
        return render(request, "admin/loans/preview.html", self._example(product, fees))

    def _example(self, product: LoanProduct, fees) -> dict:
        loan = example_loan(product)
        try:
            preview = preview_of(loan, on=dates.today(), fees=fees)
        except Refused as refusal:
            return {"wrong": [refusal.message]}
        heading = (
            f"{product.rate_label} is {preview.apr:,.2f}% APR: {kes(loan.principal)} lent today"
        )
        return {"preview": preview, "heading": heading}

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Price")
    def price(self, product):
        return product.rate_label

    @display(description="Method")
    def shown_method(self, product):
        return product.get_method_display()

    @display(description="Lends", ordering="max_principal")
    def amounts(self, product):
        return f"{kes(product.min_principal)} to {product.max_principal:,.2f}"

    @display(description="Repayments")
    def rhythm(self, product):
        return f"{product.number_of_repayments}, every {rhythm_of(product)}"

    @display(description="Late penalty")
    def penalty(self, product):
        return describe(example_loan(product).penalty_rule)

    @display(description="Running loans", ordering="loans_running")
    def running(self, product):
        return product.loans_running
