"""How a loan ends: settled early, written off, undone, moved; with the papers that say so."""

from datetime import date
from decimal import Decimal

from django import forms
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from lms import dates, routing
from lms.backoffice.admin.loan_actions import (
    LoanActions,
    LoanDialog,
    LoanReasonDialog,
    TakePaymentDialog,
)
from lms.backoffice.forms import StaffDialog, date_field, money_field, reason_field
from lms.errors import Refused
from lms.loans.models import IssuedDocument, Loan, LoanChange, Repayment
from lms.loans.operations import (
    documents,
    relief,
    settling,
    transfers,
    undoing,
    writing_off,
)
from lms.loans.settlement import Quote
from lms.money import kes
from lms.payments import operations as payments
from lms.payments.models import Payment
from lms.staff.models import Branch, Staff
from lms.words import counted

Status = Loan.Status


def quoted(loan: Loan, *, on: date) -> tuple[Quote | None, str]:
    """Return the payoff quote of a loan with its sentence, or why there is none."""
    try:
        quote = settling.payoff(loan, on=on)
    except Refused as refusal:
        return None, refusal.message
    parts = [
        f"{name} {kes(getattr(quote, name))}"
        for name in ("principal", "interest", "fees", "penalties")
        if getattr(quote, name)
    ]
    day = f" Each day later costs {kes(quote.per_day)} more." if quote.per_day else ""
    return quote, (
        f"{loan.number} · {loan.customer.name}: {kes(quote.total)} pays it off on "
        f"{dates.show(on)} ({', '.join(parts)}). {kes(quote.rebate)} of interest is given up.{day}"
    )


