"""Placing money on a loan: on what is due, by its value date, and on nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from lms import history
from lms.errors import Refused
from lms.loans.allocation import Due, Part, spread
from lms.loans.models import Allocation, Loan, Repayment
from lms.loans.models.terms import Surplus
from lms.loans.operations import actual, booking, lateness, relief, replay, rows
from lms.loans.operations.replay import Money
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import must_not_be_going_back

# So many instalments are looked at first; more only when the money reaches further.
AT_ONCE = 31


def must_wait(payment: Payment) -> None:
    """Refuse a payment that was placed or reversed already, or goes back to its payer."""
    if payment.status != Payment.Status.UNALLOCATED:
        raise Refused(f"{payment.number} is {payment.get_status_display().lower()} already.")
    must_not_be_going_back(payment)


def take(payment: Payment, loan: Loan) -> None:
    """Make a locked payment one of a loan. Does not save.

    Raises Refused for the referral reward of somebody else.
    """
    is_reward = payment.method == Payment.Method.REWARD
    if is_reward and payment.customer_id != loan.customer_id:
        raise Refused(
            f"{payment.number} is the referral reward of {payment.customer.name}: "
            "it pays nobody else's loan."
        )
    payment.status = Payment.Status.ALLOCATED
    payment.waits_for_staff = False
    payment.customer_id, payment.branch_id = loan.customer_id, loan.branch_id


def place(payment: Payment, loan: Loan, *, by, on: date) -> list[Allocation]:
    """Place a locked, unallocated payment on a locked loan: the oldest dues first, in its order.

    What is left when nothing more is owed, or may be paid, stays as the customer's credit.
    """
    brought = _taken(payment, loan)
    return bring(brought, loan, reason=_why(loan), by=by, on=on)


def place_many(pairs: Sequence[tuple[Payment, Loan]], *, by) -> None:
    """Place locked payments, each on a locked loan of its own, as `place` does where no replay
    is needed.
    """
    _spread([Coming(_taken(payment, loan), loan, _why(loan)) for payment, loan in pairs], by=by)


def _taken(payment: Payment, loan: Loan) -> Money:
    take(payment, loan)
    return Money(
        payment=payment,
        amount=payment.amount,
        day=replay.counts_from(loan, payment.value_date),
        from_credit=False,
    )


def _why(loan: Loan) -> str:
    return f"Allocated to {loan.number}"


def bring(brought: Money, loan: Loan, *, reason: str, by, on: date) -> list[Allocation]:
    """Place money on a locked loan, and save its payment."""
    if replay.is_needed(loan, day=brought.day, on=on):
        why = f"{brought.payment.number} counts from {brought.day:%d %b %Y}"
        last_day = replay.replay(loan, bring=[brought], reason=why, by=by, on=on)
        relief.forgive_small(loan, by=by, on=last_day)
        return list(
            Allocation.objects.filter(
                payment=brought.payment, repayment__loan=loan, amount__gt=0, reversed_by=None
            )
        )
    (made,) = _spread([Coming(brought, loan, reason)], by=by)
    return made


@dataclass
class Coming:
    """Money that comes to a locked loan on which nothing counts from a later day."""

    money: Money
    loan: Loan
    reason: str
    open_rows: list[Repayment] = field(default_factory=list)
    are_all: bool = True
    parts: list[Part] = field(default_factory=list)
    left: Decimal = ZERO
    is_told: bool = True

    @property
    def is_idle(self) -> bool:
        """Tell whether credit found nothing to pay: then nothing happens."""
        return self.money.from_credit and not self.parts

    def share_out(self) -> None:
        """Work out what the money pays, in memory."""
        money, loan = self.money, self.loan
        self.parts, self.left = spread(
            money.amount,
            [Due(key=row.pk, due_date=row.due_date, owing=row.owing) for row in self.open_rows],
            order=loan.allocation_order,
            direction=loan.allocation_direction,
            on=money.day,
            ahead=not money.from_credit and loan.surplus == Surplus.ADVANCE,
        )

    def booking(self) -> booking.Booking:
        money = self.money
        return booking.Booking(
            money.payment,
            self.loan,
            {(part.key, part.component): part.amount for part in self.parts},
            money.day,
            money.from_credit,
            money.day if money.from_credit else money.payment.value_date,
        )

    def pay(self) -> list[Repayment]:
        """Write what the money pays on the instalments and the position, in memory.

        Returns the instalments to be saved. `is_told` is False where those that were looked at do
        not tell since when the loan is late: its position is to be rebuilt.
        """
        day, position = self.money.day, self.loan.position
        by_key = {row.pk: row for row in self.open_rows}
        touched = {}
        for part in self.parts:
            row = touched[part.key] = by_key[part.key]
            paid = f"{part.component}_paid"
            setattr(row, paid, getattr(row, paid) + part.amount)
            owed = getattr(position, part.component)
            setattr(position, part.component, owed - part.amount)
        for row in touched.values():
            row.settle(on=day)
        if self.loan.penalty_base == "outstanding_principal":
            touched |= {row.pk: row for row in self.open_rows if row.is_overdue(on=day)}
        payment = self.money.payment
        payment.allocated += self.money.amount - self.left
        payment.credited = self.left
        since = next(
            (row.due_date for row in self.open_rows if row.is_open and rows.is_in_arrears(row)),
            None,
        )
        self.is_told = since is not None or self.are_all
        position.overdue_since = since
        position.last_event_on = max(position.last_event_on or day, day)
        changed = list(touched.values())
        rows.count_anew(changed, day)
        return changed


def _spread(coming: Sequence[Coming], *, by) -> list[list[Allocation]]:
    """Place money on locked loans, each there once, on which nothing counts from a later day.

    So many loans cost few statements more than one.
    """
    for one in coming:
        actual.bring_up_to(one.loan, on=one.money.day, by=by)
    _read_open_rows(coming)
    for one in coming:
        lateness.bring_up_to(one.loan, on=one.money.day, instalments=one.open_rows)
        one.share_out()
    busy = [one for one in coming if not one.is_idle]
    made = booking.book_many([one.booking() for one in busy], by=by)
    _write(busy, by=by)
    for one in busy:
        _end(one, by=by)
    by_coming = {id(one): parts for one, parts in zip(busy, made, strict=True)}
    return [by_coming.get(id(one), []) for one in coming]


def _write(coming: Sequence[Coming], *, by) -> None:
    """Save the instalments, payments and positions on which money was placed."""
    paid = [(row, f"Paid by {one.money.payment.number}") for one in coming for row in one.pay()]
    rows.save_repayments(
        [row for row, _ in paid], by=by, reason=[why for _, why in paid], changed_on=None
    )
    booking.save_payments(
        [one.money.payment for one in coming], by=by, reasons=[one.reason for one in coming]
    )
    history.write(
        [one.loan.position for one in coming if one.is_told],
        ["principal", "interest", "fees", "penalties", "overdue_since", "last_event_on"],
    )


def _end(one: Coming, *, by) -> None:
    day = one.money.day
    if not one.is_told:
        rows.refresh(one.loan, by=None, on=day)
    rows.end_or_reopen(one.loan, by=by, on=day)
    relief.forgive_small(one.loan, by=by, on=day)


def _read_open_rows(coming: Sequence[Coming]) -> None:
    """Read the open instalments of each loan due by its day and those the money may reach.

    So a payment costs the same whether the loan has twelve instalments or three hundred.
    """
    first = _first_open_rows([one.loan for one in coming])
    for one in coming:
        one.open_rows, one.are_all = _open_rows(
            one.loan, one.money.amount, first[one.loan.pk], day=one.money.day
        )


def _first_open_rows(loans: Sequence[Loan]) -> dict[int, list[Repayment]]:
    """Return the first open instalments of each loan, in the order in which they fall due."""
    if len(loans) == 1:
        (loan,) = loans
        return {loan.pk: list(_in_order(loan)[:AT_ONCE])}
    found: dict[int, list[Repayment]] = {loan.pk: [] for loan in loans}
    by_key = {loan.pk: loan for loan in loans}
    place = Window(
        RowNumber(), partition_by="loan_id", order_by=[F("due_date").asc(), F("number").asc()]
    )
    unpaid = Repayment.objects.unpaid().filter(loan__in=found).annotate(place=place)
    for row in unpaid.filter(place__lte=AT_ONCE).order_by("loan_id", "due_date", "number"):
        row.loan = by_key[row.loan_id]
        found[row.loan_id].append(row)
    return found


def _open_rows(
    loan: Loan, amount: Decimal, found: list[Repayment], *, day: date
) -> tuple[list[Repayment], bool]:
    """Return the open instalments that matter, `found` and what follows, and if that is all."""
    while True:
        if len(found) % AT_ONCE or not found:
            return found, True
        if found[-1].due_date > day and sum((row.outstanding for row in found), ZERO) > amount:
            return found, False
        more = list(_in_order(loan)[len(found) : len(found) + AT_ONCE])
        if not more:
            return found, True
        found += more


def _in_order(loan: Loan):
    return loan.repayments.unpaid().order_by("due_date", "number")
