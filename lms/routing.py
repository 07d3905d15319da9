"""Where money that came in belongs: its account number names a loan, or it waits unallocated.

Receiving and settling are two transactions, so that nothing that arrived can be lost; `sweep`
settles what a crash left between them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Loan, Position
from lms.loans.operations import collection, upfront
from lms.notifications import operations as notifications
from lms.notifications.operations import Draft
from lms.payments import operations as payments
from lms.payments.models import Payment
from lms.staff.models import Branch


def loan_for(account: str) -> Loan | None:
    """Return the loan that an account number means, in any spelling, or None.

    None as well where two loans could be meant: nobody guesses with money.
    """
    return loans_for([account]).get(account)


def loans_for(accounts: Iterable[str]) -> dict[str, Loan]:
    """Return the loans that account numbers mean, in any spelling, by account as typed."""
    known = Loan.objects.select_related("branch", "customer")
    columns = ("status", "legacy_number", "branch__name", "customer__name")
    return known.only(*columns).meant_by(*set(accounts))


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


def take_many(arrived: Sequence[Mapping], *, by, on: date, now: datetime) -> list[Payment]:
    """Receive, place and tell of money that came by M-Pesa as `take` and `tell` do, in bulk.

    Each of `arrived` has the answers of `take`, but for those that all share. Inside the caller's
    transaction, so it is all or nothing. Several payments on one loan are placed one after the
    other, in order. Returns the payments as they then stand, in order. Raises as
    `payments.operations.receive_many`.
    """
    loans = loans_for({money["account"] for money in arrived})
    head = Branch.head()
    received = payments.receive_many(
        [_owned(money, loans.get(money["account"]), head=head) for money in arrived], by=by, on=on
    )
    rounds: list[dict[int, tuple[Payment, Loan]]] = []
    for payment, money in zip(received, arrived, strict=True):
        if loan := loans.get(money["account"]):
            free = next((turn for turn in rounds if loan.pk not in turn), None)
            if free is None:
                rounds.append(free := {})
            free[loan.pk] = payment, loan
    placed: dict[int, Payment] = {}
    for turn in rounds:
        there = collection.allocate_many(list(turn.values()), by=by, on=on)
        tell_many(
            [(payment, loan) for payment, (_, loan) in zip(there, turn.values(), strict=True)],
            now=now,
        )
        placed |= {payment.pk: payment for payment in there}
    return [placed.get(payment.pk, payment) for payment in received]


def _owned(money: Mapping, loan: Loan | None, *, head: Branch) -> dict:
    """Return the answers for receiving money, which belongs where its loan does."""
    owner = {"branch": loan.branch, "customer": loan.customer} if loan else {"branch": head}
    return {**money, **owner}


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
            tell_many([(payment, loan)], now=now)


def tell_many(placed: Sequence[tuple[Payment, Loan]], *, now: datetime) -> None:
    """Queue the message of each payment that was placed, with what is left on its loan now."""
    told = [
        (payment, loan)
        for payment, loan in placed
        if payment.status == Payment.Status.ALLOCATED and payment.customer_id
    ]
    if not told:
        return
    customers = Customer.objects.in_bulk({payment.customer_id for payment, _ in told})
    positions = Position.objects.in_bulk({loan.pk for _, loan in told})
    notifications.enqueue_many(
        [
            Draft(
                customers[payment.customer_id],
                occasion="payment_received",
                channel="sms",
                key=f"receipt:{payment.pk}",
                about=loan.number,
                values={
                    "loan": loan.number,
                    "amount": f"{payment.amount:,.2f}",
                    "balance": f"{_balance(loan, positions.get(loan.pk)):,.2f}",
                    "receipt": payment.reference or payment.number,
                },
            )
            for payment, loan in told
        ],
        now=now,
    )


def _balance(loan: Loan, position: Position | None) -> Decimal:
    """Return what is owed on a loan, or is to be paid before it is disbursed (KES)."""
    return position.outstanding if position else upfront.owing(loan)


def _loan_paid_by(payment: Payment) -> Loan | None:
    """Return the loan that most recently received some of the payment."""
    if last := payment.allocations.select_related("repayment__loan").last():
        return last.repayment.loan
    fees = payment.fee_payments.standing().select_related("loan").last()
    return fees.loan if fees else None
