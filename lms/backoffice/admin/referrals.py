"""Referrals: who brought a customer, recorded on the customer's page, and the rewards for it."""

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from lms import dates, money
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, one_customer
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import kes
from lms.referrals import operations
from lms.referrals.models import TAKEN_BACK, TAKEN_BACK_LABEL, ReferralReward

Status = ReferralReward.Status
STATES = {**dict(Status.choices), TAKEN_BACK: TAKEN_BACK_LABEL}
COLOURS = {"Waiting": "warning", "Approved": "success", "Refused": "danger", "Taken back": "info"}
MOST_FOUND = 500


# --- On the customer's page ----------------------------------------------------------------------
def referrer_field(**options) -> forms.CharField:
    """Return the field that asks who brought a customer."""
    return forms.CharField(
        label="Referred by",
        max_length=80,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Another customer's phone, ID number or customer number (CU000012).",
        **options,
    )


class ReferrerDialog(StaffDialog):
    referrer = referrer_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.customer = Customer.objects.select_related("referred_by").get(pk=self.object_id)
        if not self.is_bound and self.customer.referred_by:
            self.initial["referrer"] = self.customer.referred_by.number

    @property
    def subject(self) -> str:
        by = self.customer.referred_by
        return f"{self.customer}: {f'referred by {by}' if by else 'nobody referred them'}."

    def clean_referrer(self) -> Customer | None:
        text = self.cleaned_data["referrer"]
        return one_customer(text, self.request.user) if text else None


class ReferralActions:
    """Recording who brought a customer."""

    def has_refer_permission(self, request, obj=None):
        return request.user.has_perm("customers.change_customer")

    @action(
        description="Referred by…",
        permissions=["refer"],
        icon="person_add",
        dialog={
            "title": "Who referred this customer",
            "description": "Until their first loan is paid out. Empty: nobody did.",
            "form_class": ReferrerDialog,
            "form_submit_text": "Record",
        },
    )
    def set_referrer(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            operations.set_referrer,
            form,
            done=lambda customer: (
                f"{customer.referred_by.name} referred {customer.name}."
                if customer.referred_by
                else f"Nobody referred {customer.name}."
            ),
        )


