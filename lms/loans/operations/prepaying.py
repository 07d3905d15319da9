"""Money that pays principal before it is due: what is left is spread over the schedule anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line
from lms.loans.allocation import COMPONENTS
from lms.loans.calculator import RepaymentCalculator, Row
from lms.loans.models import Loan, LoanChange, Repayment
from lms.loans.models.terms import IncomeBasis, Method, Surplus
from lms.loans.operations import actual, booking, changes, lateness, placing, rows, settling
from lms.loans.operations.posting import post
from lms.loans.operations.restructuring import last_of, no_longer_earned, owed_on
from lms.loans.schedule import period_rates
from lms.loans.settlement import KEEPS
from lms.money import ZERO, kes
from lms.payments.models import Payment

# What the terms of a loan do with money beyond what is due, as `prepay` calls it.
KEPT_BY = {Surplus.SHORTEN: "instalment", Surplus.LOWER: "term"}
KEPT = {"instalment": "fewer instalments", "term": "lower instalments"}


@dataclass(frozen=True)
class Plan:
    """What a prepayment would do, worked out before anything is written. Amounts in KES.

    `dues` are the instalments paid first, `closed` those that `made` takes the place of. `holder`
    is the instalment that takes the `extra` principal: the one of the day, or a new one. `saved`
    is interest that is no longer due; of what still is, `carried` was earned by the day.
    """

    keep: str
    dues: Sequence[Repayment]
    closed: Sequence[Repayment]
    holder: Repayment
    made: Sequence[Repayment]
    extra: Decimal
    saved: Decimal
    carried: Decimal

    @property
    def interest(self) -> Decimal:
        """The interest left to pay."""
        return sum((row.interest for row in self.made), ZERO)

    @property
    def instalment(self) -> Decimal:
        """What most of the instalments left come to: the second of them, for want of it the one."""
        return self.made[1 if len(self.made) > 2 else 0].amount_due

    @property
    def heading(self) -> str:
        return KEPT[self.keep].capitalize()

    @property
    def last(self) -> Repayment:
        return self.made[-1]

    @property
    def summary(self) -> str:
        last = self.last
        return (
            f"{kes(self.extra)} of principal prepaid, {KEPT[self.keep]}: {len(self.made)} left, "
            f"the last {kes(last.amount_due)} on {dates.show(last.due_date)}, "
            f"{kes(self.saved)} of interest saved"
        )


def preview(loan: Loan, *, amount: Decimal, on: date) -> dict[str, Plan]:
    """Return what money on a day would make of a loan, by what is kept; raises as `prepay` does.

    Writes nothing.
    """
    return {keep: plan(loan, amount=amount, keep=keep, on=on) for keep in KEEPS}


def plan(loan: Loan, *, amount: Decimal, keep: str, on: date) -> Plan:
    """Return what `prepay` would do with so much money on a day. Raises Refused like it."""
    settling.must_be_running(loan)
    last = loan.position.last_event_on
    if last and on < last:
        raise Refused(
            f"{loan.number} has an event of {dates.show(last)}: principal is prepaid then or "
            "later.",
            field="value_date",
        )
    left = _Left(loan, on=on)
    due = sum((row.outstanding for row in left.dues), ZERO)
    if amount <= due:
        raise Refused(
            f"{kes(due)} is due on {loan.number} by {dates.show(on)}: only money beyond that "
            "prepays principal.",
            field="amount",
        )
    before = sum((row.owing_of("interest") for row in left.later), ZERO)
    made = left.spread(amount - due, keep)
    earned = left.earned() if loan.method != Method.FLAT else ZERO
    if loan.recalculates:  # what earlier balances of the period cost is owed as it was
        planned, earned = earned, left.cost()
        made[0].interest = max(made[0].interest + earned - planned, earned)
    return Plan(
        keep=keep,
        dues=left.dues,
        closed=left.later,
        holder=left.holder(),
        made=made,
        extra=amount - due,
        saved=before - sum((row.interest for row in made), ZERO),
        carried=min(earned, made[0].interest),
    )


class _Left:
    """What is left of a loan on a day, as the arithmetic of prepayments takes it."""

    def __init__(self, loan: Loan, *, on: date) -> None:
        self.loan, self.on = loan, on
        standing = list(loan.repayments.exclude(status__in=Repayment.GONE).order_by("due_date"))
        for row in standing:
            row.loan = loan
        lateness.foresee(loan, [row for row in standing if row.is_open], on=on)
        actual.foresee(loan, standing, on=on)
        self.dues = [row for row in standing if row.is_open and row.due_date <= on]
        self.later = [row for row in standing if row.is_open and row.due_date > on]
        if not self.later:
            raise Refused(f"{loan.number} has no instalment to come.", field="amount")
        self.passed = [row for row in standing if row not in self.later]
        kept = loan.changes.filter(undone_on=None).order_by("-number")
        # A new schedule began on the day of its change, on the terms of then.
        began = next((change for change in kept if change.begins_schedule), None)
        self.start = began.made_on if began else loan.disbursed_on
        fresh = {"fees": [], "tranches": ()} if began else {}
        self.calculator = RepaymentCalculator(loan.schedule_terms(disbursed_on=self.start, **fresh))

    def spread(self, extra: Decimal, keep: str) -> list[Repayment]:
        """Return the instalments to come once `extra` KES have paid principal."""
        rows_left = self.calculator.prepay(
            on=self.on, extra=extra, keep=keep, rows=self._rows(), rebate=self.loan.rebate
        )
        number, version = last_of(self.loan)
        number += self._needs_holder()
        made = [
            Repayment(
                loan=self.loan,
                number=number + count,
                version=version + 1,
                due_date=row.due_date,
                principal=row.principal,
                interest=row.interest,
                fees=row.fees,
            )
            for count, row in enumerate(rows_left, start=1)
        ]
        # What was paid or waived ahead of interest has paid for the interest that stays.
        ahead = sum((row.interest - row.owing_of("interest") for row in self.later), ZERO)
        for row in made:
            part = min(row.interest, ahead)
            row.interest, ahead = row.interest - part, ahead - part
        made[0].penalties = sum((row.owing_of("penalties") for row in self.later), ZERO)
        return made

    def _rows(self) -> list[Row]:
        """Return the instalments since the schedule began: of those to come what is still owed."""
        if self.loan.method != Method.FLAT:
            self._must_be_regular()
        balance = sum((row.owing_of("principal") for row in self.later), ZERO)
        found, begin = [], self.start
        for row in (*self.passed, *self.later):
            if row.due_date <= self.start or row.version == Repayment.BETWEEN:
                continue
            principal, fees = row.principal, row.fees
            if row.is_open and row.due_date > self.on:
                principal, fees = row.owing_of("principal"), row.owing_of("fees")
                balance -= principal
            if row in self.later or row.due_date <= self.on:
                days, total = (row.due_date - begin).days, principal + row.interest + fees
                found.append(
                    Row(row.number, row.due_date, days, principal, row.interest, fees, total,
                        balance)
                )  # fmt: skip
            begin = row.due_date
        return found

    def _must_be_regular(self) -> None:
        """Refuse dates that the terms do not give: their periods have no rate."""
        known = {day for day, _ in period_rates(self.calculator.terms)}
        for row in self.later:
            if row.due_date not in known:
                raise Refused(
                    f"Instalment {row.number} of {self.loan.number} was moved by hand: restructure "
                    "the loan to prepay principal.",
                )

    def _needs_holder(self) -> bool:
        return not self.passed or self.passed[-1].due_date < self.on

    def holder(self) -> Repayment:
        """Return the instalment that takes what is prepaid: numbers go on with due dates."""
        if not self._needs_holder():
            return self.passed[-1]
        number, _ = last_of(self.loan)
        return Repayment(
            loan=self.loan, number=number + 1, version=Repayment.BETWEEN, due_date=self.on
        )

    def earned(self) -> Decimal:
        """Return the interest that is earned by the day and not due yet (KES)."""
        owed = owed_on(self.loan, on=self.on, rebate="none").interest
        return owed - sum((row.owing_of("interest") for row in self.dues), ZERO)

    def cost(self) -> Decimal:
        """Return the interest that the balances of the period cost by the day, if unpaid (KES)."""
        current = self.later[0]
        by_now = actual.Actual(self.loan, [*self.passed, *self.later], actual.paid(self.loan)).cost(
            current, end=self.on
        )
        return max(by_now - (current.interest - current.owing_of("interest")), ZERO)


def prepay(loan: Loan, *, payment: Payment, keep: str, by, on: date) -> LoanChange:
    """Pay what is due with an unallocated payment, and principal not yet due with the rest.

    It counts from its value date. The instalments to come are made anew: with `keep` "term" they
    fall, with "instalment" the last ones are left out. Undone as a whole, with the placing of the
    payment. Raises Refused for money that prepays nothing or pays the loan off, and for a day
    before anything else that happened on the loan.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        placing.must_wait(payment)
        day = payment.value_date
        settling.must_be_running(loan)
        lateness.bring_up_to(loan, on=day)
        actual.bring_up_to(loan, on=day, by=by)
        wanted = plan(loan, amount=payment.amount, keep=keep, on=day)
        before = changes.State(loan)
        placed = _write(wanted, loan, payment, by=by, on=day)
        entry = _book(wanted, loan, by=by, on=day)
        rows.refresh(loan, by=by, on=day)
        details = {"placed": placed.pk}
        if loan.method != Method.FLAT:
            details["carried"] = wanted.carried
        return changes.record(
            loan,
            before,
            kind=LoanChange.Kind.PREPAYMENT,
            amount=wanted.extra,
            summary=wanted.summary,
            reason=f"Prepaid by {payment.number}",
            payment=payment,
            entry=entry,
            details=details,
            by=by,
            on=day,
        )


