"""What guarantors and collateral share: they stand behind a loan and are found by it."""

from django import forms
from django.db.models import Q
from unfold.contrib.filters.admin import (
    DropdownFilter,
)
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from lms.backoffice.base import StaffAdmin
from lms.loans.models import (
    Loan,
)
from lms.loans.models.security import PAPERS

MOST_FOUND = 500


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


class LoanStatusFilter(DropdownFilter):
    title = "loan"
    parameter_name = "loan_status"

    def lookups(self, request, model_admin):
        return Loan.Status.choices

    def queryset(self, request, queryset):
        return queryset.filter(loan__status=self.value()) if self.value() else queryset


class BehindLoan(StaffAdmin):
    """Rows that stand behind a loan, found by its number or its borrower and by their own marks."""

    branch_path = "loan__branch"
    ordering = ("-pk",)
    search_fields = ("pk",)

    def get_list_filter(self, request):
        found = super().get_list_filter(request)
        return found if request.user.sees_all_branches else found[:-1]

    def of_own(self, text: str) -> Q:
        """Return what finds rows by themselves rather than by their loan; nothing, unless told."""
        return Q(pk__in=())

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
