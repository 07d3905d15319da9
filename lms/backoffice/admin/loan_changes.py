"""Changing a running loan: new dates, new terms, more money, each previewed before it is done."""

from collections.abc import Callable
from datetime import date

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from lms import dates
from lms.backoffice.admin.loan_actions import LoanDialog, method_field, reference_field
from lms.backoffice.admin.loan_preview import sentences
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import date_field, money_field, reason_field
from lms.errors import Refused
from lms.loans.models import Loan, LoanChange, LoanProduct
from lms.loans.models import terms as choices
from lms.loans.operations import (
    changes,
    eligibility,
    refinancing,
    rescheduling,
    restructuring,
    settling,
    tranches,
)
from lms.money import ZERO, kes

MOST_FOUND = 500
ONE, ALL, HOLIDAY = "one", "all", "holiday"


def count_field(label: str, **options) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=1, widget=UnfoldAdminIntegerFieldWidget, **options
    )


def switch(label: str, **options) -> forms.BooleanField:
    return forms.BooleanField(
        label=label, required=False, widget=UnfoldBooleanSwitchWidget, **options
    )


# --- Dialogs -------------------------------------------------------------------------------------
class PreviewedDialog(LoanDialog):
    """A dialog that shows, under its fields, what its answers would make of the loan."""

    form_after_template = "admin/loans/change_slot.html"
    verb = ""
    needed: tuple[str, ...] = ()

    @property
    def is_unanswered(self) -> bool:
        """Whether it is too early to show anything."""
        return any(not self.data.get(name) for name in self.needed)

    def get_after_template_context(self, request: HttpRequest, object_id=None) -> dict:
        return {"url": reverse("admin:loans_loan_change_preview", args=[object_id, self.verb])}

    @property
    def subject(self) -> str:
        position = getattr(self.loan, "position", None)
        owed = f"{kes(position.outstanding)} is owed" if position else "not paid out yet"
        return f"{self.loan.number} · {self.loan.customer.name}: {owed}, {self.loan.rate_label}."


class RescheduleDialog(PreviewedDialog):
    verb = "reschedule"
    from_number = forms.TypedChoiceField(
        label="Instalment", coerce=int, widget=UnfoldAdminSelectWidget
    )
    what = forms.ChoiceField(
        label="Move",
        choices=[
            (ONE, "this due date only"),
            (ALL, "this and every later one, by as many days"),
            (HOLIDAY, "this and every later one, by whole periods (payment holiday)"),
        ],
        initial=ONE,
        widget=UnfoldAdminSelectWidget,
    )
    due_date = date_field("New due date", required=False)
    periods = count_field("Periods of holiday", required=False)
    charge_interest = switch(
        "Charge interest for the time given",
        help_text="On the principal that waits, billed with the first instalment that moves.",
    )
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.open = {row.number: row for row in self.loan.repayments.unpaid().order_by("number")}
        self.fields["from_number"].choices = [
            (row.number, f"{row.number} · {dates.show(row.due_date)} · {kes(row.outstanding)}")
            for row in self.open.values()
        ]

    @property
    def is_unanswered(self) -> bool:
        return not self.data.get("periods" if self.data.get("what") == HOLIDAY else "due_date")

    def clean(self) -> dict:
        """Return the answers as the operation takes them."""
        answered = super().clean()
        what, row = answered.pop("what", ONE), self.open.get(answered.get("from_number"))
        day, periods = answered.pop("due_date", None), answered.pop("periods", None)
        if what == HOLIDAY:
            if periods is None:
                self.add_error("periods", "Say how many periods the holiday lasts.")
            return {**answered, "periods": periods}
        if day is None:
            self.add_error("due_date", "Say on which day it is to fall due.")
        elif row:
            answered["shift_days"] = (day - row.due_date).days
        return {**answered, "only_one": what == ONE}


