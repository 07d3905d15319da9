"""Interest that follows the actual balance: what fell due costs what was really owed, day by day.

On a loan that recalculates, an instalment bears its planned interest until its due date, and from
the morning of that day the interest of the balances before it. Whoever pays, waives or prepays on
or after a due date first brings the loan up to it; the nightly close does the same for every loan,
and a replay works the due dates behind it out again, so the interest is right when it ends.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from lms import money
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.ledger.operations import Line
from lms.loans import recalculation
from lms.loans.models import Allocation, Loan, Repayment, Waiver
from lms.loans.operations import changes, rows
from lms.loans.operations.posting import post
from lms.money import ZERO

KIND = "recalculation"
Moves = list[tuple[date, Decimal]]


class Actual:
    """What is needed to say what a period of one loan costs: its instalments and its schedules.

    `standing` are its instalments that are not gone; `paid` are days and KES of principal.
    """

    def __init__(self, loan: Loan, standing: Iterable[Repayment], paid: Moves) -> None:
        self.loan, self.paid = loan, paid
        ends = [row for row in standing if row.version != Repayment.BETWEEN]
        self.rows = sorted(ends, key=lambda row: row.due_date)
        self.begun = changes.begun(loan)
        parts = loan.tranches.filter(paid_on__isnull=False)
        self.tranches = [(tranche.paid_on, -tranche.amount) for tranche in parts]

    def cost(self, row: Repayment, *, end: date | None = None) -> Decimal:
        """Return what the period of an instalment costs by its due date, or by an earlier day."""
        loan, place = self.loan, self.rows.index(row)
        before = self.rows[place - 1] if place else None
        end = end or row.due_date
        end = min(end, loan.interest_stops_on or end)
        start, carried = before.due_date if before else loan.disbursed_on, ZERO
        if before is None or before.version != row.version:
            new = self.begun.get(row.version, changes.Begun(start, ZERO))
            start, carried = max(start, new.on), new.carried
        return carried + recalculation.interest(
            self._balances(),
            start=min(start, end),
            end=end,
            annual_rate=loan.annual_rate,
            day_count=loan.day_count,
            unit=Decimal(loan.interest_multiple),
        )

    def _balances(self) -> Moves:
        """Return what principal was owed from each day on."""
        loan = self.loan
        owed = loan.lent + sum((amount for _, amount in self.tranches), ZERO)
        balances = [(loan.disbursed_on, owed)]
        for day, amount in sorted([*self.tranches, *self.paid]):
            owed -= amount
            balances.append((day, money.money(max(owed, ZERO))))
        return balances

    def set(self, row: Repayment, *, on: date) -> Decimal:
        """Give an instalment in memory the interest it cost; return what that is more (KES).

        What was paid or given up of it stays so.
        """
        cost = max(self.cost(row), row.interest_paid + row.interest_waived)
        more, row.interest = cost - row.interest, cost
        if more:
            row.settle(on=on)
        return more


def paid(loan: Loan, *, before: date | None = None) -> Moves:
    """Return the days and KES of principal that was paid or given up, all or before a day."""
    here = {"repayment__loan": loan, "component": "principal"}
    parts = Allocation.objects.filter(**here).order_by()
    given_up = Waiver.objects.standing().filter(**here).order_by()
    if before is not None:
        parts, given_up = parts.filter(counts_on__lt=before), given_up.filter(waived_on__lt=before)
    return [
        *parts.values_list("counts_on").annotate(sum=money.total("amount")),
        *given_up.values_list("waived_on").annotate(sum=money.total("amount")),
    ]


def foresee(loan: Loan, standing: Sequence[Repayment], *, on: date) -> list[Repayment]:
    """Give open instalments in memory what `bring_up_to` would; return those that changed."""
    if not loan.recalculates or loan.status != Loan.Status.ACTIVE:
        return []
    wall = loan.position.schedule_set_on or loan.disbursed_on
    due = [row for row in standing if row.is_open and wall <= row.due_date <= on]
    due = [row for row in due if row.version != Repayment.BETWEEN]
    if not due:
        return []
    actual = Actual(loan, standing, paid(loan))
    return [row for row in due if actual.set(row, on=row.due_date)]


def bring_up_to(loan: Loan, *, on: date, by=None) -> int:
    """Let the open instalments of a locked loan that are due by a day cost what was really owed.

    Not those due before the schedule was last set. Returns how many changed.
    """
    if not loan.recalculates:
        return 0
    standing = list(loan.repayments.exclude(status__in=Repayment.GONE))
    before = {row.pk: row.interest for row in standing}
    changed = foresee(loan, standing, on=on)
    write(changed, before, loan, by=by, on=on)
    if changed:
        rows.refresh(loan, by=by, on=on)
    return len(changed)


def recalculate(loan: Loan, *, on: date) -> int:
    """Let the instalment of a locked loan due on a day cost what was really owed; return how many.

    Also one that is paid: it owes what its payment, or the lack of an earlier one, left.
    """
    standing = list(loan.repayments.exclude(status__in=Repayment.GONE))
    before = {row.pk: row.interest for row in standing}
    actual = Actual(loan, standing, paid(loan))
    changed = [row for row in actual.rows if row.due_date == on and actual.set(row, on=on)]
    write(changed, before, loan, by=None, on=on)
    if changed:
        rows.refresh(loan, by=None, on=on)
    return len(changed)


def write(
    changed: Sequence[Repayment], before: dict[int, Decimal], loan: Loan, *, by, on: date
) -> None:
    """Save instalments whose interest was set, and book what it is more or less than `before`."""
    reason = "Interest by the actual balance"
    rows.save_repayments(changed, by=by, reason=reason, changed_on=None)
    for row in changed:
        book(row, loan, row.interest - before[row.pk], by=by, on=on)


def book(row: Repayment, loan: Loan, more: Decimal, *, by, on: date) -> None:
    """Book more interest on an instalment, or less; its change is in its history already."""
    accounts = chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST
    debit, credit = accounts if more > 0 else accounts[::-1]
    post(
        loan,
        kind=KIND,
        reference=f"recalculation:{row.pk}:{row.history.count()}",
        on=on,
        narration=f"Interest of {row} by the actual balance",
        lines=[Line(debit, credit, abs(more))],
        by=by,
    )


def moved(loan: Loan) -> dict[int, list[tuple[date, Decimal]]]:
    """Return by instalment the days and KES by which its interest was moved from its plan."""
    found = defaultdict(list)
    for reference, day, debit, amount in Transfer.objects.filter(
        subject=loan.number, entry__kind=KIND
    ).values_list("entry__reference", "entry__date", "debit_id", "amount"):
        sign = 1 if debit == chart.INTEREST_RECEIVABLE else -1
        found[int(reference.split(":")[1])].append((day, sign * amount))
    return found
