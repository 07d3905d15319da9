"""What the lender gives up: waive an amount, cancel an instalment."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.operations import Line, post
from lms.loans.models import Repayment, Waiver
from lms.loans.operations import rows
from lms.loans.operations.collection import RECEIVABLES
from lms.loans.operations.rows import needs_reason
from lms.money import CENT, ZERO, kes

# What waiving one shilling of each component debits. Interest was not earned yet.
COSTS = {
    "principal": chart.LOANS_WRITTEN_OFF,
    "interest": chart.UNEARNED_INTEREST,
    "fees": chart.WAIVERS,
    "penalties": chart.WAIVERS,
}
CHARGES = ("penalties", "fees", "interest")
EVERYTHING = (*CHARGES, "principal")


def waive(
    repayment: Repayment,
    *,
    amount: Decimal | None,
    component: str | None,
    reason: str,
    by,
    on: date,
) -> list[Waiver]:
    """Give up `amount` KES of an instalment, or all of the component when it is None.

    Without a component it falls on penalties, fees, interest and then principal; `charges` means
    the first three. Raises Refused when more than is owed would be given up.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(repayment.loan_id)
        row = Repayment.objects.get(pk=repayment.pk)
        _must_be_open(row)
        order = {None: EVERYTHING, "charges": CHARGES}.get(component) or (component,)
        owed = sum((row.owing_of(name) for name in order), ZERO)
        amount = owed if amount is None else amount
        _check_amount(amount, owed, component)
        waivers = []
        for name in order:
            part = min(row.owing_of(name), amount)
            if part:
                amount -= part
                setattr(row, f"{name}_waived", getattr(row, f"{name}_waived") + part)
                waivers.append(_record(row, name, part, reason=reason, by=by, on=on))
        row.settle(on=on)
        rows.save_repayments([row], by=by, reason=f"Waived: {reason}")
        post(
            kind="waiver",
            reference=f"waive:{waivers[0].pk}",
            on=on,
            narration=f"Waiver on {row}: {reason}",
            lines=[Line(COSTS[w.component], RECEIVABLES[w.component], w.amount) for w in waivers],
            branch_id=loan.branch_id,
            by=by,
            subject=loan.number,
        )
        rows.refresh(loan, by=by, on=on)
    repayment.refresh_from_db()
    return waivers


def _record(row: Repayment, name: str, part: Decimal, *, reason: str, by, on: date) -> Waiver:
    waiver = Waiver(
        repayment=row,
        component=name,
        amount=part,
        reason=reason[:200],
        waived_on=on,
        waived_by=by,
    )
    waiver._history_user, waiver._change_reason = by, reason[:100]
    waiver.save()
    return waiver


def waive_many(
    repayments: Iterable[Repayment],
    *,
    amount: Decimal | None,
    component: str | None,
    reason: str,
    by,
    on: date,
) -> list[Waiver]:
    """Waive the same on several instalments: all of them, or none when one is refused."""
    with transaction.atomic():
        made = []
        for repayment in sorted(repayments, key=lambda row: (row.loan_id, row.number)):
            try:
                made += waive(
                    repayment, amount=amount, component=component, reason=reason, by=by, on=on
                )
            except Refused as refusal:
                raise Refused(f"{repayment}: {refusal.message} Nothing was waived.") from refusal
    return made


def cancel(repayment: Repayment, *, reason: str, by, on: date) -> Repayment:
    """Take an instalment off the schedule. Its charges are dropped; its principal stays owed.

    The principal moves to the last open instalment; where there is none it waits on the loan,
    unscheduled, for a new instalment. Raises Refused once anything is paid or waived on it.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(repayment.loan_id)
        row = Repayment.objects.get(pk=repayment.pk)
        _must_be_open(row)
        if row.amount_paid:
            raise Refused(
                f"{kes(row.amount_paid)} was paid on it: reverse the payment before cancelling."
            )
        if row.amount_waived:
            raise Refused(f"{kes(row.amount_waived)} of it was waived, so it cannot be cancelled.")
        row.status = Repayment.Status.CANCELLED
        changed = [row]
        last = loan.repayments.unpaid().exclude(pk=row.pk).order_by("number").last()
        if last and row.principal:
            last.principal += row.principal
            changed.append(last)
        rows.save_repayments(changed, by=by, reason=f"Cancelled: {reason}")
        lines = [
            Line(chart.UNEARNED_INTEREST, chart.INTEREST_RECEIVABLE, row.interest),
            Line(chart.WAIVERS, chart.FEES_RECEIVABLE, row.fees),
            Line(chart.PENALTY_INCOME, chart.PENALTIES_RECEIVABLE, row.penalties),
        ]
        if any(line.amount for line in lines):
            post(
                kind="cancellation",
                reference=f"cancel:{row.pk}",
                on=on,
                narration=f"Cancelled {row}: {reason}",
                lines=lines,
                branch_id=loan.branch_id,
                by=by,
                subject=loan.number,
            )
        rows.refresh(loan, by=by, on=on)
    repayment.refresh_from_db()
    return repayment


def cancel_many(repayments: Iterable[Repayment], *, reason: str, by, on: date) -> list[Repayment]:
    """Cancel several instalments: all of them, or none when one is refused.

    The first ones go first, so that principal always moves to one that stays.
    """
    with transaction.atomic():
        done = []
        for repayment in sorted(repayments, key=lambda row: (row.loan_id, row.number)):
            try:
                done.append(cancel(repayment, reason=reason, by=by, on=on))
            except Refused as refusal:
                raise Refused(f"{repayment}: {refusal.message} Nothing was cancelled.") from refusal
    return done


def _must_be_open(row: Repayment) -> None:
    if row.is_paid:
        raise Refused("Repayment is already paid.")
    if not row.is_open:
        raise Refused(f"Repayment is already {row.get_status_display().lower()}.")


def _check_amount(amount: Decimal, owed: Decimal, component: str | None) -> None:
    name = {None: "", "charges": " of charges", "penalties": " of penalty"}.get(
        component, f" of {component}"
    )
    if not owed:
        raise Refused(f"Nothing{name} is owed.", field="component")
    if amount > owed:
        raise Refused(f"Only {kes(owed)}{name} is owed.", field="amount")
    if amount <= 0 or amount != amount.quantize(CENT):
        raise Refused("The amount must be more than KES 0.00, in whole cents.", field="amount")
