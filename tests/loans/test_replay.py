"""Money that counts from the past: the loan ends as if it had come in time."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lms import routing
from lms.ledger.models import JournalEntry
from lms.loans.models import Allocation, Penalty, Position, Repayment, Waiver
from lms.loans.operations import collection, lateness, relief, rows
from lms.loans.operations.night.recalculated import recalculate
from lms.loans.operations.rows import MONEY_FIELDS
from lms.money import ZERO
from lms.payments.models import Payment
from tests import factories
from tests.books import balances, prove
from tests.nights import EVERYBODY, charge

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


days = st.integers(0, 110)  # after the disbursement
payments = st.tuples(
    st.just("pay"),
    days,  # the value date
    st.integers(0, 25),  # arrives so many days later
    st.one_of(st.integers(1, 5000), st.sampled_from([3468, 3467, 10404])),
)
waivers = st.tuples(
    st.just("waive"),
    days,
    st.tuples(st.integers(1, 3), st.sampled_from(["principal", "interest", "penalties"])),
    st.integers(1, 2000),
)
reversals = st.tuples(st.just("reverse"), days, st.integers(0, 25), st.integers(0, 9))


class Arrivals:
    """One loan, on which money and decisions arrive day by day."""

    def __init__(self, rule, direction, surplus, *, closes, at_night) -> None:
        self.loan = lend(**rule, allocation_direction=direction, surplus=surplus)
        self.closes, self.at_night = closes, at_night

    def live(self, by_day) -> None:
        """Do what arrives on each day, before or after its night; some nights are missed."""
        day, end = DISBURSED, DISBURSED + timedelta(days=140)
        while day < end:
            is_closed = (day - DISBURSED).days % self.closes == 0
            if is_closed and self.at_night:
                charge(on=day)
            for verb, *answers in by_day.get(day, ()):
                getattr(self, verb)(*answers, on=day)
            if is_closed:
                charge(on=day)
            if self.loan.recalculates:
                recalculate(*EVERYBODY, on=day)
            day += timedelta(days=1)
        charge(on=end)
        assert charge(on=end) == 0
        prove()

    def pay(self, value_date, amount, *, on) -> None:
        pay(self.loan, amount, value_date=value_date, on=on)

    def waive(self, number, component, amount, *, on) -> None:
        """Give up as much of an amount as is owed."""
        with transaction.atomic():
            lateness.bring_up_to(rows.lock(self.loan.pk), on=on)
        row = self.loan.repayments.get(number=number)
        amount = min(Decimal(amount), row.owing_of(component))
        if amount:
            relief.waive(
                row, amount=amount, component=component, reason="Flood", by=factories.kamau(), on=on
            )

    def reverse(self, pick, *, on) -> None:
        """Take back a payment or a waiver that stands."""
        found = [*Payment.objects.filter(status="allocated").order_by("pk"), *relieved()]
        if not found:
            return
        what = found[pick % len(found)]
        verb = collection.reverse_payment if isinstance(what, Payment) else relief.reverse_waiver
        verb(what, reason="Wrong", by=factories.kamau(), on=on)

    def standing(self) -> dict[date, list[tuple]]:
        """What stands in the end, by the day it counts from: waivers go before money."""
        found = defaultdict(list)
        for waiver in relieved():
            asked = waiver.asked or waiver.amount
            number = waiver.repayment.number
            found[waiver.waived_on].append(("waive", number, waiver.component, asked))
        for payment in Payment.objects.filter(status="allocated").order_by("pk"):
            found[payment.value_date].append(("pay", payment.value_date, payment.amount))
        return found


def relieved() -> list[Waiver]:
    waivers = Waiver.objects.standing().filter(kind=Waiver.Kind.RELIEF)
    return list(waivers.select_related("repayment").order_by("pk"))


@pytest.mark.django_db
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rule=st.sampled_from(RULES),
    direction=st.sampled_from(["vertical", "horizontal"]),
    surplus=st.sampled_from(["advance", "credit"]),
    arrivals=st.lists(st.one_of(payments, payments, waivers, reversals), min_size=1, max_size=7),
    closes=st.sampled_from([1, 1, 4, 200]),
    at_night=st.booleans(),
    interest=st.sampled_from([{}, {"day_count": "actual/365", "recalculates": True}]),
)
@example(  # A cap, which other nights add up to as well.
    rule=RULES[1],
    direction="vertical",
    surplus="advance",
    arrivals=[
        ("pay", 102, 0, 90), ("pay", 53, 0, 200), ("pay", 47, 18, 405), ("pay", 69, 20, 3468),
        ("pay", 71, 22, 3468),
    ],
    closes=1,
    at_night=False,
    interest={},
)  # fmt: skip
@example(  # A reversal long after, and then money that counts from before it.
    rule=DAILY,
    direction="vertical",
    surplus="advance",
    arrivals=[("pay", 102, 11, 1), *[("pay", 0, 0, 1)] * 5, ("reverse", 108, 0, 0)],
    closes=200,
    at_night=False,
    interest={},
)
def test_any_order_of_arrival_gives_the_state_of_value_date_order(
    rule, direction, surplus, arrivals, closes, at_night, interest
):
    """What stands in the end decides: what was reversed might as well never have been.

    Two things hang on the order of arrival and are no part of this: a waiver is decided on what
    is owed when it is made, never on more; and nothing is replayed behind a schedule that was set.
    """
    by_day = defaultdict(list)
    for verb, day, *answers in arrivals:
        counts = DISBURSED + timedelta(days=day)
        if verb == "pay":
            late, amount = answers
            by_day[counts + timedelta(days=late)].append((verb, counts, amount))
        elif verb == "waive":
            (number, component), amount = answers
            by_day[counts].append((verb, number, component, amount))
        else:
            late, pick = answers
            by_day[counts + timedelta(days=late)].append((verb, pick))
    terms = {**rule, **interest}, direction, surplus

    with transaction.atomic():
        came = Arrivals(*terms, closes=closes, at_night=at_night)
        came.live(by_day)
        found, standing = state(came.loan), came.standing()
        transaction.set_rollback(True)
    with transaction.atomic():
        in_order = Arrivals(*terms, closes=closes, at_night=False)
        in_order.live(standing)
        wanted = state(in_order.loan)
        transaction.set_rollback(True)

    assert found == wanted


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
