"""Referrals on the customer's page, and the page of their rewards."""

from datetime import date
from decimal import Decimal

import pytest
import time_machine
from django.urls import reverse

from lms import dates
from lms.backoffice import figures
from lms.backoffice.admin.referrals import ReferralRewardResource
from lms.customers.models import Customer
from lms.payments.models import Payment
from lms.referrals.models import ReferralReward
from lms.referrals.operations import approve, refuse
from tests import factories
from tests.backoffice.pages import answer, ask, queries_of, url_of, went_through
from tests.backoffice.test_customers import ADD, answers, page_of
from tests.books import prove
from tests.referrals.circle import ON, brought, lent, proposed

MODEL = "referrals.referralreward"
CUSTOMER = "customers.customer"
LIST = reverse("admin:referrals_referralreward_changelist")
TODAY = dates.instant(date(2026, 2, 17))


@pytest.fixture(autouse=True)
def _rewards_are_on(settings):
    settings.REFERRAL_REWARD = 500
    with time_machine.travel(TODAY, tick=False):
        yield


@pytest.fixture
def reward(db):
    return proposed()


@pytest.fixture
def auma(db):
    return factories.staff("auma", "Manager")


def shown(client, **filters) -> list[ReferralReward]:
    return list(client.get(LIST, filters).context["cl"].result_list)


# --- The customer's page -------------------------------------------------------------------------
@pytest.mark.parametrize("known_as", ["0712 345 678", "12345678", "CU{pk}", "wanjiku mwangi"])
def test_who_referred_is_asked_at_registration(as_staff, njeri, wanjiku, known_as):
    sent = as_staff(njeri).post(ADD, answers(referrer=known_as.format(pk=wanjiku.pk)))

    mwende = Customer.objects.get(first_name="Mwende")
    assert sent.status_code == 302
    assert (mwende.referred_by, mwende.referral_recorded_by) == (wanjiku, njeri)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"referrer": "0799 999 999"}, "No customer is known by “0799 999 999”"),
        (
            {"referrer": "0712345678", "id_kind": "alien_id", "id_number": "12345678"},
            "Wanjiku Mwangi has the same ID number: nobody refers themselves.",
        ),
        (
            {"referrer": "0712345678", "phone": "0712345678"},
            "Wanjiku Mwangi has the same phone: nobody refers themselves.",
        ),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(as_staff, njeri, wanjiku, changed, said):
    sent = as_staff(njeri).post(ADD, answers(**changed))

    assert said in sent.context["adminform"].form.errors["referrer"][0]
    assert Customer.objects.count() == 1


def test_a_known_customer_is_not_referred_by_typing_over_the_form(as_staff, njeri, wanjiku):
    otieno = factories.otieno()

    as_staff(njeri).post(
        page_of(otieno),
        answers(phone=otieno.phone, id_number=otieno.id_number, referrer=wanjiku.number),
    )

    otieno.refresh_from_db()
    assert (otieno.first_name, otieno.referred_by) == ("Mwende", None)


def test_it_is_recorded_later_by_an_action(as_staff, njeri, wanjiku):
    otieno, client = factories.otieno(), as_staff(njeri)
    assert "nobody referred them" in ask(client, CUSTOMER, "set_referrer", otieno.pk).text

    assert went_through(
        answer(client, CUSTOMER, "set_referrer", otieno.pk, referrer="0712 345 678")
    )

    otieno.refresh_from_db()
    assert (otieno.referred_by, otieno.referral_recorded_by) == (wanjiku, njeri)
    assert went_through(answer(client, CUSTOMER, "set_referrer", otieno.pk, referrer=""))
    otieno.refresh_from_db()
    assert otieno.referred_by is None


def test_after_the_first_loan_it_is_neither_offered_nor_done(as_staff, njeri, wanjiku):
    otieno, client = factories.otieno(), as_staff(njeri)
    lent(otieno)

    assert url_of(CUSTOMER, "set_referrer", otieno.pk) not in client.get(page_of(otieno)).text
    said = answer(client, CUSTOMER, "set_referrer", otieno.pk, referrer=wanjiku.number).text
    assert "was paid out to Otieno Ouma on 15 Jan 2026" in said

    otieno.refresh_from_db()
    assert otieno.referred_by is None


