"""The loan: the list that finds it and the page that tells its story."""

from datetime import timedelta

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F
from django.shortcuts import redirect
from django.urls import reverse
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from lms import dates, money, phones
from lms.backoffice.admin.imports import ImportLink
from lms.backoffice.admin.loan_actions import LoanActions
from lms.backoffice.admin.loan_changes import LoanChangeActions
from lms.backoffice.admin.loan_endings import LoanEndings
from lms.backoffice.admin.loan_form import (
    CollateralInline,
    FeeInline,
    GuarantorInline,
    LoanForm,
    TrancheInline,
)
from lms.backoffice.admin.loan_prepaying import LoanPrepaying
from lms.backoffice.admin.loan_preview import LoanPreview
from lms.backoffice.admin.loan_story import STATUS_COLOURS, LoanStory, rhythm_of
from lms.backoffice.admin.sending import LoanSending
from lms.backoffice.admin.stk import LoanStkPush
from lms.backoffice.badges import late_badge
from lms.backoffice.base import StaffAdmin
from lms.backoffice.figures import still_owing
from lms.backoffice.totals import Totals
from lms.loans.models import Loan, LoanProduct, NonPerforming, ProvisionTable, Repayment
from lms.loans.models.collections import written_off_balance
from lms.loans.operations import lifecycle, rows
from lms.loans.penalties import describe
from lms.money import kes
from lms.staff.models import Staff

Status = Loan.Status
MOST_FOUND = 500
NPL = "npl"
# Of no use to those who see one branch only.
BY_BRANCH = ("branch", RelatedDropdownFilter)


# --- Filters -------------------------------------------------------------------------------------
class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request, model_admin):
        return Status.choices

    def queryset(self, request, queryset):
        return queryset.filter(status=self.value()) if self.value() else queryset


class LateFilter(DropdownFilter):
    """Days past due today, from the oldest unpaid due date."""

    title = "days late"
    parameter_name = "late"
    BUCKETS = {
        "any": (1, None),
        "1-7": (1, 7),
        "8-30": (8, 30),
        "31-60": (31, 60),
        "61-90": (61, 90),
        "90+": (91, None),
        "over-30": (31, None),
        "91-180": (91, 180),
        "over-180": (181, None),
    }
    NAMES = {
        "any": "Any",
        "over-180": "More than 180",
        "over-30": "More than 30 (PAR30)",
        "90+": "More than 90",
    }

    def lookups(self, request, model_admin):
        return [(key, self.NAMES.get(key, f"{key} days")) for key in self.BUCKETS]

    def queryset(self, request, queryset):
        if self.value() not in self.BUCKETS:
            return queryset
        fewest, most = self.BUCKETS[self.value()]
        on = dates.today()
        late = queryset.active().filter(position__overdue_since__lte=on - timedelta(days=fewest))
        if most:
            late = late.filter(position__overdue_since__gte=on - timedelta(days=most))
        return late


class ClassFilter(DropdownFilter):
    """The class that the last night put a loan in, by the provision table of the books."""

    title = "class"
    parameter_name = "class"

    def lookups(self, request, model_admin):
        table = ProvisionTable.objects.booked().first()
        bands = table.bands_on(dates.today()) if table else []
        return [*((band.name, band.name) for band in bands), (NPL, "Non-performing")]

    def queryset(self, request, queryset):
        if self.value() == NPL:
            standing = NonPerforming.objects.filter(ended_on=None)
            return queryset.active().filter(pk__in=standing.values("loan"))
        if self.value():
            return queryset.active().filter(position__classification=self.value())
        return queryset


class OfficerFilter(DropdownFilter):
    title = "loan officer"
    parameter_name = "officer"

    def lookups(self, request, model_admin):
        people = Staff.objects.filter(is_active=True)
        if not request.user.sees_all_branches:
            people = people.filter(branch_id=request.user.branch_id)
        return [(str(person.pk), str(person)) for person in people[:500]]

    def queryset(self, request, queryset):
        chosen = self.value() or ""
        return queryset.filter(loan_officer_id=int(chosen)) if chosen.isdecimal() else queryset


# --- Export --------------------------------------------------------------------------------------
class LoanResource(ModelResource):
    number = Field(column_name="number", attribute="number", readonly=True)
    customer = Field(column_name="customer", attribute="customer__name")
    phone = Field(column_name="phone", attribute="customer__phone")
    product = Field(column_name="product", attribute="product__code")
    version = Field(column_name="version", attribute="version__number")
    branch = Field(column_name="branch", attribute="branch__code")
    loan_officer = Field(column_name="loan_officer", attribute="loan_officer__username")
    outstanding = Field(column_name="outstanding", attribute="position__outstanding")
    overdue_since = Field(column_name="oldest_unpaid", attribute="position__overdue_since")

    class Meta:
        model = Loan
        fields = (
            "number", "legacy_number", "customer", "phone", "product", "version", "principal",
            "rate", "rate_period", "method", "number_of_repayments", "status", "applied_on",
            "approved_on", "disbursed_on", "closed_on", "outstanding", "overdue_since",
            "loan_officer", "branch", "purpose", "decision",
        )  # fmt: skip
        export_order = fields


