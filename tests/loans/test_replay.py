"""Money that counts from the past: the loan ends as if it had come in time."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lms import routing
from lms.ledger.models import JournalEntry
from lms.loans.models import Allocation, Penalty, Position, Repayment, Waiver
from lms.loans.operations import collection, relief
from lms.loans.operations.rows import MONEY_FIELDS
from lms.money import ZERO
from lms.payments.models import Payment
from tests import factories
from tests.books import balances, prove
from tests.nights import charge

DISBURSED = date(2026, 1, 15)
DAILY = {
    "penalty_base": "instalment",
    "penalty_value": Decimal("0.5"),
    "penalty_frequency": "daily",
    "penalty_grace_days": 3,
}
RULES = [
    DAILY,
    {**DAILY, "penalty_start": "due_date", "penalty_cap_kind": "amount", "penalty_cap_value": 250},
    {**DAILY, "penalty_cap_kind": "percent_of_base", "penalty_cap_value": 10},
    {"penalty_base": "fixed", "penalty_value": Decimal(300), "penalty_grace_days": 5},
    {
        "penalty_base": "outstanding_principal",
        "penalty_value": Decimal("0.4"),
        "penalty_frequency": "weekly",
    },
    {
        **DAILY,
        "penalty_frequency": "monthly",
        "penalty_value": Decimal(10),
        "penalty_stop": "maturity",
    },
]


def lend(**rule):
    """10,000 over three months: 3,468, 3,468 and 3,467.13 from 15 February on."""
    product = factories.product(number_of_repayments=3, code="REPLAY", **rule)
    return factories.active(Decimal(10_000), product=product, on=DISBURSED)


def pay(loan, amount, *, value_date, on=None, reference=None):
    return routing.take(
        method="mpesa",
        amount=Decimal(amount),
        reference=reference or f"UKM{Payment.objects.count():07d}",
        value_date=value_date,
        account=loan.number,
        by=factories.mutua(),
        on=on or value_date,
    )


def nights(until, *, start):
    day = start
    while day <= until:
        charge(on=day)
        day += timedelta(days=1)


def state(loan) -> list[tuple]:
    """What the instalments and the position say, without their keys."""
    rows = [
        tuple(getattr(row, name) for name in (*MONEY_FIELDS, "status", "paid_on"))
        for row in Repayment.objects.filter(loan=loan).order_by("number")
    ]
    position = Position.objects.get(pk=loan.pk)
    return [*rows, (position.outstanding, position.overdue_since)]


@pytest.mark.django_db
def test_a_backdated_payment_takes_back_the_penalties_after_it():
    loan = lend(**DAILY)
    nights(date(2026, 2, 28), start=date(2026, 2, 16))
    row = loan.repayments.get(number=1)
    assert row.penalties == Decimal(173)  # 0.5% of 3,468.00 for 10 days, to the shilling

    pay(loan, "3468.00", value_date=date(2026, 2, 15), on=date(2026, 3, 1))

    row.refresh_from_db()
    assert (row.penalties, row.status, row.paid_on) == (ZERO, "completed", date(2026, 2, 15))
    assert not Penalty.objects.standing().exists()
    assert Penalty.objects.filter(cancelled_on=date(2026, 3, 1)).count() == 10
    assert balances()["4030"] == ZERO
    prove()


@pytest.mark.django_db
def test_penalties_before_the_value_date_stand_and_are_paid_first():
    loan = lend(**DAILY)
    nights(date(2026, 2, 28), start=date(2026, 2, 16))

    payment = pay(loan, "1000.00", value_date=date(2026, 2, 21), on=date(2026, 3, 1))

    parts = Allocation.objects.filter(payment=payment).values_list("component", "amount")
    assert dict(parts) == {  # two days of 17.34 by the eve of the 21st
        "penalties": Decimal(35),
        "interest": Decimal(200),
        "principal": Decimal(765),
    }
    # From the 21st on 0.5% a day of 2,503: 12.5 a day until the 28th.
    assert loan.repayments.get(number=1).penalties == Decimal(35) + Decimal(100)
    prove()


@pytest.mark.django_db
def test_an_earlier_payment_moves_a_later_one_to_what_was_left_for_it():
    loan = lend()
    late = pay(loan, "3468.00", value_date=date(2026, 3, 10))

    early = pay(loan, "3468.00", value_date=date(2026, 2, 10), on=date(2026, 3, 12))

    first, second, _ = loan.repayments.order_by("number")
    assert set(early.allocations.values_list("repayment_id", flat=True)) == {first.pk}
    standing = late.allocations.filter(amount__gt=0, reversed_by=None)
    assert set(standing.values_list("repayment_id", flat=True)) == {second.pk}
    assert (first.paid_on, second.paid_on) == (date(2026, 2, 10), date(2026, 3, 10))
    replayed = JournalEntry.objects.filter(reference__startswith=f"allocate:{late.pk}:")
    assert replayed.count() == 2
    assert replayed.filter(reversed_by__isnull=False).count() == 1
    prove()


@pytest.mark.django_db
def test_a_payment_that_pays_the_same_as_before_is_left_alone():
    loan = lend()
    pay(loan, "1000.00", value_date=date(2026, 3, 1))
    last = pay(loan, "3000.00", value_date=date(2026, 3, 20))
    posted = JournalEntry.objects.count()

    pay(loan, "500.00", value_date=date(2026, 3, 10), on=date(2026, 3, 21))

    # The receipt, its placing, and the last payment mirrored and placed anew.
    assert JournalEntry.objects.count() == posted + 4
    assert last.allocations.count() > 0


@pytest.mark.django_db
def test_a_reversed_payment_makes_the_loan_late_again():
    loan = lend(**DAILY)
    bounced = pay(loan, "3468.00", value_date=date(2026, 2, 14))
    nights(date(2026, 2, 28), start=date(2026, 2, 15))
    assert not Penalty.objects.exists()

    collection.reverse_payment(bounced, reason="Bounced", by=factories.kamau(), on=date(2026, 3, 1))

    assert loan.repayments.get(number=1).penalties == Decimal(173)
    prove()


@pytest.mark.django_db
def test_a_waived_penalty_that_never_was_is_not_waived_any_more():
    loan = lend(**DAILY)
    nights(date(2026, 2, 28), start=date(2026, 2, 16))
    row = loan.repayments.get(number=1)
    relief.waive(
        row,
        amount=Decimal(100),
        component="penalties",
        reason="Flood",
        by=factories.kamau(),
        on=date(2026, 3, 1),
    )

    pay(loan, "3468.00", value_date=date(2026, 2, 20), on=date(2026, 3, 2))

    row.refresh_from_db()
    # 17.34 for one day by the eve of the 20th is paid; of what is left, a shilling is charged until
    # March, and the waiver takes that.
    assert row.penalties == Decimal(18)
    assert Waiver.objects.standing().get().amount == row.penalties_waived == Decimal(1)
    prove()


@pytest.mark.django_db
def test_nothing_is_replayed_behind_a_change_of_the_schedule():
    loan = lend()
    paid = pay(loan, "3468.00", value_date=date(2026, 3, 1))
    relief.cancel(
        loan.repayments.get(number=2), reason="Agreed", by=factories.kamau(), on=date(2026, 3, 5)
    )

    early = pay(loan, "500.00", value_date=date(2026, 2, 10), on=date(2026, 3, 6))

    assert set(early.allocations.values_list("counts_on", flat=True)) == {date(2026, 3, 5)}
    assert paid.allocations.filter(reverses__isnull=False).count() == 0
    prove()


@pytest.mark.django_db
def test_credit_used_elsewhere_stays_there_when_an_earlier_payment_bounces():
    first = lend()
    other = factories.active(
        Decimal(5_000),
        product=factories.product(code="OTHER", number_of_repayments=1),
        on=DISBURSED,
    )
    bounced = pay(first, "10403.00", value_date=date(2026, 2, 1))
    extra = pay(first, "6000.00", value_date=date(2026, 2, 2))
    collection.apply_credit(other, by=factories.kamau(), on=date(2026, 2, 20))

    collection.reverse_payment(
        bounced, reason="Bounced", by=factories.kamau(), on=date(2026, 2, 21)
    )

    extra.refresh_from_db()
    assert (extra.allocated, extra.credited) == (Decimal(6000), ZERO)
    other.refresh_from_db()
    assert other.status == "closed"
    paid = sum(row.amount_paid for row in first.repayments.all())
    assert paid == Decimal(6000) - Decimal(5100)
    prove()


arrivals = st.lists(
    st.tuples(
        st.integers(0, 110),  # the value date, in days after the disbursement
        st.integers(0, 25),  # arrives so many days later
        st.one_of(st.integers(1, 5000), st.sampled_from([3468, 3467, 10404])),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.django_db
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rule=st.sampled_from(RULES),
    direction=st.sampled_from(["vertical", "horizontal"]),
    surplus=st.sampled_from(["advance", "credit"]),
    arrivals=arrivals,
    closes=st.sampled_from([1, 1, 4, 200]),
)
@example(  # A cap, which other nights add up to as well.
    rule=RULES[1],
    direction="vertical",
    surplus="advance",
    arrivals=[(102, 0, 90), (53, 0, 200), (47, 18, 405), (69, 20, 3468), (71, 22, 3468)],
    closes=1,
)
def test_any_order_of_arrival_gives_the_state_of_value_date_order(
    rule, direction, surplus, arrivals, closes
):
    end = DISBURSED + timedelta(days=140)

    def run(moves):
        """Take each payment on the day it arrives, closing the nights between (or some)."""
        by_day = {}
        for value_date, arrives, amount in moves:
            by_day.setdefault(arrives, []).append((value_date, amount))
        with transaction.atomic():
            loan = lend(**rule, allocation_direction=direction, surplus=surplus)
            day = DISBURSED
            while day < end:
                for value_date, amount in by_day.get(day, ()):
                    pay(loan, amount, value_date=value_date, on=day)
                if (day - DISBURSED).days % closes == 0:
                    charge(on=day)
                day += timedelta(days=1)
            charge(on=end)
            assert charge(on=end) == 0
            prove()
            found = state(loan)
            transaction.set_rollback(True)
        return found

    days = [
        (DISBURSED + timedelta(days=value), DISBURSED + timedelta(days=value + late), amount)
        for value, late, amount in arrivals
    ]
    in_time = [(value, value, amount) for value, _, amount in days]

    assert run(days) == run(in_time)


@pytest.mark.django_db
def test_money_that_came_before_the_loan_counts_from_its_disbursement():
    loan = lend()

    early = pay(loan, "3468.00", value_date=date(2026, 1, 2), on=date(2026, 1, 20))

    assert set(early.allocations.values_list("counts_on", flat=True)) == {DISBURSED}
    assert loan.repayments.get(number=1).paid_on == DISBURSED
    prove()


@pytest.mark.django_db
def test_a_waiver_is_whole_again_when_the_payment_that_cut_it_bounces():
    loan = lend(**DAILY)
    nights(date(2026, 2, 28), start=date(2026, 2, 16))
    row = loan.repayments.get(number=1)
    relief.waive(
        row,
        amount=Decimal(100),
        component="penalties",
        reason="Flood",
        by=factories.kamau(),
        on=date(2026, 3, 1),
    )
    before = state(loan)

    payment = pay(loan, "3468.00", value_date=date(2026, 2, 14), on=date(2026, 3, 1))
    cut = Waiver.objects.standing().get()
    collection.reverse_payment(payment, reason="Bounced", by=factories.kamau(), on=date(2026, 3, 1))

    assert (cut.amount, cut.asked) == (ZERO, Decimal(100))
    assert state(loan) == before
    assert Waiver.objects.standing().get().amount == Decimal(100)
    prove()


@pytest.mark.django_db
def test_a_loan_that_was_paid_off_runs_again_when_the_payment_bounces():
    loan = lend(**DAILY)
    last = pay(loan, "10403.13", value_date=date(2026, 2, 10))
    extra = pay(loan, "500.00", value_date=date(2026, 2, 12))
    assert Payment.objects.get(pk=extra.pk).credited == Decimal(500)

    collection.reverse_payment(last, reason="Bounced", by=factories.kamau(), on=date(2026, 3, 1))

    loan.refresh_from_db()
    extra.refresh_from_db()
    assert (loan.status, loan.closed_on) == ("active", None)
    assert (extra.allocated, extra.credited) == (Decimal(500), ZERO)
    prove()


@pytest.mark.django_db
def test_a_cap_holds_through_replays():
    loan = lend(**DAILY, penalty_cap_kind="amount", penalty_cap_value=120)
    nights(date(2026, 2, 28), start=date(2026, 2, 16))

    for day in (20, 18, 25, 17):
        pay(loan, "100.00", value_date=date(2026, 2, day), on=date(2026, 3, 1))
        assert loan.repayments.get(number=1).penalties <= Decimal(120)
    nights(date(2026, 4, 1), start=date(2026, 4, 1))

    assert loan.repayments.get(number=1).penalties == Decimal(120)
    prove()
