"""What people may do with an instalment: waive, cancel, charge for lateness."""

from django import forms
from django.contrib import admin
from django.utils.functional import cached_property
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from lms import dates
from lms.backoffice.forms import StaffDialog, money_field, reason_field
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Repayment
from lms.loans.models.repayments import Component
from lms.loans.operations import instalments, relief
from lms.money import ZERO, kes

EVERYTHING = "everything"
CHARGES = "charges"


class RepaymentDialog(StaffDialog):
    """A dialog about one instalment; the subject says what is owed on it, per component."""

    @cached_property
    def repayment(self) -> Repayment | None:
        rows = Repayment.objects.select_related("loan__customer")
        return rows.get(pk=self.object_id) if self.object_id else None

    @property
    def subject(self) -> str:
        row = self.repayment
        if row is None:
            return ""
        about = f"{row}, {row.loan.customer.name}, due {dates.show(row.due_date)}: "
        parts = [
            f"{Component(name).label.lower()} {kes(row.owing_of(name))}"
            for name in COMPONENTS
            if row.owing_of(name)
        ]
        if row.is_paid:
            return about + "paid."
        return about + (f"owed are {', '.join(parts)}." if parts else "nothing is owed.")


class WaiveDialog(RepaymentDialog):
    amount = money_field(
        "Amount (KES)", required=False, help_text="Leave empty to waive all of what is chosen."
    )
    component = forms.ChoiceField(
        label="Of", initial=CHARGES, widget=UnfoldAdminSelectWidget, choices=()
    )
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        choices = [
            (CHARGES, "All charges: penalties, fees, interest"),
            ("interest", "Interest"),
            ("fees", "Fees"),
            ("penalties", "Penalties"),
        ]
        if self.request.user.has_perm("loans.waive_principal"):
            choices += [("principal", "Principal"), (EVERYTHING, "Everything, principal too")]
        self.fields["component"].choices = choices

    def clean_component(self) -> str | None:
        """Return the component as the operation takes it: None is everything."""
        chosen = self.cleaned_data["component"]
        return None if chosen == EVERYTHING else chosen


class CancelDialog(RepaymentDialog):
    reason = reason_field()


class PenaltyDialog(RepaymentDialog):
    amount = money_field("Amount (KES)")
    rule = reason_field("Why", help_text="Stays on the charge, for example: field visit.")


class RepaymentActions:
    """The verbs of the instalment, for its page, its row and many at once."""

    actions = ("waive_selected", "cancel_selected")
    actions_detail = ("stk_push", "waive", "cancel", "charge_penalty")
    actions_row = ("stk_push", "waive", "cancel", "charge_penalty")
    # A settled instalment keeps the buttons: the answer says why it is too late.
    offers = {
        "charge_penalty": lambda row: row.is_overdue(on=dates.today()),
        "stk_push": lambda row: row.is_open,
    }

    def has_waive_permission(self, request, obj=None):
        return request.user.has_perm("loans.waive_repayment")

    def has_cancel_permission(self, request, obj=None):
        return request.user.has_perm("loans.cancel_repayment")

    def has_charge_permission(self, request, obj=None):
        return request.user.has_perm("loans.add_penalty")

    @action(
        description="Waive",
        permissions=["waive"],
        icon="volunteer_activism",
        dialog={
            "title": "Waive an amount",
            "description": "It is given up for good, and booked at once.",
            "form_class": WaiveDialog,
            "form_submit_text": "Waive",
        },
    )
    def waive(self, request, form, object_id):
        return self.perform(request, object_id, relief.waive, form, done=_waived)

    @action(
        description="Cancel instalment",
        permissions=["cancel"],
        icon="event_busy",
        dialog={
            "title": "Cancel this instalment",
            "description": "Its charges are dropped. Its principal stays owed and moves to the "
            "last open instalment.",
            "form_class": CancelDialog,
            "form_submit_text": "Cancel the instalment",
        },
    )
    def cancel(self, request, form, object_id):
        return self.perform(
            request, object_id, relief.cancel, form, done=lambda row: f"{row} is cancelled."
        )

    @action(
        description="Charge a penalty",
        permissions=["charge"],
        icon="gavel",
        dialog={
            "title": "Charge a late penalty",
            "description": "Beside what the rule of the loan charges by itself.",
            "form_class": PenaltyDialog,
            "form_submit_text": "Charge",
        },
    )
    def charge_penalty(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            instalments.charge_penalty,
            form,
            done=lambda charge: f"{kes(charge.amount)} was charged.",
        )

    @admin.action(description="Waive", permissions=["waive"])
    def waive_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            relief.waive_many,
            WaiveDialog,
            title="Waive on these instalments",
            description="The same on each: all of them, or none when one is refused. An amount "
            "is waived on every one.",
            submit="Waive",
            done=_waived,
        )

    @admin.action(description="Cancel instalments", permissions=["cancel"])
    def cancel_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            relief.cancel_many,
            CancelDialog,
            title="Cancel these instalments",
            description="Their charges are dropped, their principal stays owed: all of them, or "
            "none when one is refused.",
            submit="Cancel the instalments",
            done=lambda rows: f"{len(rows)} cancelled.",
        )


def _waived(waivers) -> str:
    return f"{kes(sum((waiver.amount for waiver in waivers), ZERO))} was waived."
