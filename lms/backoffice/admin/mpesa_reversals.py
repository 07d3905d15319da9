"""Money that goes back to its payer by M-Pesa: asked for on its payment, followed here."""

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminRadioSelectWidget

from lms import dates, money, phones
from lms.backoffice.admin.mpesa_asking import Asking
from lms.backoffice.admin.mpesa_story import REVERSAL_COLOURS, story_of_reversal
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, reason_field
from lms.backoffice.totals import Totals
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, Inquiry, Reversal
from lms.payments.models import Payment, normal_reference

Status = Reversal.Status
UNDER_WAY = (Status.REQUESTED, Status.SENDING, Status.SENT)


# --- On the page of a payment --------------------------------------------------------------------
class SendBackDialog(ReasonDialog):
    """Asks why; what would go back to whom stands above."""

    @property
    def subject(self) -> str:
        payment = Payment.objects.get(pk=self.object_id)
        payer = " ".join(filter(None, [payment.payer_name, phones.show(payment.payer_phone)]))
        return (
            f"{payment.number}: {kes(payment.amount)}, M-Pesa receipt {payment.reference} of "
            f"{dates.show(payment.value_date)}{f', from {payer}' if payer else ''}. All of it goes "
            "back to the phone that paid."
        )


class SendingBack:
    """Gives the page of a payment the action."""

    def has_send_back_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("mpesa.ask_reversal")

    @action(
        description="Send back by M-Pesa",
        permissions=["send_back"],
        icon="undo",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Send this payment back to its payer",
            "description": "For money that is not ours. A second person decides; then Safaricom is "
            "asked, once, and the books follow its answer.",
            "form_class": SendBackDialog,
            "form_submit_text": "Ask for it",
        },
    )
    def send_back(self, request: HttpRequest, form, object_id) -> HttpResponse:
        return self.perform(
            request,
            object_id,
            mpesa.ask_reversal,
            form,
            done="Asked for. It waits under Approvals for a second person.",
        )


# --- The page ------------------------------------------------------------------------------------
class SettleDialog(StaffDialog):
    """What a person saw in Safaricom's portal."""

    went_back = forms.TypedChoiceField(
        label="In Safaricom's portal the money",
        choices=[
            ("yes", "went back to its payer: the receipt is reversed in the books"),
            ("no", "is still ours: the payment waits unallocated again"),
        ],
        coerce=lambda answer: answer == "yes",
        widget=UnfoldAdminRadioSelectWidget,
    )
    reason = reason_field("What you saw")


class ReversalCallbackInline(ReadOnlyTabular):
    model = Callback
    fk_name = "reversal"
    fields = ("received_at", "kind", "status", "receipt", "note")
    readonly_fields = fields
    verbose_name_plural = "what Safaricom sent"


