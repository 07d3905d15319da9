"""New terms for a running loan: what is owed on a day becomes a new schedule beside the old."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from lms import dates
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.operations import Line
from lms.loans import schedule as arithmetic
from lms.loans import settlement
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Loan, LoanChange, Position, Repayment
from lms.loans.models.terms import IncomeBasis, Method, Rebate
from lms.loans.operations import changes, eligibility, lateness, rows
from lms.loans.operations.posting import post
from lms.loans.operations.rows import RECEIVABLES, needs_reason
from lms.money import CENT, ZERO, kes
from lms.payments.models import Payout
from lms.payments.operations import pay_out
from lms.words import counted

CHARGES = COMPONENTS[1:]
CAPITALISE, CARRY = ARREARS = ("capitalise", "carry")
# What a restructuring may set; what is left out stays as it is.
TERMS = ("number_of_repayments", "rate", "rate_period", "method", "repay_every", "repay_unit")

Amounts = dict[str, Decimal]


@dataclass(frozen=True)
class Plan:
    """What a restructuring would do, worked out before anything is written. Amounts in KES.

    `closed` are the open instalments, `made` the new ones. `capitalised` charges become principal,
    `carried` ones fall due with the first new instalment; `dropped` is interest of time to come,
    and `unearned` such interest that the principal held (less than nothing: it holds more now).
    The new schedule `begins_anew` on the day, or goes on from the due date before it.
    """

    loan: Loan
    on: date
    closed: Sequence[Repayment]
    made: Sequence[Repayment]
    principal: Decimal
    added: Decimal
    capitalised: Amounts
    carried: Amounts
    dropped: Decimal
    unearned: Decimal
    interest: Decimal
    begins_anew: bool = True

    @property
    def before(self) -> Decimal:
        """All that is owed by the old schedule."""
        return sum((row.outstanding for row in self.closed), ZERO)

    @property
    def after(self) -> Decimal:
        """All that is owed by the new schedule."""
        return sum((row.outstanding for row in self.made), ZERO)

    @property
    def details(self) -> dict:
        """What the change keeps beside the rows, for `dues_of`."""
        return {"carried": self.carried["interest"]} if self.begins_anew else {}

    @property
    def carries(self) -> Decimal:
        """All charges that fall due with the first new instalment, beside its own."""
        return sum(self.carried.values(), ZERO)

    @property
    def turned_into_principal(self) -> Decimal:
        return sum(self.capitalised.values(), ZERO)


def plan(
    loan: Loan,
    *,
    on: date,
    arrears: str = CARRY,
    first_due: date | None = None,
    fixed_instalment: Decimal | None = None,
    added: Decimal = ZERO,
    **terms,
) -> Plan:
    """Return what new terms from a day would make of a loan. Writes nothing.

    All principal owed, with `added`, is spread over the new instalments. Charges due by `on` are
    arrears: they are carried to the first new instalment or become principal. Interest earned
    since the last due date and fees not yet due are carried always; interest of the time to come
    is dropped, for the new schedule charges it anew. The first instalment falls due on `first_due`,
    or else with the next open one. Raises Refused, naming the field, for terms that cannot work.
    """
    if arrears not in ARREARS:
        raise Refused(f"Arrears are one of {ARREARS}, not {arrears!r}.", field="arrears")
    must_be_running(loan)
    if on < loan.disbursed_on:
        raise Refused(f"{loan.number} was paid out on {dates.show(loan.disbursed_on)}.", field="on")
    if loan.position.schedule_set_on and on < loan.position.schedule_set_on:
        raise Refused(
            f"The schedule was last changed on {dates.show(loan.position.schedule_set_on)}: "
            "it cannot be changed from an earlier day.",
            field="on",
        )
    standing = list(loan.repayments.exclude(status__in=Repayment.GONE).order_by("due_date"))
    for row in standing:
        row.loan = loan
    closed = [row for row in standing if row.is_open]
    lateness.foresee(loan, closed, on=on)
    changed = _with_terms(loan, closed, terms, first_due=first_due, on=on)
    settled = max((row.due_date for row in standing if not row.is_open), default=on)
    if changed.first_due <= settled:
        raise Refused(
            f"The first new instalment must fall due after {dates.show(settled)}.",
            field="first_due",
        )
    rebate = Rebate.PRO_RATA if loan.rebate == Rebate.NONE else loan.rebate
    owed = owed_on(loan, on=on, rebate=rebate)
    late = {
        name: sum((row.owing_of(name) for row in closed if row.due_date <= on), ZERO)
        for name in CHARGES
    }
    penalties = late["penalties"] = sum((row.owing_of("penalties") for row in closed), ZERO)
    capitalised = late if arrears == CAPITALISE else dict.fromkeys(CHARGES, ZERO)
    total = {"interest": owed.interest, "fees": owed.fees, "penalties": penalties}
    carried = {name: total[name] - capitalised[name] for name in CHARGES}
    unearned = sum((row.owing_of("principal") for row in closed), ZERO) - owed.principal
    principal = loan.position.principal - unearned + added + sum(capitalised.values(), ZERO)
    made = _instalments(changed, principal, fixed_instalment, carried, on=on)
    dropped = sum((row.owing_of("interest") for row in closed), ZERO) - owed.interest
    return Plan(
        loan=changed,
        on=on,
        closed=closed,
        made=made,
        principal=principal,
        added=added,
        capitalised=capitalised,
        carried=carried,
        dropped=dropped,
        unearned=unearned,
        interest=sum((row.interest for row in made), ZERO) - carried["interest"],
    )


def must_be_running(loan: Loan) -> None:
    if loan.status != Loan.Status.ACTIVE:
        raise Refused(
            f"{loan.number} is {loan.get_status_display().lower()}: "
            "only the schedule of an active loan changes."
        )


def _with_terms(
    loan: Loan, closed: Sequence[Repayment], terms: dict, *, first_due: date | None, on: date
) -> Loan:
    """Return a copy of the loan with the new terms; grace was of the old ones."""
    if unknown := set(terms) - set(TERMS):
        raise Refused(f"A restructuring does not set {', '.join(sorted(unknown))}.")
    changed = copy(loan)
    for name, value in terms.items():
        if value not in (None, ""):
            setattr(changed, name, value)
    changed.principal_grace = changed.interest_grace = 0
    for sentence in changed.impossible().values():
        raise Refused(sentence, field="method")
    coming = min((row.due_date for row in closed if row.due_date > on), default=None)
    changed.first_due = (
        first_due or coming or dates.add_period(on, changed.repay_every, changed.repay_unit)
    )
    return changed


def owed_on(loan: Loan, *, on: date, rebate: str, keep_fees: bool = True) -> settlement.Quote:
    """Return what a loan owes on a day, interest by the time that has passed.

    What an earlier change carried onto an instalment was earned before, so all of it is owed.
    """
    dues, carried = dues_of(loan)
    quote = settlement.quote(
        dues,
        on=on,
        declining=loan.method != Method.FLAT,
        annual_rate=loan.annual_rate,
        day_count=loan.day_count,
        rebate=rebate,
        keep_fees=keep_fees,
        unit=Decimal(loan.interest_multiple),
        capitalised=settlement.capitalised_by(loan.schedule_terms(disbursed_on=loan.disbursed_on)),
    )
    return replace(quote, interest=quote.interest + carried)


def dues_of(loan: Loan) -> tuple[list[settlement.Due], Decimal]:
    """Return the instalments of the schedule in force, and the interest carried onto them (KES).

    The first instalment of a new schedule bears interest from the day the schedule was made. What
    was carried onto it is left out of its interest: it was earned before, so no rebate touches it.
    """
    standing = list(
        loan.repayments.exclude(status__in=Repayment.GONE).order_by("due_date", "number")
    )
    made = changes.begun(loan)
    # Instalments of before the last schedule that was made anew count only while they are open;
    # what is left of a schedule by a prepayment is not another one.
    prepaid = loan.changes.filter(undone_on=None, kind=LoanChange.Kind.PREPAYMENT)
    left = {change.after["version"] for change in prepaid}
    latest = max((row.version for row in standing if row.version not in left), default=1)
    found, waits, begin = [], ZERO, loan.disbursed_on
    for row in standing:
        if row.version == Repayment.BETWEEN:
            continue
        if row.version < latest and not row.is_open:
            begin = row.due_date
            continue
        row.loan = loan
        interest, owing = row.interest, row.owing
        if new := made.pop(row.version, None):
            begin, carried = max(begin, new.on), new.carried
            waiting = max(carried - (interest - owing["interest"]), ZERO)
            interest, owing["interest"] = interest - carried, owing["interest"] - waiting
            waits += waiting
        found.append(
            settlement.Due(
                key=row.pk,
                due_date=row.due_date,
                owing=owing,
                starts_on=min(begin, row.due_date),
                principal=row.principal,
                interest=interest,
            )
        )
        begin = row.due_date
    return found, waits


def _instalments(
    changed: Loan,
    principal: Decimal,
    fixed_instalment: Decimal | None,
    carried: Amounts,
    *,
    on: date,
) -> list[Repayment]:
    terms = replace(
        changed.schedule_terms(disbursed_on=on, fees=[], tranches=()),
        principal=principal,
        fixed_instalment=fixed_instalment,
    )
    number, version = last_of(changed)
    made = [
        Repayment(
            loan=changed,
            number=number + count,
            version=version + 1,
            due_date=row.due_date,
            principal=row.principal,
            interest=row.interest,
            fees=row.fees,
        )
        for count, row in enumerate(arithmetic.schedule(terms), start=1)
    ]
    for name in CHARGES:
        setattr(made[0], name, getattr(made[0], name) + carried[name])
    return made


def last_of(loan: Loan) -> tuple[int, int]:
    """Return the last number and the last schedule that a loan has used."""
    last = loan.repayments.aggregate(number=Max("number"), version=Max("version"))
    return last["number"] or 0, last["version"] or 0


# --- The verbs -----------------------------------------------------------------------------------
def restructure(loan: Loan, *, arrears: str, reason: str, by, on: date, **terms) -> LoanChange:
    """Give a loan new terms from a day; see `plan` for what becomes of what is owed.

    The old open instalments are closed as rescheduled and keep what was paid on them. The loan is
    flagged; its class does not get better by it. Raises Refused for terms that cannot work.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        lateness.bring_up_to(loan, on=on)
        before = changes.State(loan)
        wanted = plan(loan, on=on, arrears=arrears, **terms)
        loan.restructured_on = on
        lines = write(wanted, loan, by=by, reason=f"Restructured: {reason}")
        entry = None
        if any(line.amount for line in lines):
            entry = post(
                loan,
                kind="restructure",
                reference=changes.key_of(loan),
                on=on,
                narration=f"{loan.number} restructured: {reason}",
                lines=lines,
                by=by,
            )
        rows.refresh(loan, by=by, on=on)
        return changes.record(
            loan,
            before,
            kind=LoanChange.Kind.RESTRUCTURE,
            summary=summary_of(wanted),
            amount=wanted.principal,
            reason=reason,
            by=by,
            on=on,
            entry=entry,
            details=wanted.details,
        )


