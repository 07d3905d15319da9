"""The lender's own money between bank, M-Pesa accounts and vault."""

from django.contrib import admin
from django.db.models import Count
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates, money
from lms.backoffice.base import StaffAdmin
from lms.backoffice.by_operation import AddsByOperation, BranchForm
from lms.backoffice.forms import ReasonDialog
from lms.backoffice.totals import Totals
from lms.money import ZERO, kes
from lms.tills.models import FundsTransfer, Place
from lms.tills.operations import funds


class FundsTransferForm(BranchForm):
    class Meta:
        model = FundsTransfer
        fields = ("branch", "source", "destination", "amount", "charge", "reference", "moved_on")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("moved_on", dates.today())
        self.fields["charge"].required = False
        for name, places in (("source", funds.WAYS), ("destination", Place)):
            self.fields[name].choices = [("", "-"), *[(p, Place(p).label) for p in places]]

    def carry_out(self, answers: dict) -> FundsTransfer:
        return funds.transfer(
            branch=self.branch_of(answers),
            on=answers.pop("moved_on"),
            charge=answers.pop("charge") or ZERO,
            by=self.staff,
            today=dates.today(),
            **answers,
        )


class FundsTransferResource(ModelResource):
    class Meta:
        model = FundsTransfer
        fields = ("reference", "moved_on", "source", "destination", "amount", "charge",
                  "branch__code", "moved_by__username", "reversed_on")  # fmt: skip
        export_order = fields


@admin.register(FundsTransfer)
class FundsTransferAdmin(AddsByOperation, Totals, StaffAdmin):
    add_form = FundsTransferForm
    resource_classes = (FundsTransferResource,)
    list_display = ("reference", "moved_on", "source", "destination", "shown_amount",
                    "shown_charge", "branch", "moved_by", "state")  # fmt: skip
    list_filter = (
        ("source", ChoicesDropdownFilter),
        ("destination", ChoicesDropdownFilter),
        ("moved_on", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    list_select_related = ("branch", "moved_by")
    search_fields = ("reference",)
    ordering = ("-pk",)
    sortable_by = ()
    add_fieldsets = (
        (
            "Money moved",
            {
                "fields": (
                    ("source", "destination"),
                    ("amount", "charge"),
                    ("reference", "moved_on"),
                )
            },
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("source", "destination"),
                    ("shown_amount", "shown_charge"),
                    ("reference", "moved_on"),
                    ("branch", "moved_by"),
                    ("state", "entry"),
                )
            },
        ),
    )
    readonly_fields = ("shown_amount", "shown_charge", "state")
    actions_detail = ("undo",)
    offers = {"undo": lambda moved: not moved.reversed_on}

    def has_reverse_permission(self, request, obj=None):
        return request.user.has_perm("tills.reverse_fundstransfer")

    @action(
        description="Reverse",
        permissions=["reverse"],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reverse this transfer",
            "description": "For one that was booked wrongly. Its charge is reversed with it.",
            "form_class": ReasonDialog,
            "form_submit_text": "Reverse",
        },
    )
    def undo(self, request, form, object_id):
        return self.perform(
            request, object_id, funds.undo_transfer, form, done="The transfer is reversed."
        )

    def totals_of(self, rows):
        sums = rows.filter(reversed_on=None).aggregate(
            count=Count("pk"), amount=money.total("amount"), charge=money.total("charge")
        )
        return [
            ("Standing", f"{sums['count']:,}"),
            ("Moved", kes(sums["amount"])),
            ("Charges", kes(sums["charge"])),
        ]

    @display(description="Amount")
    def shown_amount(self, moved):
        return kes(moved.amount)

    @display(description="Charge")
    def shown_charge(self, moved):
        return kes(moved.charge) if moved.charge else "-"

    @display(description="State", label={"Reversed": "danger", "Booked": "success"})
    def state(self, moved):
        return "Reversed" if moved.reversed_on else "Booked"
