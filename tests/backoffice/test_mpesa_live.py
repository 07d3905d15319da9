"""The live strip: the fate of a prompt on the page it was sent from."""

from datetime import datetime, timedelta

import pytest

from lms import dates, jobs
from lms.dates import EAT
from lms.mpesa import operations as mpesa
from lms.mpesa.models import MpesaPayment
from tests import factories
from tests.backoffice.pages import queries_of, url_of
from tests.mpesa.conftest import stk_body

NOW = datetime(2026, 11, 21, 10, 31, tzinfo=EAT)


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(dates, "now", lambda: NOW)


def tell(response) -> str:
    return response.content.decode()


def pushed(loan, **fields) -> MpesaPayment:
    return MpesaPayment.objects.create(
        **{
            "phone": loan.customer.phone,
            "amount": 500,
            "account": loan.number,
            "purpose": "Loan",
            "status": MpesaPayment.Status.SENT,
            "customer": loan.customer,
            "requested_by": factories.mutua(),
            "requested_at": NOW - timedelta(minutes=1),
            "checkout_request_id": "ws_CO_1",
            **fields,
        }
    )


def answered(body: bytes) -> None:
    key = mpesa.record_callback(kind="stk", body=body, headers={}, remote_addr=None, at=dates.now())
    jobs.apply_callback(key)


def pages_of(loan) -> list[str]:
    return [
        url_of("loans.loan", "change", loan.pk),
        url_of("loans.repayment", "change", loan.repayments.first().pk),
        url_of("customers.customer", "change", loan.customer_id),
    ]


def test_an_open_prompt_is_followed_on_the_pages_it_can_be_sent_from(as_staff, mutua, loan):
    push = pushed(loan)
    client = as_staff(mutua)

    for page in map(tell, map(client.get, pages_of(loan))):
        assert push.number in page
        assert "The customer types the PIN; this strip follows." in page
        assert 'hx-trigger="every 2s"' in page


def test_a_page_with_nothing_to_follow_does_not_ask(as_staff, mutua, loan):
    pushed(loan, requested_at=NOW - timedelta(minutes=11))
    client = as_staff(mutua)

    for page in map(tell, map(client.get, pages_of(loan))):
        assert "mpesapayment/live/" not in page
        assert "office-live" not in page
    assert tell(client.get(url_of("mpesa.mpesapayment", "live"), {"loan": loan.pk})).strip() == ""


def test_a_paid_prompt_says_what_was_placed_and_asks_no_more(as_staff, mutua, loan):
    push = pushed(loan)
    answered(stk_body())
    push.refresh_from_db()

    strip = tell(as_staff(mutua).get(url_of("mpesa.mpesapayment", "live"), {"loan": loan.pk}))

    assert f"{push.payment.number}</a>: KES 500.00 on {loan.number}." in strip
    assert "hx-trigger" not in strip


def test_a_prompt_that_was_not_paid_says_why_and_what_to_tell_the_customer(as_staff, mutua, loan):
    pushed(loan)
    answered(stk_body(code=1032))

    strip = tell(
        as_staff(mutua).get(url_of("mpesa.mpesapayment", "live"), {"customer": loan.customer_id})
    )

    assert "The customer cancelled the request." in strip
    assert "Ask the customer whether they want to pay" in strip
    assert "hx-trigger" not in strip


def test_a_request_that_daraja_refused_says_why_in_plain_words(as_staff, mutua, loan):
    pushed(loan, status="failed", response_code="500.003.02", checkout_request_id=None)

    page = tell(as_staff(mutua).get(url_of("loans.loan", "change", loan.pk)))

    assert "Safaricom was asked too fast, or is busy." in page


def test_another_branch_and_who_may_not_see_prompts_are_told_nothing(as_staff, loan):
    pushed(loan)
    there = factories.staff("akinyi", "Cashier", branch=factories.branch("KSM", "Kisumu"))
    nobody = factories.staff("nobody")
    live = url_of("mpesa.mpesapayment", "live")

    for person in (there, nobody):
        assert "office-live" not in tell(as_staff(person).get(live, {"loan": loan.pk}))


@pytest.mark.parametrize("asked", [{}, {"loan": "x"}, {"customer": ""}, {"loan": "9" * 30}])
def test_a_strip_of_nothing_is_not_found(as_staff, mutua, asked):
    assert as_staff(mutua).get(url_of("mpesa.mpesapayment", "live"), asked).status_code == 404


def test_three_prompts_take_as_many_queries_as_one(as_staff, mutua, loan):
    client = as_staff(mutua)
    live = f"{url_of('mpesa.mpesapayment', 'live')}?loan={loan.pk}"
    pushed(loan)
    answered(stk_body())
    one = queries_of(client, live)
    for number in (2, 3):
        pushed(loan, checkout_request_id=f"ws_CO_{number}")
        answered(stk_body(checkout_id=f"ws_CO_{number}", receipt=f"UKL7AB12C{number}"))

    assert queries_of(client, live) == one
