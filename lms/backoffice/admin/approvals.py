"""What waits for a second person: what was asked, what it would change, and the decision."""

from django.contrib import admin
from django.utils.html import format_html
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms.backoffice.approvals import DEEDS, title_of
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, reason_field
from lms.staff.models import Approval


class ApproveDialog(StaffDialog):
    reason = reason_field("Note", required=False)


class KindFilter(DropdownFilter):
    title = "action"
    parameter_name = "kind"

    def lookups(self, request, model_admin):
        return [(kind, deed.title) for kind, deed in DEEDS.items()]

    def queryset(self, request, queryset):
        return queryset.filter(kind=self.value()) if self.value() else queryset


class ApprovalResource(ModelResource):
    class Meta:
        model = Approval
        fields = (
            "id",
            "kind",
            "subject",
            "summary",
            "branch__code",
            "reason",
            "asked_by__username",
            "asked_at",
            "status",
            "decided_by__username",
            "decided_at",
            "decision",
        )
        export_order = fields


@admin.register(Approval)
class ApprovalAdmin(StaffAdmin):
    """A request is decided by its actions: nothing in it is typed over."""

    resource_classes = (ApprovalResource,)
    list_display = ("asked_at", "action_asked", "summary", "branch", "asked_by", "state",
                    "decided_by")  # fmt: skip
    list_display_links = ("asked_at", "summary")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        KindFilter,
        ("branch", RelatedDropdownFilter),
        ("asked_at", RangeDateTimeFilter),
    )
    list_select_related = ("branch", "asked_by", "decided_by")
    search_fields = ("summary", "subject")
    ordering = ("-pk",)
    readonly_fields = ("action_asked", "change", "branch", "state")
    fieldsets = (
        (None, {"fields": ("action_asked", "summary", "state", "branch")}),
        ("Asked", {"fields": ("reason", "asked_by", "asked_at")}),
        ("What would change", {"fields": ("change",)}),
        ("Decided", {"fields": ("decided_by", "decided_at", "decision")}),
    )
    actions_detail = ("approve", "reject", "withdraw")
    offers = dict.fromkeys(actions_detail, lambda approval: approval.is_waiting)

    def has_decide_permission(self, request, obj=None):
        """`obj` is the approval or its key: its kind says what more the second person needs."""
        if not request.user.has_perm("staff.decide_approval"):
            return False
        if obj is None:
            return True
        approval = self.record_of(request, obj)
        deed = approval and DEEDS.get(approval.kind)
        return bool(deed) and request.user.has_perm(deed.permission)

    def has_withdraw_permission(self, request, obj=None):
        if obj is None:
            return self.has_view_permission(request)
        approval = self.record_of(request, obj)
        return approval is not None and approval.asked_by_id == request.user.pk

    @display(description="Action")
    def action_asked(self, approval):
        return title_of(approval.kind)

    @display(description="In figures")
    def change(self, approval):
        if not approval.diff:
            return "-"
        return format_html('<pre class="overflow-x-auto">{}</pre>', approval.diff)

    @display(
        description="State",
        ordering="status",
        label={
            "Waiting": "warning",
            "Approved": "success",
            "Rejected": "danger",
            "Withdrawn": "info",
        },
    )
    def state(self, approval):
        return approval.get_status_display()

    # --- Actions -------------------------------------------------------------------------------
    @action(
        description="Approve",
        permissions=["decide"],
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": "Approve",
            "description": "It is carried out at once, in your name beside the one who asked.",
            "form_class": ApproveDialog,
            "form_submit_text": "Approve",
        },
    )
    def approve(self, request, form, object_id):
        approval = self.get_object(request, str(object_id))
        deed = DEEDS[approval.kind]
        return self.perform(request, object_id, deed.carry_out, form, done=deed.done)

    @action(
        description="Reject",
        permissions=["decide"],
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reject",
            "description": "Nothing happens; the one who asked reads your reason here.",
            "form_class": ReasonDialog,
            "form_submit_text": "Reject",
        },
    )
    def reject(self, request, form, object_id):
        approval = self.get_object(request, str(object_id))
        return self.perform(
            request, object_id, DEEDS[approval.kind].turn_down, form, done="Rejected."
        )

    @action(
        description="Withdraw",
        permissions=["withdraw"],
        dialog={
            "title": "Take the request back",
            "description": "Nothing happens; it stays on the record as withdrawn.",
            "form_class": ReasonDialog,
            "form_submit_text": "Withdraw",
        },
    )
    def withdraw(self, request, form, object_id):
        approval = self.get_object(request, str(object_id))
        return self.perform(
            request, object_id, DEEDS[approval.kind].take_back, form, done="Withdrawn."
        )
