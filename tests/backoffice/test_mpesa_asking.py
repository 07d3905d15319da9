"""Asking Safaricom in the office: balances, receipts, the log; who may and what they see."""

import json
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from lms import dates, jobs
from lms.backoffice import mpesa_float
from lms.ledger import chart
from lms.ledger.operations import Line
from lms.ledger.operations import post as book
from lms.mpesa.models import Callback, DarajaRequest, Inquiry, MpesaBalance, MpesaPayment
from lms.mpesa.simulator import Simulator
from lms.payments.models import Payment
from lms.payments.operations import receive
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, queries_of, url_of, went_through
from tests.mpesa.conftest import Door

D = Decimal
BALANCES, INQUIRIES, LOG = "mpesa.mpesabalance", "mpesa.inquiry", "mpesa.darajarequest"
PUSH, PAYMENT = "mpesa.mpesapayment", "payments.payment"
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
    with Simulator(shortcode=settings.DARAJA_SHORTCODE, utility=900) as running:
        settings.DARAJA_URL = running.url
        settings.DARAJA_CALLBACK_BASE = door.url
        yield running


def head_office(role: str = "Accountant"):
    return factories.staff("wairimu", role, branch=None)


def tell(response) -> str:
    return response.content.decode()


def list_action(client, model: str, verb: str, **answers):
    return client.post(url_of(model, verb), {"_form_submitted": "on", **answers})


def deliver(daraja, door) -> None:
    """Do what the view and the worker do with all that Safaricom posted."""
    assert daraja.wait_until_quiet()
    for posted, body in door.posted:
        callback = Callback.objects.create(
            kind=posted.strip("/").split("/")[-1],
            body=json.dumps(body).encode(),
            received_at=dates.now(),
        )
        jobs.apply_callback(callback.pk)
    door.posted.clear()


def held(current: str, *, account: str = "Utility Account", minutes: int = 5) -> MpesaBalance:
    inquiry = Inquiry.objects.create(
        kind="balance", shortcode="174379", status="answered", asked_at=dates.now()
    )
    MpesaBalance.objects.filter(account=account).update(is_latest=False)
    return MpesaBalance.objects.create(
        shortcode="174379",
        account=account,
        current=D(current),
        as_of=dates.now() - timedelta(minutes=minutes),
        is_latest=True,
        inquiry=inquiry,
    )


# --- Balances ------------------------------------------------------------------------------------
def test_the_button_asks_and_the_answer_is_on_the_list(as_staff, daraja, door):
    client = as_staff(head_office())

    assert went_through(list_action(client, BALANCES, "ask_now"))
    deliver(daraja, door)

    page = tell(client.get(url_of(BALANCES, "changelist") + "?is_latest__exact=1"))
    assert "Utility Account" in page
    assert "KES 900.00" in page
    assert Inquiry.objects.get().asked_by == head_office()


def test_a_second_click_is_told_that_the_answer_will_come(as_staff, daraja):
    daraja.callback_delay = 60
    client = as_staff(head_office())
    list_action(client, BALANCES, "ask_now")

    assert "a moment ago" in tell(list_action(client, BALANCES, "ask_now"))
    assert Inquiry.objects.count() == 1


def test_the_books_stand_beside_for_head_office_alone(as_staff, settings):
    held("1000.00")
    book(
        kind="receipt", reference="t:1", on=dates.today(), narration="t", subject="t",
        lines=[Line(chart.MPESA_PAYBILL, chart.UNALLOCATED, D("1165.50"))],
        branch_id=factories.branch().pk, by=None,
    )  # fmt: skip

    page = tell(as_staff(head_office()).get(url_of(BALANCES, "changelist")))
    assert "KES 1,165.50 (1020 + 1021)" in page
    assert "KES -165.50" in page
    settings.DARAJA_B2C_SHORTCODE = "600123"
    assert "KES 1,165.50 (1020)" in tell(
        as_staff(head_office()).get(url_of(BALANCES, "changelist"))
    )
    page = tell(as_staff(factories.kamau()).get(url_of(BALANCES, "changelist")))
    assert "KES 1,000.00" in page
    assert "1,165.50" not in page


def test_a_cashier_sees_no_balances_and_cannot_ask_for_them(as_staff, daraja):
    held("1000.00")
    client = as_staff(factories.mutua())

    assert client.get(url_of(BALANCES, "changelist")).status_code == 403
    assert list_action(client, BALANCES, "ask_now").status_code == 403
    assert "At M-Pesa" not in tell(client.get(INDEX))
    callback = Callback.objects.create(kind="balance", body=b"{}", received_at=dates.now())
    assert client.get(url_of("mpesa.callback", "change", callback.pk)).status_code == 302