# --- Dialogs -------------------------------------------------------------------------------------
class SettleDialog(TakePaymentDialog):
    """A cashier's fields, filled in with what pays the loan off today."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.quote:
            self.initial["amount"] = self.quote.total

    @cached_property
    def _quoted(self) -> tuple[Quote | None, str]:
        return quoted(self.loan, on=dates.today())

    @property
    def quote(self) -> Quote | None:
        return self._quoted[0]

    @property
    def subject(self) -> str:
        return self._quoted[1]


class PayoffQuoteDialog(LoanDialog):
    on = date_field("Pays off on", initial=dates.today)

    @property
    def subject(self) -> str:
        return quoted(self.loan, on=dates.today())[1]

    def clean_on(self) -> date:
        if self.cleaned_data["on"] < dates.today():
            raise forms.ValidationError("A quote is for today or a later day.")
        return self.cleaned_data["on"]


class WriteOffDialog(LoanDialog):
    repayments = forms.ModelMultipleChoiceField(
        Repayment.objects.none(),
        required=False,
        label="Instalments",
        widget=UnfoldAdminSelectMultipleWidget(attrs={"size": 6}),
        help_text="Choose none to write the whole loan off.",
    )
    amount = money_field(
        "Amount (KES)",
        required=False,
        help_text="Leave empty for all of it. A part falls on the oldest charges first.",
    )
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["repayments"]
        field.queryset = self.loan.repayments.unpaid().order_by("number")
        field.label_from_instance = lambda row: (
            f"{row.number} · {dates.show(row.due_date)} · {kes(row.outstanding)}"
        )

    def clean_repayments(self):
        return list(self.cleaned_data["repayments"]) or None

    @property
    def subject(self) -> str:
        position = getattr(self.loan, "position", None)
        if position is None:
            return f"{self.loan.number} is not paid out yet."
        parts = [
            f"{name} {kes(getattr(position, name))}"
            for name in ("principal", "interest", "fees", "penalties")
            if getattr(position, name)
        ]
        covered = min(writing_off.allowance(self.loan.branch_id), position.principal)
        return (
            f"{self.loan.number} · {self.loan.customer.name} owes {kes(position.outstanding)}"
            f" ({', '.join(parts)}). The allowance of {self.loan.branch} covers {kes(covered)} of "
            "the principal. The customer goes on owing all of it."
        )


class RemainderDialog(LoanDialog):
    @property
    def subject(self) -> str:
        position = getattr(self.loan, "position", None)
        owed = position.outstanding if position else Decimal(0)
        return (
            f"{self.loan.number} · {self.loan.customer.name} still owes {kes(owed)}; its terms let "
            f"up to {kes(self.loan.closing_tolerance)} go."
        )


class TransferDialog(StaffDialog):
    """Where selected loans go, with what they add up to."""

    officer = forms.ModelChoiceField(
        Staff.objects.none(), required=False, label="Loan officer", widget=UnfoldAdminSelectWidget
    )
    branch = forms.ModelChoiceField(
        Branch.objects.all(), required=False, widget=UnfoldAdminSelectWidget
    )
    with_customers = forms.BooleanField(
        label="Their customers move too", required=False, widget=UnfoldBooleanSwitchWidget
    )
    reason = reason_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        people = Staff.objects.filter(is_active=True).select_related("branch")
        self.fields["officer"].queryset = people.order_by("branch", "first_name")
        self.fields["officer"].label_from_instance = lambda person: (
            f"{person}, {person.branch or 'head office'}"
        )


def settle(loan: Loan, *, by, on: date, amount: Decimal, value_date: date, **answers) -> Payment:
    """Receive money that pays a loan off, settle it and tell the customer.

    Raises Refused before anything is received where the money does not suffice.
    """
    if not Payment.objects.filter(request_key=answers.get("request_key") or "").exists():
        settling.quote_for(loan, amount=amount, on=value_date)
    payment = payments.receive(
        account=loan.number,
        amount=amount,
        value_date=value_date,
        branch=loan.branch,
        customer=loan.customer,
        by=by,
        on=on,
        **answers,
    )
    if payment.status == Payment.Status.UNALLOCATED:
        settling.settle_early(loan, payment=payment, by=by, on=on)
        payment.refresh_from_db()
        routing.tell(payment, now=dates.now())
    return payment


def _settled(payment: Payment) -> str:
    credit = f", {kes(payment.credited)} stays as credit" if payment.credited else ""
    return f"{payment} received, the loan is settled{credit}."


def written(document: IssuedDocument, facts: dict) -> str:
    """Return a document as it is handed out, in HTML."""
    loan = document.loan
    return render_to_string(
        f"admin/documents/{document.kind}.html",
        {"document": document, "loan": loan, "paid": _paid(loan), **facts},
    )


def _paid(loan: Loan) -> dict[str, Decimal]:
    """Return what was lent, paid and given up on a loan (KES)."""
    instalments = loan.repayments.exclude(status__in=Repayment.GONE)
    return {
        "lent": loan.lent,
        "paid": sum((row.amount_paid for row in loan.repayments.all()), Decimal(0)),
        "waived": sum((row.amount_waived for row in instalments), Decimal(0)),
    }


# --- The actions ---------------------------------------------------------------------------------
class LoanEndings:
    """The verbs that end a loan, in a menu of their own, and moving loans from their list."""

    actions = ("send_together", "transfer_selected")
    actions_detail = (
        *LoanActions.actions_detail,
        {
            "title": "End",
            "icon": "flag",
            "items": [
                "payoff_quote",
                "settle_early",
                "close_with_remainder",
                "write_off",
                "clearance",
                "undo_disbursement",
            ],
        },
    )
    offers = {
        **LoanActions.offers,
        "payoff_quote": lambda loan: loan.status == Status.ACTIVE,
        "settle_early": lambda loan: loan.status == Status.ACTIVE,
        "close_with_remainder": lambda loan: (
            loan.status == Status.ACTIVE and relief.is_remainder(loan)
        ),
        "write_off": lambda loan: loan.status == Status.ACTIVE,
        "clearance": lambda loan: loan.status in (Status.CLOSED, Status.WRITTEN_OFF),
        "undo_disbursement": lambda loan: loan.status == Status.ACTIVE,
    }

    def has_quote_permission(self, request, obj=None):
        return request.user.has_perm("loans.collect_loan")

    def has_settle_permission(self, request, obj=None):
        return request.user.has_perm("loans.settle_loan")

    def has_write_off_permission(self, request, obj=None):
        return request.user.has_perm("loans.write_off_loan")

    def has_transfer_permission(self, request, obj=None):
        return request.user.has_perm("loans.transfer_loan")

    def has_undo_permission(self, request, obj=None):
        return request.user.has_perm("loans.undo_loan")

    @action(
        description="Payoff quote",
        permissions=["quote"],
        icon="request_quote",
        dialog={
            "title": "Issue a payoff quote",
            "description": "It is kept as issued and can be printed for the customer.",
            "form_class": PayoffQuoteDialog,
            "form_submit_text": "Issue",
        },
    )
    def payoff_quote(self, request, form, object_id):
        return self._issue(request, object_id, documents.issue_payoff_quote, form)

    @action(
        description="Clearance letter",
        permissions=["close"],
        icon="verified",
        dialog={
            "title": "Issue a clearance letter",
            "description": "It says that nothing is owed any more. It is kept as issued.",
            "form_class": LoanDialog,
            "form_submit_text": "Issue",
        },
    )
    def clearance(self, request, form, object_id):
        return self._issue(request, object_id, documents.issue_clearance, form)

    def _issue(self, request, object_id, operation, form) -> HttpResponse:
        """Issue a document and go on to its page, where it is printed."""
        made = []

        def done(document: IssuedDocument) -> str:
            made.append(document)
            return f"{document} is issued."

        response = self.perform(request, object_id, operation, form, done=done, write=written)
        if made:
            page = reverse("admin:loans_issueddocument_change", args=[made[0].pk])
            response.headers["HX-Redirect"] = page
        return response

    @action(
        description="Settle early",
        permissions=["settle", "take"],
        icon="task_alt",
        dialog={
            "title": "Settle this loan early",
            "description": "Takes the payoff amount, gives the rebate and closes the loan.",
            "form_class": SettleDialog,
            "form_submit_text": "Settle",
        },
    )
    def settle_early(self, request, form, object_id):
        return self.perform(request, object_id, settle, form, done=_settled)

    @action(
        description="Close with remainder",
        permissions=["close"],
        icon="lock",
        dialog={
            "title": "Close with a small remainder",
            "description": "The remainder is given up and the loan closes.",
            "form_class": RemainderDialog,
            "form_submit_text": "Close",
        },
    )
    def close_with_remainder(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            relief.forgive_remainder,
            form,
            done=lambda waived: f"Closed; {kes(sum(w.amount for w in waived))} was given up.",
        )

    @action(
        description="Write off",
        permissions=["write_off"],
        icon="heart_broken",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Write this loan off",
            "description": "It leaves the books as a loss. Money that comes later is a recovery.",
            "form_class": WriteOffDialog,
            "form_submit_text": "Write off",
        },
    )
    def write_off(self, request, form, object_id):
        return self.perform(request, object_id, writing_off.write_off, form, done=_summary)

    @action(
        description="Undo disbursement",
        permissions=["undo"],
        icon="undo",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Undo the disbursement",
            "description": "For money that never reached the customer. Its books are reversed, its "
            "schedule is cancelled, and the loan is approved again.",
            "form_class": LoanReasonDialog,
            "form_submit_text": "Undo",
        },
    )
    def undo_disbursement(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            undoing.undo_disbursement,
            form,
            done=lambda loan: f"The disbursement of {loan.number} is undone.",
        )

    @action(description="Move to another officer or branch", permissions=["transfer"])
    def transfer_selected(self, request, queryset):
        sums, chosen = dict(self.totals_of(queryset)), counted(queryset.count(), "loan")
        return self.perform_bulk(
            request,
            queryset,
            transfers.transfer,
            TransferDialog,
            title="Move these loans",
            description=f"{chosen} on which {sums['Outstanding']} is owed, "
            f"{sums['In arrears']} of it in arrears, to move today: all, or none. What they "
            "owe moves to the books of the new branch; what they paid stays.",
            submit="Move",
            done=lambda moved: f"{len(moved)} moved.",
        )


def _summary(change: LoanChange) -> str:
    return f"{change.summary}."
