"""The months of the books: what each moved and carries, closing it, asking to reopen it."""

from datetime import timedelta
from typing import NamedTuple

from django.contrib import admin
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog
from lms.closing import operations as closing
from lms.ledger import balances, periods
from lms.ledger.balances import Balance
from lms.ledger.models import Account, Period
from lms.money import kes


class CloseDialog(StaffDialog):
    """Says what closing this month does before it is done."""

    def get_before_template_context(self, request, object_id=None) -> dict:
        period = Period.objects.get(pk=object_id)
        what = "Nothing more is posted to it, and its balances are carried."
        if period.ends_year:
            what += " Income and expense of the year go to retained earnings, branch by branch."
        self.subject = f"{period}: {what}"
        return super().get_before_template_context(request, object_id)


class Moved(NamedTuple):
    """One account in a month, as it is shown."""

    account: Account
    before: str
    debit: str
    credit: str
    after: str


def moved_in(period: Period, *, branch_ids: list[int] | None) -> list[Moved]:
    """Return what each account stood at, moved and carries, on its normal side (KES)."""
    before = balances.balances(period.first - timedelta(days=1), branch_ids=branch_ids)
    after = balances.balances(period.last, branch_ids=branch_ids)
    accounts = Account.objects.in_bulk(list(after))
    rows = []
    for code in sorted(after):
        account, old, new = accounts[code], before.get(code, Balance()), after[code]
        moved = new.less(old)
        rows.append(
            Moved(
                account,
                kes(account.signed(old.net)),
                kes(moved.debit),
                kes(moved.credit),
                kes(account.signed(new.net)),
            )
        )
    return rows


class PeriodResource(ModelResource):
    class Meta:
        model = Period
        fields = ("first", "last", "status", "closed_by__username", "closed_at")
        export_order = fields


@admin.register(Period)
class PeriodAdmin(StaffAdmin):
    resource_classes = (PeriodResource,)
    list_display = ("month", "first", "last", "state", "closed_by", "closed_at")
    list_filter = (("status", ChoicesDropdownFilter),)
    list_select_related = ("closed_by",)
    ordering = ("-first",)
    readonly_fields = ("state",)
    fields = (("first", "last"), "state", ("closed_by", "closed_at"))
    change_form_outer_after_template = "admin/ledger/carried.html"
    actions_detail = ("close", "ask_to_reopen")
    offers = {
        "close": lambda period: not period.is_closed,
        "ask_to_reopen": lambda period: period.is_closed,
    }

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        """Show the balances below; to a person of one branch those of that branch alone."""
        period = self.get_object(request, object_id) if object_id else None
        if period:
            user = request.user
            branch_ids = None if user.sees_all_branches else [user.branch_id]
            carried = {
                "title": "Carried" if period.is_closed else "What closing would carry",
                "rows": moved_in(period, branch_ids=branch_ids),
            }
            extra_context = {"carried": carried, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    @display(description="Month", ordering="first")
    def month(self, period):
        return str(period)

    @display(description="State", ordering="status", label={"Open": "success", "Closed": "warning"})
    def state(self, period):
        return period.get_status_display()

    def has_close_permission(self, request, obj=None):
        return request.user.has_perm("ledger.close_period")

    def has_reopen_permission(self, request, obj=None):
        return request.user.has_perm("ledger.reopen_period")

    @action(
        description="Close",
        permissions=["close"],
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Close this month",
            "description": "Reopening it takes two people.",
            "form_class": CloseDialog,
            "form_submit_text": "Close",
        },
    )
    def close(self, request, form, object_id):
        return self.perform(
            request, object_id, closing.close_period, form, done=lambda made: f"{made} is closed."
        )

    @action(
        description="Ask to reopen",
        permissions=["reopen"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Ask to reopen this month",
            "description": "A second person decides, under Approvals.",
            "form_class": ReasonDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_to_reopen(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            periods.ask_to_reopen,
            form,
            done="Asked. Somebody else decides it under Approvals.",
        )
