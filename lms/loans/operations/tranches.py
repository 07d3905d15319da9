"""Loans that are paid out in parts: each later part makes the instalments after it higher."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import dates
from lms.errors import Refused
from lms.loans.calculator import RepaymentCalculator, Row
from lms.loans.calculator import Tranche as Part
from lms.loans.models import Loan, LoanChange, Repayment, Tranche
from lms.loans.operations import changes, lateness, restructuring, rows
from lms.money import ZERO, kes
from lms.payments.models import Payout
from lms.payments.operations import pay_out


def pay_tranche(
    tranche: Tranche, *, method: str, reference: str | None, by, on: date
) -> LoanChange:
    """Pay a planned part of a loan out, and spread it over the instalments still to come.

    What is due by the day stays as it is. Where the instalments to come are those that the terms
    make, so are the new ones; after a change of terms, or money paid ahead, the principal owed is
    spread over as many instalments as were left. Raises Refused for a tranche that is paid, to the
    person who approved the loan, and after the last instalment.
    """
    with transaction.atomic():
        loan = rows.lock(tranche.loan_id)
        tranche = Tranche.objects.get(pk=tranche.pk)
        if tranche.paid_on:
            raise Refused(f"It was paid out on {dates.show(tranche.paid_on)} already.")
        if by.pk == loan.approved_by_id:
            raise Refused(f"You approved {loan.number}: someone else must pay its tranches out.")
        lateness.bring_up_to(loan, on=on)
        amount, before = tranche.amount, changes.State(loan)
        reason = f"Tranche of {kes(amount)} paid out"
        wanted = plan(loan, amount, on=on)
        lines = restructuring.write(wanted, loan, by=by, reason=reason)
        loan.undisbursed -= amount
        changes.save_loan(loan, ["undisbursed"], by=by, reason=reason)
        payout = pay_out(
            accounts=loan.accounts,
            kind=Payout.Kind.TRANCHE,
            method=method,
            amount=amount,
            reference=reference,
            customer_id=loan.customer_id,
            subject=loan.number,
            branch_id=loan.branch_id,
            by=by,
            on=on,
            narration=f"Tranche of {loan.number}",
            lines=lines,
            key=changes.key_of(loan),
        )
        tranche.paid_on, tranche.payout = on, payout
        tranche._history_user, tranche._change_reason = by, "Paid out"
        tranche.save(update_fields=["paid_on", "payout"])
        rows.refresh(loan, by=by, on=on)
        return changes.record(
            loan,
            before,
            kind=LoanChange.Kind.TRANCHE,
            summary=f"{kes(amount)} paid out, as planned for {dates.show(tranche.planned_on)}",
            amount=amount,
            reason=reason,
            by=by,
            on=on,
            entry=payout.entry,
            payout=payout,
            details=wanted.details,
        )


def next_of(loan: Loan) -> Tranche | None:
    """Return the next planned part of a loan that is not paid out."""
    return loan.tranches.filter(paid_on=None).order_by("planned_on").first()


def pay_next(loan: Loan, *, method: str, reference: str | None, by, on: date) -> LoanChange:
    """Pay the next planned part of a loan out. Raises Refused when there is none."""
    if (tranche := next_of(loan)) is None:
        raise Refused(f"{loan.number} is paid out in full.")
    return pay_tranche(tranche, method=method, reference=reference, by=by, on=on)


def plan(loan: Loan, amount: Decimal, *, on: date) -> restructuring.Plan:
    """Return what a tranche would make of the instalments to come. Writes nothing."""
    restructuring.must_be_running(loan)
    if on <= loan.disbursed_on:
        raise Refused("A tranche is paid out after the first part.", field="on")
    standing = loan.repayments.exclude(status__in=Repayment.GONE).order_by("due_date")
    later = [row for row in standing if row.due_date > on and row.is_open]
    if not later:
        raise Refused(
            "No instalment is left to pay it back with: restructure or top up the loan.",
            field="on",
        )
    paid = [Part(part.paid_on, part.amount) for part in loan.tranches.exclude(paid_on=None)]
    agreed = _agreed(loan, paid, on=on)
    if agreed is None or not _is_as_agreed(later, agreed[0]):
        return restructuring.plan(loan, on=on, added=amount, number_of_repayments=len(later))
    made, capitalised = _agreed(loan, [*paid, Part(on, amount)], on=on)
    more, nothing = capitalised - agreed[1], dict.fromkeys(restructuring.CHARGES, ZERO)
    number, version = restructuring.last_of(loan)
    return restructuring.Plan(
        loan=loan,
        on=on,
        closed=later,
        made=[
            Repayment(
                loan=loan,
                number=number + count,
                version=version + 1,
                due_date=row.due_date,
                principal=row.principal,
                interest=row.interest,
                fees=row.fees,
            )
            for count, row in enumerate(made, start=1)
        ],
        principal=sum((row.principal for row in made), ZERO),
        added=amount,
        capitalised=nothing,
        carried=nothing,
        dropped=sum((row.interest for row in later), ZERO),
        unearned=-more,
        interest=sum((row.interest for row in made), ZERO),
        begins_anew=False,
    )


def _agreed(loan: Loan, paid: Sequence[Part], *, on: date) -> tuple[list[Row], Decimal] | None:
    """Return the instalments after a day, and the interest made principal, by the loan's terms.

    None where its terms make no schedule, because they were changed since.
    """
    try:
        calculator: RepaymentCalculator = loan.calculator(
            disbursed_on=loan.disbursed_on, tranches=sorted(paid)
        )
        made = [row for row in calculator.schedule() if row.due_date > on]
    except Refused:
        return None
    return made, calculator.capitalised_interest()


def _is_as_agreed(later: Sequence[Repayment], agreed: Sequence[Row]) -> bool:
    def said(row):
        return row.due_date, row.principal, row.interest, row.fees

    return [said(row) for row in later] == [said(row) for row in agreed] and all(
        row.is_untouched for row in later
    )
