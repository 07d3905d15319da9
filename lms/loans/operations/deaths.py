"""A borrower's death: interest stops, nobody is reminded, and the insurer is asked to pay."""

from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import dates
from lms.customers.models import Customer
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line
from lms.loans.models import DeathClaim, Loan, LoanChange, Penalty, Repayment, Waiver
from lms.loans.operations import changes, collection, lifecycle, relief, rows, settling
from lms.loans.operations.posting import post
from lms.loans.operations.rows import needs_reason
from lms.money import ZERO, kes
from lms.payments.models import Payment
from lms.payments.operations import receive

APPLIED = (Loan.Status.DRAFT, Loan.Status.SUBMITTED, Loan.Status.APPROVED)
WHY = "The borrower died"


def record_death(customer: Customer, *, died_on: date, by, on: date, note: str = "") -> Customer:
    """Record a death: on each running loan interest and penalties stop, and a claim begins.

    Automatic penalties charged for later days are waived, applications are withdrawn. Raises
    Refused for a business, a future day, or when it is recorded already.
    """
    with transaction.atomic():
        loans = rows.lock_many(
            customer.loans.filter(status__in=(*APPLIED, Loan.Status.ACTIVE)).values_list(
                "pk", flat=True
            )
        )
        customer = Customer.objects.select_for_update().get(pk=customer.pk)
        _must_be_possible(customer, died_on, on=on)
        for loan in loans:
            if loan.status in APPLIED:
                lifecycle.withdraw(loan, reason=WHY, by=by, on=on)
            else:
                _stop(loan, died_on, note=note.strip(), by=by, on=on)
        customer.died_on = died_on
        customer._history_user, customer._change_reason = by, note.strip()[:100] or WHY
        customer.save(update_fields=["died_on"])
    return customer


def _must_be_possible(customer: Customer, died_on: date, *, on: date) -> None:
    if customer.kind == Customer.Kind.BUSINESS:
        raise Refused("A business does not die.")
    if customer.died_on:
        raise Refused(f"The death of {customer.name} is recorded: {dates.show(customer.died_on)}.")
    if died_on > on:
        raise Refused("The day is in the future.", field="died_on")


def _stop(loan: Loan, died_on: date, *, note: str, by, on: date) -> None:
    before = changes.State(loan)
    waived, entry = _waive_later_penalties(loan, died_on, by=by, on=on)
    loan.interest_stops_on = min(died_on, loan.interest_stops_on or died_on)
    changes.save_loan(loan, ["interest_stops_on"], by=by, reason=WHY)
    if waived:
        rows.refresh(loan, by=by, on=on)
    changes.record(
        loan,
        before,
        kind=LoanChange.Kind.DEATH,
        amount=waived,
        summary=f"Borrower died on {dates.show(died_on)}; {kes(waived)} of penalties waived",
        reason=note or WHY,
        entry=entry,
        by=by,
        on=on,
    )
    claim = DeathClaim(loan=loan, died_on=died_on, reported_on=on, note=note[:200])
    claim._history_user, claim._change_reason = by, WHY
    claim.save()


def _waive_later_penalties(
    loan: Loan, died_on: date, *, by, on: date
) -> tuple[Decimal, JournalEntry | None]:
    """Waive what is unpaid of the penalties a rule charged for days after the death."""
    charges = Penalty.objects.automatic().filter(repayment__loan=loan, charged_on__gt=died_on)
    later = dict.fromkeys(charges.values_list("repayment_id", flat=True), ZERO)
    for pk, amount in charges.values_list("repayment_id", "amount"):
        later[pk] += amount
    parts = [
        (row, "penalties", min(later[row.pk], row.owing_of("penalties")))
        for row in Repayment.objects.filter(pk__in=later)
        if row.owing_of("penalties")
    ]
    if not parts:
        return ZERO, None
    kind = Waiver.Kind.RELIEF
    waivers = relief.give_up(parts, kind=kind, reason=WHY, by=by, on=on)
    waived = sum((waiver.amount for waiver in waivers), ZERO)
    entry = post(
        loan,
        kind="waiver",
        reference=changes.key_of(loan),
        on=on,
        narration=f"Penalties of {loan.number} after the death",
        lines=[Line(chart.WAIVERS, chart.PENALTIES_RECEIVABLE, waived)],
        by=by,
    )
    return waived, entry


