"""Payouts by M-Pesa in the office: dialogs, their effect, who may, and what the pages say."""

import pytest

from lms import dates, jobs
from lms.mpesa.models import B2cPayment
from lms.payments.models import Payout
from lms.payouts import operations as payouts
from lms.payouts.models import PayoutBatch
from lms.staff.models import Approval
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through
from tests.mpesa.conftest import AT
from tests.payouts.conftest import DAY, safaricom  # noqa: F401 - the fixture
from tests.payouts.test_sending import approved, with_credit

LOAN, PART = "loans.loan", "mpesa.b2cpayment"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("committed")]


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: DAY)


def tell(response) -> str:
    return response.content.decode()


def chosen(client, verb: str, *loans, **answers):
    return client.post(
        url_of(LOAN, "changelist"),
        {"action": verb, "_selected_action": [loan.pk for loan in loans], **answers},
        follow=True,
    )


def test_the_dialog_shows_what_goes_where_and_sends_nothing(as_staff, safaricom):  # noqa: F811
    loan = approved(principal=400_000)

    page = tell(ask(as_staff(factories.mutua()), LOAN, "send_payout", loan.pk))

    assert "KES 400,000.00 is sent to Wanjiku Mwangi, 0712 345 678." in page
    assert "it goes as KES 250,000.00 and KES 150,000.00" in page
    assert B2cPayment.objects.count() == 0


def test_answering_sends_once_and_the_page_follows(as_staff, safaricom):  # noqa: F811
    loan, client = approved(), as_staff(factories.mutua())

    first = answer(client, LOAN, "send_payout", loan.pk)
    second = answer(client, LOAN, "send_payout", loan.pk)

    payout = Payout.objects.get()
    assert first.headers["HX-Redirect"] == url_of("payments.payout", "change", payout.pk)
    assert "only an approved loan can be disbursed" in tell(second)
    fate = url_of("payments.payout", "fate", payout.pk)
    assert "every 2s" in tell(client.get(fate))
    safaricom.deliver()
    page = tell(client.get(fate))
    assert "every 2s" not in page
    assert "Tell the customer that the money is on the phone." in page
    assert "Safaricom sent: Payout result" in page
    part = tell(client.get(url_of(PART, "fate", payout.parts.get().pk)))
    assert "Sent to Daraja: Payout" in part


def test_a_failure_is_explained_and_the_loan_can_be_paid_again(as_staff, safaricom):  # noqa: F811
    loan, client = approved("20"), as_staff(factories.mutua())
    answer(client, LOAN, "send_payout", loan.pk)
    safaricom.deliver()

    page = tell(client.get(url_of("payments.payout", "fate", Payout.objects.get().pk)))

    assert "The customer&#x27;s number is not registered for M-Pesa." in page
    loan.refresh_from_db()
    assert loan.status == "approved"


@pytest.mark.parametrize("person", [factories.achieng, factories.njeri])
def test_who_may_not_disburse_may_not_send(as_staff, safaricom, person):  # noqa: F811
    loan = approved()

    assert answer(as_staff(person()), LOAN, "send_payout", loan.pk).status_code == 403
    assert B2cPayment.objects.count() == 0


def test_a_batch_shows_count_and_total_and_waits_for_a_second_person(
    as_staff,
    safaricom,  # noqa: F811
):
    loans = [approved(end, principal=20_000) for end in ("71", "72")]
    client = as_staff(factories.mutua())

    page = tell(chosen(client, "send_together", *loans))
    assert "2 loans, KES 40,000.00 in all" in page
    assert PayoutBatch.objects.count() == 0
    done = chosen(
        client, "send_together", *loans, answered="1", _form_submitted="True", note="Friday"
    )

    batch = PayoutBatch.objects.get()
    assert f"{batch} waits for approval." in tell(done)
    approval = Approval.objects.get()
    client = as_staff(factories.kamau())
    assert went_through(answer(client, "staff.approval", "approve", approval.pk, reason=""))
    jobs.see_to_payouts()
    safaricom.deliver()
    page = tell(client.get(url_of("payouts.payoutbatch", "change", batch.pk)))
    assert page.count("Sent") >= 2
    assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}


