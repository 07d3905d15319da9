"""Penalties, waivers and allocations: what happened to instalments, to be read."""

from django.contrib import admin
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import action, display

from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import ReasonDialog
from lms.loans.models import Allocation, Loan, Penalty, Waiver
from lms.loans.operations import relief
from lms.money import kes
from lms.payments.models import Payment

MOST_FOUND = 500


class OfInstalment(StaffAdmin):
    """Rows of an instalment, found by its loan."""

    branch_path = "repayment__loan__branch"
    list_select_related = ("repayment__loan__customer",)
    search_fields = ("pk",)
    search_help_text = "Loan number, or the customer's phone, ID or name"
    ordering = ("-pk",)

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        loans = Loan.objects.seen_by(request.user).matching(search_term)
        keys = list(loans.values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(repayment__loan_id__in=keys), False

    @display(description="Instalment", ordering="repayment")
    def instalment(self, row):
        return str(row.repayment)

    @display(description="Customer")
    def customer(self, row):
        return row.repayment.loan.customer.name

    @display(description="Amount", ordering="amount")
    def shown_amount(self, row):
        return kes(row.amount)


class OfInstalmentResource(ModelResource):
    loan = Field(column_name="loan", attribute="repayment__loan__number")
    number = Field(column_name="instalment", attribute="repayment__number")


class PenaltyResource(OfInstalmentResource):
    class Meta:
        model = Penalty
        fields = ("loan", "number", "charged_on", "amount", "rule", "charged_by__username")
        export_order = fields


@admin.register(Penalty)
class PenaltyAdmin(OfInstalment):
    resource_classes = (PenaltyResource,)
    list_display = ("charged_on", "instalment", "customer", "shown_amount", "rule", "charged_by")
    list_select_related = (*OfInstalment.list_select_related, "charged_by")
    list_filter = (("charged_on", RangeDateFilter),)
    fields = ("repayment", "charged_on", "shown_amount", "rule", "charged_by")
    readonly_fields = ("shown_amount",)


class WaiverResource(OfInstalmentResource):
    class Meta:
        model = Waiver
        fields = (
            "loan", "number", "waived_on", "kind", "component", "amount", "reason",
            "waived_by__username", "reversed_on",
        )  # fmt: skip
        export_order = fields


@admin.register(Waiver)
class WaiverAdmin(OfInstalment):
    resource_classes = (WaiverResource,)
    list_display = ("waived_on", "instalment", "customer", "kind", "component", "shown_amount",
                    "reason", "waived_by", "reversed_on")  # fmt: skip
    list_select_related = (*OfInstalment.list_select_related, "waived_by")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("component", ChoicesDropdownFilter),
        ("waived_on", RangeDateFilter),
    )
    fields = ("repayment", "waived_on", "kind", "component", "shown_amount", "reason",
              "waived_by", "reversed_on")  # fmt: skip
    readonly_fields = ("shown_amount", "kind", "reversed_on")
    actions_detail = ("take_back",)
    actions_row = ("take_back",)
    offers = {"take_back": relief.is_reversible}

    def has_waive_permission(self, request, obj=None):
        return request.user.has_perm("loans.waive_repayment")

    @action(
        description="Take back",
        permissions=["waive"],
        icon="undo",
        dialog={
            "title": "Take this waiver back",
            "description": "The instalment owes it again; a closed loan opens again.",
            "form_class": ReasonDialog,
            "form_submit_text": "Take back",
        },
    )
    def take_back(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            relief.reverse_waiver,
            form,
            done=lambda waiver: f"{waiver} is owed again.",
        )


class AllocationResource(OfInstalmentResource):
    payment = Field(column_name="payment", attribute="payment__number")

    class Meta:
        model = Allocation
        fields = ("payment", "payment__value_date", "loan", "number", "component", "amount")
        export_order = fields


@admin.register(Allocation)
class AllocationAdmin(OfInstalment):
    resource_classes = (AllocationResource,)
    list_display = ("shown_payment", "instalment", "customer", "component", "shown_amount")
    list_select_related = (*OfInstalment.list_select_related, "payment")
    list_filter = (("component", ChoicesDropdownFilter),)
    search_help_text = "Loan number, RC000034, or the customer's phone, ID or name"
    fields = ("payment", "repayment", "component", "shown_amount", "entry", "reverses")
    readonly_fields = ("shown_amount",)

    def get_search_results(self, request, queryset, search_term):
        if payment := Payment.objects.numbered(search_term).first():
            return queryset.filter(payment=payment), False
        return super().get_search_results(request, queryset, search_term)

    @display(description="Payment", ordering="payment")
    def shown_payment(self, part):
        return str(part.payment)