def test_who_may_not_change_customers_records_no_referral(as_staff, mutua, wanjiku):
    otieno = factories.otieno()

    sent = answer(as_staff(mutua), CUSTOMER, "set_referrer", otieno.pk, referrer=wanjiku.number)

    assert sent.status_code == 403


def test_a_customer_of_another_branch_is_nobody_to_this_one(as_staff, njeri):
    factories.customer(branch=factories.branch("KSM", "Kisumu"))

    said = answer(
        as_staff(njeri), CUSTOMER, "set_referrer", factories.otieno().pk, referrer="0712345678"
    ).text

    assert "No customer is known by" in said


def test_each_page_shows_the_other_customer(as_staff, kamau, reward):
    client = as_staff(kamau)

    assert page_of(reward.referrer) in client.get(page_of(reward.referred)).text
    body = client.get(page_of(reward.referrer)).text
    assert page_of(reward.referred) in body
    assert "KES 500.00, waiting" in body


# --- The rewards ---------------------------------------------------------------------------------
def test_asking_changes_nothing_and_answering_pays_once(as_staff, kamau, reward):
    client = as_staff(kamau)
    said = ask(client, MODEL, "approve", reward.pk).text
    assert "KES 500.00 to Wanjiku Mwangi" in said
    reward.refresh_from_db()
    assert reward.status == "proposed"

    assert went_through(answer(client, MODEL, "approve", reward.pk))
    assert "is approved already." in answer(client, MODEL, "approve", reward.pk).text

    reward.refresh_from_db()
    assert (reward.status, reward.decided_by) == ("approved", kamau)
    assert Payment.objects.filter(method="reward").count() == 1
    assert url_of(MODEL, "approve", reward.pk) not in client.get(
        url_of(MODEL, "change", reward.pk)
    ).text  # fmt: skip
    prove()


def test_who_recorded_the_referral_is_told_that_somebody_else_must(as_staff, njeri, reward):
    njeri.groups.set(factories.kamau().groups.all())

    said = answer(as_staff(njeri), MODEL, "approve", reward.pk).text

    assert "someone else must approve the reward." in said
    assert not Payment.objects.filter(method="reward").exists()


def test_refusing_needs_a_reason(as_staff, kamau, reward):
    client = as_staff(kamau)

    assert not went_through(answer(client, MODEL, "refuse", reward.pk))
    assert went_through(answer(client, MODEL, "refuse", reward.pk, reason="One family"))

    reward.refresh_from_db()
    assert (reward.status, reward.reason) == ("refused", "One family")


@pytest.mark.parametrize("verb", ["approve", "refuse"])
@pytest.mark.parametrize("who", ["njeri", "mutua", "achieng"])
def test_who_may_not_decide_is_not_offered_it_and_403_when_forged(as_staff, reward, verb, who):
    client = as_staff(getattr(factories, who)())

    assert url_of(MODEL, verb, reward.pk) not in client.get(LIST).text
    assert answer(client, MODEL, verb, reward.pk, reason="x").status_code == 403
    assert client.get(url_of(MODEL, "change", reward.pk)).status_code == 200
    reward.refresh_from_db()
    assert reward.status == "proposed"


def test_many_are_decided_at_once(as_staff, kamau, db):
    rewards = [proposed(number) for number in (1, 2, 3)]
    client = as_staff(kamau)

    def send(verb, some, **answered):
        return client.post(
            LIST, {"action": verb, "_selected_action": [each.pk for each in some], **answered}
        )

    assert "2 referral rewards" in send("approve_selected", rewards[:2]).text
    assert ReferralReward.objects.waiting().count() == 3
    done = {"answered": "1", "_form_submitted": "True"}
    send("approve_selected", rewards[:2], **done)
    send("refuse_selected", rewards[2:], reason="One family", **done)

    states = ReferralReward.objects.order_by("pk").values_list("status", flat=True)
    assert list(states) == ["approved", "approved", "refused"]
    prove()


