"""Changing the schedule by hand: add an instalment, change one, charge for lateness."""

from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from lms import money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post
from lms.loans import penalties
from lms.loans.models import Loan, Penalty, Repayment
from lms.loans.operations import rows
from lms.loans.operations.rows import needs_reason
from lms.money import CENT, SHILLING, ZERO


def add(
    loan: Loan,
    *,
    number: int,
    due_date: date,
    principal: Decimal,
    interest: Decimal,
    fees: Decimal,
    reason: str,
    by,
    on: date,
) -> Repayment:
    """Add an instalment to a disbursed loan and book its interest and fees.

    Its principal comes out of what stands on no instalment yet. Raises Refused beyond that.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        _must_be_running(loan)
        row = Repayment(
            loan=loan,
            number=number,
            due_date=due_date,
            principal=principal,
            interest=interest,
            fees=fees,
        )
        _check(row)
        rows.create_repayments([row], by=by, reason=reason)
        row = loan.repayments.get(number=number)
        _book(row, loan, interest=interest, fees=fees, key=f"instalment:{row.pk}:0", by=by, on=on)
        rows.refresh(loan, by=by, on=on)
    return row


def change(
    repayment: Repayment,
    *,
    due_date: date,
    principal: Decimal,
    interest: Decimal,
    fees: Decimal,
    reason: str,
    by,
    on: date,
) -> Repayment:
    """Change an instalment on which nothing was paid, waived or penalised, and book the change.

    Raises Refused otherwise, and when more principal would be scheduled than was lent.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(repayment.loan_id)
        row = Repayment.objects.get(pk=repayment.pk)
        _must_be_running(loan)
        if not row.is_untouched:
            raise Refused(
                f"{row} can no longer be edited: something was paid, waived or charged on it."
            )
        before = row.interest, row.fees
        row.due_date, row.principal, row.interest, row.fees = due_date, principal, interest, fees
        _check(row)
        rows.save_repayments([row], by=by, reason=reason, fields=["due_date"])
        _book(
            row,
            loan,
            interest=interest - before[0],
            fees=fees - before[1],
            key=f"instalment:{row.pk}:{row.history.count()}",
            by=by,
            on=on,
        )
        rows.refresh(loan, by=by, on=on)
    repayment.refresh_from_db()
    return repayment


def _must_be_running(loan: Loan) -> None:
    if loan.status != Loan.Status.ACTIVE:
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: "
            "only the schedule of an active loan changes."
        )


def _check(row: Repayment) -> None:
    if row.due_date <= row.loan.disbursed_on:
        raise Refused("An instalment falls due after the disbursement.", field="due_date")
    for name in ("principal", "interest", "fees"):
        if getattr(row, name) < 0:
            raise Refused("An amount cannot be negative.", field=name)
    if not row.amount_due:
        raise Refused("An instalment needs an amount.", field="principal")
    others = row.loan.repayments.exclude(pk=row.pk)
    if others.filter(number=row.number).exists():
        raise Refused(f"{row.loan.number} has an instalment {row.number} already.", field="number")
    standing = others.exclude(status__in=Repayment.GONE)
    before = standing.filter(number__lt=row.number).aggregate(day=Max("due_date"))["day"]
    after = standing.filter(number__gt=row.number).order_by("number").first()
    if (before and row.due_date <= before) or (after and row.due_date >= after.due_date):
        raise Refused(
            "Due dates follow the numbers: this one must fall between its neighbours "
            f"({_neighbours(before, after)}).",
            field="due_date",
        )


def _neighbours(before: date | None, after: Repayment | None) -> str:
    first = f"after {before:%d %b %Y}" if before else ""
    last = f"before {after.due_date:%d %b %Y}" if after else ""
    return " and ".join(part for part in (first, last) if part)


def _book(
    row: Repayment, loan: Loan, *, interest: Decimal, fees: Decimal, key: str, by, on: date
) -> None:
    """Post the difference that a change of interest and fees makes; nothing when there is none."""
    lines = [
        _signed(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, interest),
        _signed(chart.FEES_RECEIVABLE, chart.FEE_INCOME, fees),
    ]
    if any(line.amount for line in lines):
        post(
            kind="instalment",
            reference=key,
            on=on,
            narration=f"Schedule of {row}",
            lines=lines,
            branch_id=loan.branch_id,
            by=by,
            subject=loan.number,
        )


def _signed(debit: str, credit: str, amount: Decimal) -> Line:
    return Line(debit, credit, amount) if amount >= 0 else Line(credit, debit, -amount)


