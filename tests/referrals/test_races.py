"""Two managers at one reward in the same moment: the row of the reward lets one go first."""

from decimal import Decimal

from lms.ledger import chart
from lms.payments.models import Payment
from lms.referrals.models import ReferralReward
from lms.referrals.operations import approve, approve_all, refuse
from tests import books, factories
from tests.referrals.circle import ON, lent, proposed
from tests.tills.test_races import at_once

D = Decimal


def managers():
    return factories.kamau(), factories.staff("auma", "Manager")


def test_of_two_who_approve_at_once_one_wins_and_the_other_is_told(committed):
    kamau, auma = managers()
    for number in (1, 2, 3):
        reward = proposed(number)

        said = at_once(*[lambda by=by, r=reward: approve(r, by=by, on=ON) for by in (kamau, auma)])

        assert sorted(said) == sorted(["done", f"{reward.number} is approved already."])
    assert Payment.objects.filter(method="reward").count() == 3
    assert books.balances()[chart.REFERRAL_REWARDS] == D("1500.00")
    books.prove()


def test_approved_and_refused_at_once_is_one_of_both(committed):
    kamau, auma = managers()
    for number in (1, 2, 3):
        reward = proposed(number)

        said = at_once(
            lambda r=reward: approve(r, by=kamau, on=ON),
            lambda r=reward: refuse(r, reason="One family", by=auma, on=ON),
        )

        reward.refresh_from_db()
        assert sorted(answer == "done" for answer in said) == [False, True]
        assert (reward.status == "approved") == (reward.payment is not None) == (said[0] == "done")
    books.prove()


def test_selections_that_overlap_do_not_wait_for_one_another_for_ever(committed):
    kamau, auma = managers()
    otieno = factories.otieno()
    for number in (1, 2):
        proposed(number)
        proposed(number + 2, otieno)
    for referrer in (factories.wanjiku(), otieno):
        lent(referrer)
    rewards = ReferralReward.objects.all()

    said = at_once(*[lambda by=by: approve_all(rewards, by=by, on=ON) for by in (kamau, auma)])

    assert sorted(answer == "done" for answer in said) == [False, True]
    assert Payment.objects.filter(method="reward").count() == 4
    books.prove()
