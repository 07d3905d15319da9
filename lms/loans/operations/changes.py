"""Decisions about a running loan, on record: what each wrote, and taking the last one back."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction
from django.db.models import Max

from lms import dates, money
from lms.errors import Refused
from lms.ledger.models import JournalEntry
from lms.ledger.operations import reverse
from lms.loans.allocation import COMPONENTS
from lms.loans.models import (
    Allocation,
    Loan,
    LoanChange,
    Penalty,
    Position,
    Repayment,
    Tranche,
    Waiver,
)
from lms.loans.models.terms import Terms
from lms.loans.operations import booking, lateness, rows, transfers
from lms.loans.operations.rows import MONEY_FIELDS, needs_reason
from lms.money import ZERO
from lms.payments.models import Payment, Payout
from lms.payments.operations import undo_payout

# What a change may write: on the loan, and on each instalment.
LOAN_FIELDS = (
    *Terms.TERM_FIELDS,
    "principal",
    "capitalised",
    "undisbursed",
    "first_due",
    "status",
    "closed_on",
    "restructured_on",
    "interest_stops_on",
)
ROW_FIELDS = (
    "number",
    "version",
    "due_date",
    *MONEY_FIELDS,
    "penalties_since",
    "status",
    "paid_on",
)


# Days that a change moves and an undoing moves back.
POSITION_FIELDS = ("schedule_set_on", "last_event_on")
# Sums that a change moves; nights may have moved them further since.
EARNED_FIELDS = ("interest_earned", "interest_suspended")


class State:
    """A locked loan and its instalments before a change, as the database holds them."""

    def __init__(self, loan: Loan) -> None:
        self.loan = Loan.objects.filter(pk=loan.pk).values(*LOAN_FIELDS).get()
        found = Repayment.objects.filter(loan=loan).order_by("number").values("id", *ROW_FIELDS)
        self.rows = {row["id"]: row for row in found}
        position = Position.objects.filter(loan=loan)
        self.position = (
            position.values(*POSITION_FIELDS, *EARNED_FIELDS, "classification").first() or {}
        )
        self.marks = marks_of(loan)


def marks_of(loan: Loan) -> dict[str, int]:
    """Return the last allocation, waiver and penalty of a loan."""
    return {
        name: model.objects.filter(repayment__loan=loan).aggregate(last=Max("pk"))["last"] or 0
        for name, model in (("allocation", Allocation), ("waiver", Waiver), ("penalty", Penalty))
    }


def next_number(loan: Loan) -> int:
    return (loan.changes.aggregate(last=Max("number"))["last"] or 0) + 1


def key_of(loan: Loan) -> str:
    """Return the ledger key of the change that is about to be recorded on a locked loan."""
    return f"change:{loan.pk}:{next_number(loan)}"


def record(
    loan: Loan,
    before: State,
    *,
    kind: str,
    summary: str,
    reason: str,
    by,
    on: date,
    amount: Decimal = ZERO,
    entry: JournalEntry | None = None,
    payment: Payment | None = None,
    payout: Payout | None = None,
    details: dict | None = None,
) -> LoanChange:
    """Write down what became of a locked loan since `before`, when all of it is written.

    `details` are kept beside the rows, for those who read the change later. Waivers made since
    then belong to the change and are taken back with it. No payment is replayed to before the
    day `on` any more.
    """
    position = Position.objects.get(pk=loan.pk)
    position.schedule_set_on = max(position.schedule_set_on or on, on)
    position.save(update_fields=["schedule_set_on"])
    rows.count_lateness_anew(loan, by=by, on=on)
    now = State(loan)
    written = [pk for pk, row in now.rows.items() if row != before.rows.get(pk)]
    fields = [name for name in LOAN_FIELDS if now.loan[name] != before.loan[name]]
    own = Waiver.objects.filter(repayment__loan=loan, pk__gt=before.marks["waiver"])
    made = [now.rows[pk]["version"] for pk in written if pk not in before.rows]
    change = LoanChange(
        loan=loan,
        number=next_number(loan),
        kind=kind,
        amount=amount,
        summary=summary[:200],
        reason=reason[:200],
        made_on=on,
        made_by=by,
        entry=entry,
        payment=payment,
        payout=payout,
        before={
            "loan": {name: before.loan[name] for name in fields},
            "rows": [before.rows[pk] for pk in written if pk in before.rows],
            "position": before.position,
        },
        after={
            "loan": {name: now.loan[name] for name in fields},
            "rows": [now.rows[pk] for pk in written],
            "position": {name: now.position[name] for name in EARNED_FIELDS},
            "waivers": list(own.values_list("pk", flat=True)),
            **({"version": max(made)} if made else {}),
            **(details or {}),
        },
        marks=now.marks,
    )
    change._history_user, change._change_reason = by, reason[:100]
    change.save()
    change.refresh_from_db(fields=["before", "after"])
    return change


class Begun(NamedTuple):
    """The day a new schedule begins on, and the interest carried onto its first instalment."""

    on: date
    carried: Decimal


def begun(loan: Loan) -> dict[int, Begun]:
    """Return the schedules of a loan that begin on a day of their own, by their version."""
    return {
        change.after["version"]: Begun(change.made_on, Decimal(change.after["carried"]))
        for change in loan.changes.filter(undone_on=None)
        if "carried" in change.after
    }


class Sides(NamedTuple):
    """The instalments that a change wrote, as they were and as it left them. Not to be saved."""

    before: list[Repayment]
    after: list[Repayment]


def sides(change: LoanChange) -> Sides:
    """Return both sides of a change, without what it closed on the later one."""
    before, after = (
        sorted(
            (
                Repayment(id=row["id"], **{n: _value(Repayment, n, row[n]) for n in ROW_FIELDS})
                for row in kept["rows"]
            ),
            key=lambda row: (row.due_date, row.number),
        )
        for kept in (change.before, change.after)
    )
    return Sides(before, [row for row in after if row.status not in Repayment.GONE])


def last_of(loan: Loan) -> LoanChange | None:
    """Return the last change of a loan that stands: the only one that can be undone."""
    return loan.changes.filter(undone_on=None).order_by("-number").first()


def undo_last(loan: Loan, *, reason: str, by, on: date, money_is_back: bool = False) -> LoanChange:
    """Undo the last standing change of a loan. Raises Refused when there is none."""
    change = last_of(loan)
    if change is None:
        raise Refused(f"Nothing was changed on {loan.number} that could be undone.")
    return undo(change, reason=reason, by=by, on=on, money_is_back=money_is_back)


def undo(
    change: LoanChange, *, reason: str, by, on: date, money_is_back: bool = False
) -> LoanChange:
    """Take the last change of a loan back: its books, its instalments, its terms.

    Instalments that it made are cancelled, and kept. Money that was paid out with it is only
    undone with `money_is_back`, which reverses the payout. Raises Refused, naming what stands in
    the way, while anything happened to the loan since.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(change.loan_id)
        change = LoanChange.objects.select_related("entry", "payout__entry").get(pk=change.pk)
        if change.kind in (LoanChange.Kind.PREPAYMENT, LoanChange.Kind.SETTLEMENT):
            _cancel_penalties_since(change, loan, reason=reason, by=by, on=on)
        _must_be_free(change, loan, on=on)
        if change.payout_id and not money_is_back:
            raise Refused(
                f"{money.kes(change.payout.amount)} was paid out with it: it can be undone when "
                "the money is back.",
                field="money_is_back",
            )
        if change.payout_id:
            undo_payout(change.payout, reason=reason, by=by, on=on)
            _plan_tranche_again(change, reason=reason, by=by)
        if change.entry_id and (not change.payout_id or change.entry != change.payout.entry):
            reverse(change.entry, reason=reason, on=on, by=by)
            transfers.gather(loan, by=by, on=on)
        if change.kind == LoanChange.Kind.PREPAYMENT:
            _take_money_back(change, loan, reason=reason, by=by, on=on)
        _take_waivers_back(change, reason=reason, by=by, on=on)
        _restore_rows(change, loan, reason=reason, by=by)
        _restore_loan(change, loan, reason=reason, by=by)
        change.undone_on, change.undone_by, change.undone_because = on, by, reason[:200]
        change._history_user, change._change_reason = by, reason[:100]
        change.save(update_fields=["undone_on", "undone_by", "undone_because"])
        rows.refresh(loan, by=by, on=on)
        _restore_position(change, loan)
    return change