def test_the_first_page_shows_each_balance_and_its_age(as_staff):
    held("80000.00")
    held("0.00", account="Float Account")

    answered = as_staff(head_office()).get(INDEX)

    cards = dict(answered.context["card_groups"])["At M-Pesa"]
    (card,) = cards
    assert (card.title, card.value) == ("Utility Account", "KES 80,000.00")
    assert card.note == "5 minutes ago; KES 0.00 in the books, +80,000.00"
    assert as_staff(head_office()).get(card.link).context["cl"].result_count == 1
    assert answered.context["mpesa_warnings"] == []


@pytest.mark.parametrize(
    ("current", "low", "urgent"),
    [("49999.99", True, False), ("50000.00", False, None), ("0.00", True, True)],
)
def test_a_low_float_is_told(as_staff, settings, current, low, urgent):
    settings.DARAJA_LOW_FLOAT = 50_000
    held(current)

    warnings = as_staff(factories.kamau()).get(INDEX).context["mpesa_warnings"]

    assert [warning.is_urgent for warning in warnings] == ([urgent] if low else [])


def test_balances_that_stopped_coming_are_told_with_the_reason(as_staff, settings):
    settings.DARAJA_INITIATOR = "testapi"
    held("80000.00", minutes=61)
    Inquiry.objects.create(
        kind="balance", shortcode="174379", status="failed", asked_at=dates.now(),
        code="2001", message="The initiator information is invalid.",
    )  # fmt: skip

    page = tell(as_staff(factories.kamau()).get(INDEX))

    assert "2001 The initiator information is invalid." in page


@pytest.mark.parametrize(
    ("on", "sentence"),
    [
        (date(2027, 2, 4), None),
        (date(2027, 2, 5), "ends on 19 Feb 2027"),
        (date(2027, 2, 19), "ended on 19 Feb 2027"),
    ],
)
def test_the_end_of_the_initiators_password_is_told_two_weeks_before(settings, on, sentence):
    settings.DARAJA_INITIATOR = "testapi"
    settings.DARAJA_INITIATOR_PASSWORD_SET_ON = date(2026, 11, 21)

    warnings = mpesa_float.warnings([], on=on)

    assert [sentence in warning.sentence for warning in warnings] == ([True] if sentence else [])


# --- One payment ---------------------------------------------------------------------------------
def test_a_receipt_nobody_knows_is_asked_about_and_booked(as_staff, daraja, door):
    paid = daraja.pay(account="RENT", amount=700, phone="254722000111")
    client = as_staff(factories.mutua())

    asked = list_action(client, INQUIRIES, "ask_payment", receipt=paid["receipt"].lower())
    inquiry = Inquiry.objects.get()
    assert asked.headers["HX-Redirect"] == url_of(INQUIRIES, "change", inquiry.pk)
    assert "every 2s" in tell(client.get(url_of(INQUIRIES, "fate", inquiry.pk)))
    deliver(daraja, door)

    payment = Payment.objects.get()
    assert (payment.reference, payment.amount) == (paid["receipt"], D(700))
    fate = tell(client.get(url_of(INQUIRIES, "fate", inquiry.pk)))
    assert "Completed at Safaricom: KES 700.00" in fate
    assert f"Booked as {payment.number}" in fate
    assert "every 2s" not in fate
    assert client.get(url_of(INQUIRIES, "change", inquiry.pk)).status_code == 200


def test_a_payment_of_another_branch_is_told_of_but_not_linked(as_staff, daraja, door):
    taken = daraja.books.take(phone="254712345678", amount=500, account="RENT")
    kisumu = factories.branch("KSM", "Kisumu")
    payment = receive(
        method="mpesa", amount=D(500), reference=taken.receipt, value_date=dates.today(),
        account="", branch=kisumu, by=None, on=dates.today(),
    )  # fmt: skip
    Payment.objects.filter(pk=payment.pk).update(status=Payment.Status.REVERSED)
    client = as_staff(factories.mutua())
    list_action(client, INQUIRIES, "ask_payment", receipt=taken.receipt)

    fate = tell(client.get(url_of(INQUIRIES, "fate", Inquiry.objects.get().pk)))

    assert f"Booked as {payment.number}" in fate
    assert url_of(PAYMENT, "change", payment.pk) not in fate


def test_what_is_no_receipt_is_refused_beside_its_field(as_staff, daraja):
    answered = list_action(as_staff(factories.mutua()), INQUIRIES, "ask_payment", receipt="UKL")

    assert "10 letters and digits" in tell(answered)
    assert not Inquiry.objects.exists()


def test_a_receipt_for_a_push_nobody_answered_for_is_on_its_timeline(as_staff, daraja, door):
    loan = factories.active()
    daraja.books.take(phone="254712345678", amount=500, account=loan.number)
    (taken,) = daraja.took
    push = MpesaPayment.objects.create(
        phone="254712345678", amount=500, account=loan.number, purpose="Loan",
        status=MpesaPayment.Status.UNRESOLVED, requested_at=dates.now() - timedelta(minutes=1),
        customer=loan.customer,
    )  # fmt: skip
    client = as_staff(factories.mutua())

    assert went_through(answer(client, PUSH, "ask_receipt", push.pk, receipt=taken.receipt))
    deliver(daraja, door)

    push.refresh_from_db()
    assert (push.status, push.receipt) == (MpesaPayment.Status.PAID, taken.receipt)
    fate = tell(client.get(url_of(PUSH, "fate", push.pk)))
    assert f"Asked Safaricom about {taken.receipt}" in fate
    assert "Completed at Safaricom: KES 500.00" in fate