def top_up(
    loan: Loan,
    *,
    amount: Decimal,
    method: str,
    reference: str | None,
    reason: str,
    by,
    on: date,
    interest_method: str | None = None,
    **terms,
) -> LoanChange:
    """Lend more on a running loan: pay it out and spread all principal anew, in one act.

    A loan that was late is flagged as restructured. Raises Refused beyond the limits of the
    product or of the person's approval, and where a hard rule of the product is not kept.
    """
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        lateness.bring_up_to(loan, on=on)
        if amount <= 0 or amount != amount.quantize(CENT):
            raise Refused("The amount must be more than KES 0.00, in whole cents.", field="amount")
        wanted = plan(loan, on=on, added=amount, method=interest_method, **terms)
        must_be_within_limits(loan, amount, by=by)
        eligibility.must_allow_top_up(loan, amount=amount, rows=wanted.made, on=on)
        before = changes.State(loan)
        lines = write(wanted, loan, by=by, reason=f"Topped up: {reason}")
        loan.principal += amount
        changes.save_loan(loan, ["principal"], by=by, reason=f"Topped up: {reason}")
        payout = pay_out(
            accounts=loan.accounts,
            kind=Payout.Kind.TOP_UP,
            method=method,
            amount=amount,
            reference=reference,
            customer_id=loan.customer_id,
            subject=loan.number,
            branch_id=loan.branch_id,
            by=by,
            on=on,
            narration=f"Top-up of {loan.number}",
            lines=lines,
            key=changes.key_of(loan),
        )
        rows.refresh(loan, by=by, on=on)
        return changes.record(
            loan,
            before,
            kind=LoanChange.Kind.TOP_UP,
            summary=f"{kes(amount)} more; {summary_of(wanted)}",
            amount=amount,
            reason=reason,
            by=by,
            on=on,
            entry=payout.entry,
            payout=payout,
            details=wanted.details,
        )