def _must_be_free(change: LoanChange, loan: Loan, *, on: date) -> None:
    if change.undone_on:
        raise Refused(f"It was undone on {dates.show(change.undone_on)} already.")
    if (last := last_of(loan)) != change:
        raise Refused(
            f"“{last.summary}” of {dates.show(last.made_on)} came later: undo that first."
        )
    if on < change.made_on:
        raise Refused(f"It was made on {dates.show(change.made_on)}: it is not undone before.")
    recovered = loan.recoveries.aggregate(sum=money.total("amount"))["sum"]
    if recovered and change.kind == LoanChange.Kind.WRITE_OFF:
        raise Refused(f"{money.kes(recovered)} was recovered since: take that payment back first.")
    here = {"repayment__loan": loan}
    placed = Allocation.objects.filter(
        **here, pk__gt=change.marks["allocation"], amount__gt=0, reversed_by=None
    )
    if part := placed.select_related("payment").order_by("-pk").first():
        raise Refused(f"{part.payment} was placed on it since: take that back first.")
    waived = Waiver.objects.standing().filter(**here, pk__gt=change.marks["waiver"])
    if waiver := waived.order_by("-pk").first():
        raise Refused(f"{waiver} was waived since: take that back first.")
    charged = Penalty.objects.standing().filter(**here, pk__gt=change.marks["penalty"])
    if penalty := charged.order_by("-pk").first():
        raise Refused(
            f"A penalty of {money.kes(penalty.amount)} was charged since, on "
            f"{dates.show(penalty.charged_on)}: it can no longer be undone."
        )
    now = {row["id"]: row for row in Repayment.objects.filter(loan=loan).values("id", *ROW_FIELDS)}
    for wanted in change.after["rows"]:
        row = now[wanted["id"]]
        different = [
            name for name in ROW_FIELDS
            if name != "penalties_since" and row[name] != _value(Repayment, name, wanted[name])
        ]  # fmt: skip
        if different:
            raise Refused(f"Instalment {row['number']} was changed since.")


