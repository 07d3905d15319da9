"""Paying a loan off before its term: the quote, and settling by it."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line
from lms.loans.models import Loan, LoanChange, Waiver
from lms.loans.models.terms import Surplus
from lms.loans.operations import actual, changes, lateness, placing, relief, rows
from lms.loans.operations.posting import post
from lms.loans.operations.restructuring import dues_of
from lms.loans.settlement import Quote
from lms.money import ZERO, kes
from lms.payments.models import Payment

VALID_DAYS = 7


def payoff(loan: Loan, *, on: date) -> Quote:
    """Return what pays a running loan off on a day, from its instalments and terms.

    A declining loan owes the interest of the days since its last due date, a flat one its interest
    less the rebate of the product. After the day on which interest stops none is added. Raises
    Refused for a loan that does not run, is not paid out whole, or has principal on no instalment.
    """
    must_be_running(loan)
    rebate = "none" if loan.method != "flat" else loan.rebate
    day = min(on, loan.interest_stops_on or on)
    dues, carried = dues_of(loan)
    quoted = loan.calculator(disbursed_on=loan.disbursed_on).payoff(
        on=day,
        dues=dues,
        rebate=rebate,
        unit=Decimal(loan.interest_multiple),
        valid_days=VALID_DAYS,
    )
    quoted = replace(quoted, interest=quoted.interest + carried)
    if day == on:
        return quoted
    return replace(quoted, on=on, good_through=on + timedelta(days=VALID_DAYS), per_day=ZERO)


def must_be_running(loan: Loan) -> None:
    if loan.status != Loan.Status.ACTIVE:
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: "
            "only an active loan is paid off."
        )
    if loan.undisbursed:
        raise Refused(f"{kes(loan.undisbursed)} of {loan.number} is still to be paid out.")
    if loan.position.unscheduled:
        raise Refused(
            f"{kes(loan.position.unscheduled)} of principal stands on no instalment: "
            "add one before the loan is paid off."
        )


def settle_early(loan: Loan, *, payment: Payment, by, on: date) -> LoanChange:
    """Pay a loan off with an unallocated payment: the rebate is given up, all the rest is paid.

    The quote is the one of the payment's value date; more money than that becomes the customer's
    credit. Raises Refused for less, saying what is missing, and for a day before other money.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        placing.must_wait(payment)
        day = payment.value_date
        lateness.bring_up_to(loan, on=day)
        actual.bring_up_to(loan, on=day, by=by)
        quoted = quote_for(loan, amount=payment.amount, on=day)
        change = give_back(
            loan,
            quoted,
            reason="Settled early",
            summary=f"Settled with {kes(quoted.total)}, {kes(quoted.rebate)} of interest given up",
            payment=payment,
            by=by,
            on=day,
        )
        placing.place(payment, loan, by=by, on=on)
    return change


def quote_for(loan: Loan, *, amount: Decimal, on: date) -> Quote:
    """Return the payoff quote that so much money meets. Raises Refused when it does not."""
    last = loan.position.last_event_on
    if last and on < last:
        raise Refused(
            f"{loan.number} has an event of {dates.show(last)}: it is settled then or later.",
            field="value_date",
        )
    quoted = payoff(loan, on=on)
    if amount < quoted.total:
        raise Refused(
            f"{kes(quoted.total)} pays {loan.number} off on {dates.show(on)}: "
            f"{kes(quoted.total - amount)} is missing.",
            field="amount",
        )
    return quoted


def give_back(
    loan: Loan, quoted: Quote, *, reason: str, summary: str, payment: Payment | None, by, on: date
) -> LoanChange:
    """Give up the interest that a quote does not ask for, and let money pay what is not due yet.

    Inside the transaction of the caller, who holds the loan. Undone as a whole, once no money
    stands on it that came later.
    """
    before = changes.State(loan)
    parts, left = [], quoted.rebate - _unearned(loan, quoted)
    for row in loan.repayments.unpaid().order_by("-due_date", "-number"):
        part = min(row.owing_of("interest"), left)
        if part:
            left -= part
            parts.append((row, "interest", part))
    kind = Waiver.Kind.REBATE
    waivers = relief.give_up(parts, kind=kind, reason=reason, by=by, on=on) if parts else []
    given = _unearned(loan, quoted)
    if given:
        _lower_principal(loan, given, by=by, reason=reason, on=on)
    entry = _book(waivers, loan, given, by=by, on=on) if waivers or given else None
    if loan.surplus != Surplus.ADVANCE:
        loan.surplus = Surplus.ADVANCE
        changes.save_loan(loan, ["surplus"], by=by, reason=reason)
    rows.refresh(loan, by=by, on=on)
    return changes.record(
        loan,
        before,
        kind=LoanChange.Kind.SETTLEMENT,
        amount=quoted.rebate,
        summary=summary,
        reason=reason,
        entry=entry,
        payment=payment,
        by=by,
        on=on,
    )


def _unearned(loan: Loan, quoted: Quote) -> Decimal:
    """Return what a quote leaves out of the principal: capitalised interest not yet earned."""
    return loan.position.principal - quoted.principal


def _lower_principal(loan: Loan, amount: Decimal, *, by, reason: str, on: date) -> None:
    """Take interest that was made principal off the last instalments of a locked loan again."""
    loan.capitalised -= amount
    changes.save_loan(loan, ["capitalised"], by=by, reason=reason)
    touched = []
    for row in loan.repayments.unpaid().order_by("-due_date", "-number"):
        part = min(row.owing_of("principal"), amount)
        row.principal, amount = row.principal - part, amount - part
        touched.append(row)
        if not amount:
            break
    rows.save_repayments(touched, by=by, reason=reason, changed_on=on)


def _book(waivers: list[Waiver], loan: Loan, principal: Decimal, *, by, on: date) -> JournalEntry:
    given = sum((waiver.amount for waiver in waivers), ZERO)
    return post(
        loan,
        kind="rebate",
        reference=changes.key_of(loan),
        on=on,
        narration=f"Interest given up on {loan.number}, settled early",
        lines=[
            Line(chart.UNEARNED_INTEREST, chart.INTEREST_RECEIVABLE, given),
            Line(chart.CAPITALISED_INTEREST, chart.LOAN_PRINCIPAL, principal),
        ],
        by=by,
    )
