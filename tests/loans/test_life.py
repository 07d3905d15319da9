"""Loans live through anything staff can do to them, in any order, and the books stay right.

Every step is an operation that may answer Refused and nothing else; after each one the proof of
`tests.books` holds. LIFE_EXAMPLES=1000 walks more lives than the suite does.
"""

import os
from datetime import date, timedelta
from decimal import Decimal
from itertools import count

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lms import jobs, routing
from lms.errors import Refused
from lms.imports import operations as imports
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Loan, Penalty, Repayment, Waiver
from lms.loans.operations import collection, instalments, lifecycle, relief
from lms.money import ZERO
from lms.payments.models import Payment
from tests import factories, nights
from tests.books import balances, prove

EXAMPLES = int(os.environ.get("LIFE_EXAMPLES", "60"))
STEPS = int(os.environ.get("LIFE_STEPS", "20"))
DISBURSED = date(2026, 1, 15)
HEADER = "loan,number,due_date,amount_due,principal,interest,fees,penalty,amount_paid,status\n"
LATE = [
    {},
    {
        "penalty_base": "instalment",
        "penalty_value": Decimal("0.7"),
        "penalty_frequency": "daily",
        "penalty_cap_kind": "amount",
        "penalty_cap_value": Decimal(120),
    },
    {"penalty_base": "fixed", "penalty_value": Decimal(300), "penalty_grace_days": 3},
]
FEES = [
    [],
    [
        {"name": "Processing", "kind": "percent", "value": Decimal("2.5")},
        {"name": "Form", "kind": "amount", "value": Decimal("99.99"), "when": "first_instalment"},
    ],
    [
        {"name": "Service", "kind": "amount", "value": Decimal(500), "when": "spread"},
        {"name": "Cover", "kind": "percent", "value": Decimal(1), "when": "added_to_principal"},
    ],
]
# Two in three amounts are whole shillings, as people pay them.
SETTLED = [
    ("", ""),
    ("", ""),
    ("1000.00", "partial"),
    ("1000.00", ""),
    ("all", "completed"),
    ("", "completed"),
    ("", "waived"),
    ("", "cancelled"),
    ("", "overdue"),
]
amounts = st.one_of(
    st.integers(1, 12_000).map(Decimal),
    st.integers(1, 4_000).map(Decimal),
    st.integers(1, 900_000).map(lambda cents: Decimal(cents) / 100),
)
components = st.sampled_from([None, "charges", *COMPONENTS])
which = st.integers(0, 23)