# --- The rewards ---------------------------------------------------------------------------------
class StateFilter(DropdownFilter):
    """The state as staff see it: taken back is one of them."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request, model_admin):
        return list(STATES.items())

    def queryset(self, request, queryset):
        return queryset.in_state(self.value()) if self.value() in STATES else queryset


class RewardDialog(StaffDialog):
    @property
    def subject(self) -> str:
        rows = ReferralReward.objects.select_related("referrer", "referred", "loan")
        reward = rows.get(pk=self.object_id)
        return (
            f"{kes(reward.amount)} to {reward.referrer} for bringing {reward.referred}, who paid "
            f"{reward.loan.number} back on {dates.show(reward.earned_on)}."
        )


class RefuseRewardDialog(RewardDialog, ReasonDialog):
    """Asks why somebody who brought a customer gets nothing for it."""


class ReferralRewardResource(ModelResource):
    number = Field(column_name="number", attribute="number", readonly=True)
    referrer = Field(column_name="referrer", attribute="referrer__name")
    referred = Field(column_name="referred", attribute="referred__name")
    loan = Field(column_name="loan", attribute="loan__number")
    state = Field(column_name="state", attribute="state", readonly=True)
    payment = Field(column_name="payment", attribute="payment__number")
    decided_by = Field(column_name="decided_by", attribute="decided_by__username")

    class Meta:
        model = ReferralReward
        fields = ("number", "referrer", "referred", "loan", "earned_on", "proposed_on", "amount",
                  "state", "decided_by", "decided_on", "reason", "payment")  # fmt: skip
        export_order = fields


@admin.register(ReferralReward)
class ReferralRewardAdmin(Totals, StaffAdmin):
    """The night proposes a reward, a second person approves or refuses it here."""

    resource_classes = (ReferralRewardResource,)
    list_display = ("shown_number", "referrer_name", "referred_name", "shown_loan", "earned_on",
                    "shown_amount", "shown_state", "decided_by", "decided_on")  # fmt: skip
    list_select_related = ("referrer", "referred__referral_recorded_by", "loan", "payment",
                           "decided_by")  # fmt: skip
    list_filter = (
        StateFilter,
        ("earned_on", RangeDateFilter),
        ("decided_on", RangeDateFilter),
        ("referrer__branch", RelatedDropdownFilter),
    )
    search_fields = ("reason",)
    search_help_text = "Phone, ID, number or name of either customer, or the loan's number"
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        ("Earned", {"fields": (("referrer", "referred"), ("loan", "earned_on"),
                               ("shown_amount", "proposed_on"), "recorded_by")}),
        ("Decided", {"fields": ("shown_state", ("decided_by", "decided_on"), "reason",
                                "payment")}),
    )  # fmt: skip
    readonly_fields = ("shown_amount", "shown_state", "recorded_by")
    actions = ("approve_selected", "refuse_selected")
    actions_detail = ("approve", "refuse")
    actions_row = ("approve", "refuse")
    offers = dict.fromkeys(actions_detail, lambda reward: reward.status == Status.PROPOSED)

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if key := Loan.key_of(term):
            return queryset.filter(loan=key), False
        customers = list(Customer.objects.matching(term).values_list("pk", flat=True)[:MOST_FOUND])
        either = Q(referrer__in=customers) | Q(referred__in=customers)
        return queryset.filter(either), False

    def totals_of(self, rows):
        rows = rows.select_related(None)
        found = [
            (title, rows.in_state(state).aggregate(count=Count("pk"), sum=money.total("amount")))
            for state, title in STATES.items()
        ]
        return [(title, f"{sums['count']:,} · {kes(sums['sum'])}") for title, sums in found]

    # --- Actions -------------------------------------------------------------------------------
    def has_approve_permission(self, request, obj=None):
        return request.user.has_perm("referrals.approve_reward")

    @action(
        description="Approve",
        permissions=["approve"],
        icon="check",
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": "Approve this reward",
            "description": "It pays what is due on the referrer's loan; the rest is their credit, "
            "which may be paid back. Who recorded the referral may not approve it.",
            "form_class": RewardDialog,
            "form_submit_text": "Approve",
        },
    )
    def approve(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            operations.approve,
            form,
            done=lambda reward: f"{reward.payment} rewards {reward.referrer.name}.",
        )

    @action(
        description="Refuse",
        permissions=["approve"],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Refuse this reward",
            "description": "For good: a customer is rewarded for once, or never.",
            "form_class": RefuseRewardDialog,
            "form_submit_text": "Refuse",
        },
    )
    def refuse(self, request, form, object_id):
        return self.perform(
            request, object_id, operations.refuse, form, done="The reward is refused."
        )

    @admin.action(description="Approve", permissions=["approve"])
    def approve_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            operations.approve_all,
            StaffDialog,
            title="Approve these rewards",
            description="All of them, or none when one of them cannot be approved by you.",
            submit="Approve",
            done=lambda made: f"{len(made)} approved.",
        )

    @admin.action(description="Refuse", permissions=["approve"])
    def refuse_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            operations.refuse_all,
            ReasonDialog,
            title="Refuse these rewards",
            description="For good, and all of them for the same reason.",
            submit="Refuse",
            done=lambda made: f"{len(made)} refused.",
        )

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Reward")
    def shown_number(self, reward):
        return reward.number

    @display(description="Referrer")
    def referrer_name(self, reward):
        return reward.referrer.name

    @display(description="Brought")
    def referred_name(self, reward):
        return reward.referred.name

    @display(description="Paid back")
    def shown_loan(self, reward):
        return reward.loan.number

    @display(description="Amount")
    def shown_amount(self, reward):
        return kes(reward.amount)

    @display(description="State", label=COLOURS)
    def shown_state(self, reward):
        return reward.state

    @display(description="Referral recorded by")
    def recorded_by(self, reward):
        return reward.referred.referral_recorded_by
