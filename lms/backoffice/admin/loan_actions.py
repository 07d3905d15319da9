"""What people may do with a loan: a dialog, one call, one message each."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

from django import forms
from django.db.models import Max
from django.utils.functional import cached_property
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from lms import dates, routing
from lms.backoffice.admin.loan_preview import verdicts_on
from lms.backoffice.figures import still_owing
from lms.backoffice.forms import StaffDialog, date_field, money_field, reason_field
from lms.errors import Refused
from lms.loans.models import Loan
from lms.loans.operations import collection, instalments, lifecycle, offers, settling, upfront
from lms.money import ZERO, kes, money
from lms.payments.models import Method, Payment
from lms.payouts import operations as payouts

Status = Loan.Status


def due_now(loan: Loan, *, on: date) -> Decimal:
    """Return what is due on a loan by a day: arrears and the instalment of the day (KES).

    Before the disbursement that is what is missing of the fees that come first.
    """
    if loan.status == Status.APPROVED:
        return upfront.owing(loan)
    return money(still_owing(loan.repayments.unpaid().filter(due_date__lte=on)).amount)


def method_field() -> forms.ChoiceField:
    return forms.ChoiceField(choices=Method, widget=UnfoldAdminSelectWidget)


def reference_field() -> forms.CharField:
    return forms.CharField(
        max_length=40,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="M-Pesa receipt, bank slip or cheque number; cash needs none.",
    )


def part_field(label: str) -> forms.DecimalField:
    """Return a field for one component of an instalment: KES, nothing when left empty."""
    return forms.DecimalField(
        label=label,
        max_digits=14,
        decimal_places=2,
        min_value=0,
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"}),
    )


# --- Dialogs -------------------------------------------------------------------------------------
class LoanDialog(StaffDialog):
    """A dialog about one loan; the subject says which."""

    @cached_property
    def loan(self) -> Loan:
        rows = Loan.objects.select_related("customer", "product", "position")
        return rows.get(pk=self.object_id)

    @property
    def subject(self) -> str:
        return f"{self.loan.number} · {self.loan.customer.name} · {kes(self.loan.principal)}"


class DecideDialog(LoanDialog):
    """Shows how the rules of the product stand before the loan goes on."""

    form_before_template = "admin/loans/decide_before.html"

    def get_before_template_context(self, request, object_id=None) -> dict:
        return {
            **super().get_before_template_context(request, object_id),
            **verdicts_on(self.loan),
        }


class LoanReasonDialog(LoanDialog):
    reason = reason_field()


class CurrentTermsDialog(LoanDialog):
    @property
    def subject(self) -> str:
        current = self.loan.product.version_on(dates.today())
        offered = f"today it costs {current.rate_label}" if current else "today it has no terms"
        return f"{super().subject}: {self.loan.version} costs {self.loan.rate_label}, {offered}."


class DisburseDialog(LoanDialog):
    """Shows what leaves the till before it does."""

    on = date_field("Paid out on", initial=dates.today)
    method = method_field()
    reference = reference_field()

    @property
    def subject(self) -> str:
        try:
            calculator = self.loan.calculator(disbursed_on=dates.today(), tranches=())
            fees, net = calculator.fees_deducted(), calculator.net_disbursed()
            added, before = calculator.fees_added().total, upfront.paid(self.loan)
            upfront.must_be_paid(self.loan)
            old = self.loan.refinances
            paid_off = settling.payoff(old, on=dates.today()).total if old else ZERO
        except Refused as refusal:
            return refusal.message
        deducted = (
            f"fees {kes(fees.fee)} and excise {kes(fees.excise)} are kept back"
            if fees.total
            else "no fees are kept back"
        )
        if added:
            deducted += f", {kes(added)} of fees is added to what is owed"
        if before:
            deducted += f", {kes(before)} of fees was paid before"
        if old:
            deducted += f", {kes(paid_off)} pays {old.number} off"
        return f"{super().subject}: {deducted}, the customer receives {kes(net - paid_off)}."

    def clean_on(self) -> date:
        if self.cleaned_data["on"] > dates.today():
            raise forms.ValidationError("A loan cannot be paid out in the future.")
        return self.cleaned_data["on"]


class TakePaymentDialog(LoanDialog):
    """The four fields of a cashier. The key makes a second click the same payment."""

    amount = money_field("Amount (KES)")
    method = method_field()
    reference = reference_field()
    value_date = date_field("Paid on", initial=dates.today)
    request_key = forms.CharField(
        max_length=64, widget=forms.HiddenInput, initial=lambda: uuid4().hex
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_bound and (due := due_now(self.loan, on=dates.today())):
            self.initial["amount"] = due

    @property
    def subject(self) -> str:
        position = getattr(self.loan, "position", None)
        if position is None:
            due = upfront.owing(self.loan)
            return f"{super().subject}: {kes(due)} of fees comes before it is paid out."
        due = due_now(self.loan, on=dates.today())
        return (
            f"{self.loan.number} · {self.loan.customer.name}: {kes(due)} is due by today, "
            f"{kes(position.outstanding)} in all."
        )


class AddInstalmentDialog(LoanDialog):
    number = forms.IntegerField(min_value=1, widget=UnfoldAdminIntegerFieldWidget)
    due_date = date_field("Due date")
    principal = part_field("Principal (KES)")
    interest = part_field("Interest (KES)")
    fees = part_field("Fees (KES)")
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        position = getattr(self.loan, "position", None)
        last = self.loan.repayments.aggregate(number=Max("number"))["number"] or 0
        self.initial.update(number=last + 1, principal=position.unscheduled if position else ZERO)

    def clean(self):
        cleaned = super().clean()
        for name in ("principal", "interest", "fees"):
            cleaned[name] = cleaned.get(name) or ZERO
        return cleaned

    @property
    def subject(self) -> str:
        position = getattr(self.loan, "position", None)
        waiting = position.unscheduled if position else ZERO
        return f"{super().subject}: {kes(waiting)} of principal stands on no instalment."


def take_payment(loan: Loan, *, by, on: date, **answers) -> Payment:
    """Receive money for a loan, place it there and tell the customer.

    Raises Refused for a loan that was never paid out, and has no fees that come before.
    """
    if loan.disbursed_on is None and not upfront.owing(loan):
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: "
            "only a disbursed loan can be paid."
        )
    payment = routing.take(account=loan.number, by=by, on=on, **answers)
    routing.tell(payment, now=dates.now())
    return payment


def _taken(payment: Payment) -> str:
    if payment.status == Payment.Status.UNALLOCATED:
        return f"{payment} received; it waits unallocated."
    credit = f", {kes(payment.credited)} stays as credit" if payment.credited else ""
    return f"{payment} received: {kes(payment.allocated)} placed{credit}."


# --- The actions ---------------------------------------------------------------------------------
class LoanActions:
    """The verbs of the loan page, for its top, its rows and nowhere else."""

    actions_detail = (
        "submit",
        "approve",
        "disburse",
        "send_payout",
        "take_payment",
        "stk_push",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": [
                "take_current_terms",
                "apply_credit",
                "prepay",
                "add_instalment",
                "pay_tranche",
                "reschedule",
                "restructure",
                "top_up",
                "refinance",
                "undo_change",
                "send_back",
                "reject",
                "withdraw",
                "close",
            ],
        },
    )
    actions_row = (
        "submit", "approve", "disburse", "send_payout", "take_payment", "stk_push", "reject",
        "withdraw",
    )  # fmt: skip
    offers = {
        "submit": lambda loan: loan.status == Status.DRAFT,
        "take_current_terms": lambda loan: (
            loan.status == Status.DRAFT and loan.version.state(on=dates.today()) != "current"
        ),
        "approve": lambda loan: loan.status == Status.SUBMITTED,
        "disburse": lambda loan: loan.status == Status.APPROVED,
        "send_payout": lambda loan: loan.status == Status.APPROVED,
        "take_payment": routing.takes_money,
        "stk_push": routing.takes_money,
        "apply_credit": lambda loan: loan.status == Status.ACTIVE,
        "prepay": lambda loan: loan.status == Status.ACTIVE,
        "add_instalment": lambda loan: loan.status == Status.ACTIVE,
        "pay_tranche": lambda loan: loan.status == Status.ACTIVE and loan.undisbursed > 0,
        "reschedule": lambda loan: loan.status == Status.ACTIVE,
        "restructure": lambda loan: loan.status == Status.ACTIVE,
        "top_up": lambda loan: loan.status == Status.ACTIVE,
        "refinance": lambda loan: loan.status == Status.ACTIVE,
        "undo_change": lambda loan: loan.changes.filter(undone_on=None).exists(),
        "send_back": lambda loan: loan.status == Status.SUBMITTED,
        "reject": lambda loan: loan.status in (Status.SUBMITTED, Status.APPROVED),
        "withdraw": lambda loan: loan.status in (Status.DRAFT, Status.SUBMITTED, Status.APPROVED),
        "close": lambda loan: loan.status == Status.ACTIVE,
    }

    def has_submit_permission(self, request, obj=None):
        return request.user.has_perm("loans.submit_loan")

    def has_approve_permission(self, request, obj=None):
        return request.user.has_perm("loans.approve_loan")

    def has_disburse_permission(self, request, obj=None):
        return request.user.has_perm("loans.disburse_loan")

    def has_close_permission(self, request, obj=None):
        return request.user.has_perm("loans.close_loan")

    def has_take_permission(self, request, obj=None):
        return request.user.has_perm("payments.add_payment")

    def has_match_permission(self, request, obj=None):
        return request.user.has_perm("payments.match_payment")

    def has_reschedule_permission(self, request, obj=None):
        return request.user.has_perm("loans.add_repayment")

    @action(
        description="Submit",
        permissions=["submit"],
        icon="outgoing_mail",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Submit for approval",
            "description": "Its terms cannot be changed while it waits for a decision.",
            "form_class": DecideDialog,
            "form_submit_text": "Submit",
        },
    )
    def submit(self, request, form, object_id):
        return self.perform(
            request, object_id, lifecycle.submit, form, done="Submitted for approval."
        )

    @action(
        description="Take the current terms",
        permissions=["submit"],
        icon="published_with_changes",
        dialog={
            "title": "Take the current terms",
            "description": "Price, fees and rhythm become those the product is offered on today; "
            "what was adjusted on this draft is lost.",
            "form_class": CurrentTermsDialog,
            "form_submit_text": "Take them",
        },
    )
    def take_current_terms(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            offers.take_current_terms,
            form,
            done=lambda loan: f"{loan.number} has the terms of {loan.version}.",
        )

    @action(
        description="Approve",
        permissions=["approve"],
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Approve this loan",
            "description": "It can then be paid out by someone else.",
            "form_class": DecideDialog,
            "form_submit_text": "Approve",
        },
    )
    def approve(self, request, form, object_id):
        return self.perform(request, object_id, lifecycle.approve, form, done="Approved.")

    @action(
        description="Reject",
        permissions=["approve"],
        icon="cancel",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reject this loan",
            "description": "The customer is owed the reason.",
            "form_class": LoanReasonDialog,
            "form_submit_text": "Reject",
        },
    )
    def reject(self, request, form, object_id):
        return self.perform(request, object_id, lifecycle.reject, form, done="Rejected.")

    @action(
        description="Send back",
        permissions=["approve"],
        icon="undo",
        dialog={
            "title": "Send back to its maker",
            "description": "It becomes a draft again, to be changed and submitted once more.",
            "form_class": LoanReasonDialog,
            "form_submit_text": "Send back",
        },
    )
    def send_back(self, request, form, object_id):
        return self.perform(request, object_id, lifecycle.send_back, form, done="Sent back.")

    @action(
        description="Withdraw",
        permissions=["submit"],
        icon="block",
        dialog={
            "title": "Withdraw this application",
            "description": "The customer no longer wants the loan.",
            "form_class": LoanReasonDialog,
            "form_submit_text": "Withdraw",
        },
    )
    def withdraw(self, request, form, object_id):
        return self.perform(request, object_id, lifecycle.withdraw, form, done="Withdrawn.")

    @action(
        description="Disburse",
        permissions=["disburse"],
        icon="send_money",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Pay this loan out",
            "description": "Books the payout and makes the repayment schedule.",
            "form_class": DisburseDialog,
            "form_submit_text": "Pay out",
        },
    )
    def disburse(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            payouts.disburse,
            form,
            done=lambda loan: f"{loan.number} is paid out; its schedule stands.",
        )

    @action(
        description="Take a payment",
        permissions=["take"],
        icon="payments",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Take a payment",
            "description": "It pays the oldest dues first, in the order of the loan; before the "
            "disbursement, the fees that come first.",
            "form_class": TakePaymentDialog,
            "form_submit_text": "Take the payment",
        },
    )
    def take_payment(self, request, form, object_id):
        return self.perform(request, object_id, take_payment, form, done=_taken)

    @action(
        description="Apply credit",
        permissions=["match"],
        icon="savings",
        dialog={
            "title": "Pay from the customer's credit",
            "description": "What is due by today is paid from money held for the customer.",
            "form_class": LoanDialog,
            "form_submit_text": "Apply credit",
        },
    )
    def apply_credit(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            collection.apply_credit,
            form,
            done=lambda used: f"{kes(used)} of credit was used.",
        )

    @action(
        description="Add an instalment",
        permissions=["reschedule"],
        icon="playlist_add",
        dialog={
            "title": "Add an instalment",
            "description": "For principal that stands on no instalment, or for a charge.",
            "form_class": AddInstalmentDialog,
            "form_submit_text": "Add",
        },
    )
    def add_instalment(self, request, form, object_id):
        return self.perform(
            request, object_id, instalments.add, form, done=lambda row: f"{row} was added."
        )

    @action(
        description="Close",
        permissions=["close"],
        icon="lock",
        dialog={
            "title": "Close this loan",
            "description": "Only a loan on which nothing is owed closes.",
            "form_class": LoanDialog,
            "form_submit_text": "Close",
        },
    )
    def close(self, request, form, object_id):
        return self.perform(request, object_id, lifecycle.close, form, done="Closed.")
