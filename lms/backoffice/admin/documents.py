"""Papers that were issued: found again as they were handed out, and printed again as copies."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import path
from django.utils.safestring import mark_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display

from lms.backoffice.base import StaffAdmin
from lms.loans.models import IssuedDocument, Loan
from lms.loans.operations import documents

MOST_FOUND = 500


@admin.register(IssuedDocument)
class IssuedDocumentAdmin(StaffAdmin):
    branch_path = "loan__branch"
    list_display = ("shown_number", "kind", "shown_loan", "customer", "issued_on", "issued_by",
                    "prints")  # fmt: skip
    list_display_links = ("shown_number",)
    list_select_related = ("loan__customer", "issued_by")
    list_filter = (("kind", ChoicesDropdownFilter), ("issued_on", RangeDateFilter))
    search_fields = ("pk",)
    search_help_text = "Loan number, or the customer's phone, ID or name"
    ordering = ("-pk",)
    sortable_by = ()
    fields = (("kind", "shown_number"), ("shown_loan", "customer"), ("issued_on", "issued_by"),
              "prints")  # fmt: skip
    readonly_fields = ("shown_number", "shown_loan", "customer")
    change_form_outer_before_template = "admin/documents/shown.html"

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        loans = Loan.objects.seen_by(request.user).matching(search_term)
        keys = list(loans.values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(loan_id__in=keys), False

    def get_urls(self):
        view = self.admin_site.admin_view(self.print_view)
        return [
            path("<int:pk>/print/", view, name="loans_issueddocument_print"),
            *super().get_urls(),
        ]

    def print_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Print a document: as the original once, and as a copy ever after."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        document = self.get_object(request, str(pk))
        if document is None:
            raise Http404
        if not self.has_view_permission(request, document):
            raise PermissionDenied
        document = documents.print_out(document)
        # The body was rendered by a template of ours, which escaped what people typed.
        body = mark_safe(document.body)  # noqa: S308
        return render(request, "admin/documents/printed.html", {"document": document, "body": body})

    @display(description="Document")
    def shown_number(self, document):
        return document.number

    @display(description="Loan")
    def shown_loan(self, document):
        return document.loan.number

    @display(description="Customer")
    def customer(self, document):
        return document.loan.customer.name
