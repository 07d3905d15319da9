"""From application to disbursement to the end: the decisions people take on a loan."""

from datetime import date
from decimal import Decimal

from django.db import transaction

from lms import dates, history
from lms.customers.models import Customer
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.books import must_be_open
from lms.ledger.operations import Line
from lms.loans.calculator import RepaymentCalculator
from lms.loans.models import Loan, LoanFee, LoanProduct, ProductVersion, Repayment
from lms.loans.operations import actual, lateness, rows, security, settling, upfront
from lms.loans.operations.eligibility import must_be_eligible
from lms.loans.operations.posting import post
from lms.loans.operations.rows import needs_reason
from lms.money import ZERO, kes
from lms.payments.models import Payment
from lms.payments.operations import pay_out, receive

Status = Loan.Status


def apply(
    *,
    customer: Customer,
    product: LoanProduct,
    principal: Decimal,
    by,
    on: date,
    terms: dict | None = None,
    version: ProductVersion | None = None,
    **details,
) -> Loan:
    """Write an application down as a draft, with the terms and fees in force on the day.

    `terms` override single terms of the product within its limits; `details` are other fields
    of the loan (purpose, first_due, loan_officer, legacy_number). `version` names other terms
    than those in force, for a loan that was made elsewhere.
    Raises Refused naming the field that lies outside the product's limits.
    """
    _must_live(customer)
    version = version or offered(product, on=on)
    if Loan.key_of(details.get("legacy_number")):
        raise Refused(
            f"“{details['legacy_number']}” reads like a loan number of ours: "
            "payments for it would reach another loan.",
            field="legacy_number",
        )
    loan = Loan(
        customer=customer,
        principal=principal,
        branch_id=customer.branch_id,
        loan_officer=details.pop("loan_officer", None) or customer.loan_officer,
        applied_on=on,
        created_by=by,
        **details,
    )
    loan.copy_terms(version)
    for field, value in (terms or {}).items():
        setattr(loan, field, value)
    _must_be_possible(loan, version)
    with transaction.atomic():
        history.create([loan], by=by, reason="Applied")
        copy_fees(loan, by=by)
    return loan


def _must_live(customer: Customer) -> None:
    if customer.died_on:
        raise Refused(f"{customer.name} died on {dates.show(customer.died_on)}.", field="customer")


def _must_be_possible(loan: Loan, version: ProductVersion) -> None:
    """Refuse terms outside the limits of the version, and those that cannot go together."""
    for field, sentence in {**loan.impossible(), **version.breaches(loan)}.items():
        raise Refused(sentence, field=field)


def offered(product: LoanProduct, *, on: date) -> ProductVersion:
    """Return the terms a product is offered on. Raises Refused when it has none on the day."""
    if not product.is_active:
        raise Refused(f"{product.name} is no longer on offer.", field="product")
    version = product.version_on(on)
    if version is None:
        raise Refused(f"{product.name} has no approved terms on {dates.show(on)}.", field="product")
    return version


def copy_fees(loan: Loan, *, by) -> None:
    """Give a loan the fees of its version, inside the caller's transaction."""
    fees = [
        LoanFee(
            loan=loan,
            name=fee.name,
            kind=fee.kind,
            value=fee.value,
            when=fee.when,
            excise_rate=fee.excise_rate,
        )
        for fee in loan.version.fees.all()
    ]
    history.create(fees, by=by, reason=f"Copied from {loan.version}")