def test_the_list_filters_finds_and_totals(as_staff, kamau, auma, db):
    waiting, given, refused, back = (proposed(number) for number in (1, 2, 3, 4))
    refuse(refused, reason="One family", by=kamau, on=ON)
    for reward in (given, back):
        approve(reward, by=kamau, on=ON)
    client = as_staff(auma)
    back.refresh_from_db()
    assert went_through(
        answer(client, "payments.payment", "reverse", back.payment_id, reason="One family")
    )

    assert shown(client, state="proposed") == [waiting]
    assert shown(client, state="approved") == [given]
    assert shown(client, state="refused") == [refused]
    assert shown(client, state="taken_back") == [back]
    assert shown(client, q=given.loan.number) == [given]
    assert shown(client, q=given.referred.phone) == [given]
    assert len(shown(client, q="Wanjiku")) == 4
    totals = client.get(f"{LIST}totals/").text
    for title in ("Waiting", "Approved", "Refused", "Taken back"):
        assert title in totals
    assert totals.count("1 · KES 500.00") == 4


def test_another_branch_sees_none_of_them(as_staff, reward):
    kisumu = factories.branch("KSM", "Kisumu")
    atieno = factories.staff("atieno", "Manager", branch=kisumu)
    client = as_staff(atieno)

    assert shown(client) == []
    assert answer(client, MODEL, "approve", reward.pk).status_code == 404
    assert figures.waiting_work(atieno, ON)["rewards"] == 0


def test_what_waits_is_counted_in_the_sidebar_and_on_the_first_page(as_staff, kamau, reward):
    brought(1)

    body = as_staff(kamau).get(reverse("admin:index"))

    cards = {card.title: card for _, group in body.context["card_groups"] for card in group}
    assert (cards["Referral rewards"].value, cards["Referral rewards"].tone) == ("1", "warning")
    assert "state=proposed" in cards["Referral rewards"].link
    assert figures.waiting_work(kamau, ON)["rewards"] == 1


def test_the_export_says_who_brought_whom(as_staff, kamau, reward):
    approve(reward, by=kamau, on=ON)

    (row,) = ReferralRewardResource().export(ReferralReward.objects.all()).dict

    assert (row["referrer"], row["referred"], row["state"]) == (
        "Wanjiku Mwangi",
        "Otieno Ouma",
        "Approved",
    )


@pytest.mark.parametrize("page", ["list", "referrer"])
def test_a_page_takes_the_same_queries_for_one_reward_and_for_three(as_staff, kamau, db, page):
    client = as_staff(kamau)
    approve(proposed(1), by=kamau, on=ON)
    url = LIST if page == "list" else page_of(factories.wanjiku())
    one = queries_of(client, url)
    for number in (2, 3):
        approve(proposed(number), by=kamau, on=ON)

    assert queries_of(client, url) == one


# --- No cashier takes one ------------------------------------------------------------------------
def test_a_reward_cannot_be_typed_as_a_payment(as_staff, mutua, loan):
    page = reverse("admin:payments_payment_add")
    body = as_staff(mutua).get(page).text
    sent = as_staff(mutua).post(
        page,
        {
            "form_key": "k", "account": loan.number, "amount": "500", "method": "reward",
            "reference": "", "value_date": "2026-02-16", "payer_name": "", "note": "",
        },
    )  # fmt: skip

    assert "Referral reward" not in body.split("<form", 1)[1].split("</form>", 1)[0]
    assert "Select a valid choice" in str(sent.context["adminform"].form.errors["method"])
    assert not Payment.objects.filter(method="reward").exists()


def test_it_is_no_money_that_was_collected(kamau, reward):
    before = figures.collected_today(kamau, ON)

    payment = approve(reward, by=kamau, on=ON).payment

    assert payment.value_date == ON
    assert figures.collected_today(kamau, ON) == before == (0, Decimal("0.00"))
