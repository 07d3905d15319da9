"""Principal paid before it is due, by hand and by the terms of the loan."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.models import Loan, Repayment, Waiver
from lms.loans.models.terms import Method
from lms.loans.operations import (
    changes,
    collection,
    lateness,
    prepaying,
    restructuring,
    rows,
    settling,
)
from lms.loans.settlement import KEEPS
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import receive
from tests import factories
from tests.books import balances, prove

pytestmark = pytest.mark.django_db
D = Decimal
AFTER_FOUR = date(2026, 5, 15)


def cash(loan, amount, *, on):
    """Cash that waits unallocated."""
    return receive(
        method="cash", amount=D(amount), reference=None, value_date=on, account=loan.number,
        branch=loan.branch, customer=loan.customer, by=factories.mutua(), on=on,
    )  # fmt: skip


def pay(loan, amount, *, on):
    payment = cash(loan, amount, on=on)
    collection.allocate(payment, loan, by=factories.mutua(), on=on)
    payment.refresh_from_db()
    return payment


def lend(principal=100_000, *, interest_multiple="0.01", **fields):
    """100,000 at 24% declining over 12 months, to the cent: 9,456 from 15 February on."""
    product = factories.product(code="AHEAD", interest_multiple=interest_multiple, **fields)
    return factories.active(D(principal), product=product)


def after_four(**fields):
    """Four instalments are paid and 69,269.29 of principal are left."""
    loan = lend(**fields)
    for month in (2, 3, 4, 5):
        pay(loan, 9_456, on=date(2026, month, 15))
    return Loan.objects.get(pk=loan.pk)


def left(loan):
    return [row.amount_due for row in loan.repayments.unpaid().order_by("number")]


def state_of(loan):
    """What the loan is, apart from the numbers and histories of what was tried on it."""
    loan.refresh_from_db()
    standing = loan.repayments.exclude(status__in=Repayment.GONE).order_by("number")
    position = type(loan.position).objects.filter(pk=loan.pk)
    return (
        list(standing.values("pk", *changes.ROW_FIELDS)),
        position.values().get(),
        loan.status,
        loan.surplus,
    )


# What 20,000 after the fourth instalment leaves: instalments, interest, last due date.
WORKED = {
    "instalment": ([D(9456)] * 5 + [D("5291.63")], D("3302.34"), date(2026, 11, 15)),
    "term": ([D(6726)] * 7 + [D("6723.78")], D("4536.49"), date(2027, 1, 15)),
}


def test_both_ways_are_shown_side_by_side_before_anything_is_done():
    loan = after_four()

    found = prepaying.preview(loan, amount=D(20_000), on=AFTER_FOUR)

    for keep, (instalments, interest, last) in WORKED.items():
        plan = found[keep]
        assert [row.amount_due for row in plan.made] == instalments
        assert (plan.interest, plan.made[-1].due_date) == (interest, last)
        assert plan.instalment == instalments[1]
        assert plan.saved == D("6378.17") - interest
    assert not loan.changes.exists()


@pytest.mark.parametrize("keep", KEEPS)
def test_money_beyond_what_is_due_pays_principal(kamau, keep):
    loan = after_four()
    before = balances()

    change = prepaying.prepay(
        loan, payment=cash(loan, 20_000, on=AFTER_FOUR), keep=keep, by=kamau, on=AFTER_FOUR
    )

    instalments, interest, _ = WORKED[keep]
    loan = Loan.objects.get(pk=loan.pk)
    assert left(loan) == instalments
    assert (loan.position.principal, loan.position.interest) == (D("49269.29"), interest)
    assert (change.kind, change.amount) == ("prepayment", 20_000)
    booked = balances()
    saved = D("6378.17") - interest
    assert before[chart.INTEREST_RECEIVABLE] - booked[chart.INTEREST_RECEIVABLE] == saved
    assert booked[chart.UNEARNED_INTEREST] - before[chart.UNEARNED_INTEREST] == saved
    assert booked[chart.INTEREST_INCOME] == before[chart.INTEREST_INCOME]
    prove()


def test_what_is_due_is_paid_first_and_principal_gets_an_instalment_of_the_day(kamau):
    loan = lend()
    day = date(2026, 2, 25)
    payment = cash(loan, 29_456, on=day)

    prepaying.prepay(loan, payment=payment, keep="term", by=kamau, on=day)

    standing = loan.repayments.exclude(status__in=Repayment.GONE).order_by("number")
    first, prepaid, third = standing[:3]
    assert (first.due_date, first.status) == (date(2026, 2, 15), "completed")
    assert (prepaid.due_date, prepaid.principal, prepaid.status) == (day, 20_000, "completed")
    assert (third.due_date, third.version) == (date(2026, 3, 15), 2)
    days = [row.due_date for row in standing]
    assert days == sorted(set(days))
    assert sum(row.principal for row in standing) == 100_000
    payment.refresh_from_db()
    assert (payment.status, payment.allocated, payment.credited) == ("allocated", 29_456, 0)
    prove()


def test_interest_earned_before_is_still_owed_when_the_loan_is_settled(kamau):
    loan = after_four()
    day = date(2026, 5, 25)
    before = settling.payoff(loan, on=day).total

    prepaying.prepay(loan, payment=cash(loan, 20_000, on=day), keep="term", by=kamau, on=day)

    # 69,269.29 for 10 days at 24% over 365 are 455.47; from then on 49,269.29 bears 32.40 a day.
    loan = Loan.objects.get(pk=loan.pk)
    quoted = settling.payoff(loan, on=day)
    assert before == D("69724.76")
    assert quoted.total == before - 20_000
    assert (quoted.interest, quoted.per_day) == (D("455.47"), D("32.40"))
    later = settling.payoff(loan, on=date(2026, 6, 4))
    assert later.interest == D("455.47") + D("323.96")


def test_a_second_prepayment_starts_from_what_the_first_left(kamau):
    loan = after_four()

    for day in (date(2026, 5, 20), date(2026, 5, 25)):
        payment = cash(loan, 10_000, on=day)
        prepaying.prepay(loan, payment=payment, keep="instalment", by=kamau, on=day)

    # The first 10,000 bore 5 days, 32.88, the second 10, 65.75.
    rows_left = list(loan.repayments.unpaid().order_by("number"))
    assert rows_left[0].interest == D("985.39") + D("32.88") + D("65.75")
    assert left(loan)[1:-1] == [D(9456)] * (len(rows_left) - 2)
    assert sum(row.principal for row in rows_left) == D("49269.29")
    prove()


def test_interest_paid_ahead_is_not_asked_for_again(kamau):
    loan = after_four()
    pay(loan, 1_000, on=AFTER_FOUR)  # of the 1,385.39 of interest of June

    prepaying.prepay(
        loan, payment=cash(loan, 20_000, on=AFTER_FOUR), keep="term", by=kamau, on=AFTER_FOUR
    )

    # June bears 985.39 now, so that 14.61 goes on to July.
    assert left(loan) == [D("5740.61"), D("6711.39"), *[D(6726)] * 5, D("6723.78")]
    prove()


def test_an_instalment_paid_ahead_stays_and_takes_the_principal(kamau):
    loan = after_four()
    pay(loan, 9_456, on=AFTER_FOUR)
    day = date(2026, 5, 25)

    prepaying.prepay(loan, payment=cash(loan, 10_000, on=day), keep="term", by=kamau, on=day)

    june = loan.repayments.get(number=5)
    assert (june.status, june.due_date) == ("completed", date(2026, 6, 15))
    assert sum(row.principal for row in loan.repayments.exclude(status__in=Repayment.GONE)) == D(
        100_000
    )
    prove()


def test_flat_interest_stays_but_for_the_rebate_on_what_is_prepaid(kamau):
    loan = lend(50_000, interest_multiple="1", method="flat", rate=D(3), rate_period="month",
                number_of_repayments=6, rebate="pro_rata")  # fmt: skip
    for month in (2, 3):
        pay(loan, 9_833, on=date(2026, month, 15))
    day = date(2026, 3, 15)

    change = prepaying.prepay(
        loan, payment=cash(loan, 16_667, on=day), keep="term", by=kamau, on=day
    )

    # Half of the 33,334 not yet due, so half of the 6,000 of interest to come.
    assert "KES 3,000.00 of interest saved" in change.summary
    assert sum(left(loan)) == 16_667 + 3_000
    prove()
    # The rest is given back when the loan is settled: pro rata of all six, not of these four.
    assert settling.payoff(Loan.objects.get(pk=loan.pk), on=day).total == 16_667


def test_a_restructured_loan_is_prepaid_by_its_new_terms(kamau):
    loan = after_four()
    restructuring.restructure(
        loan, arrears="carry", number_of_repayments=6, reason="Asked", by=kamau, on=AFTER_FOUR
    )

    prepaying.prepay(
        loan, payment=cash(loan, 20_000, on=AFTER_FOUR), keep="term", by=kamau, on=AFTER_FOUR
    )

    # A = 49,269.29 × 0.02 / (1 − 1.02^−6) = 8,795.84
    assert left(loan)[:-1] == [D(8796)] * 5
    prove()


# --- Refusals ------------------------------------------------------------------------------------
def refusal(loan, amount, *, on, by) -> str:
    """Return why a prepayment is refused, which changes nothing."""
    payment = cash(loan, amount, on=on)
    before = Transfer.objects.count()

    with pytest.raises(Refused) as refused:
        prepaying.prepay(loan, payment=payment, keep="term", by=by, on=on)

    assert Transfer.objects.count() == before
    assert not loan.changes.exists()
    return str(refused.value)


def test_less_than_is_due_prepays_nothing(kamau):
    loan = lend()
    day = date(2026, 2, 15)
    assert "KES 9,456.00 is due" in refusal(loan, 9_456, on=day, by=kamau)


def test_all_of_the_principal_is_a_settlement(kamau):
    assert "settle the loan" in refusal(after_four(), D("69269.29"), on=AFTER_FOUR, by=kamau)


def test_principal_is_not_prepaid_behind_a_later_event(kamau):
    why = refusal(after_four(), 20_000, on=date(2026, 5, 1), by=kamau)

    assert "has an event of 15 May" in why


def test_a_schedule_that_was_moved_by_hand_has_no_rate_to_go_by(kamau):
    loan = after_four()
    loan.repayments.filter(number=6).update(due_date=date(2026, 7, 18))
    assert "Instalment 6 of LN" in refusal(loan, 20_000, on=AFTER_FOUR, by=kamau)


def test_only_an_unallocated_payment_prepays(kamau):
    loan = lend()
    payment = pay(loan, 100, on=date(2026, 1, 20))

    with pytest.raises(Refused, match="allocated already"):
        prepaying.prepay(loan, payment=payment, keep="term", by=kamau, on=date(2026, 1, 20))


# --- Undoing -------------------------------------------------------------------------------------
def test_undoing_brings_the_schedule_and_the_money_back(kamau):
    loan = after_four()
    before, booked = state_of(loan), balances()
    payment = cash(loan, 20_000, on=date(2026, 5, 25))
    change = prepaying.prepay(
        loan, payment=payment, keep="instalment", by=kamau, on=date(2026, 5, 25)
    )

    changes.undo(change, reason="Meant as an advance", by=kamau, on=date(2026, 5, 26))

    assert state_of(loan) == before
    assert set(loan.repayments.filter(status="cancelled").values_list("paid_on")) == {(None,)}
    payment.refresh_from_db()
    assert (payment.status, payment.allocated) == ("unallocated", 0)
    assert payment.waits_for_staff
    now = balances()
    assert all(now[code] == booked[code] for code in set(booked) - {chart.UNALLOCATED, chart.CASH})
    prove()


def test_a_bounced_payment_takes_its_prepayment_along_and_what_lateness_cost_since(kamau):
    loan = after_four(penalty_base="instalment", penalty_value=D(1), penalty_frequency="daily")
    before = state_of(loan)[0]
    payment = cash(loan, 20_000, on=date(2026, 5, 25))
    prepaying.prepay(loan, payment=payment, keep="term", by=kamau, on=date(2026, 5, 25))
    locked = rows.lock(loan.pk)
    assert lateness.bring_up_to(locked, on=date(2026, 6, 20))

    collection.reverse_payment(payment, reason="Bounced", by=kamau, on=date(2026, 6, 20))

    assert state_of(loan)[0] == before
    prove()


def test_money_that_came_later_is_taken_back_first(kamau):
    loan = after_four()
    payment = cash(loan, 20_000, on=AFTER_FOUR)
    prepaying.prepay(loan, payment=payment, keep="term", by=kamau, on=AFTER_FOUR)
    later = pay(loan, 6_726, on=date(2026, 6, 15))

    with pytest.raises(Refused, match=rf"{later} was placed on it since"):
        collection.take_back(payment, reason="Wrong loan", by=kamau, on=date(2026, 6, 15))

    collection.take_back(later, reason="To undo", by=kamau, on=date(2026, 6, 15))
    collection.take_back(payment, reason="Wrong loan", by=kamau, on=date(2026, 6, 15))
    assert left(loan)[0] == 9_456
    prove()


# --- By the terms of the loan --------------------------------------------------------------------
@pytest.mark.parametrize(("surplus", "keep"), [("shorten", "instalment"), ("lower", "term")])
def test_the_terms_say_what_becomes_of_money_beyond_what_is_due(surplus, keep):
    loan = after_four(surplus=surplus)

    payment = pay(loan, 20_000, on=AFTER_FOUR)

    assert left(loan) == WORKED[keep][0]
    assert (payment.allocated, payment.credited) == (20_000, 0)
    assert loan.changes.get().kind == "prepayment"
    prove()


def test_money_beyond_what_is_due_that_comes_by_itself_prepays_as_well():
    loan = after_four(surplus="shorten")

    payment = routing.take(
        method="mpesa",
        amount=D(20_000),
        reference="UKL7AB12CD",
        value_date=AFTER_FOUR,
        account=loan.number,
        by=None,
        on=AFTER_FOUR,
    )

    change = loan.changes.get()
    assert (change.kind, change.made_by) == ("prepayment", None)
    assert (payment.allocated, payment.credited) == (20_000, 0)
    assert left(loan) == WORKED["instalment"][0]
    prove()


def test_what_is_due_alone_is_paid_as_ever():
    loan = after_four(surplus="shorten")

    assert not loan.changes.exists()


def test_money_that_covers_the_payoff_settles_the_loan_with_its_rebate():
    loan = lend(50_000, interest_multiple="1", method="flat", rate=D(3), rate_period="month",
                number_of_repayments=6, rebate="actuarial", surplus="lower")  # fmt: skip
    for month in (2, 3):
        pay(loan, 9_833, on=date(2026, month, 15))

    payment = pay(loan, 35_000, on=date(2026, 3, 15))

    loan.refresh_from_db()
    assert loan.status == "closed"
    assert (payment.allocated, payment.credited) == (34_914, 86)
    assert sum(w.amount for w in Waiver.objects.filter(kind="rebate")) == 4_420
    prove()


def test_money_between_the_principal_and_the_payoff_stays_as_credit():
    loan = after_four(surplus="lower")

    payment = pay(loan, D("69300"), on=date(2026, 5, 25))

    assert (payment.allocated, payment.credited) == (0, 69_300)
    prove()


def test_money_that_counts_from_before_a_later_event_stays_as_credit():
    loan = after_four(surplus="shorten")

    payment = pay(loan, 20_000, on=date(2026, 5, 1))

    payment.refresh_from_db()
    assert payment.allocated + payment.credited == 20_000
    assert not loan.changes.exists()
    prove()


# --- Any terms -----------------------------------------------------------------------------------
@given(
    method=st.sampled_from(Method.values),
    keep=st.sampled_from(KEEPS),
    rebate=st.sampled_from(["none", "pro_rata", "rule_of_78", "actuarial"]),
    paid=st.integers(0, 3),
    days=st.integers(0, 40),
    share=st.integers(1, 99),
    unit=st.sampled_from(["0.01", "1", "5"]),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_shilling_of_principal_is_lost_and_undoing_restores_all(
    db, method, keep, rebate, paid, days, share, unit
):
    """One example after another, each in a transaction that is rolled back."""
    with transaction.atomic():
        loan, day = part_paid(method, rebate, paid, days, unit)
        found = loan.repayments.unpaid().order_by("number")
        due = sum((row.outstanding for row in found.filter(due_date__lte=day)), ZERO)
        later = sum((row.owing_of("principal") for row in found.filter(due_date__gt=day)), ZERO)
        assume(later)
        before = state_of(loan)
        payment = cash(loan, due + (later * share / 100).quantize(D("0.01")), on=day)

        change = prepaying.prepay(loan, payment=payment, keep=keep, by=factories.kamau(), on=day)

        standing = loan.repayments.exclude(status__in=Repayment.GONE).order_by("number")
        assert sum(row.principal for row in standing) == 60_000
        dates_of = [row.due_date for row in standing]
        assert dates_of == sorted(set(dates_of))
        prove()
        assert settling.payoff(Loan.objects.get(pk=loan.pk), on=day).total >= ZERO

        changes.undo(change, reason="Undone", by=factories.kamau(), on=day)

        assert state_of(loan) == before
        payment.refresh_from_db()
        assert payment.status == Payment.Status.UNALLOCATED
        prove()
        transaction.set_rollback(True)


def part_paid(method, rebate, paid, days, unit):
    """60,000 over six months with some instalments paid; and a day some days after the last."""
    loan = lend(
        60_000,
        interest_multiple=unit,
        instalment_multiple=unit,
        method=method,
        rebate=rebate,
        number_of_repayments=6,
    )
    day = date(2026, 1, 15)
    for row in loan.repayments.unpaid().order_by("number")[:paid]:
        day = row.due_date
        pay(loan, row.amount_due, on=day)
    return loan, day + timedelta(days=days)
