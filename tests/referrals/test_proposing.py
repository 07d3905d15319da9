"""What earns a reward, and what does not; once a customer, and not more than the cap."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from lms.closing.models import DayClose
from lms.closing.operations import close_day
from lms.ledger.models import JournalEntry
from lms.loans.models import DeathClaim, Loan
from lms.loans.operations import (
    collection,
    deaths,
    lifecycle,
    refinancing,
    relief,
    writing_off,
)
from lms.payments.models import Payment
from lms.referrals.models import ReferralReward
from lms.referrals.operations import propose, refuse
from tests import factories
from tests.books import prove
from tests.loans.test_settling import pay
from tests.referrals.circle import DUE, NIGHT, ON, brought, lent, paid_back, proposed

D = Decimal


@pytest.fixture
def otieno(db):
    """Otieno, whom Wanjiku brought."""
    return brought()


def test_the_first_loan_paid_back_earns_one(otieno, wanjiku):
    loan = paid_back(otieno)

    assert propose(on=NIGHT) == 1

    reward = ReferralReward.objects.get()
    assert (reward.referrer, reward.referred, reward.loan) == (wanjiku, otieno, loan)
    assert (reward.amount, reward.status) == (D("500.00"), "proposed")
    assert (reward.earned_on, reward.proposed_on) == (DUE, NIGHT)
    assert reward.history.get().history_change_reason == "The first loan was paid back"
    assert not Payment.objects.filter(method="reward").exists()


def test_nothing_is_earned_before(otieno):
    loan = lent(otieno)
    assert propose(on=NIGHT) == 0
    pay(loan, "10199.00", on=DUE)
    assert propose(on=NIGHT) == 0

    assert propose(on=ON) == 0


def test_a_night_run_twice_proposes_it_once(otieno):
    paid_back(otieno)

    assert [propose(on=on) for on in (NIGHT, NIGHT, ON)] == [1, 0, 0]


def test_the_database_holds_one_reward_a_customer(otieno, kamau):
    reward = proposed(1)

    again = ReferralReward(
        referrer=otieno, referred=reward.referred, loan=paid_back(otieno), amount=500,
        earned_on=DUE, proposed_on=ON,
    )  # fmt: skip
    with pytest.raises(IntegrityError), transaction.atomic():
        again.save()


def test_the_second_loan_earns_nothing(otieno, kamau):
    first = lent(otieno)
    paid_back(otieno)
    assert propose(on=NIGHT) == 0  # the other one still runs

    pay(first, 10_200, on=DUE)

    assert propose(on=ON) == 1
    assert ReferralReward.objects.get().loan == first
    paid_back(otieno)
    assert propose(on=ON) == 0


def test_who_came_by_themselves_earns_nobody_anything(wanjiku):
    paid_back(wanjiku)

    assert propose(on=NIGHT) == 0


def test_a_night_without_rewards_proposes_none(otieno, settings):
    settings.REFERRAL_REWARD = 0
    paid_back(otieno)

    assert propose(on=NIGHT) == 0


def test_a_loan_closed_long_ago_earns_nothing_when_rewards_begin(otieno):
    paid_back(otieno)

    assert propose(on=DUE + timedelta(days=32)) == 0
    assert propose(on=DUE + timedelta(days=31)) == 1


# --- What counts as paid back --------------------------------------------------------------------
def test_a_loan_written_off_earns_nothing_also_once_it_is_recovered(otieno, kamau):
    loan = lent(otieno)
    writing_off.write_off(loan, reason="Left the county", by=kamau, on=DUE)
    pay(loan, 10_200, on=DUE)

    assert propose(on=NIGHT) == 0


def test_nor_when_a_part_was_written_off(otieno, kamau):
    loan = lent(otieno)
    writing_off.write_off(loan, amount=D(1_000), reason="Flood", by=kamau, on=DUE)
    pay(loan, 9_200, on=DUE)

    assert propose(on=NIGHT) == 0


def test_nor_when_principal_was_given_up(otieno, kamau):
    loan = lent(otieno)
    relief.waive(
        loan.repayments.get(), component="principal", amount=D(1_000), reason="Flood", by=kamau,
        on=DUE,
    )  # fmt: skip
    pay(loan, 9_200, on=DUE)
    loan.refresh_from_db()
    assert loan.status == "closed"

    assert propose(on=NIGHT) == 0


def test_interest_that_was_given_up_costs_the_referrer_nothing(otieno, kamau):
    loan = lent(otieno)
    relief.waive(
        loan.repayments.get(), component="interest", amount=D(50), reason="Bank was closed",
        by=kamau, on=DUE,
    )  # fmt: skip
    pay(loan, 10_150, on=DUE)

    assert propose(on=NIGHT) == 1


def test_a_loan_that_a_new_loan_paid_off_earns_nothing(otieno):
    old = lent(otieno)
    new = refinancing.refinance(old, principal=D(20_000), by=factories.njeri(), on=DUE)
    lifecycle.submit(new, by=factories.njeri(), on=DUE)
    lifecycle.approve(new, by=factories.kamau(), on=DUE)
    lifecycle.disburse(new, method="cash", reference=None, by=factories.mutua(), on=DUE)
    old.refresh_from_db()
    assert old.status == "closed"

    assert propose(on=NIGHT) == 0
    prove()


def test_a_loan_that_the_insurer_paid_after_a_death_earns_nothing(otieno, kamau):
    loan = lent(otieno)
    deaths.record_death(otieno, died_on=date(2026, 2, 1), by=kamau, on=DUE)
    claim = deaths.make_claim(
        DeathClaim.objects.get(loan=loan), insurer="Britam", claim_number="1", amount=D(12_000),
        by=kamau, on=DUE,
    )  # fmt: skip
    deaths.settle_claim(claim, amount=D(12_000), reference="BRIT1", by=kamau, on=DUE)
    loan.refresh_from_db()
    assert loan.status == "closed"

    assert propose(on=NIGHT) == 0


def test_a_loan_that_is_owed_again_does_not_earn_it(otieno, kamau):
    loan = paid_back(otieno)
    payment = Payment.objects.get(customer=otieno)
    collection.reverse_payment(payment, reason="Forged slip", by=kamau, on=DUE)
    loan.refresh_from_db()
    assert loan.status == "active"

    assert propose(on=NIGHT) == 0
    pay(Loan.objects.get(pk=loan.pk), 10_200, on=ON)
    assert propose(on=ON) == 1
    assert ReferralReward.objects.get().earned_on == ON


# --- The cap -------------------------------------------------------------------------------------
def test_not_more_than_the_cap_in_a_month_also_later(wanjiku, settings, kamau):
    settings.REFERRAL_MONTHLY_CAP = 2
    customers = [brought(number) for number in (1, 2, 3, 4)]
    for customer in customers[:3]:
        paid_back(customer)
    assert propose(on=NIGHT) == 2
    assert list(ReferralReward.objects.order_by("pk").values_list("referred", flat=True)) == [
        customer.pk for customer in customers[:2]
    ]

    refuse(ReferralReward.objects.first(), reason="Their own brother", by=kamau, on=ON)
    paid_back(customers[3], on=date(2026, 3, 2))

    assert propose(on=date(2026, 3, 2)) == 1
    assert propose(on=date(2026, 3, 3)) == 0
    assert ReferralReward.objects.get(earned_on=date(2026, 3, 2)).referred == customers[3]


def test_the_cap_is_of_one_referrer(wanjiku, otieno, settings):
    settings.REFERRAL_MONTHLY_CAP = 1
    for number, referrer in ((1, wanjiku), (2, otieno)):
        paid_back(brought(number, referrer))

    assert propose(on=NIGHT) == 2


def test_without_a_cap_all_are_earned(wanjiku, settings):
    settings.REFERRAL_MONTHLY_CAP = 0
    for number in range(1, 8):
        paid_back(brought(number))

    assert propose(on=NIGHT) == 7


# --- The night -----------------------------------------------------------------------------------
def test_the_night_proposes_and_books_nothing_for_it(otieno):
    paid_back(otieno)

    close_day(NIGHT)
    close_day(NIGHT, again=True)

    assert DayClose.objects.get(step="referrals").rows == 0  # the second time
    assert ReferralReward.objects.count() == 1
    assert not JournalEntry.objects.filter(transfers__debit="5070").exists()
    prove()


def test_it_takes_the_same_queries_for_one_customer_and_for_three(
    wanjiku, django_assert_num_queries
):
    paid_back(brought(1))
    with CaptureQueriesContext(connection) as one:
        assert propose(on=NIGHT) == 1
    for number in (2, 3, 4):
        paid_back(brought(number))

    with django_assert_num_queries(len(one)):
        assert propose(on=NIGHT) == 3