class Life(RuleBasedStateMachine):
    """Two loans of one customer: one lent here, one taken over; and the money that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.life = transaction.atomic()
        self.life.__enter__()
        self.day = DISBURSED
        self.names = count(1)
        self.touched = True

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.life.__exit__(None, None, None)

    @initialize(
        method=st.sampled_from(["flat", "declining_equal_instalments", "interest_only"]),
        size=st.integers(1, 4),
        order=st.sampled_from(["penalties_fees_interest_principal", "interest_fees_principal"]),
        direction=st.sampled_from(["vertical", "horizontal"]),
        surplus=st.sampled_from(["advance", "credit"]),
        late=st.sampled_from(LATE),
        fees=st.sampled_from(FEES),
        running=st.sampled_from([True, True, False]),
    )
    def lend(self, method, size, order, direction, surplus, late, fees, running):
        product = factories.product(
            method=method,
            number_of_repayments=size,
            allocation_order=order,
            allocation_direction=direction,
            surplus=surplus,
            fees=fees,
            **late,
        )
        lent = factories.draft(Decimal(10_000), product=product, on=DISBURSED)
        taken = factories.draft(Decimal(6_000), product=product, on=DISBURSED)
        lifecycle.take_over(
            taken,
            disbursed_on=date(2025, 11, 30),
            with_schedule=False,
            by=factories.kamau(),
            on=DISBURSED,
        )
        self.loans = [lent, taken]
        if running:
            for step in ("submit", "approve", "disburse"):
                self.decide(step)

    # What the rules share.

    def attempt(self, verb, *args, by=None, on=None, **answers):
        """Do it, or be refused and leave the books as they were."""
        posted = Transfer.objects.count()
        try:
            done = verb(*args, by=by or factories.kamau(), on=on or self.day, **answers)
        except Refused:
            assert Transfer.objects.count() == posted
            return None
        self.touched = True
        return done

    def loan(self, pick: int) -> Loan:
        return Loan.objects.get(pk=self.loans[pick % 2].pk)

    def row(self, pick: int) -> Repayment | None:
        """One of the open instalments, or now and then of all."""
        rows = Repayment.objects.order_by("loan", "number")
        rows = list((pick > 5 and rows.unpaid()) or rows)
        return rows[pick % len(rows)] if rows else None

    def payment(self, pick: int, status: str) -> Payment | None:
        """One of the payments of a status, or now and then of all."""
        payments = Payment.objects.order_by("pk")
        payments = list((pick > 5 and payments.filter(status=status)) or payments)
        return payments[pick % len(payments)] if payments else None

    # What people and nights do.

    @rule(days=st.sampled_from([1, 3, 20, 35, 50]))
    def time_passes(self, days):
        self.day += timedelta(days=days)

    @precondition(lambda self: self.loan(0).status not in ("active", "closed"))
    @rule(step=st.sampled_from(["submit", "approve", "disburse", "send_back"]))
    def decide(self, step):
        loan, kamau = self.loan(0), factories.kamau()
        if step == "submit":
            self.attempt(lifecycle.submit, loan, by=factories.njeri())
        elif step == "approve":
            self.attempt(lifecycle.approve, loan, by=kamau)
        elif step == "send_back":
            self.attempt(lifecycle.send_back, loan, reason="Again", by=kamau)
        else:
            self.attempt(
                lifecycle.disburse, loan, method="cash", reference=None, by=factories.mutua()
            )

    @rule(
        pick=which,
        amount=amounts,
        before=st.sampled_from([0, 0, 0, 2, 40]),
        account=st.sampled_from(["right", "right", "right", "wrong", "lower case"]),
    )
    def pay(self, pick, amount, before, account):
        number = self.loan(pick).number
        self.take(amount, {"right": number, "wrong": "SCHOOL"}.get(account, number.lower()), before)

    @rule(pick=which, extra=st.sampled_from([-1, 0, 0, 1]))
    def pay_an_instalment(self, pick, extra):
        row = self.row(pick)
        if row is not None:
            self.take(row.outstanding + extra, row.loan.number, 0)

    @rule(pick=which, extra=st.sampled_from([-1, 0, 0, 500]))
    def pay_everything(self, pick, extra):
        loan = self.loan(pick)
        if loan.disbursed_on:
            self.take(loan.position.outstanding + extra, loan.number, 0)

    def take(self, amount: Decimal, account: str, before: int) -> None:
        self.attempt(
            routing.take,
            method="mpesa",
            amount=amount,
            reference=f"UKL{next(self.names):07d}",
            value_date=self.day - timedelta(days=before),
            account=account,
            by=factories.mutua(),
        )

    @rule(pick=which, loan=which)
    def match(self, pick, loan):
        if payment := self.payment(pick, "unallocated"):
            self.attempt(routing.match, payment, self.loan(loan))

    @rule(pick=which)
    def take_back(self, pick):
        if payment := self.payment(pick, "allocated"):
            self.attempt(collection.take_back, payment, reason="Wrong loan")

    @rule(pick=which)
    def reverse(self, pick):
        if payment := self.payment(pick, "allocated"):
            self.attempt(collection.reverse_payment, payment, reason="Bounced")

    @precondition(lambda self: Payment.objects.with_credit().exists())
    @rule(pick=which)
    def apply_credit(self, pick):
        self.attempt(collection.apply_credit, self.loan(pick))

    @rule(pick=which, component=components, amount=st.one_of(st.none(), st.none(), amounts))
    def waive(self, pick, component, amount):
        if row := self.row(pick):
            self.attempt(relief.waive, row, amount=amount, component=component, reason="Flood")

    @rule(pick=which)
    def cancel(self, pick):
        if row := self.row(pick):
            self.attempt(relief.cancel, row, reason="Agreed")

    @rule(
        pick=which,
        principal=st.sampled_from(["rest", "0", "700"]),
        charges=st.integers(0, 500).map(Decimal),
        after=st.integers(-10, 60),
    )
    def add(self, pick, principal, charges, after):
        loan = self.loan(pick)
        if not loan.disbursed_on:
            return
        last = loan.repayments.order_by("number").last()
        self.attempt(
            instalments.add,
            loan,
            number=last.number + 1 if last else 1,
            due_date=(last.due_date if last else self.day) + timedelta(days=after),
            principal=loan.position.unscheduled if principal == "rest" else Decimal(principal),
            interest=charges,
            fees=Decimal(0),
            reason="Agreed",
        )

    @rule(pick=which, days=st.integers(-3, 3), more=st.sampled_from([-250, 0, 0, 250]))
    def change(self, pick, days, more):
        if row := self.row(pick):
            self.attempt(
                instalments.change,
                row,
                due_date=row.due_date + timedelta(days=days),
                principal=row.principal + more,
                interest=row.interest + abs(more),
                fees=row.fees,
                reason="Agreed",
            )

    @rule(pick=which, amount=amounts)
    def charge_penalty(self, pick, amount):
        late = Repayment.objects.overdue(on=self.day).order_by("loan", "number")
        if row := (late[pick % len(late)] if late else self.row(pick)):
            self.attempt(instalments.charge_penalty, row, amount=amount, rule="By hand")

    @rule(pick=which)
    def night(self, pick):
        self.attempt(lifecycle.close, self.loan(pick))
        self.touched = True
        nights.charge(on=self.day)
        charged = Penalty.objects.count()
        assert nights.charge(on=self.day) == 0
        assert Penalty.objects.count() == charged
        nights.use_credit(on=self.day)
        jobs.settle_unallocated()

    @rule(
        size=st.integers(1, 3),
        interest=st.integers(0, 300),
        penalty=st.sampled_from(["", "50.00"]),
        settled=st.sampled_from(SETTLED),
        twice=st.booleans(),
    )
    def import_schedule(self, size, interest, penalty, settled, twice):
        """The file of the taken-over loan; its first line says more than the others."""
        paid, status = settled
        text = HEADER
        for number in range(1, size + 1):
            due = 6000 // size + interest + (50 if penalty and number == 1 else 0)
            first = number == 1
            text += ",".join(
                [
                    self.loans[1].number,
                    str(number),
                    (date(2025, 12, 31) + timedelta(days=30 * number)).isoformat(),
                    f"{due}.00",
                    f"{6000 // size}.00",
                    f"{interest}.00",
                    "",
                    penalty if first else "",
                    {"all": f"{due}.00"}.get(paid, paid) if first else "",
                    f"{status}\n" if first else "\n",
                ]
            )
        for _ in range(1 + twice):
            self.bring(text)

    def bring(self, text: str) -> None:
        kamau, posted = factories.kamau(), Transfer.objects.count()
        job = imports.upload(kind="schedule", content=text.encode(), filename="book.csv", by=kamau)
        job = imports.check(job, on=self.day)
        try:
            job = imports.confirm(job, leave_out_bad=False, by=kamau)
        except Refused:
            assert Transfer.objects.count() == posted
            return
        self.touched = True
        job = imports.apply(job, by=kamau, on=self.day)
        assert job.status == "done", job.error

    # What is true after every step.

    @invariant()
    def the_books_agree(self):
        if not self.touched:
            return
        self.touched = False
        self.instalments_tell_what_happened()
        prove()
        booked = balances()
        assert -booked[chart.UNEARNED_INTEREST] == booked[chart.INTEREST_RECEIVABLE]
        for loan in Loan.objects.filter(disbursed_on__isnull=False).select_related("position"):
            is_clear = loan.position.outstanding == 0
            assert loan.status == (Loan.Status.CLOSED if is_clear else Loan.Status.ACTIVE)
            assert (loan.closed_on is None) == (not is_clear)
            assert loan.position.unscheduled >= 0

    def instalments_tell_what_happened(self):
        waived = dict.fromkeys(COMPONENTS, ZERO)
        for waiver in Waiver.objects.all():
            waived[waiver.component] += waiver.amount
        rows = list(Repayment.objects.all())
        for name in COMPONENTS:
            assert sum((getattr(row, f"{name}_waived") for row in rows), ZERO) == waived[name]
        charged = sum((charge.amount for charge in Penalty.objects.all()), ZERO)
        assert sum((row.penalties for row in rows), ZERO) == charged
        for row in rows:
            assert row.is_open == (row.outstanding > 0)
            assert (row.paid_on is None) == (row.status not in ("completed", "waived"))
            automatic = row.penalty_charges.filter(charged_by=None)
            if row.loan.penalty_cap_kind == "amount":
                capped = sum((charge.amount for charge in automatic), ZERO)
                assert capped <= row.loan.penalty_cap_value


@pytest.mark.django_db
def test_loans_live_through_anything_and_the_books_stay_right():
    for person in (factories.kamau, factories.njeri, factories.mutua, factories.wanjiku):
        person()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