def charge_penalty(repayment: Repayment, *, amount: Decimal, rule: str, by, on: date) -> Penalty:
    """Charge a late-payment penalty of `amount` KES on an overdue instalment, once a rule and day.

    Raises Refused when it is not overdue on `on` or this rule charged it that day already.
    """
    rule = needs_reason(rule)[:120]
    with transaction.atomic():
        loan = rows.lock(repayment.loan_id)
        row = Repayment.objects.get(pk=repayment.pk)
        if not row.is_overdue(on=on):
            raise Refused(f"{row} is not overdue on {on:%d %b %Y}.")
        if amount <= 0 or amount != amount.quantize(CENT):
            raise Refused("The amount must be more than KES 0.00, in whole cents.", field="amount")
        if row.penalty_charges.filter(rule=rule, charged_on=on).exists():
            raise Refused(f"{row} was charged for “{rule}” on {on:%d %b %Y} already.")
        charge = _charge(row, loan, amount=amount, rule=rule, by=by, on=on)
        rows.refresh(loan, by=by, on=on)
    repayment.refresh_from_db()
    return charge


def _charge(row: Repayment, loan: Loan, *, amount: Decimal, rule: str, by, on: date) -> Penalty:
    charge = Penalty(repayment=row, amount=amount, charged_on=on, rule=rule, charged_by=by)
    charge._history_user, charge._change_reason = by, rule[:100]
    charge.save()
    row.penalties += amount
    rows.save_repayments([row], by=by, reason=f"Penalty: {rule}")
    post(
        kind="penalty",
        reference=f"penalty:{charge.pk}",
        on=on,
        narration=f"Penalty on {row}: {rule}",
        lines=[Line(chart.PENALTIES_RECEIVABLE, chart.PENALTY_INCOME, amount)],
        branch_id=loan.branch_id,
        by=by,
        subject=loan.number,
    )
    return charge


def charge_late_penalties(*, on: date) -> int:
    """Charge every overdue instalment what its loan's rule wants by `on`; return how many were.

    Each loan in its own transaction. Run twice for a day it charges nothing more; after missed
    days it charges for them.
    """
    late = (
        Repayment.objects.overdue(on=on)
        .filter(loan__status=Loan.Status.ACTIVE)
        .exclude(loan__penalty_base="none")
    )
    loans = late.order_by("loan_id").values_list("loan_id", flat=True).distinct()
    return sum(_charge_loan(pk, on=on) for pk in list(loans))


def _charge_loan(pk: int, *, on: date) -> int:
    with transaction.atomic():
        loan = rows.lock(pk)
        if loan.status != Loan.Status.ACTIVE:
            return 0
        rule = loan.penalty_rule
        words = penalties.describe(rule)
        taken_over_on = _taken_over_on(loan)
        charged = 0
        for row in loan.repayments.overdue(on=on).prefetch_related("penalty_charges"):
            amount = _penalty_due(row, loan, rule, taken_over_on=taken_over_on, on=on)
            if amount > 0:
                _charge(row, loan, amount=amount, rule=words, by=None, on=on)
                charged += 1
        if charged:
            rows.refresh(loan, by=None, on=on)
    return charged


def _taken_over_on(loan: Loan) -> date | None:
    """Return the day a loan came from another system, which had charged its lateness by then."""
    takeover = JournalEntry.objects.filter(reference=f"takeover:{loan.pk}")
    return takeover.values_list("date", flat=True).first()


def _penalty_due(
    row: Repayment,
    loan: Loan,
    rule: penalties.PenaltyRule,
    *,
    taken_over_on: date | None,
    on: date,
) -> Decimal:
    """Return what the rule adds since it last charged this instalment, in whole shillings.

    Sums are rounded, not the difference, so that missed nights add up to the same charge. A part
    payment makes what follows smaller, and what was charged before counts towards the cap.
    """
    charges = [charge for charge in row.penalty_charges.all() if charge.charged_by_id is None]
    last = max((charge.charged_on for charge in charges), default=taken_over_on)
    if last is not None and last >= on:
        return ZERO

    def owed_by(day: date) -> Decimal:
        owed = penalties.owed(
            rule,
            due_date=row.due_date,
            on=day,
            principal=row.owing_of("principal"),
            interest=row.owing_of("interest"),
            outstanding_principal=loan.position.principal,
            loan_principal=loan.principal,
        )
        return money.money(owed, SHILLING)

    added = owed_by(on) - (owed_by(last) if last else ZERO)
    most = penalties.most(rule, loan_principal=loan.principal)
    if most is not None:
        charged = sum((charge.amount for charge in charges), ZERO)
        added = min(added, money.money(most, SHILLING) - charged)
    return max(added, ZERO)
