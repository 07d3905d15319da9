"""Totals of a whole filter, loaded after the page so that the first rows never wait for them."""

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path


class Totals:
    """Adds a strip of totals above a list. The page says what is summed in `totals_of`."""

    list_before_template = "admin/totals_slot.html"

    def totals_of(self, rows: QuerySet) -> list[tuple[str, str]]:
        """Return pairs of a name and a shown figure over all rows of the filter."""
        return []

    def get_urls(self):
        name = f"{self.opts.app_label}_{self.opts.model_name}_totals"
        view = self.admin_site.admin_view(self.totals_view)
        return [path("totals/", view, name=name), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context=None):
        query = request.GET.urlencode()
        extra_context = {
            "totals_url": f"{request.path}totals/{'?' if query else ''}{query}",
            **(extra_context or {}),
        }
        return super().changelist_view(request, extra_context)

    def totals_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            rows = self.get_queryset(request).none()
        totals = self.totals_of(rows.order_by())
        return render(request, "admin/totals.html", {"totals": totals})
