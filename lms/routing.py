"""Where money that came in belongs: its account number names a loan, or it waits unallocated.

Receiving and settling are two transactions, so that nothing that arrived can be lost; `sweep`
settles what a crash left between them.
"""

from datetime import date, datetime
from decimal import Decimal

from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Loan
from lms.loans.operations import collection, upfront
from lms.notifications import operations as notifications
from lms.payments import operations as payments
from lms.payments.models import Payment
from lms.staff.models import Branch


def loan_for(account: str) -> Loan | None:
    """Return the loan that an account number means, in any spelling, or None.

    None as well where two loans could be meant: nobody guesses with money.
    """
    known = Loan.objects.select_related("branch", "customer")
    return known.only("status", "branch__name", "customer__name").meant_by(account)


def knows_account(account: str) -> bool:
    """Tell whether money for this account number can be placed.

    So it can on a loan that is being repaid, or whose fees are to be paid before it is disbursed.
    """
    loan = loan_for(account)
    return loan is not None and takes_money(loan)


def takes_money(loan: Loan) -> bool:
    """Tell whether money is asked for on a loan: it is being repaid, or its fees come first."""
    return loan.status == Loan.Status.ACTIVE or upfront.owing(loan) > 0


def take(
    *,
    account: str,
    by,
    on: date,
    branch: Branch | None = None,
    customer: Customer | None = None,
    **money,
) -> Payment:
    """Receive a payment and place it on the loan that its account number means.

    The other answers are those of `payments.operations.receive`. Money whose owner is not known
    stays unallocated, with the branch and customer that are. Raises as `receive` does.
    """
    loan = loan_for(account)
    payment = payments.receive(
        account=account,
        branch=loan.branch if loan else branch or Branch.head(),
        customer=loan.customer if loan else customer,
        by=by,
        on=on,
        **money,
    )
    return _place(payment, loan, by=by, on=on)


def settle(payment: Payment, *, by, on: date) -> Payment:
    """Place an unallocated payment by its account number; leave it in the queue when it has none.

    Returns the payment as it stands afterwards. Settling twice changes nothing.
    """
    return _place(payment, loan_for(payment.account), by=by, on=on)


def _place(payment: Payment, loan: Loan | None, *, by, on: date) -> Payment:
    waits = payment.status == Payment.Status.UNALLOCATED and not payment.waits_for_staff
    if waits and loan is not None and not payment.is_going_back:
        try:
            collection.allocate(payment, loan, by=by, on=on)
        except Refused:
            # Placed by someone else meanwhile, or the loan takes no money: the queue keeps it.
            payment.refresh_from_db()
    return payment


def match(payment: Payment, loan: Loan, *, by, on: date) -> Payment:
    """Place an unallocated payment on the loan that a person chose. Raises Refused."""
    collection.allocate(payment, loan, by=by, on=on)
    return payment


def sweep(*, on: date) -> int:
    """Settle every unallocated payment whose account number is known by now; return how many."""
    waiting = Payment.objects.placeable().filter(waits_for_staff=False).exclude(account="")
    settled = 0
    for payment in waiting.order_by("pk").iterator(chunk_size=500):
        settle(payment, by=None, on=on)
        settled += payment.status == Payment.Status.ALLOCATED
    return settled


def tell(payment: Payment, *, now: datetime) -> None:
    """Queue a receipt message to the customer of a payment that was placed; once a payment."""
    if payment.status == Payment.Status.ALLOCATED and payment.customer_id:
        loan = loan_for(payment.account) or _loan_paid_by(payment)
        if loan is not None:
            notifications.enqueue(
                payment.customer,
                occasion="payment_received",
                channel="sms",
                key=f"receipt:{payment.pk}",
                about=loan.number,
                values={
                    "loan": loan.number,
                    "amount": f"{payment.amount:,.2f}",
                    "balance": f"{_balance(loan):,.2f}",
                    "receipt": payment.reference or payment.number,
                },
                now=now,
            )


def _balance(loan: Loan) -> Decimal:
    """Return what is owed on a loan, or is to be paid before it is disbursed (KES)."""
    position = getattr(loan, "position", None)
    return position.outstanding if position else upfront.owing(loan)


def _loan_paid_by(payment: Payment) -> Loan | None:
    """Return the loan that most recently received some of the payment."""
    if last := payment.allocations.select_related("repayment__loan").last():
        return last.repayment.loan
    fees = payment.fee_payments.standing().select_related("loan").last()
    return fees.loan if fees else None
