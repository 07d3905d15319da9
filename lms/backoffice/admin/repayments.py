"""The instalments: what is due, what is late, and what was done about it."""

from datetime import timedelta

from django import forms
from django.contrib import admin
from django.db.models import Count
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from lms import dates, money
from lms.backoffice.admin.imports import ImportLink
from lms.backoffice.admin.loan_story import STATE_COLOURS
from lms.backoffice.admin.repayment_actions import RepaymentActions
from lms.backoffice.admin.stk import RepaymentStkPush
from lms.backoffice.badges import late_badge
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.by_operation import SavedByItsForm
from lms.backoffice.forms import reason_field
from lms.backoffice.totals import Totals
from lms.errors import Refused
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Allocation, Loan, Penalty, Repayment, Waiver
from lms.loans.models.repayments import Component
from lms.loans.operations import instalments
from lms.money import kes
from lms.payments.models import Payment, normal_reference

MOST_FOUND = 500
STATES = {"overdue": "Overdue", **dict(Repayment.Status.choices)}
BADGES = {label: STATE_COLOURS[value] or "default" for value, label in STATES.items()}


# --- Filters -------------------------------------------------------------------------------------
class StateFilter(DropdownFilter):
    """The status as staff see it today: overdue is one of them."""

    title = "status"
    parameter_name = "state"

    def lookups(self, request, model_admin):
        order = ("pending", "partial", "overdue", "completed", "waived", "cancelled")
        return [(value, STATES[value]) for value in order]

    def queryset(self, request, queryset):
        if self.value() not in STATES:
            return queryset
        return queryset.in_state(self.value(), on=dates.today())


class DueFilter(DropdownFilter):
    """What is still to be paid, by when it falls due."""

    title = "falls due"
    parameter_name = "due"

    def lookups(self, request, model_admin):
        return [
            ("today", "Today"),
            ("tomorrow", "Tomorrow"),
            ("week", "This week"),
            ("7-days", "In the next 7 days"),
            ("overdue", "Overdue"),
        ]

    def queryset(self, request, queryset):
        on = dates.today()
        if self.value() == "overdue":
            return queryset.overdue(on=on)
        monday = on - timedelta(days=on.weekday())
        spans = {
            "today": (on, on),
            "tomorrow": (on + timedelta(days=1), on + timedelta(days=1)),
            "week": (monday, monday + timedelta(days=6)),
            "7-days": (on, on + timedelta(days=7)),
        }
        if self.value() not in spans:
            return queryset
        return queryset.due_between(*spans[self.value()])


# --- Form ----------------------------------------------------------------------------------------
class RepaymentForm(forms.ModelForm):
    """Adds or changes an instalment through the operation, whose refusals are its errors.

    The operation runs while the form is validated, inside the transaction of the page: whether
    an instalment fits is known only under the lock of the loan. The page saves nothing again.
    """

    reason = reason_field(help_text="Stays in the history, beside your name.")
    staff = None  # set by the page

    def _post_clean(self) -> None:
        super()._post_clean()
        if self.errors:
            return
        answers = {name: self.cleaned_data[name] for name in self.cleaned_data if name != "loan"}
        try:
            if self.instance.pk:
                answers.pop("number", None)
                operation, record = instalments.change, self.instance
            else:
                operation, record = instalments.add, self.cleaned_data["loan"]
            self.instance = operation(record, by=self.staff, on=dates.today(), **answers)
        except Refused as refusal:
            field = refusal.field if refusal.field in self.fields else None
            self.add_error(field, refusal.message)


# --- Tabs ----------------------------------------------------------------------------------------
class AllocationInline(ReadOnlyTabular):
    model = Allocation
    verbose_name_plural = "payments"
    fields = ("receipt", "paid_on", "component", "shown_amount")
    readonly_fields = fields
    show_change_link = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("payment")

    @display(description="Receipt")
    def receipt(self, part):
        reference = f" · {part.payment.reference}" if part.payment.reference else ""
        return f"{part.payment.number} · {part.payment.get_method_display()}{reference}"

    @display(description="Paid")
    def paid_on(self, part):
        return dates.show(part.payment.value_date)

    @display(description="Amount")
    def shown_amount(self, part):
        return kes(part.amount)


class WaiverInline(ReadOnlyTabular):
    model = Waiver
    fields = ("waived_on", "kind", "component", "shown_amount", "reason", "waived_by",
              "reversed_on")  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("waived_by")

    @display(description="Amount")
    def shown_amount(self, waiver):
        return kes(waiver.amount)


class PenaltyInline(ReadOnlyTabular):
    model = Penalty
    fields = ("charged_on", "shown_amount", "rule", "charged_by")
    readonly_fields = fields
    show_change_link = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("charged_by")

    @display(description="Amount")
    def shown_amount(self, charge):
        return kes(charge.amount)


# --- Export --------------------------------------------------------------------------------------
class RepaymentResource(ModelResource):
    loan = Field(column_name="loan", attribute="loan__number")
    customer = Field(column_name="customer", attribute="loan__customer__name")
    phone = Field(column_name="phone", attribute="loan__customer__phone")
    amount_due = Field(column_name="amount_due", attribute="amount_due", readonly=True)
    amount_paid = Field(column_name="amount_paid", attribute="amount_paid", readonly=True)
    amount_waived = Field(column_name="amount_waived", attribute="amount_waived", readonly=True)
    outstanding = Field(column_name="outstanding", attribute="outstanding", readonly=True)
    status = Field(column_name="status")

    class Meta:
        model = Repayment
        fields = (
            "loan", "customer", "phone", "number", "due_date", "principal", "interest", "fees",
            "penalties", "amount_due", "amount_paid", "amount_waived", "outstanding", "status",
            "paid_on",
        )  # fmt: skip
        export_order = fields

    def dehydrate_status(self, row):
        return row.state(on=dates.today())


