"""The inbox of what Safaricom sent: sorted by what became of it, with what staff do about it."""

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from lms import money
from lms.backoffice.figures import MOST_COUNTED
from lms.backoffice.totals import Totals
from lms.money import kes
from lms.mpesa.models import Callback
from lms.mpesa.reviewing import Outcome, Sent, what_to_do
from lms.payments.models import Payment

COLOURS = {
    Outcome.REVIEW.label: "danger",
    Outcome.UNPLACED.label: "warning",
    Outcome.AUTO.label: "success",
    Outcome.BY_HAND.label: "success",
    Outcome.DUPLICATE.label: "default",
    Outcome.REVERSED.label: "danger",
    Outcome.PAYOUT.label: "info",
    Outcome.NO_MONEY.label: "default",
    Outcome.WAITING.label: "info",
}


class OutcomeFilter(DropdownFilter):
    title = "what became of it"
    parameter_name = "outcome"

    def lookups(self, request, model_admin):
        return [(outcome.value, outcome.label) for outcome in Outcome]

    def queryset(self, request, queryset):
        known = self.value() in list(Outcome)
        return queryset.that_came_to(self.value()) if known else queryset


class Inbox(Totals):
    """Gives the list of callbacks its tabs, its totals and the next step of each row."""

    list_before_template = "admin/mpesa/inbox_slot.html"

    def get_queryset(self, request: HttpRequest):
        return super().get_queryset(request).with_placer()

    # --- Tabs and totals -----------------------------------------------------------------------
    def changelist_view(self, request: HttpRequest, extra_context=None):
        tabs = [(*tab, None) for tab in self._tabs(request)]
        return super().changelist_view(request, {"tabs": tabs, **(extra_context or {})})

    def totals_view(self, request: HttpRequest) -> HttpResponse:
        """The tabs with how many rows each has, and the totals of the filter."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).order_by()
        tabs = [
            (*tab, self._counted(rows.that_came_to(tab[0]) if tab[0] else rows))
            for tab in self._tabs(request)
        ]
        try:
            shown = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            shown = rows.none()
        totals = self.totals_of(shown.order_by())
        return render(request, "admin/mpesa/inbox.html", {"tabs": tabs, "totals": totals})

    def _tabs(self, request: HttpRequest) -> list[tuple[str, str, bool]]:
        """Return value, name and whether it is the one that is shown, for each tab."""
        here = request.GET.get(OutcomeFilter.parameter_name, "")
        named = [("", "All"), *((outcome.value, outcome.label) for outcome in Outcome)]
        return [(value, name, value == here) for value, name in named]

    def _counted(self, rows: QuerySet) -> str:
        found = rows[: MOST_COUNTED + 1].count()
        return f"{MOST_COUNTED}+" if found > MOST_COUNTED else str(found)

    def totals_of(self, rows: QuerySet) -> list[tuple[str, str]]:
        """A receipt counts once as booked, however often Safaricom sent it."""
        rows = rows.select_related(None)
        sums = rows.aggregate(count=Count("pk"))
        booked = rows.filter(status=Callback.Status.APPLIED, payment__isnull=False)
        standing = booked.exclude(payment__status=Payment.Status.REVERSED)
        gone = booked.filter(payment__status=Payment.Status.REVERSED)
        review = rows.needing_review()
        return [
            ("Callbacks", f"{sums['count']:,}"),
            ("Booked", kes(standing.aggregate(sum=money.total("amount"))["sum"])),
            ("To review", kes(review.aggregate(sum=money.total("amount"))["sum"])),
            ("Reversed", kes(gone.aggregate(sum=money.total("amount"))["sum"])),
        ]

    # --- Rows ----------------------------------------------------------------------------------
    def get_changelist_instance(self, request: HttpRequest):
        found = super().get_changelist_instance(request)
        if request.resolver_match.url_name.endswith("_changelist"):
            found.result_list = list(found.result_list)
            self._look_up(found.result_list)
        return found

    def _look_up(self, rows: list[Callback]) -> None:
        """Find the payments that have the receipts of rows which are not tied to one."""
        wanted = {row.receipt for row in rows if row.receipt and not row.payment_id}
        booked = {
            payment.reference: payment for payment in Payment.objects.filter(reference__in=wanted)
        }
        for row in rows:
            row.booked = row.payment or booked.get(row.receipt)

    @display(description="What became of it", label=COLOURS)
    def shown_outcome(self, callback):
        return callback.outcome.label

    @display(description="What was made of it, and what to do")
    def next_step(self, callback):
        step = self.what_to_do(callback)
        note = format_html("<span>{}</span>", callback.note or "-")
        if step == "-":
            return note
        return format_html('<span class="office-told">{}<strong>{}</strong></span>', note, step)

    @display(description="What to do")
    def what_to_do(self, callback):
        if not hasattr(callback, "booked"):
            self._look_up([callback])
        push, booked = callback.push, callback.booked
        explained = push and callback.kind == Callback.Kind.STK and push.explanation
        return (
            what_to_do(
                Sent(
                    kind=callback.kind,
                    outcome=callback.outcome,
                    receipt=callback.receipt,
                    gave_up=callback.status == Callback.Status.FAILED,
                    push=push.number if push else "",
                    amounts_differ=bool(push) and callback.amount != push.amount,
                    booked=booked.number if booked else "",
                    advice=explained.advice if explained else "",
                )
            )
            or "-"
        )
