"""What is said to customers: the templates with a live preview, and the outbox."""

from datetime import date

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import format_html
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates, money
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import ReasonDialog
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import kes
from lms.notifications import operations, text
from lms.notifications.models import (
    SAMPLES,
    Channel,
    Message,
    MessageTemplate,
    Occasion,
)
from lms.words import counted

Status = Message.Status
COLOURS = {
    Status.QUEUED.label: "info",
    Status.SENDING.label: "info",
    Status.SENT.label: "success",
    Status.FAILED.label: "danger",
    Status.UNKNOWN.label: "warning",
    Status.CANCELLED.label: "default",
}
MOST_FOUND = 500


# --- Templates -----------------------------------------------------------------------------------
def preview_of(template: MessageTemplate) -> dict:
    """Return what the preview shows of a template as it is typed: its words, or what is wrong."""
    try:
        wording = template.preview()
    except ValueError as error:
        return {"refusal": str(error)}
    segments = wording.segments
    odd = [letter for letter in dict.fromkeys(wording.body) if not text.is_gsm7(letter)]
    typed = text.render(template.body, SAMPLES[template.occasion])
    return {
        "subject": wording.subject,
        "body": wording.body,
        "segments": segments,
        "odd": odd if segments else [],
        "respelled": bool(segments) and wording.body != typed.replace("\r\n", "\n"),
    }