# --- The page ------------------------------------------------------------------------------------
@admin.register(Repayment)
class RepaymentAdmin(
    ImportLink, RepaymentStkPush, RepaymentActions, SavedByItsForm, Totals, StaffAdmin
):
    import_kind = "schedule"
    opens = frozenset({"add", "change"})
    form = RepaymentForm
    resource_classes = (RepaymentResource,)
    list_display = ("loan_number", "customer_name", "number", "due_date", "due", "paid", "waived",
                    "owing", "shown_state", "late")  # fmt: skip
    list_display_links = ("loan_number",)
    list_select_related = ("loan__customer",)
    list_filter = (
        StateFilter,
        DueFilter,
        ("due_date", RangeDateFilter),
        ("loan__branch", RelatedDropdownFilter),
    )
    search_fields = ("number",)
    search_help_text = "Loan number, M-Pesa receipt, RC000034, or the customer's phone, ID or name"
    ordering = ("due_date", "pk")
    sortable_by = ("due_date",)
    autocomplete_fields = ("loan",)
    change_form_outer_before_template = "admin/loans/repayment_header.html"
    fieldsets = (
        (
            "Instalment",
            {
                "fields": (
                    ("loan", "number"),
                    "due_date",
                    "principal",
                    "interest",
                    "fees",
                    "reason",
                )
            },
        ),
    )
    inlines = (AllocationInline, WaiverInline, PenaltyInline)

    # --- Who may do what -----------------------------------------------------------------------
    def has_change_permission(self, request, obj=None):
        allowed = super().has_change_permission(request, obj)
        if obj is None:
            return allowed
        return allowed and obj.is_untouched and obj.loan.status == Loan.Status.ACTIVE

    def get_readonly_fields(self, request, obj=None):
        return ("loan", "number") if obj else ()

    def get_fieldsets(self, request, obj=None):
        found = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return found
        return ((found[0][0], {"fields": (("loan", "number"), "due_date")}),)

    def get_inlines(self, request, obj):
        return self.inlines if obj else ()

    def get_list_filter(self, request):
        found = super().get_list_filter(request)
        return found if request.user.sees_all_branches else found[:-1]

    # --- Lists ---------------------------------------------------------------------------------
    def get_queryset(self, request):
        return super().get_queryset(request).select_related("loan__customer")

    def get_search_results(self, request, queryset, search_term):
        """Find keys by an index first, so that a million instalments are never read through."""
        term = search_term.strip()
        if not term:
            return queryset, False
        payments = Payment.objects.numbered(term) or Payment.objects.filter(
            reference=normal_reference(term)
        )
        if keys := list(payments.values_list("pk", flat=True)):
            paid = Allocation.objects.filter(payment_id__in=keys).order_by()
            return queryset.filter(pk__in=list(paid.values_list("repayment_id", flat=True))), False
        loans = Loan.objects.seen_by(request.user).matching(term).values_list("pk", flat=True)
        return queryset.filter(loan_id__in=list(loans[:MOST_FOUND])), False

    def totals_of(self, rows):
        sums = (
            rows.with_totals()
            .select_related(None)
            .aggregate(
                count=Count("pk"),
                due=money.total("due_total"),
                paid=money.total("paid_total"),
                waived=money.total("waived_total"),
                owing=money.total("owing_total"),
            )
        )
        return [
            ("Instalments", f"{sums['count']:,}"),
            ("Due", kes(sums["due"])),
            ("Paid", kes(sums["paid"])),
            ("Waived", kes(sums["waived"])),
            ("Outstanding", kes(sums["owing"])),
        ]

    # --- One instalment ------------------------------------------------------------------------
    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.staff = request.user
        return form

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        row = self.get_object(request, object_id) if object_id else None
        extra_context = {"story": _story(row) if row else {}, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Loan")
    def loan_number(self, row):
        return row.loan.number

    @display(description="Customer")
    def customer_name(self, row):
        return row.loan.customer.name

    @display(description="Due")
    def due(self, row):
        return kes(row.amount_due)

    @display(description="Paid")
    def paid(self, row):
        return kes(row.amount_paid) if row.amount_paid else "-"

    @display(description="Waived")
    def waived(self, row):
        return kes(row.amount_waived) if row.amount_waived else "-"

    @display(description="Outstanding")
    def owing(self, row):
        return kes(row.outstanding) if row.outstanding else "-"

    @display(description="Status", label=BADGES)
    def shown_state(self, row):
        return STATES[row.state(on=dates.today())]

    @display(description="Days late")
    def late(self, row):
        return late_badge(row.days_late(on=dates.today()))


def _story(row: Repayment) -> dict:
    """Return what the header of an instalment shows: its state and its components."""
    on = dates.today()
    state = STATES[row.state(on=on)]
    return {
        "loan": row.loan,
        "number": row.number,
        "state": state,
        "colour": BADGES[state],
        "late": row.days_late(on=on),
        "due_date": row.due_date,
        "paid_on": row.paid_on,
        "components": [
            (
                Component(name).label,
                getattr(row, name),
                getattr(row, f"{name}_paid"),
                getattr(row, f"{name}_waived"),
                row.owing_of(name),
            )
            for name in COMPONENTS
        ],
        "sums": (row.amount_due, row.amount_paid, row.amount_waived, row.outstanding),
    }
