"""Loans whose interest follows the actual balance: what fell due costs what was really owed."""

from datetime import date
from decimal import Decimal

from lms import money
from lms.ledger import chart
from lms.ledger.operations import Line, post
from lms.loans import recalculation
from lms.loans.models import Allocation, Loan, Repayment
from lms.loans.operations import changes, rows
from lms.money import ZERO


def recalculate(first: int, last: int, *, on: date) -> int:
    """Give the instalments due on a day the interest of the balances before; return how many."""
    due = Repayment.objects.filter(
        due_date=on,
        loan__gte=first,
        loan__lte=last,
        loan__status=Loan.Status.ACTIVE,
        loan__recalculates=True,
    ).exclude(status__in=Repayment.GONE)
    keys = list(due.order_by("loan_id").values_list("loan_id", flat=True).distinct())
    return sum(_recalculate(pk, on=on) for pk in keys)


def _recalculate(pk: int, *, on: date) -> int:
    loan = rows.lock(pk)
    standing = loan.repayments.exclude(status__in=Repayment.GONE)
    row = standing.get(due_date=on)
    before = (
        standing.filter(due_date__lt=on, version__gt=Repayment.BETWEEN)
        .order_by("-due_date")
        .first()
    )
    end = min(on, loan.interest_stops_on or on)
    start, carried = before.due_date if before else loan.disbursed_on, ZERO
    if before is None or before.version != row.version:
        new = changes.begun(loan).get(row.version, changes.Begun(start, ZERO))
        start, carried = max(start, new.on), new.carried
    cost = carried + recalculation.interest(
        _balances(loan),
        start=min(start, end),
        end=end,
        annual_rate=loan.annual_rate,
        day_count=loan.day_count,
        unit=Decimal(loan.interest_multiple),
    )
    # What was paid or given up of it stays so.
    cost = max(cost, row.interest_paid + row.interest_waived)
    more = cost - row.interest
    if not more:
        return 0
    row.interest = cost
    row.settle(on=on)
    rows.save_repayments([row], by=None, reason="Interest by the actual balance", changed_on=None)
    accounts = chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST
    debit, credit = accounts if more > 0 else accounts[::-1]
    post(
        kind="recalculation",
        reference=f"recalculation:{row.pk}:{row.history.count()}",
        on=on,
        narration=f"Interest of {row} by the actual balance",
        lines=[Line(debit, credit, abs(more))],
        branch_id=loan.branch_id,
        by=None,
        subject=loan.number,
    )
    rows.refresh(loan, by=None, on=on)
    return 1


def _balances(loan: Loan) -> list[tuple[date, Decimal]]:
    """Return what principal was owed from each day on."""
    paid = Allocation.objects.filter(repayment__loan=loan, component="principal").order_by()
    paid_out = loan.tranches.filter(paid_on__isnull=False)
    tranches = [(tranche.paid_on, tranche.amount) for tranche in paid_out]
    owed = loan.lent - sum((amount for _, amount in tranches), ZERO)
    moves = [(day, -amount) for day, amount in tranches]
    moves += paid.values_list("counts_on").annotate(sum=money.total("amount"))
    balances = [(loan.disbursed_on, owed)]
    for day, amount in sorted(moves):
        owed -= amount
        balances.append((day, money.money(max(owed, ZERO))))
    return balances
