"""Cash between drawers, and on its way to the bank."""

from django.contrib import admin
from django.db.models import Q
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates
from lms.backoffice.admin.drawers import only_own
from lms.backoffice.base import StaffAdmin
from lms.backoffice.by_operation import AddsByOperation, BranchForm
from lms.backoffice.forms import ReasonDialog, StaffDialog, date_field
from lms.money import kes
from lms.tills.models import Banking, TillTransfer
from lms.tills.operations import banking, handovers


# --- Between drawers -----------------------------------------------------------------------------
class TillTransferResource(ModelResource):
    class Meta:
        model = TillTransfer
        fields = ("id", "sent_on", "sender__cashier__username", "recipient__username", "amount",
                  "status", "branch__code")  # fmt: skip
        export_order = fields


@admin.register(TillTransfer)
class TillTransferAdmin(StaffAdmin):
    """Cash a cashier hands to a colleague; who accepts it answers for it."""

    resource_classes = (TillTransferResource,)
    list_display = ("number", "sent_on", "sent_by", "recipient", "shown_amount", "state")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("sent_on", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    list_select_related = ("sender__cashier", "recipient", "branch")
    ordering = ("-pk",)
    sortable_by = ()
    fields = (("sent_by", "recipient"), ("shown_amount", "state"), ("sender", "receiver"),
              ("sent_at", "branch"))  # fmt: skip
    readonly_fields = ("sent_by", "shown_amount", "state", "sent_at")
    actions_detail = ("accept", "take_back")
    actions_row = ("accept", "take_back")
    offers = dict.fromkeys(
        actions_detail, lambda transfer: transfer.status == TillTransfer.Status.WAITING
    )

    def get_queryset(self, request):
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        if only_own(request.user):
            return rows.filter(Q(recipient=request.user) | Q(sender__cashier=request.user))
        return rows

    def has_use_permission(self, request, obj=None):
        return request.user.has_perm("tills.use_drawersession")

    @action(
        description="Accept",
        permissions=["use"],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Accept this cash into your drawer",
            "description": "Count it first: from now on you answer for it.",
            "form_class": StaffDialog,
            "form_submit_text": "Accept",
        },
    )
    def accept(self, request, form, object_id):
        return self.perform(
            request, object_id, handovers.accept, form, done="It is in your drawer."
        )

    @action(
        description="Take back",
        permissions=["use"],
        icon="undo",
        dialog={
            "title": "Put this cash back into the drawer it came from",
            "form_class": ReasonDialog,
            "form_submit_text": "Take back",
        },
    )
    def take_back(self, request, form, object_id):
        return self.perform(
            request, object_id, handovers.take_back, form, done="It is back in the drawer."
        )

    @display(description="Transfer")
    def number(self, transfer):
        return f"TT{transfer.pk:06d}"

    @display(description="From")
    def sent_by(self, transfer):
        return transfer.sender.cashier

    @display(description="Amount")
    def shown_amount(self, transfer):
        return kes(transfer.amount)

    @display(
        description="State",
        label={"Waiting for acceptance": "warning", "Accepted": "success", "Taken back": "info"},
    )
    def state(self, transfer):
        return transfer.get_status_display()


# --- To the bank ---------------------------------------------------------------------------------
class BankingForm(BranchForm):
    """Cash of the vault that goes to the bank."""

    class Meta:
        model = Banking
        fields = ("branch", "amount", "slip_number")

    def carry_out(self, answers: dict) -> Banking:
        return banking.bank(
            amount=answers["amount"],
            slip_number=answers["slip_number"],
            branch=self.branch_of(answers),
            by=self.staff,
            on=dates.today(),
        )


class ConfirmDialog(StaffDialog):
    arrived_on = date_field("In the bank on", initial=dates.today)


class BankingResource(ModelResource):
    class Meta:
        model = Banking
        fields = ("slip_number", "amount", "branch__code", "banked_on", "banked_by__username",
                  "status", "ended_on", "ended_by__username")  # fmt: skip
        export_order = fields


@admin.register(Banking)
class BankingAdmin(AddsByOperation, StaffAdmin):
    """Banking slips: cash that left, and whether the bank has it."""

    add_form = BankingForm
    resource_classes = (BankingResource,)
    list_display = ("slip_number", "shown_amount", "source", "branch", "banked_on", "banked_by",
                    "state", "ended_on", "ended_by")  # fmt: skip
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("banked_on", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    list_select_related = ("session", "branch", "banked_by", "ended_by")
    search_fields = ("slip_number",)
    ordering = ("-pk",)
    sortable_by = ()
    add_fieldsets = (("Cash of the vault", {"fields": (("slip_number", "amount"),)}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("slip_number", "shown_amount"),
                    ("source", "branch"),
                    ("banked_on", "banked_by"),
                    ("state", "ended_on", "ended_by"),
                )
            },
        ),
    )
    readonly_fields = ("shown_amount", "source", "state")
    actions_detail = ("confirm", "bring_back")
    actions_row = ("confirm", "bring_back")
    offers = dict.fromkeys(actions_detail, lambda slip: slip.status == Banking.Status.IN_TRANSIT)

    def has_confirm_permission(self, request, obj=None):
        return request.user.has_perm("tills.confirm_banking")

    @action(
        description="Confirm",
        permissions=["confirm"],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Confirm that the bank has this cash",
            "description": "As its stamped slip or its statement says.",
            "form_class": ConfirmDialog,
            "form_submit_text": "Confirm",
        },
    )
    def confirm(self, request, form, object_id):
        return self.perform(
            request, object_id, banking.confirm, form, done="The cash is in the bank."
        )

    @action(
        description="Back to the vault",
        permissions=["confirm"],
        icon="undo",
        dialog={
            "title": "The bank did not take this cash",
            "form_class": ReasonDialog,
            "form_submit_text": "Put into the vault",
        },
    )
    def bring_back(self, request, form, object_id):
        return self.perform(
            request, object_id, banking.bring_back, form, done="The cash is in the vault."
        )

    @display(description="Amount")
    def shown_amount(self, slip):
        return kes(slip.amount)

    @display(description="Out of")
    def source(self, slip):
        return slip.session.number if slip.session else "Vault"

    @display(
        description="State",
        label={"On its way": "warning", "In the bank": "success", "Back in the vault": "info"},
    )
    def state(self, slip):
        return slip.get_status_display()