def _write(wanted: Plan, loan: Loan, payment: Payment, *, by, on: date) -> JournalEntry:
    """Write the instalments of a plan and what the payment pays; return the entry of the latter."""
    reason = f"Principal prepaid by {payment.number}"
    for row in wanted.closed:
        row.status = Repayment.Status.RESCHEDULED
    rows.save_repayments(wanted.closed, by=by, reason=reason, changed_on=None)
    holder = wanted.holder
    if holder.pk is None:
        (made,) = rows.create_repayments([holder], by=by, reason=reason)
        holder.pk = made.pk
    rows.create_repayments(wanted.made, by=by, reason=reason)
    touched = {row.pk: row for row in (*wanted.dues, holder)}
    touched[holder.pk].principal += wanted.extra
    parts = {
        (row.pk, name): owing
        for row in touched.values()
        for name, owing in row.owing.items()
        if owing
    }
    placing.take(payment, loan)
    payment.allocated, payment.credited = payment.amount, ZERO
    made = booking.book(payment, loan, parts, counts_on=on, from_credit=False, by=by, on=on)
    for row in touched.values():
        for name in COMPONENTS:
            setattr(row, f"{name}_paid", getattr(row, f"{name}_paid") + row.owing_of(name))
        row.settle(on=on)
    rows.save_repayments(list(touched.values()), by=by, reason=reason, changed_on=on)
    booking.save_payment(payment, by=by, reason=f"Prepaid principal of {loan.number}")
    return made[0].entry


def _book(wanted: Plan, loan: Loan, *, by, on: date) -> JournalEntry | None:
    earned = ()
    if loan.income_basis == IncomeBasis.ACCRUAL:
        earned = no_longer_earned(wanted.closed, loan, on=on)
    if not wanted.saved and not any(line.amount for line in earned):
        return None
    return post(
        loan,
        kind="prepayment",
        reference=changes.key_of(loan),
        on=on,
        narration=f"Interest no longer due on {loan.number}, principal prepaid",
        lines=[
            *earned,
            Line(chart.UNEARNED_INTEREST, chart.INTEREST_RECEIVABLE, max(wanted.saved, ZERO)),
            Line(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, max(-wanted.saved, ZERO)),
        ],
        by=by,
    )