def submit(loan: Loan, *, by, on: date) -> Loan:
    """Hand a draft to the people who approve.

    Raises Refused when its terms cannot work or are no longer offered, or a hard rule fails.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        _must_live(loan.customer)
        loan.version.must_be_in_force(on=on)
        _must_be_possible(loan, loan.version)
        _must_work(loan.calculator(disbursed_on=on))
        must_be_eligible(loan, on=on)
        loan.submitted_by = by
        loan.move_to(Status.SUBMITTED, by=by, reason="Submitted", fields=("submitted_by",))
    return loan


def _must_work(calculator: RepaymentCalculator) -> None:
    calculator.schedule()
    if calculator.net_disbursed() <= 0:
        raise Refused(
            f"The fees of {kes(calculator.fees_deducted().total)} leave nothing to pay out."
        )


def approve(loan: Loan, *, by, on: date) -> Loan:
    """Agree to lend.

    Raises Refused for one's own work, above one's limit, without KYC, on terms that ended, or
    when a hard rule fails.
    """
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        if loan.status == Status.ACTIVE:  # the way back is undoing its disbursement
            raise Refused(f"{loan.number} is active, so it cannot become approved.")
        if by.pk in (loan.created_by_id, loan.submitted_by_id):
            raise Refused(f"You prepared {loan.number} yourself: someone else must approve it.")
        if loan.principal > by.approval_limit:
            raise Refused(
                f"{kes(loan.principal)} is above your approval limit of {kes(by.approval_limit)}."
            )
        if loan.customer.kyc_status != Customer.Kyc.VERIFIED:
            raise Refused(f"The KYC of {loan.customer.name} is not verified yet.")
        security.must_stand(loan)
        loan.version.must_be_in_force(on=on)
        must_be_eligible(loan, on=on)
        loan.approved_by, loan.approved_on = by, on
        loan.move_to(
            Status.APPROVED, by=by, reason="Approved", fields=("approved_by", "approved_on")
        )
    return loan


def reject(loan: Loan, *, reason: str, by, on: date) -> Loan:
    """Decline to lend, with the reason that the customer is told at once.

    Fees that were paid before become the customer's credit; so they do on withdrawal.
    """
    return _decide(loan, Status.REJECTED, reason=reason, by=by, on=on)


def withdraw(loan: Loan, *, reason: str, by, on: date) -> Loan:
    """Record that the customer no longer wants the loan."""
    return _decide(loan, Status.WITHDRAWN, reason=reason, by=by, on=on)


def send_back(loan: Loan, *, reason: str, by, on: date) -> Loan:
    """Return a submitted application to its maker, who may change it."""
    return _decide(loan, Status.DRAFT, reason=reason, by=by, on=None)


def _decide(loan: Loan, status: str, *, reason: str, by, on: date | None) -> Loan:
    reason = needs_reason(reason)
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        loan.decision, loan.decided_on = reason[:200], on
        fields = ["decision", "decided_on"]
        if status in (Status.REJECTED, Status.WITHDRAWN):  # another may pay the old loan off
            loan.refinances = None
            fields.append("refinances")
        loan.move_to(status, by=by, reason=reason, fields=tuple(fields))
        if status in (Status.REJECTED, Status.WITHDRAWN):
            upfront.give_back(loan, reason=reason, by=by, on=on)
    return loan


def disburse(loan: Loan, *, method: str, reference: str | None, by, on: date) -> Loan:
    """Pay an approved loan out, make its repayment schedule and book both.

    The customer receives the principal less the fees deducted, and less what pays off the loan
    that it refinances; of a loan with tranches the first part, spread over all its instalments,
    until `tranches.pay_tranche` adds to them. Raises Refused unless the loan is approved, by
    someone else, on or before `on`, while fees are missing that come first, and where nothing would
    be left to pay out.
    """
    with transaction.atomic():
        old = rows.lock(loan.refinances_id) if loan.refinances_id else None
        loan = rows.lock(loan.pk, related=())
        around = rows.around(loan)
        if loan.status != Status.APPROVED:
            raise Refused(
                f"{loan.number} is {loan.get_status_display().lower()}: "
                "only an approved loan can be disbursed."
            )
        if by.pk == loan.approved_by_id:
            raise Refused(f"You approved {loan.number}: someone else must disburse it.")
        if on < loan.approved_on:
            raise Refused(
                f"{loan.number} was approved on {loan.approved_on:%d %b %Y}: "
                "it cannot be disbursed before.",
                field="on",
            )
        _must_be_in_force(loan.version_id, on=loan.approved_on)
        if around.has_guarantors or around.has_collateral:
            security.must_stand(loan)
        upfront.must_be_paid(loan)
        calculator = loan.calculator(disbursed_on=on, tranches=())
        _must_work(calculator)
        made = create_schedule(loan, calculator, after=around, by=by)
        key = _disbursement_key(loan, made)
        paid_off = _pay_off(old, loan, key=key, by=by, on=on) if old else ZERO
        _pay_out(
            loan,
            amount=calculator.net_disbursed() - paid_off,
            lines=[
                Line(chart.LOAN_PRINCIPAL, chart.REFINANCE_CLEARING, paid_off),
                *_schedule_lines(calculator),
            ],
            key=key,
            method=method,
            reference=reference,
            by=by,
            on=on,
        )
        loan.disbursed_on = on
        loan.undisbursed = loan.principal - calculator.terms.principal
        loan.capitalised = calculator.capitalised_interest() + calculator.fees_added().total
        loan.move_to(
            Status.ACTIVE,
            by=by,
            reason="Disbursed",
            fields=("disbursed_on", "undisbursed", "capitalised"),
        )
        rows.open_position(loan, made)
    return loan


def _pay_off(old: Loan, loan: Loan, *, key: str, by, on: date) -> Decimal:
    """Settle the loan that a new one refinances; return what it took (KES)."""
    lateness.bring_up_to(old, on=on, by=by)
    actual.bring_up_to(old, on=on, by=by)
    owed = settling.payoff(old, on=on).total
    net = loan.calculator(disbursed_on=on, tranches=()).net_disbursed()
    if owed > net:
        raise Refused(
            f"{kes(owed)} pays {old.number} off, and {loan.number} brings {kes(net)} after its "
            f"fees: {kes(owed - net)} is missing."
        )
    payment = receive(
        method=Payment.Method.REFINANCE,
        amount=owed,
        reference=None,
        value_date=on,
        account=old.number,
        branch=old.branch,
        by=by,
        on=on,
        customer=old.customer,
        payer_name=old.customer.name,
        note=f"Paid off by {loan.number}",
        request_key=f"refinance:{key}",
    )
    settling.settle_early(old, payment=payment, by=by, on=on)
    return owed


def _pay_out(
    loan: Loan,
    *,
    amount: Decimal,
    lines: list[Line],
    key: str,
    method: str,
    reference: str | None,
    by,
    on: date,
) -> None:
    """Book a disbursement, with a payout where anything is left for the customer."""
    narration = f"Disbursement of {loan.number}"
    if amount:
        pay_out(
            accounts=loan.accounts,
            method=method,
            amount=amount,
            reference=reference,
            customer_id=loan.customer_id,
            subject=loan.number,
            branch_id=loan.branch_id,
            by=by,
            on=on,
            narration=narration,
            lines=lines,
            key=key,
        )
        return
    post(
        loan,
        kind="disbursement",
        reference=key,
        on=on,
        narration=narration,
        lines=lines,
        by=by,
    )


def _disbursement_key(loan: Loan, made: list[Repayment]) -> str:
    """Return the ledger key of a disbursement: a loan is paid out again once that was undone."""
    version = made[0].version  # The cancelled instalments of the undone one keep theirs.
    return f"disburse:{loan.pk}:{version}" if version > 1 else f"disburse:{loan.pk}"


def _must_be_in_force(pk: int, *, on: date) -> None:
    """Raise Refused unless loans can be made on a version of a product on a day."""
    versions = ProductVersion.objects.select_related("product")
    told = versions.only("status", "starts_on", "ends_on", "number", "product__name")
    told.get(pk=pk).must_be_in_force(on=on)


def take_over(loan: Loan, *, disbursed_on: date, with_schedule: bool, by, on: date) -> Loan:
    """Take a running loan over from another system, against opening balances.

    Its schedule is made from the terms, or left to be imported. Raises Refused unless it is a
    draft, for a disbursement after `on`, and when the month of `on` is closed.
    """
    with transaction.atomic():
        must_be_open(on)
        loan = rows.lock(loan.pk)
        if loan.status != Status.DRAFT:
            raise Refused(f"{loan.number} is {loan.get_status_display().lower()} already.")
        if disbursed_on > on:
            raise Refused(
                "The loan cannot have been disbursed in the future.", field="disbursed_on"
            )
        lines = [Line(chart.LOAN_PRINCIPAL, chart.OPENING_BALANCES, loan.principal)]
        if with_schedule:
            calculator = loan.calculator(disbursed_on=disbursed_on, fees=[])
            create_schedule(loan, calculator, after=rows.around(loan), charged_to=on, by=by)
            lines += _schedule_lines(calculator)
            loan.capitalised = calculator.capitalised_interest()
        post(
            loan,
            kind="takeover",
            reference=f"takeover:{loan.pk}",
            on=on,
            narration=f"Takeover of {loan.number}",
            lines=lines,
            by=by,
        )
        loan.disbursed_on = disbursed_on
        loan.move_to(
            Status.ACTIVE,
            by=by,
            reason="Taken over from the old system",
            fields=("disbursed_on", "capitalised"),
        )
        rows.rebuild(loan)
    return loan


def create_schedule(
    loan: Loan,
    calculator: RepaymentCalculator,
    *,
    after: rows.Around,
    by,
    charged_to: date | None = None,
) -> list[Repayment]:
    """Write the instalments that the calculator makes, inside the caller's transaction.

    Their numbers go on after those of a schedule that was cancelled. What lateness cost until
    `charged_to` another system has charged.
    """
    return rows.create_repayments(
        [
            Repayment(
                loan=loan,
                number=after.last_number + row.number,
                version=after.last_version + 1,
                due_date=row.due_date,
                principal=row.principal,
                interest=row.interest,
                fees=row.fees,
                penalties_since=charged_to if charged_to and row.due_date < charged_to else None,
            )
            for row in calculator.schedule()
        ],
        by=by,
        reason="Schedule made at disbursement",
    )


def _schedule_lines(calculator: RepaymentCalculator) -> list[Line]:
    """Return what a new schedule books beside the cash: interest to earn, fees, excise."""
    interest = sum((row.interest for row in calculator.schedule()), ZERO)
    deducted, added = calculator.fees_deducted(), calculator.fees_added()
    billed = calculator.fees_billed()
    return [
        Line(chart.INTEREST_RECEIVABLE, chart.UNEARNED_INTEREST, interest),
        # Interest that grace adds to the principal is not earned before it is paid.
        Line(chart.LOAN_PRINCIPAL, chart.CAPITALISED_INTEREST, calculator.capitalised_interest()),
        Line(chart.LOAN_PRINCIPAL, chart.FEE_INCOME, deducted.fee + added.fee),
        Line(chart.LOAN_PRINCIPAL, chart.EXCISE_PAYABLE, deducted.excise + added.excise),
        Line(chart.FEES_RECEIVABLE, chart.FEE_INCOME, billed.fee),
        Line(chart.FEES_RECEIVABLE, chart.EXCISE_PAYABLE, billed.excise),
    ]


def close(loan: Loan, *, by, on: date) -> Loan:
    """Close an active loan on which nothing is owed. Raises Refused while anything is."""
    with transaction.atomic():
        loan = rows.lock(loan.pk)
        if loan.status != Status.ACTIVE:
            raise Refused(f"{loan.number} is {loan.get_status_display().lower()}.")
        rows.refresh(loan, by=by, on=on)
        if loan.status != Status.CLOSED:
            raise Refused(
                f"{kes(loan.position.outstanding)} is still owed on {loan.number}: "
                "it closes when that is paid or waived."
            )
    return loan
