"""What the lender gives up: waive an amount and take that back, cancel an instalment."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import dates, history
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.operations import Line
from lms.loans.models import Loan, Repayment, Waiver
from lms.loans.models.terms import PenaltyBase
from lms.loans.operations import actual, booking, lateness, replay, rows
from lms.loans.operations.booking import COSTS
from lms.loans.operations.posting import post
from lms.loans.operations.rows import RECEIVABLES, needs_reason
from lms.money import CENT, ZERO, kes

CHARGES = ("penalties", "fees", "interest")
EVERYTHING = (*CHARGES, "principal")
# Waivers that are no part of a larger decision.
REVERSIBLE = (Waiver.Kind.RELIEF, Waiver.Kind.TOLERANCE)

Part = tuple[Repayment, str, Decimal]  # so many KES of a component of an instalment


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
    the first three. What counts from a later day, or was charged on this one, is replayed after
    it. Raises Refused when more than is owed would be given up.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(repayment.loan_id)
        lateness.bring_up_to(loan, on=on)
        actual.bring_up_to(loan, on=on, by=by)
        row = Repayment.objects.get(pk=repayment.pk)
        _must_be_open(row)
        order = {None: EVERYTHING, "charges": CHARGES}.get(component) or (component,)
        owed = sum((row.owing_of(name) for name in order), ZERO)
        amount = owed if amount is None else amount
        _check_amount(amount, owed, component)
        parts = []
        for name in order:
            part = min(row.owing_of(name), amount)
            if part:
                amount -= part
                parts.append((row, name, part))
        waivers = give_up(parts, kind=Waiver.Kind.RELIEF, reason=reason, by=by, on=on)
        _book(waivers, loan, narration=f"Waiver on {row}: {reason}", by=by, on=on)
        if loan.penalty_base == PenaltyBase.OUTSTANDING:  # less principal makes lateness cheaper
            rows.count_lateness_anew(loan, by=by, on=on)
        rows.refresh(loan, by=by, on=on)
        if replay.is_needed(loan, day=on, on=on):
            replay.replay(loan, since=on, reason=f"Waiver: {reason}", by=by, on=on)
    repayment.refresh_from_db()
    return waivers


def give_up(parts: Iterable[Part], *, kind: str, reason: str, by, on: date) -> list[Waiver]:
    """Write waivers of so many KES of components of instalments, and save the instalments.

    Inside the transaction of the caller, who holds the loan and posts the entry.
    """
    touched, waivers = {}, []
    for row, name, amount in parts:
        touched[row.pk] = row
        setattr(row, f"{name}_waived", getattr(row, f"{name}_waived") + amount)
        waivers.append(
            Waiver(
                repayment=row,
                component=name,
                amount=amount,
                kind=kind,
                reason=reason[:200],
                waived_on=on,
                waived_by=by,
            )
        )
    for row in touched.values():
        row.settle(on=on)
        if kind == Waiver.Kind.WRITE_OFF and not row.outstanding:
            row.status, row.paid_on = Repayment.Status.WRITTEN_OFF, None
    label = Waiver.Kind(kind).label
    rows.save_repayments(list(touched.values()), by=by, reason=f"{label}: {reason}", changed_on=on)
    return history.create(waivers, by=by, reason=reason)


def _book(waivers: list[Waiver], loan: Loan, *, narration: str, by, on: date) -> None:
    post(
        loan,
        kind="waiver",
        reference=f"waive:{waivers[0].pk}",
        on=on,
        narration=narration,
        lines=[Line(COSTS[w.component], RECEIVABLES[w.component], w.amount) for w in waivers],
        by=by,
    )


def reverse_waiver(waiver: Waiver, *, reason: str, by, on: date) -> Waiver:
    """Take a waiver back, as if it had never been: all since then is replayed without it.

    Its instalment owes it again and later money goes there first; lateness since then costs what
    it would have; a closed loan opens again. Raises Refused when it is reversed already, belongs
    to a settlement, restructuring or write-off (which are undone as a whole), or its instalment
    is no longer on the schedule.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(Repayment.objects.get(pk=waiver.repayment_id).loan_id)
        lateness.bring_up_to(loan, on=on)
        waiver = Waiver.objects.get(pk=waiver.pk)
        row = Repayment.objects.get(pk=waiver.repayment_id)
        _must_be_reversible(waiver, row, loan, on=on)
        booking.unwaive(waiver, loan, reason=reason, by=by, on=on)
        why = f"Waiver taken back: {reason}"
        last_day = replay.replay(loan, drop_waivers=[waiver], reason=why, by=by, on=on)
        if waiver.kind != Waiver.Kind.TOLERANCE:
            forgive_small(loan, by=by, on=last_day)
    return waiver