# --- The page ------------------------------------------------------------------------------------
@admin.register(Loan)
class LoanAdmin(
    ImportLink,
    LoanStkPush,
    LoanSending,
    LoanPreview,
    LoanStory,
    LoanChangeActions,
    LoanPrepaying,
    LoanEndings,
    LoanActions,
    Totals,
    StaffAdmin,
):
    import_kind = "loans"
    opens = frozenset({"add", "change"})
    form = LoanForm
    resource_classes = (LoanResource,)
    list_display = ("shown_number", "borrower", "product", "shown_principal",
                    "shown_status", "outstanding", "late", "loan_officer", "branch",
                    "disbursed_on")  # fmt: skip
    list_select_related = (
        "customer", "product", "version", "branch", "loan_officer", "position",
    )  # fmt: skip
    list_filter = (
        StatusFilter,
        LateFilter,
        ClassFilter,
        ("product", RelatedDropdownFilter),
        BY_BRANCH,
        OfficerFilter,
        ("disbursed_on", RangeDateFilter),
    )
    search_fields = ("legacy_number",)
    search_help_text = "LN000123, number in the old system, or the customer's phone, ID or name"
    ordering = ("-pk",)
    autocomplete_fields = ("customer",)
    inlines = (FeeInline, TrancheInline, GuarantorInline, CollateralInline)
    add_fieldsets = (
        (
            "Application",
            {
                "fields": (
                    "customer",
                    ("product", "principal"),
                    ("number_of_repayments", "rate"),
                    ("first_due", "purpose"),
                    "loan_officer",
                )
            },
        ),
        (
            "Grace",
            {
                "classes": ["collapse"],
                "fields": (("principal_grace", "interest_grace"), "grace_interest"),
            },
        ),
    )
    fieldsets = (
        (
            "Application",
            {
                "fields": (
                    ("customer", "version"),
                    ("principal", "number_of_repayments"),
                    ("rate", "shown_method"),
                    ("first_due", "purpose"),
                    ("loan_officer", "branch"),
                    ("applied_on", "legacy_number"),
                )
            },
        ),
        (
            "Terms",
            {
                "classes": ["collapse"],
                "fields": (
                    ("principal_grace", "interest_grace"),
                    "grace_interest",
                    "shown_rhythm",
                    "shown_rounding",
                    "shown_penalty",
                    "shown_allocation",
                ),
            },
        ),
    )
    decided_fieldsets = (
        (
            "Application",
            {
                "fields": (
                    ("customer", "version"),
                    ("shown_principal", "shown_method"),
                    ("number_of_repayments", "shown_rhythm"),
                    ("first_due", "purpose"),
                    ("loan_officer", "branch"),
                    ("applied_on", "legacy_number"),
                    ("shown_grace", "shown_rounding"),
                    ("shown_penalty", "shown_allocation"),
                )
            },
        ),
    )
    # What staff may still change on a draft.
    editable = ("principal", "first_due", "purpose", "loan_officer", *LoanForm.TERMS)

    # --- Who may do what -----------------------------------------------------------------------
    def has_change_permission(self, request, obj=None):
        open_in = (Status.DRAFT, Status.SUBMITTED)
        return super().has_change_permission(request, obj) and (
            obj is None or obj.status in open_in
        )

    def get_fieldsets(self, request, obj=None):
        if obj and obj.status != Status.DRAFT:
            return self.decided_fieldsets
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request, obj=None):
        if obj is None:
            return ()
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        kept = self.editable if obj.status == Status.DRAFT else ()
        return tuple(name for name in shown if name not in kept)

    def get_inlines(self, request, obj):
        return self.inlines if obj else ()

    def get_list_filter(self, request):
        found = super().get_list_filter(request)
        if request.user.sees_all_branches:
            return found
        return tuple(item for item in found if item is not BY_BRANCH)

    # --- Lists ---------------------------------------------------------------------------------
    def get_queryset(self, request):
        """The page of one loan needs the same neighbours as the list."""
        found = super().get_queryset(request).select_related(*self.list_select_related)
        return found.annotate(still_owed=written_off_balance())

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        seen = Loan.objects.seen_by(request.user).matching(search_term)
        return queryset.filter(pk__in=list(seen.values_list("pk", flat=True)[:MOST_FOUND])), False

    def totals_of(self, rows):
        sums = rows.aggregate(
            number=Count("pk"),
            lent=money.total("principal"),
            **{
                name: money.total(f"position__{name}") for name in ("interest", "fees", "penalties")
            },
            owed=money.total("position__principal"),
        )
        late = Repayment.objects.overdue(on=dates.today()).filter(
            loan__in=rows.active().values("pk")
        )
        parts = ("owed", "interest", "fees", "penalties")
        return [
            ("Loans", f"{sums['number']:,}"),
            ("Amount lent", kes(sums["lent"])),
            ("Outstanding", kes(sum(sums[name] for name in parts))),
            ("Principal", kes(sums["owed"])),
            ("Interest", kes(sums["interest"])),
            ("Fees", kes(sums["fees"])),
            ("Penalties", kes(sums["penalties"])),
            ("In arrears", kes(still_owing(late).amount)),
        ]

    # --- One loan ------------------------------------------------------------------------------
    def get_changeform_initial_data(self, request):
        """Fill in the terms where the address names the product."""
        initial = super().get_changeform_initial_data(request)
        chosen = str(initial.get("product", ""))
        product = LoanProduct.objects.filter(pk=chosen).first() if chosen.isdecimal() else None
        version = product and product.version_on(dates.today())
        terms = {name: getattr(version, name) for name in LoanForm.TERMS} if version else {}
        return {**terms, **initial}

    def formfield_for_foreignkey(self, field, request, **kwargs):
        found = super().formfield_for_foreignkey(field, request, **kwargs)
        if field.name == "product":
            found.widget.attrs |= {
                "hx-get": reverse("admin:loans_loan_terms"),
                "hx-trigger": "change",
                "hx-swap": "none",
            }
        return found

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        loan = self.get_object(request, object_id) if object_id else None
        extra_context = {
            "preview_slot": self.preview_slot(request, loan) if loan or not object_id else {},
            "story": self.story(loan) if loan else {},
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request, obj, form, change):
        if change:
            if rows.lock(obj.pk).status != obj.status:
                raise PermissionDenied("The loan was decided on meanwhile.")
        else:
            obj.created_by, obj.branch_id = request.user, obj.customer.branch_id
            obj.loan_officer = obj.loan_officer or obj.customer.loan_officer
            obj.applied_on = dates.today()
        super().save_model(request, obj, form, change)
        if not change:
            lifecycle.copy_fees(obj, by=request.user)

    def response_add(self, request, obj, post_url_continue=None):
        """Go on to guarantors and collateral, and to submitting."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"{obj} is saved as a draft.")
        return redirect(reverse("admin:loans_loan_change", args=[obj.pk]))

    # --- Columns and facts ---------------------------------------------------------------------
    @display(description="Loan", ordering="pk")
    def shown_number(self, loan):
        return loan.number

    @display(description="Customer", header=True)
    def borrower(self, loan):
        return [loan.customer.name, phones.show(loan.customer.phone)]

    @display(description="Amount", ordering="principal")
    def shown_principal(self, loan):
        return kes(loan.principal)

    @display(description="Status", label=STATUS_COLOURS)
    def shown_status(self, loan):
        return loan.get_status_display()

    @display(
        description="Outstanding",
        ordering=F("position__principal")
        + F("position__interest")
        + F("position__fees")
        + F("position__penalties"),
    )
    def outstanding(self, loan):
        if loan.status == Status.WRITTEN_OFF:
            return f"{kes(loan.still_owed)} written off"
        return kes(loan.position.outstanding) if hasattr(loan, "position") else "-"

    @display(description="Days late", ordering=F("position__overdue_since").desc(nulls_last=True))
    def late(self, loan):
        return late_badge(loan.days_late(on=dates.today()))

    @display(description="Interest method")
    def shown_method(self, loan):
        return f"{loan.rate_label} · {loan.get_method_display()}"

    @display(description="Rhythm")
    def shown_rhythm(self, loan):
        return f"Every {rhythm_of(loan)}, {loan.get_day_count_display().lower()}"

    @display(description="Grace")
    def shown_grace(self, loan):
        if not (loan.principal_grace or loan.interest_grace):
            return "None"
        return (
            f"{loan.principal_grace} periods without principal, {loan.interest_grace} without "
            f"interest, which is {loan.get_grace_interest_display()}"
        )

    @display(description="Rounding")
    def shown_rounding(self, loan):
        return (
            f"Instalments to {loan.get_instalment_multiple_display()}, interest to "
            f"{loan.get_interest_multiple_display()}, {loan.get_rounding_mode_display()}"
        )

    @display(description="Late penalty")
    def shown_penalty(self, loan):
        return describe(loan.penalty_rule)

    @display(description="A payment pays")
    def shown_allocation(self, loan):
        return (
            f"{loan.get_allocation_order_display()}; {loan.get_allocation_direction_display()}; "
            f"money beyond what is due {loan.get_surplus_display()}"
        )
