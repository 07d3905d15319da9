"""Writing the planned lines of a few hundred loans at once: rows, history, money, books.

Runs inside the caller's transaction, with the loans locked.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from lms import dates, history
from lms.imports import bulk
from lms.imports.kind import Run
from lms.imports.schedule.lines import Item
from lms.imports.schedule.plan import LoanPlan
from lms.imports.schedule.standing import TAKEN_OVER
from lms.ledger import chart, profiles
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, Posting, post_many
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Allocation, Penalty, Position, Repayment, Waiver
from lms.loans.models.terms import IncomeBasis
from lms.loans.operations import rows
from lms.loans.operations.collection import RECEIVABLES
from lms.money import ZERO
from lms.payments.models import Payment

FIELDS = ("due_date", *rows.MONEY_FIELDS, "status", "paid_on")
HISTORY = (
    "id",
    "loan_id",
    "number",
    *FIELDS,
    "history_date",
    "history_change_reason",
    "history_type",
    "history_user_id",
)
NOTHING_SETTLED = (ZERO,) * 8
WAIVED_BEFORE = "Waived before takeover"

# What comes with the schedule was earned or written off in the old system: its counterpart is the
# opening balance, but interest is earned when it is paid.
COUNTERPARTS = {
    "interest": chart.UNEARNED_INTEREST,
    "fees": chart.OPENING_BALANCES,
    "penalties": chart.OPENING_BALANCES,
}


class Change(NamedTuple):
    """One line to write: its loan, and the values of FIELDS as they will stand."""

    plan: LoanPlan
    item: Item
    values: tuple

    @property
    def loan_id(self) -> int:
        return self.plan.loan.pk


def write(plans: Sequence[LoanPlan], run: Run) -> None:
    """Write what the plans change: instalments, history, penalties, waivers, payments, books."""
    if not plans:
        return
    changes = [
        Change(plan, item, _values(item, on=run.on)) for plan in plans for item in plan.changes
    ]
    keys = _write_instalments(changes, run)
    _write_penalties(changes, keys, run)
    _write_waivers(changes, keys, run)
    _book_schedules(plans, run)
    _write_payments(plans, keys, run)
    _end([plan.loan.pk for plan in plans], run)


def _values(item: Item, *, on: date) -> tuple:
    """Return the values of FIELDS that the instalment will have."""
    if item.old is None and not item.pay and not item.waive:
        status = Repayment.Status.CANCELLED if item.is_cancelled else Repayment.Status.PENDING
        due = (item.principal, item.interest, item.fees, item.penalty)
        return (item.due_date, *due, *NOTHING_SETTLED, status.value, None)
    row = Repayment(due_date=item.due_date)
    if item.old:
        for field in FIELDS:
            setattr(row, field, getattr(item.old, field))
    if item.old is None or item.old.is_untouched:
        row.due_date, row.penalties = item.due_date, item.penalty
        row.principal, row.interest, row.fees = item.principal, item.interest, item.fees
    if item.is_cancelled:
        row.status = Repayment.Status.CANCELLED
    for suffix, parts in (("paid", item.pay), ("waived", item.waive)):
        for name, amount in (parts or {}).items():
            field = f"{name}_{suffix}"
            setattr(row, field, getattr(row, field) + amount)
    row.settle(on=on)
    return tuple(getattr(row, field) for field in FIELDS)


def _write_instalments(changes: Sequence[Change], run: Run) -> dict[tuple[int, int], int]:
    """Write new and changed instalments with a history row each; return keys by loan, number."""
    new = [change for change in changes if change.item.old is None]
    bulk.insert(
        Repayment,
        ("loan_id", "number", *FIELDS),
        ((change.loan_id, change.item.number, *change.values) for change in new),
    )
    bulk.update(
        Repayment,
        FIELDS,
        ((*change.values, change.item.old.pk) for change in changes if change.item.old),
    )
    loans = {change.loan_id for change in changes}
    keys = {
        (loan_id, number): pk
        for loan_id, number, pk in Repayment.objects.filter(loan_id__in=loans)
        .order_by()
        .values_list("loan_id", "number", "pk")
    }
    now, source = dates.now(), run.source
    bulk.insert(
        Repayment.history.model,
        HISTORY,
        (
            (
                keys[change.loan_id, change.item.number],
                change.loan_id,
                change.item.number,
                *change.values,
                now,
                f"Imported from {source}, line {change.item.line}",
                "~" if change.item.old else "+",
                run.by.pk,
            )
            for change in changes
        ),
    )
    return keys


def _write_penalties(changes: Iterable[Change], keys: dict, run: Run) -> None:
    charges = [
        Penalty(
            repayment_id=keys[change.loan_id, change.item.number],
            amount=change.item.penalty,
            charged_on=run.on,
            rule=TAKEN_OVER,
            charged_by=run.by,
        )
        for change in changes
        if change.item.penalty
        and not change.item.is_cancelled
        and not (change.item.old and change.item.old.penalties)
    ]
    history.create(charges, by=run.by, reason=_source(run))


def _write_waivers(changes: Iterable[Change], keys: dict, run: Run) -> None:
    waivers = [
        Waiver(
            repayment_id=keys[change.loan_id, change.item.number],
            component=name,
            amount=amount,
            reason=WAIVED_BEFORE,
            waived_on=run.on,
            waived_by=run.by,
        )
        for change in changes
        for name, amount in (change.item.waive or {}).items()
    ]
    history.create(waivers, by=run.by, reason=_source(run))


def _source(run: Run) -> str:
    return f"Imported from {run.source}"


def _book_schedules(plans: Iterable[LoanPlan], run: Run) -> None:
    """Post one entry a loan with what its schedule adds or takes away, and what is waived."""
    booked = [(plan, _schedule_lines(plan)) for plan in plans]
    _post(
        ((plan, lines, "", f"Schedule of {plan.loan.number}") for plan, lines in booked),
        kind="schedule_import",
        run=run,
    )
    waived = [(plan, _waiver_lines(plan)) for plan in plans]
    _post(
        (
            (plan, lines, ":waived", f"{WAIVED_BEFORE}: {plan.loan.number}")
            for plan, lines in waived
        ),
        kind="waiver",
        run=run,
    )


def _schedule_lines(plan: LoanPlan) -> list[Line]:
    """Return the difference that the changes make to each receivable."""
    added = dict.fromkeys(COUNTERPARTS, ZERO)
    for item in plan.changes:
        old = item.old
        if not item.is_cancelled and (old is None or old.is_untouched):
            added["interest"] += item.interest
            added["fees"] += item.fees
            added["penalties"] += item.penalty
        if old and not old.is_cancelled and old.is_untouched:
            added["interest"] -= old.interest
            added["fees"] -= old.fees
            added["penalties"] -= old.penalties
    return [
        Line(RECEIVABLES[name], COUNTERPARTS[name], amount)
        if amount > 0
        else Line(COUNTERPARTS[name], RECEIVABLES[name], -amount)
        for name, amount in added.items()
        if amount
    ]


def _waiver_lines(plan: LoanPlan) -> list[Line]:
    """Return what waivers before the takeover take off the receivables: no loss of this office."""
    counterparts = {"principal": chart.OPENING_BALANCES, **COUNTERPARTS}
    sums = dict.fromkeys(COMPONENTS, ZERO)
    for item in plan.changes:
        for name, amount in (item.waive or {}).items():
            sums[name] += amount
    return [
        Line(counterparts[name], RECEIVABLES[name], amount)
        for name, amount in sums.items()
        if amount
    ]


def _post(
    wanted: Iterable[tuple[LoanPlan, list[Line], str, str]], *, kind: str, run: Run
) -> list[JournalEntry]:
    """Post an entry for each loan that has lines, named after the import and the loan."""
    places = profiles.places()
    return post_many(
        (
            Posting(
                reference=f"import:{run.job_id}:{plan.loan.pk}{suffix}",
                narration=f"{narration}, from {run.source}",
                lines=lines,
                branch_id=plan.loan.branch_id,
                subject=plan.loan.number,
                accounts=places[plan.loan.posting_profile_id],
            )
            for plan, lines, suffix, narration in wanted
            if lines
        ),
        kind=kind,
        on=run.on,
        by=run.by,
    )


def _write_payments(plans: Iterable[LoanPlan], keys: dict, run: Run) -> None:
    """Record what was paid before the takeover: one payment a loan, received and allocated."""
    paid = [(plan, _paid(plan)) for plan in plans]
    paid = [(plan, sums) for plan, sums in paid if any(sums.values())]
    if not paid:
        return
    receipts = _post(
        (
            (
                plan,
                [Line(chart.OPENING_BALANCES, chart.UNALLOCATED, sum(sums.values(), ZERO))],
                ":receipt",
                f"Paid before takeover on {plan.loan.number}",
            )
            for plan, sums in paid
        ),
        kind="receipt",
        run=run,
    )
    payments = history.create(
        [
            _payment(plan.loan, sum(sums.values(), ZERO), receipt, run)
            for (plan, sums), receipt in zip(paid, receipts, strict=True)
        ],
        by=run.by,
        reason=_source(run),
    )
    places = profiles.places()
    entries = post_many(
        (
            Posting(
                reference=f"allocate:{payment.pk}:1",
                narration=f"{payment.number} on {plan.loan.number}",
                lines=_allocation_lines(sums),
                branch_id=plan.loan.branch_id,
                subject=plan.loan.number,
                accounts=places[plan.loan.posting_profile_id],
            )
            for (plan, sums), payment in zip(paid, payments, strict=True)
        ),
        kind="allocation",
        on=run.on,
        by=run.by,
    )
    bulk.insert(
        Allocation,
        (
            "payment_id",
            "repayment_id",
            "component",
            "amount",
            "counts_on",
            "from_credit",
            "entry_id",
        ),
        chain.from_iterable(
            _allocations(plan, payment, entry, keys)
            for (plan, _), payment, entry in zip(paid, payments, entries, strict=True)
        ),
    )
    _earn(paid)


def _earn(paid: Iterable[tuple[LoanPlan, dict[str, Decimal]]]) -> None:
    """Count interest paid before a takeover as earned, where time earns it here."""
    sums = {plan.loan.pk: found["interest"] for plan, found in paid if found["interest"]}
    accruing = Position.objects.filter(loan_id__in=sums, loan__income_basis=IncomeBasis.ACCRUAL)
    for position in accruing:
        position.interest_earned += sums[position.pk]
        position.save(update_fields=["interest_earned"])


def _paid(plan: LoanPlan) -> dict[str, Decimal]:
    """Return what the lines of a loan pay on each component."""
    sums = dict.fromkeys(COMPONENTS, ZERO)
    for item in plan.changes:
        for name, amount in (item.pay or {}).items():
            sums[name] += amount
    return sums


def _payment(loan, amount: Decimal, receipt: JournalEntry, run: Run) -> Payment:
    return Payment(
        method=Payment.Method.OPENING,
        amount=amount,
        allocated=amount,
        value_date=run.on,
        account=loan.number,
        customer_id=loan.customer_id,
        branch_id=loan.branch_id,
        received_in_id=loan.branch_id,
        status=Payment.Status.ALLOCATED,
        note=f"Imported from {run.source}",
        entry=receipt,
        taken_by=run.by,
    )


def _allocation_lines(sums: dict[str, Decimal]) -> list[Line]:
    """Return the transfers of an allocation. The interest was earned before the takeover."""
    return [
        *(
            Line(chart.UNALLOCATED, RECEIVABLES[name], amount)
            for name, amount in sums.items()
            if amount
        ),
        Line(chart.UNEARNED_INTEREST, chart.OPENING_BALANCES, sums["interest"]),
    ]


def _allocations(plan: LoanPlan, payment: Payment, entry: JournalEntry, keys: dict) -> Iterable:
    for item in plan.changes:
        for name, amount in (item.pay or {}).items():
            row = keys[plan.loan.pk, item.number]
            yield payment.pk, row, name, amount, payment.value_date, False, entry.pk


def _end(loan_ids: list[int], run: Run) -> None:
    """Rebuild the positions; close the loans on which nothing is owed any more.

    What lateness cost before the takeover, the other system charged.
    """
    takeovers = JournalEntry.objects.filter(
        reference__in=[f"takeover:{pk}" for pk in loan_ids]
    ).values_list("date", "reference")
    taken: dict[date, list[int]] = defaultdict(list)
    for day, reference in takeovers:
        taken[day].append(int(reference.removeprefix("takeover:")))
    for day, pks in taken.items():
        late = Repayment.objects.overdue(on=day).filter(loan_id__in=pks, penalties_since=None)
        late.update(penalties_since=day)
    Position.objects.rebuild(loan_ids)
    Position.objects.filter(loan_id__in=loan_ids).update(
        schedule_set_on=run.on, last_event_on=run.on
    )
    clear = Position.objects.filter(
        loan_id__in=loan_ids, principal=ZERO, interest=ZERO, fees=ZERO, penalties=ZERO
    )
    for loan in rows.lock_many(clear.values_list("pk", flat=True)):
        rows.refresh(loan, by=run.by, on=run.on)
