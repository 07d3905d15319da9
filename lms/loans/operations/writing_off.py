"""Writing loans off: what is lost leaves the books, and stays owed by the customer."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.ledger.operations import Line
from lms.loans.models import Loan, LoanChange, Position, Repayment, Waiver
from lms.loans.models.terms import IncomeBasis
from lms.loans.operations import changes, lateness, relief, rows
from lms.loans.operations.posting import post
from lms.loans.operations.relief import EVERYTHING, Part
from lms.loans.operations.rows import RECEIVABLES, needs_reason
from lms.money import CENT, ZERO, kes
from lms.staff.models import Branch


def write_off(
    loan: Loan,
    *,
    reason: str,
    by,
    on: date,
    repayments: Iterable[Repayment] | None = None,
    amount: Decimal | None = None,
) -> LoanChange:
    """Write an active loan off: all of it, or some instalments, or `amount` KES of those.

    A part falls on the oldest instalments first, on each on penalties, fees, interest and then
    principal. Principal uses the allowance of the branch up and is a loss beyond it. The loan is
    written off when nothing is left on it. Raises Refused for the loan's own officer, beyond what
    is owed, and while principal stands on no instalment.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        lateness.bring_up_to(loan, on=on)
        _must_be_allowed(loan, by=by)
        before = changes.State(loan)
        parts = _parts(loan, repayments, amount)
        kind = Waiver.Kind.WRITE_OFF
        waivers = relief.give_up(parts, kind=kind, reason=reason, by=by, on=on)
        lost = sum((waiver.amount for waiver in waivers), ZERO)
        is_all = lost == loan.position.outstanding
        entry = post(
            loan,
            kind="write_off",
            reference=changes.key_of(loan),
            on=on,
            narration=f"Write-off of {loan.number}: {reason}",
            lines=_lines(waivers, loan, is_all=is_all),
            by=by,
        )
        if is_all:
            loan.move_to(Loan.Status.WRITTEN_OFF, by=by, reason=reason)
        rows.refresh(loan, by=by, on=on)
        what = "All of it" if is_all else "Part of it"
        return changes.record(
            loan,
            before,
            kind=LoanChange.Kind.WRITE_OFF,
            amount=lost,
            summary=f"{what} written off: {kes(lost)}",
            reason=reason,
            entry=entry,
            by=by,
            on=on,
        )


def _must_be_allowed(loan: Loan, *, by) -> None:
    if loan.status != Loan.Status.ACTIVE:
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: "
            "only an active loan is written off."
        )
    if by is not None and by.pk == loan.loan_officer_id:
        raise Refused(f"{loan.number} is your own loan: someone else must write it off.")
    if loan.position.unscheduled:
        raise Refused(
            f"{kes(loan.position.unscheduled)} of principal stands on no instalment: "
            "add one before the loan is written off."
        )


def _parts(
    loan: Loan, repayments: Iterable[Repayment] | None, amount: Decimal | None
) -> list[Part]:
    chosen = loan.repayments.unpaid().order_by("due_date", "number")
    if repayments is not None:
        keys = {row.pk for row in repayments}
        chosen = chosen.filter(pk__in=keys)
        if not keys or chosen.count() != len(keys):
            raise Refused(
                f"Choose open instalments of {loan.number}: one of these is settled or of "
                "another loan.",
                field="repayments",
            )
    owed = [(row, name, row.owing_of(name)) for row in chosen for name in EVERYTHING]
    most = sum((part for _, _, part in owed), ZERO)
    amount = most if amount is None else amount
    if amount <= 0 or amount != amount.quantize(CENT):
        raise Refused("The amount must be more than KES 0.00, in whole cents.", field="amount")
    if amount > most:
        raise Refused(f"Only {kes(most)} is owed.", field="amount")
    parts = []
    for row, name, part in owed:
        if taken := min(part, amount):
            amount -= taken
            parts.append((row, name, taken))
    return parts


def _lines(waivers: list[Waiver], loan: Loan, *, is_all: bool) -> list[Line]:
    """Return what a write-off posts: what was never income lessens what is to be earned."""
    sums = dict.fromkeys(EVERYTHING, ZERO)
    for waiver in waivers:
        sums[waiver.component] += waiver.amount
    covered = min(sums["principal"], allowance(loan.branch_id))
    unearned, suspended = _not_income(loan, sums["interest"], is_all=is_all)
    lost = chart.LOANS_WRITTEN_OFF
    return [
        Line(chart.ALLOWANCE, RECEIVABLES["principal"], covered),
        Line(lost, RECEIVABLES["principal"], sums["principal"] - covered),
        Line(chart.UNEARNED_INTEREST, RECEIVABLES["interest"], unearned),
        Line(chart.SUSPENDED_INTEREST, RECEIVABLES["interest"], suspended),
        Line(lost, RECEIVABLES["interest"], sums["interest"] - unearned - suspended),
        Line(lost, RECEIVABLES["fees"], sums["fees"]),
        Line(lost, RECEIVABLES["penalties"], sums["penalties"]),
    ]


def allowance(branch_id: int) -> Decimal:
    """Return the allowance for losses that a branch has built (KES), and hold it."""
    Branch.objects.select_for_update(no_key=True).get(pk=branch_id)
    return max(-balance(chart.ALLOWANCE, branch_id=branch_id), ZERO)


def _not_income(loan: Loan, interest: Decimal, *, is_all: bool) -> tuple[Decimal, Decimal]:
    """Return how much of this unpaid interest is unearned, and how much waits in suspense.

    On the cash basis none of it was earned. On the accrual basis the latest of it was not; while
    the loan runs on, the next night takes the income of the rest back.
    """
    if loan.income_basis == IncomeBasis.CASH or not is_all:
        return interest, ZERO
    unearned = min(interest, -balance(chart.UNEARNED_INTEREST, subject=loan.number))
    suspended = min(interest - unearned, loan.position.interest_suspended)
    Position.objects.filter(pk=loan.pk).update(
        interest_earned=loan.position.interest_earned - (interest - unearned),
        interest_suspended=loan.position.interest_suspended - suspended,
    )
    return unearned, suspended


def balance(account: str, **where) -> Decimal:
    """Return the debit balance of an account over some transfers (KES)."""
    moved = Transfer.objects.filter(**where)
    debits = moved.filter(debit_id=account).aggregate(sum=money.total("amount"))["sum"]
    credits = moved.filter(credit_id=account).aggregate(sum=money.total("amount"))["sum"]
    return money.money(debits - credits)


def undo_write_off(loan: Loan, *, reason: str, by, on: date) -> LoanChange:
    """Take the last write-off of a loan back: it is owed again, in the books too.

    Raises Refused while a recovery stands, or when something else came after it.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        change = changes.last_of(loan)
        if change is None or change.kind != LoanChange.Kind.WRITE_OFF:
            raise Refused(f"The last change of {loan.number} is no write-off.")
        return changes.undo(change, reason=reason, by=by, on=on)