@admin.register(Reversal)
class ReversalAdmin(Asking, Totals, StaffAdmin):
    """Payments that Safaricom was asked to send back."""

    list_display = ("shown_number", "requested_at", "receipt", "shown_amount", "shown_status",
                    "shown_finding", "payment", "asked_by", "approved_by")  # fmt: skip
    list_select_related = ("payment", "asked_by", "approved_by", "approval")
    list_filter = (("status", ChoicesDropdownFilter), ("requested_at", RangeDateTimeFilter))
    search_fields = ("receipt",)
    search_help_text = "RV000012, RC000034, M-Pesa receipt or conversation ID"
    ordering = ("-pk",)
    sortable_by = ()
    change_form_outer_before_template = "admin/mpesa/reversal_slot.html"
    fieldsets = (
        (
            "Request",
            {
                "fields": (
                    ("payment", "approval"),
                    ("receipt", "shown_amount"),
                    ("asked_by", "approved_by"),
                    "reason",
                    ("requested_at", "sent_at"),
                    ("conversation_id", "originator_id"),
                    ("response_code", "response_description"),
                )
            },
        ),
        (
            "Result",
            {
                "fields": (
                    ("result_code", "result_desc"),
                    ("transaction_id", "confirmed_at"),
                    ("queries", "queried_at"),
                    "next_query_at",
                )
            },
        ),
    )
    readonly_fields = ("shown_amount",)
    inlines = (ReversalCallbackInline,)
    actions_detail = ("ask_safaricom", "settle")
    offers = {
        "ask_safaricom": lambda row: row.sent_at is not None and row.status != Status.DONE,
        "settle": lambda row: row.status == Status.UNRESOLVED,
    }

    def has_settle_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("mpesa.approve_reversal")

    def get_urls(self):
        view = self.admin_site.admin_view(self.fate_view)
        return [path("<int:pk>/fate/", view, name="mpesa_reversal_fate"), *super().get_urls()]

    def fate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that follows a reversal until its fate is known."""
        reversal = self.get_object(request, str(pk))
        if reversal is None or not self.has_view_permission(request, reversal):
            raise Http404
        open_inquiries = reversal.payment.inquiries.filter(status__in=Inquiry.OPEN)
        return render(
            request,
            "admin/mpesa/reversal_fate.html",
            {
                "reversal": reversal,
                "colour": REVERSAL_COLOURS[reversal.get_status_display()],
                "story": story_of_reversal(reversal, request.user),
                "follows": reversal.status in UNDER_WAY or open_inquiries.exists(),
                "payment": Payment.objects.seen_by(request.user)
                .filter(pk=reversal.payment_id)
                .first(),
            },
        )

    @action(
        description="Ask Safaricom",
        permissions=["ask"],
        icon="travel_explore",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Ask Safaricom what became of the receipt",
            "description": "Nothing is sent again by asking. “Reversed” settles it.",
            "form_class": StaffDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_safaricom(self, request: HttpRequest, form, object_id) -> HttpResponse:
        return self.perform(
            request,
            object_id,
            lambda row, *, by, on: mpesa.ask_about_reversal(row, by=by, at=dates.now()),
            form,
            done=lambda made: f"{made or 'It'} was asked: the answer appears by itself.",
        )

    @action(
        description="Settle by hand",
        permissions=["settle"],
        icon="gavel",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Settle this by what Safaricom's portal shows",
            "description": "Only when Safaricom does not tell by itself. Not for the person who "
            "asked for it.",
            "form_class": SettleDialog,
            "form_submit_text": "Settle",
        },
    )
    def settle(self, request: HttpRequest, form, object_id) -> HttpResponse:
        return self.perform(
            request,
            object_id,
            mpesa.settle_by_hand,
            form,
            done=lambda row: f"{row.number}: {row.get_status_display().lower()}.",
        )

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.upper().startswith("RV") and (found := queryset.numbered(term)).exists():
            return found, False
        if paid := list(Payment.objects.numbered(term).values_list("pk", flat=True)):
            return queryset.filter(payment_id__in=paid), False
        if (found := queryset.filter(receipt=normal_reference(term))).exists():
            return found, False
        return queryset.answered_by(conversation_id=term, originator_id=term), False

    def totals_of(self, rows):
        rows = rows.select_related(None)
        sums = rows.aggregate(count=Count("pk"), asked=money.total("amount"))
        done = rows.filter(status=Status.DONE).aggregate(sum=money.total("amount"))
        waits = rows.open().aggregate(sum=money.total("amount"))
        return [
            ("Reversals", f"{sums['count']:,}"),
            ("Asked for", kes(sums["asked"])),
            ("Sent back", kes(done["sum"])),
            ("Not settled", kes(waits["sum"])),
        ]

    @display(description="Reversal")
    def shown_number(self, reversal):
        return reversal.number

    @display(description="Amount")
    def shown_amount(self, reversal):
        return kes(reversal.amount)

    @display(description="Status", label=REVERSAL_COLOURS)
    def shown_status(self, reversal):
        return reversal.get_status_display()

    @display(description="What is known")
    def shown_finding(self, reversal):
        return reversal.finding or "-"
