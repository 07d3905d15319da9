"""The books: accounts, entries and transfers. Posted is posted: there is nothing to type here."""

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from lms import money
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.ledger.models import Account, JournalEntry, Transfer
from lms.money import ZERO, kes


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    """The chart. A code is an identity: after the account is made, only its name changes."""

    opens = frozenset({"add", "change"})
    list_display = ("code", "name", "kind", "balance")
    list_filter = (("kind", ChoicesDropdownFilter),)
    search_fields = ("code", "name")
    ordering = ("code",)
    fields = ("code", "name", "kind")

    def get_readonly_fields(self, request, obj=None):
        found = super().get_readonly_fields(request, obj)
        return (*found, "code", "kind") if obj else found

    def get_changelist_instance(self, request):
        """Sum the books once for the whole page."""
        page = super().get_changelist_instance(request)
        balances = _balances(request.user)
        for account in page.result_list:
            account.debit_balance = balances.get(account.pk, ZERO)
        return page

    @display(description="Balance")
    def balance(self, account):
        debit = getattr(account, "debit_balance", ZERO)
        return kes(debit if account.kind in Account.DEBIT_KINDS else -debit)


def _balances(staff) -> dict[str, money.Decimal]:
    """Return the debit balance of each account, in the person's branch or everywhere."""
    rows = Transfer.objects.order_by()
    if not staff.sees_all_branches:
        rows = rows.filter(branch_id=staff.branch_id)
    found = dict(rows.values_list("debit").annotate(sum=money.total("amount")))
    for code, amount in rows.values_list("credit").annotate(sum=money.total("amount")):
        found[code] = found.get(code, ZERO) - amount
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
    date = Field(column_name="date", attribute="entry__date")

    class Meta:
        model = Transfer
        fields = ("entry", "date", "debit", "credit", "amount", "branch__code", "subject")
        export_order = fields


@admin.register(Transfer)
class TransferAdmin(StaffAdmin):
    branch_path = "branch"
    resource_classes = (TransferResource,)
    list_display = ("day", "entry", "debit", "credit", "shown_amount", "subject", "branch")
    list_filter = (
        ("debit", AutocompleteSelectFilter),
        ("credit", AutocompleteSelectFilter),
        ("entry__date", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    list_select_related = ("entry", "debit", "credit", "branch")
    search_fields = ("=subject",)
    search_help_text = "Loan or payment number, or an account code"
    ordering = ("-pk",)
    fields = ("entry", "debit", "credit", "amount", "branch", "subject")

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip().upper()
        if term.isdigit():
            return queryset.filter(Q(debit=term) | Q(credit=term)), False
        return queryset.filter(subject=term) if term else queryset, False

    @display(description="Day")
    def day(self, transfer):
        return transfer.entry.date

    @display(description="Amount", ordering="amount")
    def shown_amount(self, transfer):
        return kes(transfer.amount)