def is_reversible(waiver: Waiver) -> bool:
    """Tell whether a waiver stands by itself, so that it may be taken back by itself."""
    return waiver.reversed_on is None and waiver.kind in REVERSIBLE


def _must_be_reversible(waiver: Waiver, row: Repayment, loan: Loan, *, on: date) -> None:
    if waiver.reversed_on:
        raise Refused(f"It was taken back on {dates.show(waiver.reversed_on)} already.")
    if waiver.kind not in REVERSIBLE:
        raise Refused(
            f"This is “{waiver.get_kind_display().lower()}”, part of a larger decision: "
            "undo that instead."
        )
    if on < waiver.waived_on:
        raise Refused(f"It was waived on {dates.show(waiver.waived_on)}: not before that.")
    gone = (*Repayment.GONE, Repayment.Status.WRITTEN_OFF)
    if row.status in gone or loan.status == Loan.Status.WRITTEN_OFF:
        raise Refused(f"{row} is {row.get_status_display().lower()}: nothing is owed on it again.")


def is_remainder(loan: Loan) -> bool:
    """Tell whether what a locked loan still owes is so little that it may be given up."""
    return (
        loan.status == Loan.Status.ACTIVE
        and 0 < loan.position.outstanding <= loan.closing_tolerance
        and not loan.position.unscheduled
        and not loan.undisbursed
    )


def forgive_remainder(loan: Loan, *, by, on: date) -> list[Waiver]:
    """Give up the small remainder that the terms of a loan allow, which closes it.

    Raises Refused when more than the tolerance is owed, or nothing.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        if loan.status != Loan.Status.ACTIVE:
            raise Refused(f"{loan.number} is {loan.get_status_display().lower()}.")
        if not is_remainder(loan):
            raise Refused(
                f"{loan.number} closes with at most {kes(loan.closing_tolerance)} unpaid: "
                f"{kes(loan.position.outstanding)} is owed."
            )
        parts = [
            (row, name, owed)
            for row in loan.repayments.unpaid().order_by("number")
            for name, owed in row.owing.items()
            if owed
        ]
        kind, reason = Waiver.Kind.TOLERANCE, "Small remainder at the end"
        waivers = give_up(parts, kind=kind, reason=reason, by=by, on=on)
        _book(waivers, loan, narration=f"{kind.label}: {loan.number}", by=by, on=on)
        rows.refresh(loan, by=by, on=on)
    return waivers


def forgive_small(loan: Loan, *, by, on: date) -> None:
    """Give up what a locked loan still owes where it is no more than its terms let go."""
    if is_remainder(loan):
        forgive_remainder(loan, by=by, on=on)


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
        lateness.bring_up_to(loan, on=on)
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
        rows.save_repayments(changed, by=by, reason=f"Cancelled: {reason}", changed_on=on)
        lines = [
            Line(chart.UNEARNED_INTEREST, chart.INTEREST_RECEIVABLE, row.interest),
            Line(chart.WAIVERS, chart.FEES_RECEIVABLE, row.fees),
            Line(chart.PENALTY_INCOME, chart.PENALTIES_RECEIVABLE, row.penalties),
        ]
        if any(line.amount for line in lines):
            post(
                loan,
                kind="cancellation",
                reference=f"cancel:{row.pk}",
                on=on,
                narration=f"Cancelled {row}: {reason}",
                lines=lines,
                by=by,
            )
        rows.refresh(loan, by=by, on=on, schedule_set=True)
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