def must_be_within_limits(loan: Loan, amount: Decimal, *, by) -> None:
    """Refuse to lend so much more on a loan that its product, or the person, may not."""
    owed = loan.position.principal + amount
    if owed > loan.version.max_principal:
        raise Refused(
            f"{kes(owed)} of principal would be owed: {loan.version.name} lends at most "
            f"{kes(loan.version.max_principal)}.",
            field="amount",
        )
    if owed > by.approval_limit:
        raise Refused(
            f"{kes(owed)} is above your approval limit of {kes(by.approval_limit)}.",
            field="amount",
        )


def summary_of(wanted: Plan) -> str:
    """Return the new terms as staff say them."""
    made = wanted.made
    parts = [
        f"{kes(wanted.principal)} over {counted(len(made), 'instalment')} from "
        f"{dates.show(made[0].due_date)}, {wanted.loan.rate_label}"
    ]
    if wanted.turned_into_principal:
        parts.append(f"{kes(wanted.turned_into_principal)} of arrears made principal")
    return "; ".join(parts)


def write(wanted: Plan, loan: Loan, *, by, reason: str) -> list[Line]:
    """Write the instalments and terms of a plan on a locked loan; return what is to be booked.

    Interest that becomes principal was not paid, so it is not earned yet: it is deferred until
    the principal that was lent is paid back (`operations.deferral`).
    """
    if any(row.is_overdue(on=wanted.on) for row in wanted.closed):
        loan.restructured_on = wanted.on  # less late than it was, without having been paid
    for row in wanted.closed:
        row.status = Repayment.Status.RESCHEDULED
    rows.save_repayments(wanted.closed, by=by, reason=reason, changed_on=None)
    rows.create_repayments(wanted.made, by=by, reason=reason)
    for name in (*TERMS, "principal_grace", "interest_grace", "first_due"):
        setattr(loan, name, getattr(wanted.loan, name))
    loan.capitalised += wanted.turned_into_principal - wanted.unearned
    fields = ["principal_grace", "interest_grace", "first_due", "capitalised", "restructured_on"]
    changes.save_loan(loan, [*TERMS, *fields], by=by, reason=reason)
    anew = wanted.begins_anew and loan.income_basis == IncomeBasis.ACCRUAL
    return [
        *(no_longer_earned(wanted.closed, loan, on=wanted.on) if anew else ()),
        Line(chart.UNEARNED_INTEREST, chart.INTEREST_RECEIVABLE, wanted.dropped),
        *(
            Line(chart.LOAN_PRINCIPAL, RECEIVABLES[name], wanted.capitalised[name])
            for name in CHARGES
        ),
        Line(chart.UNEARNED_INTEREST, chart.CAPITALISED_INTEREST, wanted.capitalised["interest"]),
        Line(chart.CAPITALISED_INTEREST, chart.LOAN_PRINCIPAL, max(wanted.unearned, ZERO)),
        Line(chart.LOAN_PRINCIPAL, chart.CAPITALISED_INTEREST, max(-wanted.unearned, ZERO)),
        Line(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, wanted.interest),
    ]


def no_longer_earned(closed: Sequence[Repayment], loan: Loan, *, on: date) -> list[Line]:
    """Take interest that was earned by time and is not paid out of the income again; book lines.

    That is the prudent reading on the accrual basis: what is owed on the new schedule is earned
    anew, as its days pass. What was paid on the instalments that are closed stays earned.
    """
    position = loan.position
    settled = loan.repayments.exclude(status__in=[*Repayment.OPEN, *Repayment.GONE])
    stays = sum((row.interest - row.interest_waived for row in settled if row.due_date <= on), ZERO)
    paid = sum((row.interest_paid for row in closed), ZERO)
    back = position.interest_earned - stays - paid
    waiting = min(max(back, ZERO), position.interest_suspended)
    Position.objects.filter(pk=loan.pk).update(
        interest_earned=stays, interest_suspended=position.interest_suspended - waiting
    )
    return [
        Line(chart.SUSPENDED_INTEREST, chart.UNEARNED_INTEREST, waiting),
        Line(chart.INTEREST_INCOME, chart.UNEARNED_INTEREST, max(back - waiting, ZERO)),
        Line(chart.UNEARNED_INTEREST, chart.INTEREST_INCOME, max(-back, ZERO)),
    ]
