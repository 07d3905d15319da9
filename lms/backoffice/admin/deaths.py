"""Deaths of borrowers: recorded on the customer's page, and the claims that follow from them."""

from django import forms
from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from lms import dates, money
from lms.backoffice.base import StaffAdmin
from lms.backoffice.figures import still_owing
from lms.backoffice.forms import ReasonDialog, StaffDialog, date_field, money_field
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import DeathClaim, Loan, Repayment
from lms.loans.operations import deaths, settling
from lms.money import kes
from lms.words import counted

COLOURS = {"Reported": "warning", "Claimed": "info", "Paid": "success", "Refused": "danger"}
MOST_FOUND = 500
Status = DeathClaim.Status


# --- On the customer's page ----------------------------------------------------------------------
class DeathDialog(StaffDialog):
    died_on = date_field("Died on")
    note = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Who reported it, number of the certificate or burial permit.",
    )

    @property
    def subject(self) -> str:
        customer = Customer.objects.get(pk=self.object_id)
        running = customer.loans.active()
        owed = money.money(still_owing(Repayment.objects.unpaid().filter(loan__in=running)).amount)
        return f"{customer}: {counted(running.count(), 'active loan')}, {kes(owed)} is owed."


class DeathActions:
    """Recording a death, and taking back one that was recorded by mistake."""

    def has_death_permission(self, request, obj=None):
        return request.user.has_perm("loans.record_death")

    @action(
        description="Record death",
        permissions=["death"],
        icon="deceased",
        dialog={
            "title": "Record that this customer died",
            "description": "Interest and penalties stop on that day, reminders end, applications "
            "are withdrawn, and a claim begins for each active loan.",
            "form_class": DeathDialog,
            "form_submit_text": "Record",
        },
    )
    def record_death(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            deaths.record_death,
            form,
            done=lambda customer: f"The death of {customer.name} is recorded.",
        )

    @action(
        description="Undo death",
        permissions=["death"],
        icon="undo",
        dialog={
            "title": "Take this death back",
            "description": "It was recorded by mistake: interest runs again and claims are "
            "dropped.",
            "form_class": ReasonDialog,
            "form_submit_text": "Take back",
        },
    )
    def undo_death(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            deaths.undo_death,
            form,
            done=lambda customer: f"{customer.name} is alive on record again.",
        )


# --- The claims ----------------------------------------------------------------------------------
class ClaimDialog(StaffDialog):
    insurer = forms.CharField(max_length=80, widget=UnfoldAdminTextInputWidget)
    claim_number = forms.CharField(max_length=40, required=False, widget=UnfoldAdminTextInputWidget)
    amount = money_field("Claimed (KES)")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        rows = DeathClaim.objects.select_related("loan__customer", "loan__position")
        self.claim = rows.get(pk=self.object_id)
        try:
            self.quote = settling.payoff(self.claim.loan, on=dates.today())
        except Refused:
            self.quote = None
        if not self.is_bound:
            owed = self.quote.total if self.quote else None
            self.initial["amount"] = self.claim.amount or owed
            self.initial["insurer"] = self.claim.insurer
            self.initial["claim_number"] = self.claim.claim_number

    @property
    def subject(self) -> str:
        loan = self.claim.loan
        owed = f"{kes(self.quote.total)} pays it off" if self.quote else "it does not run"
        return (
            f"{loan.number} · {loan.customer.name}, died {dates.show(self.claim.died_on)}: {owed}."
        )


class SettleClaimDialog(ClaimDialog):
    insurer = claim_number = None
    amount = money_field("Received (KES)")
    reference = forms.CharField(
        max_length=40, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})
    )


@admin.register(DeathClaim)
class DeathClaimAdmin(StaffAdmin):
    branch_path = "loan__branch"
    list_display = ("shown_loan", "customer", "died_on", "reported_on", "insurer",
                    "claim_number", "shown_amount", "shown_status", "decided_on")  # fmt: skip
    list_select_related = ("loan__customer", "payment")
    list_filter = (("status", ChoicesDropdownFilter), ("died_on", RangeDateFilter))
    search_fields = ("claim_number",)
    search_help_text = "Loan number, or the customer's phone, ID or name"
    ordering = ("-pk",)
    sortable_by = ()
    fields = (("shown_loan", "customer"), ("died_on", "reported_on"), ("insurer", "claim_number"),
              ("shown_amount", "status"), ("decided_on", "payment"), "note")  # fmt: skip
    readonly_fields = ("shown_loan", "customer", "shown_amount", "decided_on", "payment")
    actions_detail = ("make_claim", "settle_claim", "refuse_claim")
    actions_row = ("make_claim", "settle_claim", "refuse_claim")
    offers = {
        "make_claim": lambda claim: claim.status != Status.PAID,
        "settle_claim": lambda claim: claim.status == Status.CLAIMED,
        "refuse_claim": lambda claim: claim.status == Status.CLAIMED,
    }

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        loans = Loan.objects.seen_by(request.user).matching(search_term)
        keys = list(loans.values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(loan_id__in=keys), False

    def has_claim_permission(self, request, obj=None):
        return request.user.has_perm("loans.record_death")

    def has_settle_permission(self, request, obj=None):
        return request.user.has_perm("payments.add_payment")

    @action(
        description="Claim",
        permissions=["claim"],
        icon="assignment",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Claim from the insurer",
            "description": "Records who was asked to pay how much.",
            "form_class": ClaimDialog,
            "form_submit_text": "Claim",
        },
    )
    def make_claim(self, request, form, object_id):
        return self.perform(request, object_id, deaths.make_claim, form, done="Claimed.")

    @action(
        description="Paid by the insurer",
        permissions=["claim", "settle"],
        icon="payments",
        dialog={
            "title": "Take the insurer's money",
            "description": "Interest after the death is given up, then the money pays the loan. "
            "What is left over is the estate's credit; what is still owed stays owed.",
            "form_class": SettleClaimDialog,
            "form_submit_text": "Take the money",
        },
    )
    def settle_claim(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            deaths.settle_claim,
            form,
            done=lambda claim: f"{claim.payment} paid the claim.",
        )

    @action(
        description="Refused by the insurer",
        permissions=["claim"],
        icon="block",
        dialog={
            "title": "The insurer does not pay",
            "description": "The loan stays owed by the estate. It may be claimed again.",
            "form_class": ReasonDialog,
            "form_submit_text": "Record the refusal",
        },
    )
    def refuse_claim(self, request, form, object_id):
        return self.perform(
            request, object_id, deaths.refuse_claim, form, done="The refusal is recorded."
        )

    @display(description="Loan")
    def shown_loan(self, claim):
        return claim.loan.number

    @display(description="Customer")
    def customer(self, claim):
        return claim.loan.customer.name

    @display(description="Claimed")
    def shown_amount(self, claim):
        return kes(claim.amount) if claim.amount else "-"

    @display(description="Status", label=COLOURS)
    def shown_status(self, claim):
        return claim.get_status_display()