def test_a_payment_in_the_queue_is_asked_about_on_its_own_page(as_staff, daraja, door):
    taken = daraja.books.take(phone="254712345678", amount=500, account="RENT")
    payment = receive(
        method="mpesa", amount=D(500), reference=taken.receipt, value_date=dates.today(),
        account="RENT", branch=factories.branch(), by=factories.mutua(), on=dates.today(),
    )  # fmt: skip
    client = as_staff(factories.mutua())

    assert went_through(answer(client, PAYMENT, "ask_safaricom", payment.pk))
    deliver(daraja, door)

    assert "Completed at Safaricom: KES 500.00" in tell(
        client.get(url_of(PAYMENT, "change", payment.pk))
    )
    assert Payment.objects.count() == 1


def test_cash_is_not_asked_about(as_staff, daraja):
    payment = receive(
        method="cash", amount=D(500), reference=None, value_date=dates.today(),
        account="", branch=factories.branch(), by=factories.mutua(), on=dates.today(),
    )  # fmt: skip
    client = as_staff(factories.mutua())

    assert "did not come by M-Pesa" in tell(answer(client, PAYMENT, "ask_safaricom", payment.pk))


@pytest.mark.parametrize("script", ["timeout", "drop", "html"])
def test_no_answer_is_shown_as_none_and_can_be_asked_again(as_staff, daraja, door, script):
    paid = daraja.pay(account="RENT", amount=700, phone="254722000111")
    daraja.next_answers.append(script)
    client = as_staff(factories.mutua())
    list_action(client, INQUIRIES, "ask_payment", receipt=paid["receipt"])
    deliver(daraja, door)
    first = Inquiry.objects.get()
    assert first.status == ("sent" if script == "drop" else "unknown")
    Inquiry.objects.update(asked_at=dates.now() - timedelta(minutes=1))

    assert went_through(answer(client, INQUIRIES, "ask_again", first.pk))
    deliver(daraja, door)

    assert Payment.objects.get().amount == D(700)


def test_who_may_not_ask_is_not_offered_it_and_refused_when_forged(as_staff):
    client = as_staff(factories.njeri())

    assert client.get(url_of(INQUIRIES, "ask_payment")).status_code == 403
    assert client.get(url_of(BALANCES, "ask_now")).status_code == 403
    client = as_staff(factories.achieng())
    assert list_action(client, INQUIRIES, "ask_payment", receipt="UKL7AB12CD").status_code == 403
    assert list_action(client, LOG, "register", unreachable="Completed").status_code == 403


def test_a_question_of_another_branch_is_not_shown(as_staff):
    far = factories.staff("akinyi", "Cashier", branch=factories.branch("KSM", "Kisumu"))
    inquiry = Inquiry.objects.create(
        kind="status", receipt="UKL7AB12CD", shortcode="174379", asked_by=far, asked_at=dates.now()
    )

    client = as_staff(factories.mutua())

    assert "UKL7AB12CD" not in tell(client.get(url_of(INQUIRIES, "changelist")))
    assert client.get(url_of(INQUIRIES, "fate", inquiry.pk)).status_code == 404


# --- The log -------------------------------------------------------------------------------------
def test_the_log_shows_bodies_to_be_read_and_nothing_to_be_changed(as_staff, daraja):
    client = as_staff(head_office())
    list_action(client, BALANCES, "ask_now")
    asked = DarajaRequest.objects.get(kind="balance")

    page = tell(client.get(url_of(LOG, "change", asked.pk)))

    assert "&quot;SecurityCredential&quot;: &quot;(hidden)&quot;" in page
    assert "AG_" in page
    assert client.get(url_of(LOG, "add")).status_code == 403


def test_an_administrator_registers_the_paybill(as_staff, daraja, door):
    client = as_staff(factories.staff("moses", "Administrator", branch=None))

    assert went_through(list_action(client, LOG, "register", unreachable="Completed"))

    assert daraja.confirmation_url.endswith("/confirmation/")
    assert daraja.confirmation_url.startswith(door.url)


def test_lists_take_the_same_queries_for_one_row_and_for_three(as_staff, daraja):
    client = as_staff(head_office())

    def grow(number: int) -> None:
        held(f"{number}.00")
        DarajaRequest.objects.create(
            kind="token", outcome="accepted", milliseconds=1, sent_at=dates.now()
        )

    grow(1)
    lists = [url_of(model, "changelist") for model in (BALANCES, INQUIRIES, LOG)]
    before = [queries_of(client, url) for url in lists]
    grow(2)
    grow(3)

    assert [queries_of(client, url) for url in lists] == before
    assert max(before) <= MOST_QUERIES
