"""How money and relief on a loan are booked and taken back. The instalments are the caller's."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from django.db.models import F

from lms import history, money
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, Posting, post_many, reverse
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Allocation, Loan, Position, Waiver
from lms.loans.models.terms import IncomeBasis
from lms.loans.operations.posting import post
from lms.loans.operations.rows import RECEIVABLES
from lms.money import ZERO
from lms.payments.models import Payment

# What waiving one shilling of each component debits. Interest was not earned yet.
COSTS = {
    "principal": chart.LOANS_WRITTEN_OFF,
    "interest": chart.UNEARNED_INTEREST,
    "fees": chart.WAIVERS,
    "penalties": chart.WAIVERS,
}


class Booking(NamedTuple):
    """What a payment pays on a loan: KES by instalment and component, counted from a day.

    `on` is the day of the books; `from_credit` uses only so much of what is held as credit.
    """

    payment: Payment
    loan: Loan
    parts: Mapping[tuple[int, str], Decimal]
    counts_on: date
    from_credit: bool
    on: date


def book(
    payment: Payment,
    loan: Loan,
    parts: Mapping[tuple[int, str], Decimal],
    *,
    counts_on: date,
    from_credit: bool,
    by,
    on: date,
) -> list[Allocation]:
    """Post what a payment pays on a loan, and write its allocations: KES by instalment, component.

    A payment is placed whole: what it leaves goes to the customer's credit, in the branch that
    received it. `from_credit` uses only so much of what is held there.
    """
    (made,) = book_many([Booking(payment, loan, parts, counts_on, from_credit, on)], by=by)
    return made


def book_many(bookings: Sequence[Booking], *, by) -> list[list[Allocation]]:
    """Post what payments pay on loans as `book` does, in a few statements; a loan is there once."""
    times = _times_placed([booking.payment.pk for booking in bookings])
    by_day: dict[date, list[Booking]] = defaultdict(list)
    for booking in bookings:
        day = booking.on
        by_day[day if booking.from_credit else max(day, booking.payment.booked_on)].append(booking)
    entries = {}
    for day, some in by_day.items():
        postings = [_posting(one, times=times[one.payment.pk]) for one in some]
        posted = post_many(postings, kind="allocation", on=day, by=by)
        entries |= {id(one): entry for one, entry in zip(some, posted, strict=True)}
    made = [
        [
            Allocation(
                payment=one.payment,
                repayment_id=pk,
                component=component,
                amount=amount,
                counts_on=one.counts_on,
                from_credit=one.from_credit,
                entry=entries[id(one)],
            )
            for (pk, component), amount in one.parts.items()
        ]
        for one in bookings
    ]
    Allocation.objects.bulk_create(chain.from_iterable(made))
    return made


def _posting(booking: Booking, *, times: int) -> Posting:
    payment, loan, parts = booking.payment, booking.loan, booking.parts
    lines = _lines(parts, payment=payment, loan=loan, from_credit=booking.from_credit)
    if not booking.from_credit:
        left = payment.amount - sum(parts.values(), ZERO)
        lines.append(Line(chart.UNALLOCATED, chart.CUSTOMER_CREDIT, left, payment.received_in_id))
    what = f"Credit of {payment.number}" if booking.from_credit else payment.number
    return Posting(
        reference=f"allocate:{payment.pk}:{times + 1}",
        narration=f"{what} on {loan.number}",
        lines=lines,
        branch_id=loan.branch_id,
        subject=loan.number,
        accounts=loan.accounts,
    )


def _lines(
    parts: Mapping[tuple[int, str], Decimal], *, payment: Payment, loan: Loan, from_credit: bool
) -> list[Line]:
    """Return the transfers of an allocation, one a component, and what interest it earns.

    On the cash basis interest is earned when it is paid; on the accrual basis it was, and only
    what waited in suspense is let go. What was paid before a takeover was earned by then.
    """
    debit = chart.CUSTOMER_CREDIT if from_credit else chart.UNALLOCATED
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for (_, component), amount in parts.items():
        sums[component] += amount
    lines = [Line(debit, RECEIVABLES[name], sums[name]) for name in COMPONENTS]
    spent = sum(sums.values(), ZERO)
    lines += crossing(debit, spent, source=payment.received_in_id, target=loan.branch_id)
    if payment.method == Payment.Method.OPENING:
        lines.append(Line(chart.UNEARNED_INTEREST, chart.OPENING_BALANCES, sums["interest"]))
        if loan.income_basis == IncomeBasis.ACCRUAL:
            earned = F("interest_earned") + sums["interest"]
            Position.objects.filter(pk=loan.pk).update(interest_earned=money.exact(earned))
    elif loan.income_basis == IncomeBasis.CASH:
        lines.append(Line(chart.UNEARNED_INTEREST, chart.INTEREST_INCOME, sums["interest"]))
    else:
        released = min(sums["interest"], loan.position.interest_suspended)
        lines.append(Line(chart.SUSPENDED_INTEREST, chart.INTEREST_INCOME, released))
        _suspend(loan, -released)
    return lines


def crossing(account: str, amount: Decimal, *, source: int, target: int) -> list[Line]:
    """Return the lines that take money held for a customer from one branch's books to another's."""
    if source == target:
        return []
    return [
        Line(account, chart.BETWEEN_BRANCHES, amount, source),
        Line(chart.BETWEEN_BRANCHES, account, amount, target),
    ]


def _suspend(loan: Loan, amount: Decimal) -> None:
    if amount:
        loan.position.interest_suspended += amount
        Position.objects.filter(pk=loan.pk).update(
            interest_suspended=loan.position.interest_suspended
        )


def _times_placed(payments: Iterable[int]) -> dict[int, int]:
    """Return how often each of these payments was placed; most never were."""
    firsts = {f"allocate:{pk}:1": pk for pk in payments}
    placed = JournalEntry.objects.filter(reference__in=list(firsts)).values_list(
        "reference", flat=True
    )
    times = dict.fromkeys(firsts.values(), 0)
    for pk in [firsts[reference] for reference in placed]:
        times[pk] = JournalEntry.objects.keyed(f"allocate:{pk}:").count()
    return times


def take_back(entry: JournalEntry, loan: Loan, *, reason: str, by, on: date) -> JournalEntry:
    """Mirror an entry that placed money on a loan, and its allocations."""
    mirror = reverse(entry, reason=reason, on=on, by=by)
    standing = Allocation.objects.filter(entry=entry, amount__gt=0, reversed_by=None)
    Allocation.objects.bulk_create(
        Allocation(
            payment_id=part.payment_id,
            repayment_id=part.repayment_id,
            component=part.component,
            amount=-part.amount,
            counts_on=part.counts_on,
            from_credit=part.from_credit,
            entry=mirror,
            reverses=part,
        )
        for part in list(standing)
    )
    released = entry.transfers.filter(debit_id=chart.SUSPENDED_INTEREST)
    _suspend(loan, sum(released.values_list("amount", flat=True), ZERO))
    return mirror


def waive(waiver: Waiver, loan: Loan, amount: Decimal, *, reason: str, by, on: date) -> Waiver:
    """Write a waiver again with as much as is left to give up, for the day and by the person of it.

    What was decided stays on it, also where nothing is left: it is given up once it is owed again.
    """
    asked = waiver.asked or waiver.amount
    again = Waiver(
        repayment_id=waiver.repayment_id,
        component=waiver.component,
        amount=amount,
        asked=asked if asked != amount else None,
        kind=waiver.kind,
        reason=waiver.reason,
        waived_on=waiver.waived_on,
        waived_by_id=waiver.waived_by_id,
    )
    again._history_user, again._change_reason = by, reason[:100]
    again.save()
    if not amount:
        return again
    post(
        loan,
        kind="waiver",
        reference=f"waive:{again.pk}",
        on=on,
        narration=f"Waiver on {waiver.repayment}: {waiver.reason}",
        lines=[Line(COSTS[waiver.component], RECEIVABLES[waiver.component], amount)],
        by=by,
    )
    return again


def unwaive(waiver: Waiver, loan: Loan, *, reason: str, by, on: date) -> None:
    """Take a waiver back in the books."""
    waiver.reversed_on = on
    waiver._history_user, waiver._change_reason = by, reason[:100]
    waiver.save(update_fields=["reversed_on"])
    if not waiver.amount:
        return
    post(
        loan,
        kind="waiver_reversal",
        reference=f"unwaive:{waiver.pk}",
        on=on,
        narration=f"Waiver taken back: {reason}",
        lines=[Line(RECEIVABLES[waiver.component], COSTS[waiver.component], waiver.amount)],
        by=by,
    )


def save_payment(payment: Payment, *, by, reason: str) -> None:
    save_payments([payment], by=by, reasons=[reason])


def save_payments(payments: Sequence[Payment], *, by, reasons: Sequence[str]) -> None:
    """Write where payments went, with one history row and reason each."""
    fields = ("allocated", "credited", "status", "waits_for_staff", "customer", "branch")
    history.update(payments, fields, by=by, reason=reasons)
