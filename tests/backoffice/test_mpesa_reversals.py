"""Money that goes back and payments that were missed, in the office: who may, and what they see."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django_q.models import Schedule

from lms import dates, jobs
from lms.backoffice import mpesa_float, schedules
from lms.mpesa.models import Callback, Pull, Reversal
from lms.mpesa.simulator import Simulator
from lms.payments.models import Payment
from lms.staff.models import Approval
from tests import books, factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through
from tests.mpesa.conftest import PHONE, Door

D = Decimal
PAYMENT, REVERSAL, APPROVAL, PULL = (
    "payments.payment", "mpesa.reversal", "staff.approval", "mpesa.pull",
)  # fmt: skip
INDEX = reverse("admin:index")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _seeds(committed):
    factories.branch()


@pytest.fixture
def door():
    found = Door()
    yield found
    found.close()


@pytest.fixture
def daraja(settings, door):
    """A loopback Daraja; what it posts is kept by `door`."""
    settings.DARAJA_INITIATOR = "testapi"
    settings.DARAJA_SECURITY_CREDENTIAL = "c" * 344
    settings.DARAJA_PULL_NUMBER = "254700000001"
    with Simulator(
        shortcode=settings.DARAJA_SHORTCODE, confirmation_url=f"{door.url}/confirmation/"
    ) as running:
        settings.DARAJA_URL = running.url
        settings.DARAJA_CALLBACK_BASE = door.url
        yield running


def tell(response) -> str:
    return response.content.decode()


def list_action(client, model: str, verb: str, **answers):
    return client.post(url_of(model, verb), {"_form_submitted": "on", **answers})


def deliver(daraja, door) -> None:
    assert daraja.wait_until_quiet()
    for posted, body in door.posted:
        callback = Callback.objects.create(
            kind=posted.strip("/").split("/")[-1],
            body=json.dumps(body).encode(),
            received_at=dates.now(),
        )
        jobs.apply_callback(callback.pk)
    door.posted.clear()


def paid(daraja, door, amount: int = 700) -> Payment:
    receipt = daraja.pay(account="FEES", amount=amount, phone=PHONE)["receipt"]
    deliver(daraja, door)
    return Payment.objects.get(reference=receipt)


def sent_back(as_staff, daraja, door, *, script: str = "") -> Reversal:
    """Return the reversal of a new payment that two people asked for and approved."""
    payment = paid(daraja, door)
    daraja.next_answers += [script] if script else []
    client = as_staff(factories.mutua())
    assert went_through(answer(client, PAYMENT, "send_back", payment.pk, reason="Not ours"))
    approval = Approval.objects.waiting().get()
    client = as_staff(factories.kamau())
    assert went_through(answer(client, APPROVAL, "approve", approval.pk, reason=""))
    deliver(daraja, door)
    return Reversal.objects.get(payment=payment)


# --- Reversals -----------------------------------------------------------------------------------
def test_a_cashier_asks_a_manager_approves_and_the_payment_tells_the_rest(as_staff, daraja, door):
    payment = paid(daraja, door)
    client = as_staff(factories.mutua())

    dialog = tell(ask(client, PAYMENT, "send_back", payment.pk))
    assert f"M-Pesa receipt {payment.reference}" in dialog
    assert not Approval.objects.exists()
    assert went_through(answer(client, PAYMENT, "send_back", payment.pk, reason="Not ours"))
    approval = Approval.objects.get()
    assert answer(client, APPROVAL, "approve", approval.pk, reason="").status_code == 403
    client = as_staff(factories.kamau())
    page = tell(client.get(url_of(APPROVAL, "change", approval.pk)))
    assert "Send a payment back" in page
    assert "1020 M-Pesa paybill" in page
    approved = answer(client, APPROVAL, "approve", approval.pk, reason="")
    assert went_through(approved)
    assert "waiting for safaricom" in tell(client.get(INDEX))

    page = tell(client.get(url_of(PAYMENT, "change", payment.pk)))
    assert "Going back" in page
    assert "Nobody may use it until Safaricom says" in page
    for verb in ("match_to", "reverse", "send_back"):
        assert url_of(PAYMENT, verb, payment.pk) not in page
    deliver(daraja, door)
    page = tell(client.get(url_of(PAYMENT, "change", payment.pk)))
    assert "Safaricom sent it back to its payer" in page
    books.prove()


def test_the_person_who_asked_may_not_approve(as_staff, daraja, door):
    payment = paid(daraja, door)
    client = as_staff(factories.kamau())
    answer(client, PAYMENT, "send_back", payment.pk, reason="Not ours")

    response = answer(client, APPROVAL, "approve", Approval.objects.get().pk, reason="")

    assert "You asked for this yourself" in tell(response)
    assert not Reversal.objects.exists()


def test_who_may_not_ask_is_not_let_in(as_staff, daraja, door):
    payment = paid(daraja, door)
    for person in (factories.achieng(), factories.njeri()):
        client = as_staff(person)
        response = answer(client, PAYMENT, "send_back", payment.pk, reason="Not ours")
        assert response.status_code == 403
    assert not Approval.objects.exists()


def test_a_refusal_is_shown_in_the_dialog(as_staff, daraja, door, settings):
    payment = paid(daraja, door)
    settings.DARAJA_INITIATOR = ""

    response = answer(as_staff(factories.mutua()), PAYMENT, "send_back", payment.pk, reason="-")

    assert "DARAJA_INITIATOR is empty" in tell(response)


def test_its_page_tells_the_whole_story(as_staff, daraja, door):
    row = sent_back(as_staff, daraja, door, script="late")
    client = as_staff(factories.kamau())

    fate = tell(client.get(reverse("admin:mpesa_reversal_fate", args=[row.pk])))

    for words in (
        "Asked to be sent back: Not ours",
        "Approved: Not ours",
        "Taken to be sent",
        "Sent to Daraja: Reversal",
        "M-Pesa failed inside.",
        "Safaricom sent it back",
    ):
        assert words in fate, words
    assert "every 2s" not in fate
    assert client.get(url_of(REVERSAL, "change", row.pk)).status_code == 200


def test_what_nobody_cleared_up_has_a_badge_and_is_settled_by_hand(as_staff, daraja, door):
    row = sent_back(as_staff, daraja, door, script="timeout")
    row.move_to(Reversal.Status.UNRESOLVED, by=None, reason="No result within a day")
    client = as_staff(factories.kamau())
    cards = dict(client.get(INDEX).context["card_groups"])["Waiting for somebody"]
    assert {card.title: card.value for card in cards}["M-Pesa reversals to review"] == "1"

    mutua = as_staff(factories.mutua())
    denied = answer(mutua, REVERSAL, "settle", row.pk, went_back="no", reason="Seen")
    assert denied.status_code == 403
    client = as_staff(factories.kamau())
    assert went_through(answer(client, REVERSAL, "settle", row.pk, went_back="no", reason="Seen"))

    row.refresh_from_db()
    assert (row.status, row.payment.is_going_back) == (Reversal.Status.FAILED, False)


def test_a_person_may_ask_what_became_of_it(as_staff, daraja, door):
    row = sent_back(as_staff, daraja, door, script="drop")

    assert went_through(answer(as_staff(factories.mutua()), REVERSAL, "ask_safaricom", row.pk))
    deliver(daraja, door)

    row.refresh_from_db()
    assert row.status == Reversal.Status.DONE


def test_the_list_is_searched_summed_and_of_constant_cost(as_staff, daraja, door):
    first = sent_back(as_staff, daraja, door)
    client = as_staff(factories.kamau())
    url = url_of(REVERSAL, "changelist")
    one = queries_of(client, url)
    for _ in range(2):
        sent_back(as_staff, daraja, door, script="timeout")
    client = as_staff(factories.kamau())

    assert queries_of(client, url) == one <= MOST_QUERIES
    found = client.get(f"{url}?q={first.receipt.lower()}").context["cl"]
    assert [row.pk for row in found.result_list] == [first.pk]
    for term, number in ((first.number, 1), (first.payment.number, 1), ("nonsense", 0)):
        assert client.get(f"{url}?q={term}").context["cl"].result_count == number
    page = tell(client.get(url_of(REVERSAL, "totals")))
    for words in ("KES 2,100.00", "KES 700.00", "KES 1,400.00"):
        assert words in page


def test_another_branch_does_not_see_it(as_staff, daraja, door):
    row = sent_back(as_staff, daraja, door)
    elsewhere = factories.branch("MSA", "Mombasa")
    client = as_staff(factories.staff("halima", "Manager", branch=elsewhere))

    assert client.get(url_of(REVERSAL, "changelist")).context["cl"].result_count == 0
    assert client.get(reverse("admin:mpesa_reversal_fate", args=[row.pk])).status_code == 404


# --- Pulls ---------------------------------------------------------------------------------------
def test_the_buttons_register_and_pull(as_staff, daraja):
    daraja.confirmation_url = ""
    daraja.pay(account="FEES", amount=700, phone=PHONE)
    client = as_staff(factories.kamau())

    assert went_through(list_action(client, PULL, "register"))
    assert went_through(list_action(client, PULL, "pull_now"))

    run = Pull.objects.get()
    assert (run.new, run.asked_by) == (1, factories.kamau())
    assert Payment.objects.get().amount == D(700)
    page = tell(client.get(url_of(PULL, "change", run.pk)))
    assert Payment.objects.get().reference in page
    assert "1 told, 1 new" in tell(client.get(url_of(PULL, "changelist")))


def test_a_pull_that_fails_says_so(as_staff, daraja):
    client = as_staff(factories.kamau())

    assert went_through(list_action(client, PULL, "pull_now"))

    assert "is not registered for pull" in tell(client.get(url_of(PULL, "changelist")))


def test_without_a_number_the_buttons_say_why(as_staff, daraja, settings):
    settings.DARAJA_PULL_NUMBER = ""
    client = as_staff(factories.kamau())

    assert "DARAJA_PULL_NUMBER" in tell(list_action(client, PULL, "pull_now"))
    assert "DARAJA_PULL_NUMBER" in tell(list_action(client, PULL, "register"))
    for verb in ("pull_now", "register"):
        assert list_action(as_staff(factories.mutua()), PULL, verb).status_code == 403


def pulled(*, hours: float, status: str = "done") -> Pull:
    at = dates.now() - timedelta(hours=hours)
    return Pull.objects.create(started_at=at, since=at, until=at, status=status)


@pytest.mark.parametrize(
    ("runs", "urgent"),
    [
        ([], False),
        ([(1, "done")], None),
        ([(5.9, "done"), (1, "failed")], None),
        ([(7, "done"), (1, "failed")], False),
        ([(41, "done"), (1, "failed")], True),
        ([(1, "failed")], None),
        ([(7, "failed"), (1, "failed")], False),
        ([(50, "failed")], True),
    ],
)
def test_the_first_page_warns_before_safaricom_forgets(as_staff, settings, runs, urgent):
    settings.DARAJA_PULL_NUMBER = "254700000001"
    for hours, status in runs:
        pulled(hours=hours, status=status)

    response = as_staff(factories.kamau()).get(INDEX)

    told = [warning.is_urgent for warning in response.context["mpesa_warnings"]]
    assert told == ([] if urgent is None else [urgent])
    assert ("Missed M-Pesa payments" in tell(response)) == (urgent is not None)


def test_where_nobody_is_nominated_there_is_nothing_to_warn_of(settings):
    settings.DARAJA_PULL_NUMBER = ""
    pulled(hours=100)

    assert mpesa_float.warnings([], on=dates.today()) == []


def test_the_list_of_pulls_costs_the_same_for_one_and_for_three(as_staff):
    client = as_staff(factories.kamau())
    url = url_of(PULL, "changelist")
    pulled(hours=1)
    one = queries_of(client, url)
    pulled(hours=2)
    pulled(hours=3)

    assert queries_of(client, url) == one <= MOST_QUERIES


@pytest.mark.django_db
def test_both_watchdogs_are_planned(db):
    schedules.seed(Schedule, now=dates.now())
    planned = dict(Schedule.objects.values_list("func", "minutes"))

    assert planned["lms.jobs.pull_missed"] == 30
    assert planned["lms.jobs.follow_reversals"] == 1
