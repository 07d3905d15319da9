"""Money out: what was paid to customers, and what became of it on its way."""

from django.contrib import admin
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display

from lms import money
from lms.backoffice.admin.mpesa_payouts import B2C_COLOURS
from lms.backoffice.admin.mpesa_story import story_of_payout
from lms.backoffice.admin.refunds import UndoRefund
from lms.backoffice.admin.sending import PayoutSending
from lms.backoffice.base import StaffAdmin
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import kes
from lms.payments.models import Payout, normal_reference

MOST_FOUND = 500
PAYOUT_COLOURS = {
    Payout.Status.ON_ITS_WAY.label: "info",
    Payout.Status.PARTLY.label: "warning",
    Payout.Status.FAILED.label: "warning",
    Payout.Status.PAID.label: "success",
    Payout.Status.REVERSED.label: "danger",
}


@admin.register(Payout)
class PayoutAdmin(PayoutSending, UndoRefund, Totals, StaffAdmin):
    """What was paid to customers: loans, further parts of them, credit given back."""

    change_form_outer_before_template = "admin/payments/payout_slot.html"
    list_display = ("shown_number", "paid_on", "kind", "shown_state", "method", "reference",
                    "shown_amount", "customer_name", "subject", "branch", "paid_by")  # fmt: skip
    list_select_related = ("customer", "branch", "paid_by")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("method", ChoicesDropdownFilter),
        ("paid_on", RangeDateFilter),
    )
    search_fields = ("subject",)
    search_help_text = "PO000012, loan number, reference, or the customer's phone, ID or name"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Payout",
            {
                "fields": (
                    ("kind", "subject"),
                    ("customer", "branch"),
                    ("shown_amount", "shown_arrived"),
                    ("method", "reference"),
                    ("paid_on", "entry"),
                    ("paid_by", "paid_at"),
                    "reversed_on",
                )
            },
        ),
    )
    readonly_fields = ("shown_amount", "shown_arrived")

    def get_urls(self):
        view = self.admin_site.admin_view(self.fate_view)
        return [path("<int:pk>/fate/", view, name="payments_payout_fate"), *super().get_urls()]

    def fate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that follows a payout by M-Pesa until its fate is known."""
        payout = self.get_object(request, str(pk))
        if payout is None or not self.has_view_permission(request, payout):
            raise Http404
        parts = list(payout.parts.order_by("pk"))
        for part in parts:
            part.colour = B2C_COLOURS[part.get_status_display()]
        return render(
            request,
            "admin/payments/payout_fate.html",
            {
                "payout": payout,
                "colour": PAYOUT_COLOURS[payout.get_status_display()],
                "parts": parts,
                "story": story_of_payout(payout, parts, request.user),
                "follows": payout.status == Payout.Status.ON_ITS_WAY,
            },
        )

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if (found := queryset.numbered(term)).exists():
            return found, False
        if key := Loan.key_of(term):
            return queryset.filter(subject=f"LN{key:06d}"), False
        if queryset.filter(reference=normal_reference(term)).exists():
            return queryset.filter(reference=normal_reference(term)), False
        customers = Customer.objects.matching(term).values_list("pk", flat=True)[:MOST_FOUND]
        return queryset.filter(customer_id__in=list(customers)), False

    def totals_of(self, rows):
        sums = rows.aggregate(count=Count("pk"), amount=money.total("amount"))
        return [("Payouts", f"{sums['count']:,}"), ("Paid out", kes(sums["amount"]))]

    @display(description="State", label=PAYOUT_COLOURS)
    def shown_state(self, payout):
        return payout.get_status_display()

    @display(description="Payout")
    def shown_number(self, payout):
        return payout.number

    @display(description="Amount")
    def shown_amount(self, payout):
        return kes(payout.amount)

    @display(description="Arrived")
    def shown_arrived(self, payout):
        return kes(payout.arrived)

    @display(description="Customer")
    def customer_name(self, payout):
        return payout.customer.name
