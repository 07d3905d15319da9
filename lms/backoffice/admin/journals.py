"""Manual journals: written by one person, posted by another who saw what it does to balances."""

from itertools import groupby

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.urls import reverse
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from lms import dates, money
from lms.backoffice.admin.imports import ImportLink
from lms.backoffice.admin.journal_actions import JournalActions, effect_of, page_of
from lms.backoffice.admin.product_versions import WhileDraft
from lms.backoffice.base import StaffAdmin
from lms.backoffice.totals import Totals
from lms.ledger.models import Account, JournalPaper, ManualJournal, ManualLine
from lms.money import kes

Status = ManualJournal.Status
COLOURS = {
    "Draft": "info",
    "Submitted": "warning",
    "Posted": "success",
    "Rejected": "danger",
    "Withdrawn": "default",
}


# --- The grid of lines ---
def account_choices() -> list:
    """Return the accounts that take manual entries, grouped by kind."""
    accounts = Account.objects.manual().order_by("kind", "code")
    kinds = list(Account.Kind)
    found = groupby(
        sorted(accounts, key=lambda each: (kinds.index(each.kind), each.pk)),
        key=lambda each: each.get_kind_display(),
    )
    grouped = [(kind, [(each.pk, str(each)) for each in group]) for kind, group in found]
    return [("", "---------"), *grouped]


class LineFormSet(forms.BaseInlineFormSet):
    """Lines whose choices are asked of the database once, not once a line."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        fields = self.form.base_fields
        if "account" in fields:
            fields["account"].choices = account_choices()
        if "branch" in fields:
            branches = fields["branch"].queryset
            fields["branch"].choices = [("", "Same"), *((b.pk, str(b)) for b in branches)]


class LineForm(forms.ModelForm):
    """One line: a debit or a credit, the other side left empty."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for side in ("debit", "credit"):
            self.initial[side] = self.initial.get(side) or None

    def clean(self) -> dict:
        cleaned = super().clean()
        debit, credit = (cleaned.get(side) or money.ZERO for side in ("debit", "credit"))
        cleaned["debit"], cleaned["credit"] = debit, credit
        if not self.errors and (min(debit, credit) < 0 or bool(debit) == bool(credit)):
            raise forms.ValidationError("Fill in either the debit or the credit, above zero.")
        return cleaned


class LineGrid:
    """What the lines of journals and of templates have in common."""

    form = LineForm
    formset = LineFormSet
    extra = 2
    fields = ("account", "debit", "credit", "branch", "memo")

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("account", "branch")

    def formfield_for_foreignkey(self, field, request, **kwargs):
        if field.name == "account":
            kwargs["queryset"] = Account.objects.manual()
        return super().formfield_for_foreignkey(field, request, **kwargs)

    def formfield_for_dbfield(self, field, request, **kwargs):
        form_field = super().formfield_for_dbfield(field, request, **kwargs)
        if field.name in ("debit", "credit"):
            form_field.required, form_field.initial = False, None
        if field.name in ("account", "branch"):
            # The cells are narrow: no buttons beside the choices.
            for verb in ("add", "change", "view", "delete"):
                setattr(form_field.widget, f"can_{verb}_related", False)
        if field.name == "branch":
            form_field.help_text = "Same: the branch of the whole journal."
        return form_field


class LineInline(LineGrid, WhileDraft):
    model = ManualLine
    readonly_fields = ("shown_account", "shown_debit", "shown_credit", "shown_branch")

    def get_fields(self, request, obj=None):
        """Once nothing is typed any more, show amounts as they are read."""
        if obj is None or obj.is_draft:
            return self.fields
        return (*self.readonly_fields, "memo")

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("journal__branch")

    @display(description="Account")
    def shown_account(self, line):
        return str(line.account)

    @display(description="Debit (KES)")
    def shown_debit(self, line):
        return f"{line.debit:,.2f}" if line.debit else ""

    @display(description="Credit (KES)")
    def shown_credit(self, line):
        return f"{line.credit:,.2f}" if line.credit else ""

    @display(description="Branch")
    def shown_branch(self, line):
        return str(line.branch or line.journal.branch)


class PaperInline(WhileDraft):
    model = JournalPaper
    fields = ("name", "file")


# --- The page ---
class OriginFilter(DropdownFilter):
    title = "origin"
    parameter_name = "origin"

    def lookups(self, request, model_admin):
        return [("written", "Written"), ("recurring", "From a template"), ("reversal", "Reversals")]

    def queryset(self, request, queryset):
        return {
            "written": queryset.filter(template=None, reverses=None),
            "recurring": queryset.exclude(template=None),
            "reversal": queryset.exclude(reverses=None),
        }.get(self.value(), queryset)


class ManualJournalResource(ModelResource):
    number = Field(column_name="number", attribute="number", readonly=True)
    debits = Field(column_name="amount", attribute="debits", readonly=True)

    class Meta:
        model = ManualJournal
        fields = (
            "number", "date", "narration", "branch__code", "status", "debits",
            "created_by__username", "approval__asked_by__username",
            "approval__decided_by__username", "approval__decided_at", "approval__decision",
        )  # fmt: skip
        export_order = fields


