"""The books: accounts, entries and transfers. Posted is posted: there is nothing to type here."""

from collections import defaultdict
from datetime import date
from decimal import Decimal

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q
from django.utils.html import format_html
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.reports.links import address
from lms.ledger import balances
from lms.ledger.chart import PER_PRODUCT
from lms.ledger.models import Account, JournalEntry, Transfer
from lms.money import ZERO, kes
from lms.reports.shape import report_target
from lms.reports.sources import sources_of


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    """The chart, in the order of its headers. A code is an identity and never changes.

    What was posted to an account keeps it from becoming a header; it is switched off, never
    deleted.
    """

    opens = frozenset({"add", "change"})
    list_display = ("code", "shown_name", "kind", "balance", "manual", "is_active")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("takes_manual_entries", BooleanRadioFilter),
        ("is_active", BooleanRadioFilter),
    )
    list_per_page = 500  # the whole chart: a header is read with what it sums
    search_fields = ("code", "name")
    ordering = ("code",)
    fields = (
        "code",
        "name",
        "kind",
        ("parent", "stands_for"),
        ("is_header", "is_contra"),
        ("takes_manual_entries", "is_active"),
    )

    def get_readonly_fields(self, request, obj=None):
        found = super().get_readonly_fields(request, obj)
        if obj is None:
            return found
        fixed = ("code", "kind", "is_contra")
        if obj.is_relied_on:
            fixed += ("is_header", "stands_for")
        return (*found, *fixed)

    def formfield_for_foreignkey(self, field, request, **kwargs):
        if field.name == "parent":
            kwargs["queryset"] = Account.objects.filter(is_header=True)
        if field.name == "stands_for":
            kwargs["queryset"] = Account.objects.filter(pk__in=PER_PRODUCT)
        return super().formfield_for_foreignkey(field, request, **kwargs)

    def get_changelist_instance(self, request):
        """Sum the books once for the whole page, and put it in the order of the chart."""
        page = super().get_changelist_instance(request)
        chart = {account.pk: account for account in Account.objects.all()}
        net = _net_by_header(chart, request.user)
        for account in page.result_list:
            target = report_target("account", account=account.pk)
            account.statement = "" if account.is_header else address(request, target)
            account.path, account.net = _path(account, chart), net.get(account.pk, ZERO)
        if "o" not in request.GET:
            page.result_list = sorted(page.result_list, key=lambda account: account.path)
        return page

    @display(description="Account", ordering="name")
    def shown_name(self, account):
        depth = len(getattr(account, "path", (account.pk,))) - 1
        weight = "font-semibold" if account.is_header else ""
        return format_html(
            '<span class="{}" style="padding-left: {}rem">{}</span>',
            weight, depth * 1.5, account.name,
        )  # fmt: skip

    @display(description="Balance")
    def balance(self, account):
        shown = kes(account.signed(getattr(account, "net", ZERO)))
        if not getattr(account, "statement", ""):
            return shown
        return format_html('<a class="text-link" href="{}">{}</a>', account.statement, shown)

    @display(description="By hand", boolean=True, ordering="takes_manual_entries")
    def manual(self, account):
        return account.takes_manual_entries


def _path(account: Account, chart: dict[str, Account]) -> tuple[str, ...]:
    """Return the codes from the top of the chart down to an account."""
    above = (account.parent_id,) if account.parent_id else ()
    return (*(_path(chart[above[0]], chart) if above else ()), account.pk)


def _net_by_header(chart: dict[str, Account], staff) -> dict[str, Decimal]:
    """Return debits less credits of each account and header, in the person's branch or all."""
    branch_ids = None if staff.sees_all_branches else [staff.branch_id]
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for code, balance in balances.balances(date.max, branch_ids=branch_ids).items():
        for above in _path(chart[code], chart):
            found[above] += balance.net
    return found


class TransferInline(ReadOnlyTabular):
    model = Transfer
    hide_title = True
    branch_path = "branch"
    fields = ("debit", "credit", "shown_amount", "branch", "subject")
    readonly_fields = fields
    ordering = ("pk",)
    tab = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("debit", "credit", "branch")

    @display(description="Amount")
    def shown_amount(self, transfer):
        return kes(transfer.amount)


class JournalEntryResource(ModelResource):
    class Meta:
        model = JournalEntry
        fields = (
            "id",
            "date",
            "kind",
            "reference",
            "narration",
            "posted_by__username",
            "posted_at",
        )
        export_order = fields


@admin.register(JournalEntry)
class JournalEntryAdmin(StaffAdmin):
    resource_classes = (JournalEntryResource,)
    list_display = ("number", "date", "kind", "narration", "posted_by")
    list_filter = (("date", RangeDateFilter),)
    list_select_related = ("posted_by",)
    search_fields = ("=reference", "=kind")
    search_help_text = "Entry number (JE000123), kind or reference of the event"
    ordering = ("-pk",)
    fields = ("date", "kind", "reference", "narration", "reverses", "posted_by", "posted_at")
    inlines = (TransferInline,)
    change_form_outer_before_template = "admin/reports/sources.html"

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        entry = self.get_object(request, object_id) if object_id else None
        cells = sources_of(entry) if entry else []
        sources = [(cell.value, address(request, cell.target)) for cell in cells]
        extra_context = {"sources": sources, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_queryset(self, request):
        """An entry belongs to the branches of its transfers."""
        rows = super().get_queryset(request)
        if request.user.sees_all_branches:
            return rows
        own = Transfer.objects.filter(entry=OuterRef("pk"), branch=request.user.branch_id)
        return rows.filter(Exists(own))

    def get_search_results(self, request, queryset, search_term):
        digits = search_term.strip().upper().removeprefix("JE")
        if digits.isascii() and digits.isdigit():
            return queryset.filter(pk=int(digits)), False
        return super().get_search_results(request, queryset, search_term)

    @display(description="Entry", ordering="pk")
    def number(self, entry):
        return f"JE{entry.pk:06d}"


class TransferResource(ModelResource):
    entry = Field(column_name="entry", attribute="entry_id")

    class Meta:
        model = Transfer
        fields = ("entry", "date", "debit", "credit", "amount", "branch__code", "subject")
        export_order = fields


@admin.register(Transfer)
class TransferAdmin(StaffAdmin):
    branch_path = "branch"
    resource_classes = (TransferResource,)
    list_display = ("date", "entry", "debit", "credit", "shown_amount", "subject", "branch")
    list_filter = (
        ("debit", AutocompleteSelectFilter),
        ("credit", AutocompleteSelectFilter),
        ("date", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    list_select_related = ("entry", "debit", "credit", "branch")
    search_fields = ("=subject",)
    search_help_text = "Loan or payment number, or an account code"
    ordering = ("-pk",)
    fields = ("entry", "date", "debit", "credit", "amount", "branch", "subject")

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip().upper()
        if term.isdigit():
            return queryset.filter(Q(debit=term) | Q(credit=term)), False
        return queryset.filter(subject=term) if term else queryset, False

    @display(description="Amount", ordering="amount")
    def shown_amount(self, transfer):
        return kes(transfer.amount)