def _value(model, name: str, kept):
    """Return a value of the record as the field of the model holds it."""
    return model._meta.get_field(name).to_python(kept)


def _cancel_penalties_since(change: LoanChange, loan: Loan, *, reason: str, by, on: date) -> None:
    """Take back what lateness cost since: on the instalments of before it costs another sum."""
    charges = Penalty.objects.automatic().filter(
        repayment__loan=loan, pk__gt=change.marks["penalty"]
    )
    charges = list(charges.select_related("repayment"))
    touched = {charge.repayment_id: charge.repayment for charge in charges}
    for charge in charges:
        touched[charge.repayment_id].penalties -= charge.amount
    lateness.cancel(charges, loan, reason=reason, by=by, on=on)
    rows.save_repayments(list(touched.values()), by=by, reason=reason, changed_on=None)


def _take_money_back(change: LoanChange, loan: Loan, *, reason: str, by, on: date) -> None:
    """Take the payment off the loan that is a part of the change; it waits for a person."""
    payment = Payment.objects.select_for_update().get(pk=change.payment_id)
    entry = JournalEntry.objects.get(pk=change.after["placed"])
    suspended = loan.position.interest_suspended
    booking.take_back(entry, loan, reason=reason, by=by, on=on)
    transfers.gather(loan, by=by, on=on)
    # What it let go of suspended interest comes back with the position as a whole.
    loan.position.interest_suspended = suspended
    loan.position.save(update_fields=["interest_suspended"])
    payment.allocated = ZERO
    payment.status, payment.waits_for_staff = Payment.Status.UNALLOCATED, True
    booking.save_payment(payment, by=by, reason=reason)


def _take_waivers_back(change: LoanChange, *, reason: str, by, on: date) -> None:
    for waiver in Waiver.objects.standing().filter(pk__in=change.after.get("waivers", ())):
        waiver.reversed_on = on
        waiver._history_user, waiver._change_reason = by, reason[:100]
        waiver.save(update_fields=["reversed_on"])


def _plan_tranche_again(change: LoanChange, *, reason: str, by) -> None:
    for tranche in Tranche.objects.filter(payout=change.payout_id):
        tranche.paid_on = tranche.payout = None
        tranche._history_user, tranche._change_reason = by, reason[:100]
        tranche.save(update_fields=["paid_on", "payout"])


def _restore_rows(change: LoanChange, loan: Loan, *, reason: str, by) -> None:
    kept = {row["id"]: row for row in change.before["rows"]}
    touched = list(loan.repayments.filter(pk__in=[row["id"] for row in change.after["rows"]]))
    for row in touched:
        if row.pk not in kept:
            row.status, row.paid_on = Repayment.Status.CANCELLED, None
            for name in COMPONENTS:  # What the change itself paid on it is taken back by now.
                setattr(row, f"{name}_paid", ZERO)
            continue
        for name in ROW_FIELDS:
            setattr(row, name, _value(Repayment, name, kept[row.pk][name]))
    rows.save_repayments(
        touched,
        by=by,
        reason=f"Undone: {reason}",
        changed_on=None,
        fields=["number", "version", "due_date"],
    )


def _restore_loan(change: LoanChange, loan: Loan, *, reason: str, by) -> None:
    kept = change.before["loan"]
    for name, value in kept.items():
        setattr(loan, name, _value(Loan, name, value))
    save_loan(loan, kept, by=by, reason=f"Undone: {reason}")


def _restore_position(change: LoanChange, loan: Loan) -> None:
    before, after = change.before["position"], change.after["position"]
    back = {name: before.get(name) for name in POSITION_FIELDS}
    for name in EARNED_FIELDS:
        moved = _value(Position, name, after[name]) - _value(Position, name, before[name])
        back[name] = getattr(loan.position, name) - moved
    Position.objects.filter(pk=loan.pk).update(**back)


def save_loan(loan: Loan, fields: Iterable[str], *, by, reason: str) -> None:
    """Save some fields of a locked loan with one history row."""
    if fields := list(fields):
        loan._history_user, loan._change_reason = by, reason[:100]
        loan.save(update_fields=fields)
