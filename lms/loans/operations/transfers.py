"""Moving loans: to another officer, to another branch, with their books."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import money
from lms.customers.models import Customer
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry, Transfer
from lms.ledger.operations import Line
from lms.loans.models import Loan
from lms.loans.operations import rows
from lms.loans.operations.posting import post
from lms.loans.operations.rows import needs_reason
from lms.money import ZERO

# What a loan holds in the books of its branch.
HELD = (
    chart.LOAN_PRINCIPAL,
    chart.INTEREST_RECEIVABLE,
    chart.FEES_RECEIVABLE,
    chart.PENALTIES_RECEIVABLE,
    chart.UNEARNED_INTEREST,
    chart.CAPITALISED_INTEREST,
    chart.SUSPENDED_INTEREST,
)
ENDED = (Loan.Status.CLOSED, Loan.Status.REJECTED, Loan.Status.WITHDRAWN)


def transfer(
    loans: Iterable[Loan],
    *,
    reason: str,
    by,
    on: date,
    officer=None,
    branch=None,
    with_customers: bool = False,
) -> list[Loan]:
    """Move loans to an officer, a branch, or both, from this day on; return those that moved.

    What they owe leaves the books of the old branch and enters those of the new one. Income and
    receipts stay where they were. All of them move, or none: Raises Refused for a loan that
    ended, and where a loan's officer would not be of its branch.
    """
    reason = needs_reason(reason)
    if officer is None and branch is None:
        raise Refused("Name an officer or a branch.", field="officer")
    with transaction.atomic():
        moved = []
        for loan in rows.lock_many(loan.pk for loan in loans):
            fields = _place(loan, officer, branch)
            if not fields:
                continue
            loan._history_user, loan._change_reason = by, f"Moved: {reason}"[:100]
            loan.save(update_fields=fields)
            gather(loan, by=by, on=on)
            moved.append(loan)
        if not moved:
            raise Refused("They are all there already.")
        if with_customers:
            _move_customers({loan.customer_id for loan in moved}, officer, branch, by=by)
    return moved


def _place(loan: Loan, officer, branch) -> list[str]:
    """Write officer and branch on a locked loan; return the fields that changed. Does not save."""
    if loan.status in ENDED:
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: it stays where it is."
        )
    before = loan.branch_id, loan.loan_officer_id
    loan.branch = branch or loan.branch
    loan.loan_officer = officer or loan.loan_officer
    if loan.loan_officer and loan.loan_officer.branch_id not in (None, loan.branch_id):
        raise Refused(
            f"{loan.loan_officer} is not of {loan.branch}: name an officer of that branch for "
            f"{loan.number}.",
            field="officer",
        )
    after = loan.branch_id, loan.loan_officer_id
    names = ("branch", "loan_officer")
    return [name for name, old, new in zip(names, before, after, strict=True) if old != new]


def gather(loan: Loan, *, by, on: date) -> list[JournalEntry]:
    """Bring what the books of other branches hold for a loan into those of its own branch.

    Each branch balances by itself; `chart.BETWEEN_BRANCHES` is zero over all of them. Run again
    it finds nothing; after a reversal of what an old branch had booked it moves that too.
    """
    entries = []
    times = JournalEntry.objects.keyed(f"moved:{loan.pk}:").count()
    for branch_id, balances in _elsewhere(loan).items():
        out = [_signed(account, amount) for account, amount in balances.items()]
        back = [Line(line.credit, line.debit, line.amount) for line in out]
        for place, lines in ((branch_id, out), (loan.branch_id, back)):
            times += 1
            entries.append(
                post(
                    loan,
                    kind="branch_transfer",
                    reference=f"moved:{loan.pk}:{times}",
                    on=on,
                    narration=f"{loan.number} moved to {loan.branch}",
                    lines=lines,
                    branch_id=place,
                    by=by,
                )
            )
    return entries


def _elsewhere(loan: Loan) -> dict[int, dict[str, Decimal]]:
    """Return the debit balances of a loan in other branches than its own, where there are any."""
    sums: dict[int, dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    transfers = Transfer.objects.filter(subject=loan.number).exclude(branch_id=loan.branch_id)
    for branch_id, debit, credit, amount in (
        transfers.order_by()
        .values_list("branch_id", "debit_id", "credit_id")
        .annotate(sum=money.total("amount"))
    ):
        sums[branch_id][debit] += money.money(amount)
        sums[branch_id][credit] -= money.money(amount)
    accounts = [loan.account(code) for code in HELD]
    held = {
        branch_id: {account: balances[account] for account in accounts if balances[account]}
        for branch_id, balances in sums.items()
    }
    return {branch_id: balances for branch_id, balances in held.items() if balances}


def _signed(account: str, amount: Decimal) -> Line:
    if amount > 0:
        return Line(chart.BETWEEN_BRANCHES, account, amount)
    return Line(account, chart.BETWEEN_BRANCHES, -amount)


def _move_customers(keys: set[int], officer, branch, *, by) -> None:
    for customer in Customer.objects.select_for_update().filter(pk__in=keys).order_by("pk"):
        customer.branch = branch or customer.branch
        customer.loan_officer = officer or customer.loan_officer
        customer._history_user, customer._change_reason = by, "Moved with a loan"
        customer.save(update_fields=["branch", "loan_officer"])