def undo_death(customer: Customer, *, reason: str, by, on: date) -> Customer:
    """Take back a death that was recorded by mistake: interest runs again, claims are dropped.

    Raises Refused once a claim is paid or something else happened to a loan since.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        customer = Customer.objects.get(pk=customer.pk)
        if customer.died_on is None:
            raise Refused(f"No death of {customer.name} is recorded.")
        claims = DeathClaim.objects.filter(loan__customer=customer)
        loans = rows.lock_many(claims.values_list("loan_id", flat=True))
        if paid := claims.filter(status=DeathClaim.Status.PAID).first():
            raise Refused(f"The insurer paid for {paid.loan.number}: it cannot be undone.")
        for loan in loans:
            change = changes.last_of(loan)
            if change is None or change.kind != LoanChange.Kind.DEATH:
                raise Refused(f"Something was changed on {loan.number} since: undo that first.")
            changes.undo(change, reason=reason, by=by, on=on)
        for claim in claims:
            claim._history_user, claim._change_reason = by, reason[:100]
            claim.delete()
        customer.died_on = None
        customer._history_user, customer._change_reason = by, reason[:100]
        customer.save(update_fields=["died_on"])
    return customer


# --- The claim -----------------------------------------------------------------------------------
def make_claim(
    claim: DeathClaim, *, insurer: str, claim_number: str, amount: Decimal, by, on: date
) -> DeathClaim:
    """Record that the insurer was asked to pay. Raises Refused once it is paid."""
    with transaction.atomic():
        claim = _lock(claim)
        if claim.status == DeathClaim.Status.PAID:
            raise Refused(f"The insurer paid on {dates.show(claim.decided_on)} already.")
        if amount <= 0:
            raise Refused("The amount must be more than KES 0.00.", field="amount")
        claim.insurer, claim.claim_number = insurer.strip()[:80], claim_number.strip()[:40]
        claim.amount, claim.status, claim.decided_on = amount, DeathClaim.Status.CLAIMED, None
        return _save(claim, by=by, reason="Claimed")


def settle_claim(claim: DeathClaim, *, amount: Decimal, reference: str, by, on: date) -> DeathClaim:
    """Take the insurer's money for a loan: interest after the death is given up, then it pays.

    More than is owed becomes credit of the estate; what is still owed afterwards stays owed by
    it, or is written off by decision. Raises Refused unless it was claimed.
    """
    with transaction.atomic():
        loan = rows.lock(claim.loan_id)
        claim = _lock(claim)
        if claim.status != DeathClaim.Status.CLAIMED:
            raise Refused(f"The claim is {claim.get_status_display().lower()}: it is not paid now.")
        if not reference.strip():
            raise Refused("Type the reference of the insurer's payment.", field="reference")
        if loan.status == Loan.Status.ACTIVE:
            quoted = settling.payoff(loan, on=on)
            settling.give_back(
                loan,
                quoted,
                reason="Interest after the death",
                summary=f"{kes(quoted.rebate)} of interest after the death given up",
                payment=None,
                by=by,
                on=on,
            )
        payment = receive(
            method=Payment.Method.INSURANCE,
            amount=amount,
            reference=reference,
            value_date=on,
            account=loan.number,
            branch=loan.branch,
            customer=loan.customer,
            payer_name=claim.insurer,
            by=by,
            on=on,
        )
        collection.allocate(payment, loan, by=by, on=on)
        claim.payment, claim.decided_on = payment, on
        claim.status = DeathClaim.Status.PAID
        return _save(claim, by=by, reason=f"Paid {kes(amount)}")


def refuse_claim(claim: DeathClaim, *, reason: str, by, on: date) -> DeathClaim:
    """Record that the insurer does not pay. Raises Refused unless it was claimed."""
    reason = needs_reason(reason)
    with transaction.atomic():
        claim = _lock(claim)
        if claim.status != DeathClaim.Status.CLAIMED:
            raise Refused(f"The claim is {claim.get_status_display().lower()}: nothing is refused.")
        claim.status, claim.decided_on, claim.note = DeathClaim.Status.REFUSED, on, reason[:200]
        return _save(claim, by=by, reason=reason)


def _lock(claim: DeathClaim) -> DeathClaim:
    return (
        DeathClaim.objects.select_for_update(of=("self",)).select_related("loan").get(pk=claim.pk)
    )


def _save(claim: DeathClaim, *, by, reason: str) -> DeathClaim:
    claim._history_user, claim._change_reason = by, reason[:100]
    claim.save()
    return claim