@admin.register(MessageTemplate)
class MessageTemplateAdmin(StaffAdmin):
    opens = frozenset({"add", "change"})
    list_display = ("occasion", "channel", "opening", "is_active")
    list_filter = (("channel", ChoicesDropdownFilter), ("occasion", ChoicesDropdownFilter))
    search_fields = ("subject", "body")
    ordering = ("occasion", "channel")
    change_form_after_template = "admin/notifications/preview_slot.html"
    fields = (("occasion", "channel"), "subject", "body", "is_active")
    conditional_fields = {"subject": "channel == 'email'"}

    def get_readonly_fields(self, request, obj=None):
        """What a template is for never changes: the outbox names it."""
        return (
            *super().get_readonly_fields(request, obj),
            *(("occasion", "channel") if obj else ()),
        )

    def get_fields(self, request, obj=None):
        found = super().get_fields(request, obj)
        is_sms = obj is not None and obj.channel == Channel.SMS
        return [field for field in found if not is_sms or field != "subject"]

    def get_urls(self):
        view = self.admin_site.admin_view
        name = "notifications_messagetemplate_preview"
        return [
            path("preview/", view(self.preview_view), name=name),
            path("<int:pk>/preview/", view(self.preview_view), name=f"{name}_of"),
            *super().get_urls(),
        ]

    def preview_view(self, request: HttpRequest, pk: int | None = None) -> HttpResponse:
        """Put what is typed, or what is stored, into words. Saves nothing."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        stored = self.get_object(request, str(pk)) if pk else None
        template = MessageTemplate(
            occasion=stored.occasion if stored else request.POST.get("occasion", ""),
            channel=stored.channel if stored else request.POST.get("channel", ""),
            subject=request.POST.get("subject", stored.subject if stored else ""),
            body=request.POST.get("body", stored.body if stored else ""),
        )
        known = template.occasion in Occasion.values and template.channel in Channel.values
        context = preview_of(template) if known else {}
        return render(
            request,
            "admin/notifications/preview.html",
            {"template": template, "is_known": known, **context},
        )

    @display(description="Text")
    def opening(self, template):
        return template.subject or f"{template.body[:90]}{'…' if template.body[90:] else ''}"


# --- The outbox ----------------------------------------------------------------------------------
class MessageResource(ModelResource):
    customer = Field(column_name="customer", attribute="customer__name")

    class Meta:
        model = Message
        fields = (
            "created_at", "channel", "recipient", "customer", "occasion", "about", "subject",
            "body", "parts", "status", "attempts", "error", "cost", "sent_at",
        )  # fmt: skip
        export_order = fields


def cancel(message: Message, *, by, on: date, reason: str) -> Message:
    """Cancel a queued message; the day does not matter to it. Raises Refused."""
    return operations.cancel(message, by=by, reason=reason)


def resend(message: Message, *, by, on: date, reason: str) -> Message:
    """Send a message once more, from this instant. Raises Refused."""
    return operations.resend(message, by=by, reason=reason, now=dates.now())


def resend_all(messages, *, by, on: date, reason: str) -> list[Message]:
    """Send the chosen messages once more: all of them, or none where one is refused."""
    with transaction.atomic():
        return [resend(message, by=by, on=on, reason=reason) for message in messages]


def cancel_all(messages, *, by, on: date, reason: str) -> list[Message]:
    """Cancel the chosen messages: all of them, or none where one is refused."""
    with transaction.atomic():
        return [cancel(message, by=by, on=on, reason=reason) for message in messages]


class MessageActions:
    """What may be done with a message: sent again, or kept from being sent."""

    actions = ("resend_chosen", "cancel_chosen")
    actions_detail = ("resend", "cancel")
    actions_row = ("resend", "cancel")
    offers = {
        "resend": lambda message: message.status in (Status.FAILED, Status.UNKNOWN),
        "cancel": lambda message: message.status == Status.QUEUED,
    }

    def has_resend_permission(self, request, obj=None):
        return request.user.has_perm("notifications.resend_message")

    def has_cancel_permission(self, request, obj=None):
        return request.user.has_perm("notifications.cancel_message")

    @action(
        description="Send again",
        permissions=["resend"],
        icon="forward_to_inbox",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Send this message again",
            "description": "To the address the customer has today. What became of the first "
            "one stays on record.",
            "form_class": ReasonDialog,
            "form_submit_text": "Send again",
        },
    )
    def resend(self, request, form, object_id):
        return self.perform(
            request, object_id, resend, form, done=lambda message: f"Queued again: {message}."
        )

    @action(
        description="Cancel message",
        permissions=["cancel"],
        icon="cancel_schedule_send",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Do not send this message",
            "description": "It stays in the outbox as cancelled, with your reason.",
            "form_class": ReasonDialog,
            "form_submit_text": "Cancel the message",
        },
    )
    def cancel(self, request, form, object_id):
        return self.perform(request, object_id, cancel, form, done="The message will not be sent.")

    @admin.action(description="Send again", permissions=["resend"])
    def resend_chosen(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            resend_all,
            ReasonDialog,
            title="Send these messages again",
            description="To the addresses of today: all of them, or none where one is refused.",
            submit="Send again",
            done=lambda made: f"Queued again: {counted(len(made), 'message')}.",
        )

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_chosen(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            cancel_all,
            ReasonDialog,
            title="Do not send these messages",
            description="They stay in the outbox as cancelled: all of them, or none where one "
            "is refused.",
            submit="Cancel the messages",
            done=lambda made: f"Cancelled: {counted(len(made), 'message')}.",
        )


@admin.register(Message)
class MessageAdmin(MessageActions, Totals, StaffAdmin):
    """Every message, and what became of it. Written by the reminders and receipts."""

    resource_classes = (MessageResource,)
    list_display = ("sent_to", "told", "channel", "shown_status", "parts", "error", "created_at",
                    "sent_at")  # fmt: skip
    list_select_related = ("customer",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("channel", ChoicesDropdownFilter),
        ("occasion", ChoicesDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("about",)
    search_help_text = "Phone, e-mail address, loan number, or the customer's ID or name"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Message",
            {
                "fields": (
                    ("to", "customer"),
                    ("occasion", "channel"),
                    "subject",
                    "body",
                    ("loan", "template"),
                )
            },
        ),
        (
            "What became of it",
            {
                "fields": (
                    ("shown_status", "error"),
                    ("created_at", "not_before"),
                    ("sent_at", "attempts"),
                    ("parts", "cost"),
                    ("provider_id", "again_of"),
                )
            },
        ),
    )
    readonly_fields = ("to", "loan", "shown_status")

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("customer")

    def get_search_results(self, request, queryset, search_term):
        """Find keys by an index first: the loan's number, then the customer."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if key := Loan.key_of(term):
            number = f"LN{key:06d}"
            return queryset.filter(Q(about=number) | Q(about__startswith=f"{number} ")), False
        customers = Customer.objects.matching(term)
        if "@" in term:
            customers = Customer.objects.filter(email__iexact=term)
        keys = list(customers.values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(customer_id__in=keys), False

    def totals_of(self, rows):
        sums = rows.select_related(None).aggregate(
            count=Count("pk"),
            parts=Sum("parts"),
            cost=money.total("cost"),
            **{state: Count("pk", filter=Q(status=state)) for state in Status.values},
        )
        return [
            ("Messages", f"{sums['count']:,}"),
            *((state.label, f"{sums[state]:,}") for state in Status if sums[state]),
            ("SMS parts", f"{sums['parts'] or 0:,}"),
            ("Cost", kes(sums["cost"])),
        ]

    # --- Columns -------------------------------------------------------------------------------
    @display(description="To", header=True)
    def sent_to(self, message):
        name = message.customer.name if message.customer else "-"
        return [name, message.shown_recipient]

    @display(description="About", header=True)
    def told(self, message):
        return [message.get_occasion_display(), message.about or "-"]

    @display(description="To")
    def to(self, message):
        return message.shown_recipient

    @display(description="About")
    def loan(self, message):
        key = Loan.key_of(message.about.partition(" ")[0])
        if key is None:
            return message.about or "-"
        url = reverse("admin:loans_loan_change", args=[key])
        return format_html('<a class="text-link" href="{}">{}</a>', url, message.about)

    @display(description="Status", label=COLOURS)
    def shown_status(self, message):
        return message.get_status_display()
