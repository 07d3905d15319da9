"""Templates of journals that come back, and the drafts made of them."""

from django.contrib import admin, messages
from django.http import HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display

from lms import dates, money
from lms.backoffice.admin.journal_actions import page_of
from lms.backoffice.admin.journals import COLOURS, LineGrid
from lms.backoffice.base import EditableTabular, ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import StaffDialog
from lms.ledger import recurring
from lms.ledger.models import JournalTemplate, JournalTemplateLine, ManualJournal
from lms.money import kes
from lms.words import counted

SHOWN = 12


class TemplateLineInline(LineGrid, EditableTabular):
    model = JournalTemplateLine
    ordering = ("pk",)
    tab = False
    hide_title = True


class MadeInline(ReadOnlyTabular):
    """The journals that were made of a template, the latest first."""

    model = ManualJournal
    verbose_name_plural = "journals made of it"
    tab = False
    hide_title = True
    show_change_link = False
    fields = ("shown_number", "date", "narration", "shown_status")
    readonly_fields = fields
    ordering = ("-date",)

    @display(description="Journal")
    def shown_number(self, journal):
        return format_html(
            '<a class="text-link" href="{}">{}</a>', page_of(journal), journal.number
        )

    @display(description="Status", label=COLOURS)
    def shown_status(self, journal):
        return journal.get_status_display()


class DraftDialog(StaffDialog):
    """Says which drafts will be made."""

    @property
    def subject(self) -> str:
        until = recurring.end_of_month(dates.today())
        due = recurring.due(templates_of(self.request), until=until)
        names = [f"{template} of {dates.show(day)}" for template, day in due[:SHOWN]]
        if not names:
            return f"Every journal due by {dates.show(until)} is drafted already."
        more = f", and {len(due) - SHOWN} more" if len(due) > SHOWN else ""
        return f"Due by {dates.show(until)}: {', '.join(names)}{more}."


def templates_of(request):
    page = admin.site.get_model_admin(JournalTemplate)
    return page.get_queryset(request)


class JournalTemplateResource(ModelResource):
    class Meta:
        model = JournalTemplate
        fields = (
            "name", "narration", "branch__code", "every", "first_on", "last_on",
            "reverses_next_period", "is_active",
        )  # fmt: skip
        export_order = fields


@admin.register(JournalTemplate)
class JournalTemplateAdmin(StaffAdmin):
    opens = frozenset({"add", "change"})
    branch_path = "branch"
    nothing_yet = "A template drafts a journal each month, quarter or year: the rent, an accrual."
    resource_classes = (JournalTemplateResource,)
    list_display = ("name", "shown_amount", "shown_every", "first_on", "last_on", "branch",
                    "reverses_next_period", "is_active")  # fmt: skip
    list_select_related = ("branch",)
    list_filter = (
        ("is_active", BooleanRadioFilter),
        ("every", ChoicesDropdownFilter),
        ("branch", RelatedDropdownFilter),
    )
    search_fields = ("name", "narration")
    ordering = ("name",)
    inlines = (TemplateLineInline, MadeInline)
    change_form_after_template = "admin/ledger/difference.html"
    actions_list = ("draft_due",)
    fieldsets = (
        (
            "Template",
            {
                "fields": (
                    ("name", "branch"),
                    "narration",
                    ("every", "first_on"),
                    ("last_on", "is_active"),
                    "reverses_next_period",
                )
            },
        ),
    )

    class Media:
        js = ("backoffice/journal.js",)

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows.annotate(
            debits=money.total("lines__debit"), credits=money.total("lines__credit")
        )

    def get_inlines(self, request, obj):
        return self.inlines if obj else (TemplateLineInline,)

    def get_changeform_initial_data(self, request):
        first = {"first_on": dates.today(), "branch": request.user.branch_id}
        return {**first, **super().get_changeform_initial_data(request)}

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        template = self.get_object(request, object_id) if object_id else None
        can_type = template is None or self.has_change_permission(request, template)
        context = {"shows_difference": can_type, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def has_make_permission(self, request, obj=None):
        return request.user.has_perm("ledger.add_manualjournal")

    @action(
        description="Make this month’s journals",
        permissions=["make"],
        icon="event_repeat",
        dialog={
            "title": "Make this month’s journals",
            "description": "Drafts of every active template, once a month each, to be submitted.",
            "form_class": DraftDialog,
            "form_submit_text": "Make the drafts",
        },
    )
    def draft_due(self, request, form):
        until = recurring.end_of_month(dates.today())
        made = recurring.draft_due(templates_of(request), until=until, by=request.user)
        messages.success(request, f"{counted(len(made), 'draft')} made.")
        back = reverse("admin:ledger_manualjournal_changelist")
        return HttpResponse(headers={"HX-Redirect": back})

    @display(description="Amount")
    def shown_amount(self, template):
        if template.debits == template.credits:
            return kes(template.debits)
        return f"{kes(template.debits)} / {template.credits:,.2f}"

    @display(description="Every")
    def shown_every(self, template):
        return template.get_every_display()
