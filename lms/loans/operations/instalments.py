"""Changing the schedule by hand: add an instalment, change one, charge for lateness."""

from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.operations import Line
from lms.loans.models import Loan, Penalty, Repayment
from lms.loans.operations import lateness, rows
from lms.loans.operations.posting import post
from lms.loans.operations.rows import needs_reason
from lms.money import CENT


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
        lateness.bring_up_to(loan, on=on)
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
        rows.refresh(loan, by=by, on=on, schedule_set=True)
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
        lateness.bring_up_to(loan, on=on)
        row = Repayment.objects.get(pk=repayment.pk)
        _must_be_running(loan)
        if not row.is_untouched:
            raise Refused(
                f"{row} can no longer be edited: something was paid, waived or charged on it."
            )
        before = row.interest, row.fees
        row.due_date, row.principal, row.interest, row.fees = due_date, principal, interest, fees
        _check(row)
        rows.save_repayments([row], by=by, reason=reason, changed_on=on, fields=["due_date"])
        _book(
            row,
            loan,
            interest=interest - before[0],
            fees=fees - before[1],
            key=f"instalment:{row.pk}:{row.history.count()}",
            by=by,
            on=on,
        )
        rows.refresh(loan, by=by, on=on, schedule_set=True)
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
            loan,
            kind="instalment",
            reference=key,
            on=on,
            narration=f"Schedule of {row}",
            lines=lines,
            by=by,
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
        if row.penalty_charges.standing().filter(rule=rule, charged_on=on).exists():
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
    rows.save_repayments([row], by=by, reason=f"Penalty: {rule}", changed_on=None)
    post(
        loan,
        kind="penalty",
        reference=f"penalty:{charge.pk}",
        on=on,
        narration=f"Penalty on {row}: {rule}",
        lines=[Line(chart.PENALTIES_RECEIVABLE, chart.PENALTY_INCOME, amount)],
        by=by,
    )
    return charge