@admin.register(ManualJournal)
class ManualJournalAdmin(ImportLink, JournalActions, Totals, StaffAdmin):
    import_kind = "journals"
    nothing_yet = "Journals are written here, brought from a file, or drafted from templates."
    opens = frozenset({"add", "change"})
    resource_classes = (ManualJournalResource,)
    list_display = ("shown_number", "date", "narration", "shown_amount", "shown_status", "branch",
                    "origin", "asked_by", "decided_by")  # fmt: skip
    list_select_related = (
        "branch", "created_by", "approval__asked_by", "approval__decided_by", "template",
        "reverses",
    )  # fmt: skip
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("date", RangeDateFilter),
        OriginFilter,
        ("branch", RelatedDropdownFilter),
    )
    search_fields = ("narration",)
    search_help_text = "MJ000012, or words of the narration"
    ordering = ("-pk",)
    sortable_by = ("date",)
    inlines = (LineInline, PaperInline)
    change_form_outer_before_template = "admin/ledger/journal_header.html"
    change_form_after_template = "admin/ledger/difference.html"
    fieldsets = (
        (
            "Journal",
            {"fields": (("date", "branch"), "narration", "reverses_next_period")},
        ),
    )

    class Media:
        js = ("backoffice/journal.js",)

    def get_queryset(self, request):
        return super().get_queryset(request).with_totals().select_related(*self.list_select_related)

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and (obj is None or obj.is_draft)

    def get_changeform_initial_data(self, request):
        first = {"date": dates.today(), "branch": request.user.branch_id}
        return {**first, **super().get_changeform_initial_data(request)}

    def save_model(self, request, obj, form, change):
        """Save under a lock: somebody may have submitted it since this page read it."""
        if not change:
            obj.created_by = request.user
        else:
            rows = ManualJournal.objects.select_for_update().filter(pk=obj.pk)
            if not rows.filter(status=Status.DRAFT).values_list("pk").first():
                raise PermissionDenied
        super().save_model(request, obj, form, change)

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        journal = self.get_object(request, object_id) if object_id else None
        story = story_of(journal, staff=request.user) if journal else {}
        can_type = journal is None or self.has_change_permission(request, journal)
        context = {"journal": story, "shows_difference": can_type, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def get_search_results(self, request, queryset, search_term):
        if key := ManualJournal.key_of(search_term):
            return queryset.filter(pk=key), False
        return super().get_search_results(request, queryset, search_term)

    def totals_of(self, rows):
        sums = rows.select_related(None).aggregate(count=Count("pk"), amount=money.total("debits"))
        parts = {
            label: rows.select_related(None)
            .filter(status=status)
            .aggregate(amount=money.total("debits"))["amount"]
            for label, status in (("Posted", Status.APPROVED), ("Submitted", Status.SUBMITTED))
        }
        return [
            ("Journals", f"{sums['count']:,}"),
            ("Debits", kes(sums["amount"])),
            *((label, kes(amount)) for label, amount in parts.items()),
        ]

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Journal", ordering="pk")
    def shown_number(self, journal):
        return journal.number

    @display(description="Amount")
    def shown_amount(self, journal):
        if journal.debits == journal.credits:
            return kes(journal.debits)
        return f"{kes(journal.debits)} / {journal.credits:,.2f}"

    @display(description="Status", label=COLOURS)
    def shown_status(self, journal):
        return journal.get_status_display()

    @display(description="Submitted by")
    def asked_by(self, journal):
        return journal.approval.asked_by if journal.approval_id else "-"

    @display(description="Decided by")
    def decided_by(self, journal):
        return (journal.approval_id and journal.approval.decided_by) or "-"

    @display(description="Origin")
    def origin(self, journal):
        if journal.reverses_id:
            return f"Reverses {journal.reverses.number}"
        return journal.template.name if journal.template_id else "-"


def story_of(journal: ManualJournal, *, staff) -> dict:
    """Return what stands above a journal: its facts, what is linked to it, what it does."""
    status = journal.get_status_display()
    people = [("Written by", journal.created_by or "The nightly job")]
    if approval := journal.approval:
        people.append(("Submitted by", approval.asked_by))
        if approval.decided_by:
            people.append((f"{status} by", approval.decided_by))
            people.append(("Decided", dates.show(dates.day_of(approval.decided_at))))
    linked = (
        [(f"Reverses {journal.reverses.number}", page_of(journal.reverses))]
        if (journal.reverses_id)
        else []
    )
    for reversal in journal.reversals.all():
        words = f"{reversal.get_status_display()} reversal {reversal.number}"
        linked.append((f"{words} of {dates.show(reversal.date)}", page_of(reversal)))
    if journal.entry_id:
        entry = reverse("admin:ledger_journalentry_change", args=[journal.entry_id])
        linked.append((f"Entry JE{journal.entry_id:06d}", entry))
    if journal.template_id:
        template = reverse("admin:ledger_journaltemplate_change", args=[journal.template_id])
        linked.append((f"Template {journal.template}", template))
    waits = journal.status == Status.SUBMITTED
    return {
        "row": journal,
        "status": status,
        "colour": COLOURS[status],
        "facts": [
            ("Date", dates.show(journal.date)),
            ("Debits", kes(journal.debits)),
            ("Credits", kes(journal.credits)),
            *people,
        ],
        "linked": linked,
        **(effect_of(journal, staff=staff) if waits else {}),
    }