def test_a_batch_that_cannot_be_sent_says_why(as_staff, safaricom):  # noqa: F811
    loan = approved(principal=600_000)
    client = as_staff(factories.mutua())

    page = tell(chosen(client, "send_together", loan))

    assert "Not possible: One customer can receive KES 500,000.00 a day" in page


def test_credit_is_sent_from_the_page_of_the_customer(as_staff, safaricom):  # noqa: F811
    loan = with_credit("78")
    accountant = factories.staff("otieno", "Accountant")

    sent = answer(
        as_staff(accountant), "customers.customer", "send_credit", loan.customer_id, amount="300"
    )

    assert went_through(sent)
    assert Payout.objects.latest("pk").kind == "refund"


def test_what_nobody_knows_is_settled_by_two_on_its_page(as_staff, safaricom):  # noqa: F811
    payouts.send_loan(approved("30"), by=factories.mutua(), on=DAY, at=AT)
    for _ in range(10):
        safaricom.later(hours=4)
        jobs.see_to_payouts()
        safaricom.deliver()
    part = B2cPayment.objects.get()
    client = as_staff(factories.mutua())
    page = tell(client.get(url_of(PART, "fate", part.pk)))
    assert "Nobody knows whether it was paid." in page

    assert went_through(answer(client, PART, "settle", part.pk, reason="The portal says so"))
    approval = Approval.objects.get()
    client = as_staff(factories.kamau())
    assert went_through(answer(client, "staff.approval", "approve", approval.pk, reason="Yes"))

    part.refresh_from_db()
    assert (part.status, part.payout.status) == (
        "failed",
        "reversed",
    )


def test_money_in_suspense_that_came_back_is_let_go_of_by_two_on_its_page(as_staff, safaricom):  # noqa: F811
    payouts.send_loan(approved("78"), by=factories.mutua(), on=DAY, at=AT)
    B2cPayment.objects.update(is_adrift=True)
    part = B2cPayment.objects.get()
    client = as_staff(factories.mutua())
    assert went_through(answer(client, PART, "let_go", part.pk, reason="She brought it back"))
    approval = Approval.objects.get()
    assert "KES 100,000.00 stays on 1050" in approval.diff
    part.refresh_from_db()
    assert part.is_adrift

    client = as_staff(factories.kamau())
    assert went_through(answer(client, "staff.approval", "approve", approval.pk, reason="Yes"))

    part.refresh_from_db()
    assert not part.is_adrift
    again = answer(as_staff(factories.mutua()), PART, "let_go", part.pk, reason="Again")
    assert not went_through(again)


def test_the_same_is_sent_again_on_its_page(as_staff, safaricom):  # noqa: F811
    payouts.send_loan(approved("30"), by=factories.mutua(), on=DAY, at=AT)
    for _ in range(10):
        safaricom.later(hours=4)
        jobs.see_to_payouts()
        safaricom.deliver()
    part = B2cPayment.objects.get()

    assert went_through(answer(as_staff(factories.mutua()), PART, "send_same", part.pk))

    part.refresh_from_db()
    assert part.status == "unknown"


def test_lists_take_as_many_queries_for_one_row_as_for_three(as_staff, safaricom):  # noqa: F811
    client = as_staff(factories.kamau())
    pages = [url_of(PART, "changelist"), url_of("payments.payout", "changelist")]
    payouts.send_loan(approved("71"), by=factories.mutua(), on=DAY, at=AT)
    one = [queries_of(client, page) for page in pages]
    for end in ("72", "73"):
        payouts.send_loan(approved(end), by=factories.mutua(), on=DAY, at=AT)

    assert [queries_of(client, page) for page in pages] == one
    assert max(one) <= MOST_QUERIES
