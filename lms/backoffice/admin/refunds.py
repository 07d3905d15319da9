"""Paying a customer's credit back, from the customer's page; taking it back on the payout's."""

from unfold.decorators import action

from lms import money
from lms.backoffice.admin.loan_actions import method_field, reference_field
from lms.backoffice.forms import ReasonDialog, StaffDialog, money_field
from lms.customers.models import Customer
from lms.money import kes
from lms.payments import operations
from lms.payments.models import Payment, Payout
from lms.payouts import operations as payouts


def credit_of(customer: Customer):
    """Return what is held for a customer (KES)."""
    held = Payment.objects.with_credit().filter(customer=customer)
    return money.money(held.aggregate(sum=money.total("credited"))["sum"])


class RefundDialog(StaffDialog):
    amount = money_field("Amount (KES)")
    method = method_field()
    reference = reference_field()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.customer = Customer.objects.get(pk=self.object_id)
        self.credit = credit_of(self.customer)
        if not self.is_bound and self.credit:
            self.initial["amount"] = self.credit

    @property
    def subject(self) -> str:
        return f"{self.customer}: {kes(self.credit)} of credit is held."


class RefundActions:
    """Gives a customer's credit back."""

    def has_refund_permission(self, request, obj=None):
        return request.user.has_perm("payments.refund_payment")

    @action(
        description="Refund credit",
        permissions=["refund"],
        icon="currency_exchange",
        dialog={
            "title": "Pay credit back",
            "description": "The oldest payments are given back first, by someone else than who "
            "took them.",
            "form_class": RefundDialog,
            "form_submit_text": "Pay back",
        },
    )
    def refund_credit(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            payouts.refund_credit,
            form,
            done=lambda payout: f"{payout} was paid back.",
        )


class UndoRefund:
    """Takes a refund back on the page of its payout."""

    actions_detail = ("send_rest", "take_back", "undo_refund")
    actions_row = ("undo_refund",)
    offers = {
        "send_rest": lambda payout: payout.status in (Payout.Status.PARTLY, Payout.Status.FAILED),
        "take_back": lambda payout: payout.status == Payout.Status.FAILED,
        "undo_refund": lambda payout: (
            payout.kind == Payout.Kind.REFUND and payout.status == Payout.Status.PAID
        ),
    }

    def has_refund_permission(self, request, obj=None):
        return request.user.has_perm("payments.refund_payment")

    @action(
        description="Undo refund",
        permissions=["refund"],
        icon="undo",
        dialog={
            "title": "Take this refund back",
            "description": "For money that did not reach the customer: it is credit again.",
            "form_class": ReasonDialog,
            "form_submit_text": "Undo",
        },
    )
    def undo_refund(self, request, form, object_id):
        return self.perform(
            request, object_id, operations.undo_refund, form, done="The refund is undone."
        )