class NewTermsDialog(PreviewedDialog):
    """What new terms may say; what is left empty stays as it is."""

    needed = ("number_of_repayments",)
    number_of_repayments = count_field("New number of instalments")
    first_due = date_field("First new instalment due", required=False)
    fixed_instalment = money_field(
        "Instalment (KES)", required=False, help_text="Empty: worked out from the rest."
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        rows = self.loan.repayments.unpaid().order_by("due_date")
        self.initial.setdefault("number_of_repayments", rows.count() or None)
        coming = rows.filter(due_date__gt=dates.today()).first()
        self.initial.setdefault("first_due", coming.due_date if coming else None)


class RestructureDialog(NewTermsDialog):
    verb = "restructure"
    on = date_field("From", initial=dates.today)
    rate = forms.DecimalField(
        label="Interest rate (%)",
        max_digits=8,
        decimal_places=4,
        min_value=0,
        max_value=1000,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.0001"}),
    )
    method = forms.ChoiceField(
        label="Interest method", choices=choices.Method, widget=UnfoldAdminSelectWidget
    )
    repay_every = count_field("One repayment every")
    repay_unit = forms.ChoiceField(
        label="Unit", choices=choices.Unit, widget=UnfoldAdminSelectWidget
    )
    arrears = forms.ChoiceField(
        label="Interest, fees and penalties past due",
        choices=[
            (restructuring.CARRY, "fall due with the first new instalment"),
            (restructuring.CAPITALISE, "become principal, and bear interest"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    reason = reason_field()
    field_order = ("on", "number_of_repayments", "first_due", "rate", "method", "repay_every",
                   "repay_unit", "fixed_instalment", "arrears", "reason")  # fmt: skip

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name in ("method", "repay_every", "repay_unit"):
            self.initial.setdefault(name, getattr(self.loan, name))
        self.initial.setdefault("rate", f"{self.loan.rate.normalize():f}")
        self.fields["rate"].label = f"Interest rate (% {self.loan.get_rate_period_display()})"

    def clean_on(self) -> date:
        if self.cleaned_data["on"] > dates.today():
            raise forms.ValidationError("A loan is restructured today or from an earlier day.")
        return self.cleaned_data["on"]


class TopUpDialog(NewTermsDialog):
    verb = "top_up"
    needed = ("amount", "number_of_repayments")
    amount = money_field("More to lend (KES)")
    method = method_field()
    reference = reference_field()
    reason = reason_field()
    field_order = ("amount", "method", "reference", "number_of_repayments", "first_due",
                   "fixed_instalment", "reason")  # fmt: skip


class RefinanceDialog(PreviewedDialog):
    verb = "refinance"
    needed = ("principal", "product")
    principal = money_field("Amount of the new loan (KES)")
    product = forms.ModelChoiceField(
        queryset=LoanProduct.objects.none(), widget=UnfoldAdminSelectWidget
    )
    number_of_repayments = count_field("Number of instalments", required=False)
    purpose = forms.CharField(max_length=120, required=False, widget=UnfoldAdminTextInputWidget)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["product"].queryset = LoanProduct.objects.open_on(dates.today())
        self.initial.setdefault("product", self.loan.product_id)


class PayTrancheDialog(PreviewedDialog):
    verb = "pay_tranche"
    on = date_field("Paid out on", initial=dates.today)
    method = method_field()
    reference = reference_field()

    @property
    def subject(self) -> str:
        tranche = tranches.next_of(self.loan)
        if tranche is None:
            return f"{super().subject} It is paid out in full."
        planned = f"{kes(tranche.amount)} is planned for {dates.show(tranche.planned_on)}"
        return f"{super().subject} {planned}."

    def clean_on(self) -> date:
        if self.cleaned_data["on"] > dates.today():
            raise forms.ValidationError("A tranche cannot be paid out in the future.")
        return self.cleaned_data["on"]


class UndoChangeDialog(LoanDialog):
    money_is_back = switch(
        "The money that was paid out is back",
        help_text="Its payout is then reversed, from the account it was paid from.",
    )
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.change = changes.last_of(self.loan)
        if not (self.change and self.change.payout_id):
            del self.fields["money_is_back"]

    @property
    def subject(self) -> str:
        if self.change is None:
            return f"{self.loan.number} was not changed."
        made = dates.show(self.change.made_on)
        if self.change.made_by:
            made += f" by {self.change.made_by}"
        return f"{self.change}, {made}: {self.change.summary}. Reason: {self.change.reason}"


# --- Previews ------------------------------------------------------------------------------------
def restructured(loan: Loan, answers: dict) -> dict:
    on = answers.pop("on", None) or dates.today()
    return {"plan": restructuring.plan(loan, on=on, **answers)}


def topped_up(loan: Loan, answers: dict) -> dict:
    amount = answers.pop("amount")
    answers = {name: answers[name] for name in answers if name not in ("method", "reference")}
    on = dates.today()
    plan = restructuring.plan(loan, on=on, added=amount, **answers)
    verdicts = eligibility.assess_top_up(loan, amount=amount, rows=plan.made, on=on)
    return {"plan": plan, "verdicts": verdicts}


def rescheduled(loan: Loan, answers: dict) -> dict:
    return {"moved": rescheduling.moved(loan, on=dates.today(), **answers)}


def refinanced(loan: Loan, answers: dict) -> dict:
    quote = settling.payoff(loan, on=dates.today())
    left = answers["principal"] - quote.total
    return {"quote": quote, "left": left, "covers": left >= 0}


def with_tranche(loan: Loan, answers: dict) -> dict:
    if (tranche := tranches.next_of(loan)) is None:
        return {}
    on = answers.get("on") or dates.today()
    return {"plan": tranches.plan(loan, tranche.amount, on=on)}


# Verb: its dialog, the permission, and what it would do.
PREVIEWS: dict[str, tuple[type[PreviewedDialog], str, Callable[[Loan, dict], dict]]] = {
    "reschedule": (RescheduleDialog, "loans.reschedule_loan", rescheduled),
    "restructure": (RestructureDialog, "loans.restructure_loan", restructured),
    "top_up": (TopUpDialog, "loans.restructure_loan", topped_up),
    "refinance": (RefinanceDialog, "loans.restructure_loan", refinanced),
    "pay_tranche": (PayTrancheDialog, "loans.disburse_loan", with_tranche),
}
# What a preview does not need to know.
UNPRICED = ("reason", "reference")


# --- The actions ---------------------------------------------------------------------------------
class LoanChangeActions:
    """The verbs that change a running loan, and what each would do."""

    def get_urls(self):
        view = self.admin_site.admin_view(self.change_preview_view)
        url = path("<int:pk>/would/<slug:verb>/", view, name="loans_loan_change_preview")
        return [url, *super().get_urls()]

    def change_preview_view(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Return what the answers of a dialog would do; what is not filled in yet is no error."""
        loan = self.get_object(request, str(pk))
        if loan is None or verb not in PREVIEWS or request.method != "POST":
            raise Http404
        form_class, permission, work_out = PREVIEWS[verb]
        if not request.user.has_perm(permission):
            raise PermissionDenied
        form = form_class(request=request, object_id=pk, data=request.POST)
        form.is_valid()
        if form.is_unanswered:
            return render(request, "admin/loans/change_preview.html", {})
        priced = [name for name in form.fields if name not in (*UNPRICED, "_form_submitted")]
        if wrong := sentences(form, priced):
            return render(request, "admin/loans/change_preview.html", {"wrong": wrong})
        answers = {
            name: value
            for name, value in form.cleaned_data.items()
            if name not in UNPRICED and not name.startswith("_")
        }
        try:
            context = work_out(loan, answers)
        except Refused as refusal:
            context = {"wrong": [refusal.message]}
        return render(request, "admin/loans/change_preview.html", context)

    def has_move_dates_permission(self, request, obj=None):
        return request.user.has_perm("loans.reschedule_loan")

    def has_restructure_permission(self, request, obj=None):
        return request.user.has_perm("loans.restructure_loan")

    def has_undo_permission(self, request, obj=None):
        return request.user.has_perm("loans.undo_loan")

    @action(
        description="Move due dates",
        permissions=["move_dates"],
        icon="edit_calendar",
        dialog={
            "title": "Move due dates",
            "description": "The amounts stay as they are, unless interest is asked for the time.",
            "form_class": RescheduleDialog,
            "form_submit_text": "Move",
        },
    )
    def reschedule(self, request, form, object_id):
        return self.perform(request, object_id, rescheduling.reschedule, form, done=told_of)

    @action(
        description="Restructure",
        permissions=["restructure"],
        icon="rebase_edit",
        dialog={
            "title": "Restructure this loan",
            "description": "Open instalments are closed, and what is owed becomes a new schedule "
            "beside the old. The loan is flagged as restructured.",
            "form_class": RestructureDialog,
            "form_submit_text": "Restructure",
        },
    )
    def restructure(self, request, form, object_id):
        return self.perform(request, object_id, restructuring.restructure, form, done=told_of)

    @action(
        description="Top up",
        permissions=["restructure", "disburse"],
        icon="add_card",
        dialog={
            "title": "Lend more on this loan",
            "description": "Pays out at once and spreads all principal over new instalments.",
            "form_class": TopUpDialog,
            "form_submit_text": "Pay out",
        },
    )
    def top_up(self, request, form, object_id):
        return self.perform(request, object_id, restructuring.top_up, form, done=told_of)

    @action(
        description="Refinance",
        permissions=["restructure"],
        icon="currency_exchange",
        dialog={
            "title": "Refinance with a new loan",
            "description": "Starts an application that pays this loan off when it is paid out.",
            "form_class": RefinanceDialog,
            "form_submit_text": "Start the application",
        },
    )
    def refinance(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            refinancing.refinance,
            form,
            done=lambda new: f"{new.number} is drafted: submit it for approval.",
        )

    @action(
        description="Pay a tranche",
        permissions=["disburse"],
        icon="send_money",
        dialog={
            "title": "Pay the next tranche out",
            "description": "The instalments still to come grow by it.",
            "form_class": PayTrancheDialog,
            "form_submit_text": "Pay out",
        },
    )
    def pay_tranche(self, request, form, object_id):
        return self.perform(request, object_id, tranches.pay_next, form, done=told_of)

    @action(
        description="Undo the last change",
        permissions=["undo"],
        icon="undo",
        dialog={
            "title": "Undo the last change",
            "description": "Books, instalments and terms become what they were before it. Only "
            "while nothing has happened to the loan since.",
            "form_class": UndoChangeDialog,
            "form_submit_text": "Undo it",
        },
    )
    def undo_change(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            changes.undo_last,
            form,
            done=lambda change: f"Undone: {change.summary}.",
        )


def told_of(change: LoanChange) -> str:
    return f"{change.get_kind_display()}: {change.summary}."


# --- The list ------------------------------------------------------------------------------------
class LoanChangeResource(ModelResource):
    loan = Field(column_name="loan", attribute="loan__number")
    customer = Field(column_name="customer", attribute="loan__customer__name")

    class Meta:
        model = LoanChange
        fields = ("loan", "customer", "number", "kind", "amount", "made_on", "summary", "reason",
                  "made_by__username", "undone_on", "undone_because")  # fmt: skip
        export_order = fields


class UndoneFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "undone"

    def lookups(self, request, model_admin):
        return [("no", "Standing"), ("yes", "Undone")]

    def queryset(self, request, queryset):
        wanted = {"no": True, "yes": False}.get(self.value())
        return queryset if wanted is None else queryset.filter(undone_on__isnull=wanted)


@admin.register(LoanChange)
class LoanChangeAdmin(StaffAdmin):
    branch_path = "loan__branch"
    resource_classes = (LoanChangeResource,)
    list_display = ("made_on", "shown_loan", "customer", "kind", "shown_amount", "summary",
                    "made_by", "undone_on")  # fmt: skip
    list_select_related = ("loan__customer", "made_by")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("made_on", RangeDateFilter),
        UndoneFilter,
    )
    search_fields = ("pk",)
    search_help_text = "Loan number, or the customer's phone, ID or name"
    ordering = ("-pk",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("loan", "kind"),
                    ("made_on", "made_by"),
                    ("shown_amount", "entry"),
                    "summary",
                    "reason",
                    ("payment", "payout"),
                    ("undone_on", "undone_by"),
                    "undone_because",
                )
            },
        ),
    )
    readonly_fields = ("shown_amount",)
    change_form_after_template = "admin/loans/change_sides.html"

    def get_queryset(self, request):
        related = ("loan__customer", "made_by", "undone_by", "payout")
        return super().get_queryset(request).select_related(*related)

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        loans = Loan.objects.seen_by(request.user).matching(search_term)
        keys = list(loans.values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(loan_id__in=keys), False

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        change = self.get_object(request, object_id) if object_id else None
        sides = {"sides": changes.sides(change)} if change else {}
        return super().changeform_view(
            request, object_id, form_url, {**sides, **(extra_context or {})}
        )

    @display(description="Loan", ordering="loan")
    def shown_loan(self, change):
        return change.loan.number

    @display(description="Customer")
    def customer(self, change):
        return change.loan.customer.name

    @display(description="Amount", ordering="amount")
    def shown_amount(self, change):
        return kes(change.amount) if change.amount != ZERO else "-"
