"""Pulls: the runs that ask Safaricom for payments whose confirmation never came."""

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display

from lms import jobs
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import StaffDialog
from lms.errors import Refused
from lms.mpesa import operations as mpesa
from lms.mpesa.models import Callback, Pull

COLOURS = {
    Pull.Status.RUNNING.label: "info",
    Pull.Status.DONE.label: "success",
    Pull.Status.FAILED.label: "danger",
}


class FoundInline(ReadOnlyTabular):
    model = Callback
    fk_name = "pull"
    fields = ("receipt", "amount", "account", "payer_name", "status", "note")
    readonly_fields = fields
    verbose_name_plural = "new to us"


@admin.register(Pull)
class PullAdmin(StaffAdmin):
    """When Safaricom was asked for missed payments, and what it told."""

    list_display = ("shown_number", "started_at", "since", "until", "shown_status", "pages",
                    "found", "new", "shown_outcome", "asked_by")  # fmt: skip
    list_select_related = ("asked_by",)
    list_filter = (("status", ChoicesDropdownFilter), ("started_at", RangeDateTimeFilter))
    search_fields = ("=code",)
    search_help_text = "Safaricom's code"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Run",
            {
                "fields": (
                    ("started_at", "finished_at"),
                    ("since", "until"),
                    ("pages", "found", "new"),
                    ("shown_status", "asked_by"),
                    ("code", "message"),
                )
            },
        ),
    )
    readonly_fields = ("shown_status",)
    inlines = (FoundInline,)
    actions_list = ("pull_now", "register")

    def has_run_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("mpesa.run_pull")

    def has_register_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("mpesa.register_darajarequest")

    @action(
        description="Pull now",
        permissions=["run"],
        icon="move_to_inbox",
        dialog={
            "title": "Ask Safaricom for payments we missed",
            "description": "It is done every 30 minutes anyway. Safaricom tells those of the last "
            "48 hours; what the books have is not booked again.",
            "form_class": StaffDialog,
            "form_submit_text": "Pull",
        },
    )
    def pull_now(self, request: HttpRequest, form) -> HttpResponse:
        try:
            run = jobs.pull(by=request.user)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        tell = messages.success if run.status == Pull.Status.DONE else messages.error
        tell(request, f"{run.number}: {run.outcome}.")
        page = reverse("admin:mpesa_pull_change", args=[run.pk])
        return HttpResponse(headers={"HX-Redirect": page})

    @action(
        description="Register for pull",
        permissions=["register"],
        icon="app_registration",
        dialog={
            "title": "Nominate our number for pulling",
            "description": "Once for a paybill, with the number in DARAJA_PULL_NUMBER. To do it "
            "again does no harm.",
            "form_class": StaffDialog,
            "form_submit_text": "Register",
        },
    )
    def register(self, request: HttpRequest, form) -> HttpResponse:
        try:
            outcome = mpesa.register_pull(by=request.user)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        messages.success(request, f"Safaricom agreed: {outcome.message or outcome.code}")
        page = reverse("admin:mpesa_pull_changelist")
        return HttpResponse(headers={"HX-Redirect": page})

    @display(description="Pull")
    def shown_number(self, run):
        return run.number

    @display(description="Status", label=COLOURS)
    def shown_status(self, run):
        return run.get_status_display()

    @display(description="Outcome")
    def shown_outcome(self, run):
        return run.outcome
