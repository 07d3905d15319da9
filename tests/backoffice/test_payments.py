"""Payments: the cashier's form, the receipt, the queue and what may be undone."""

from datetime import date
from decimal import Decimal

import pytest

from lms import dates, routing
from lms.notifications.models import Message
from lms.payments.models import Payment
from tests import books, factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

D = Decimal
MODEL = "payments.payment"
TODAY = date(2026, 2, 15)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


def tell(response) -> str:
    return response.content.decode()


def form(loan, **fields) -> dict:
    return {
        "account": loan.number,
        "amount": "9456",
        "method": "cash",
        "reference": "",
        "value_date": "2026-02-15",
        "form_key": "one",
        **fields,
    }


def paid(loan, **fields) -> Payment:
    return routing.take(
        **{
            "method": "cash",
            "amount": D(9456),
            "reference": None,
            "value_date": TODAY,
            "account": loan.number,
            "by": factories.mutua(),
            "on": TODAY,
            **fields,
        }
    )


# --- Taking money --------------------------------------------------------------------------------
def test_a_cashier_takes_a_payment_and_sees_where_each_shilling_went(as_staff, mutua, loan):
    response = as_staff(mutua).post(url_of(MODEL, "add"), form(loan), follow=True)

    payment = Payment.objects.get()
    assert response.redirect_chain[-1][0] == url_of(MODEL, "change", payment.pk)
    page = tell(response)
    assert "KES 9,456.00" in page
    assert "7,456.00" in page
    assert "2,000.00" in page
    assert "Balance of" in page
    assert (payment.taken_by, payment.status) == (mutua, Payment.Status.ALLOCATED)
    assert Message.objects.get().occasion == "payment_received"
    books.prove()


def test_a_form_sent_twice_is_one_payment(as_staff, mutua, loan):
    client = as_staff(mutua)

    for _ in range(2):
        assert client.post(url_of(MODEL, "add"), form(loan)).status_code == 302

    assert Payment.objects.count() == 1
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"amount": "0"}, "more than KES 0.00"),
        ({"amount": "abc"}, "Enter a number"),
        ({"method": "bank"}, "bank slip or cheque number"),
        ({"method": "mpesa", "reference": "AB"}, "not an M-Pesa receipt"),
        ({"method": "opening"}, "Select a valid choice"),
        ({"value_date": "2026-02-16"}, "dated in the future"),
        ({"value_date": "0206-02-15"}, "where the books begin"),
        ({"account": ""}, "This field is required"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(as_staff, mutua, loan, wrong, sentence):
    response = as_staff(mutua).post(url_of(MODEL, "add"), form(loan, **wrong))

    assert response.status_code == 200
    assert sentence in tell(response)
    assert Payment.objects.count() == 0


def test_a_reference_posted_before_names_the_payment_that_has_it(as_staff, mutua, loan):
    first = paid(loan, method="mpesa", reference="UKL2CC0001")

    response = as_staff(mutua).post(
        url_of(MODEL, "add"), form(loan, method="mpesa", reference="ukl2cc0001")
    )

    assert f"UKL2CC0001 was posted already: {first.number}" in tell(response)
    assert Payment.objects.count() == 1


def test_the_hint_names_the_customer_and_what_is_due(as_staff, mutua, loan):
    client = as_staff(mutua)

    known = tell(client.get(url_of(MODEL, "hint"), {"account": f"ln {loan.pk}"}))
    unknown = tell(client.get(url_of(MODEL, "hint"), {"account": "LN999"}))

    assert "Wanjiku Mwangi" in known
    assert "KES 9,456.00 is due by today" in known
    assert "would wait unallocated" in unknown
    assert Payment.objects.count() == 0


def test_who_may_not_take_money_is_not_offered_it_and_refused_when_forged(as_staff, njeri, loan):
    client = as_staff(njeri)

    assert client.get(url_of(MODEL, "add")).status_code == 403
    assert client.post(url_of(MODEL, "add"), form(loan)).status_code == 403
    assert client.get(url_of(MODEL, "hint")).status_code == 403
    assert Payment.objects.count() == 0


def test_the_receipt_prints_what_was_paid(as_staff, mutua, loan):
    payment = paid(loan)
    client = as_staff(mutua)

    page = tell(client.get(url_of(MODEL, "receipt", payment.pk)))

    assert f"Receipt {payment.number}" in page
    assert "Balance of" in page
    assert "KES 104,014.00" in page
    assert client.get(url_of(MODEL, "receipt", payment.pk + 1)).status_code == 404


# --- The queue -----------------------------------------------------------------------------------
def test_unallocated_money_is_matched_to_a_loan(as_staff, mutua, loan):
    payment = paid(loan, account="WRONG1")
    client = as_staff(mutua)

    assert "account typed “WRONG1”" in tell(ask(client, MODEL, "match_to", payment.pk))
    refused = answer(client, MODEL, "match_to", payment.pk, account="LN999")
    assert "There is no loan “LN999”" in tell(refused)
    assert Payment.objects.get().status == Payment.Status.UNALLOCATED
    assert went_through(answer(client, MODEL, "match_to", payment.pk, account=loan.number))

    assert Payment.objects.get().status == Payment.Status.ALLOCATED
    again = answer(client, MODEL, "match_to", payment.pk, account=loan.number)
    assert "is allocated already" in tell(again)
    books.prove()


def test_a_payment_on_the_wrong_loan_returns_to_the_queue(as_staff, mutua, loan):
    payment = paid(loan)
    client = as_staff(mutua)

    assert "This field is required" in tell(answer(client, MODEL, "take_back", payment.pk))
    assert went_through(answer(client, MODEL, "take_back", payment.pk, reason="Wrong loan"))

    payment.refresh_from_db()
    assert (payment.status, payment.waits_for_staff) == (Payment.Status.UNALLOCATED, True)
    books.prove()


def test_an_accountant_reverses_and_a_cashier_may_not(as_staff, mutua, loan):
    payment = paid(loan)
    accountant = factories.staff("wafula", "Accountant")

    assert answer(as_staff(mutua), MODEL, "reverse", payment.pk, reason="x").status_code == 403
    page = tell(as_staff(mutua).get(url_of(MODEL, "change", payment.pk)))
    assert "Match to" not in page
    assert url_of(MODEL, "reverse", payment.pk) not in page
    client = as_staff(accountant)
    assert went_through(answer(client, MODEL, "reverse", payment.pk, reason="Bounced"))

    payment.refresh_from_db()
    assert payment.status == Payment.Status.REVERSED
    assert payment.history.first().history_user == accountant
    books.prove()


def test_asking_changes_nothing(as_staff, loan):
    payment = paid(loan)
    client = as_staff(factories.kamau())

    for verb in ("match_to", "take_back", "reverse"):
        assert ask(client, MODEL, verb, payment.pk).status_code == 200

    payment.refresh_from_db()
    assert payment.status == Payment.Status.ALLOCATED


# --- Lists ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "term", ["{number}", "ukl2cc0001", "0712345678", "{loan}", "wanjiku", "12345678"]
)
def test_a_payment_is_found_by_what_is_on_the_slip(as_staff, mutua, loan, term):
    payment = paid(loan, method="mpesa", reference="UKL2CC0001")
    other = factories.active(customer=factories.otieno())
    paid(other, method="bank", reference="SLIP7")

    response = as_staff(mutua).get(
        url_of(MODEL, "changelist"), {"q": term.format(number=payment.number, loan=loan.number)}
    )

    page = tell(response)
    assert payment.number in page
    assert "SLIP7" not in page


def test_the_totals_are_of_the_whole_filter(as_staff, mutua, loan):
    paid(loan)
    paid(loan, account="WRONG1", amount=D(500))

    page = tell(as_staff(mutua).get(url_of(MODEL, "totals"), {"status__exact": "unallocated"}))

    assert "KES 500.00" in page
    assert "9,456.00" not in page


def test_the_list_takes_the_same_queries_for_one_payment_and_for_three(as_staff, mutua, loan):
    client = as_staff(mutua)
    paid(loan, amount=D(100))
    one = queries_of(client, url_of(MODEL, "changelist"))
    paid(loan, amount=D(100))
    paid(loan, amount=D(100))

    assert queries_of(client, url_of(MODEL, "changelist")) == one <= MOST_QUERIES
    detail = url_of(MODEL, "change", Payment.objects.first().pk)
    assert queries_of(client, detail) <= MOST_QUERIES


def test_another_branch_sees_only_what_nobody_claimed(as_staff, loan):
    placed, lost = paid(loan), paid(loan, account="WRONG1", amount=D(500))
    there = factories.staff("akinyi", "Cashier", branch=factories.branch("KSM", "Kisumu"))
    client = as_staff(there)

    assert client.get(url_of(MODEL, "receipt", placed.pk)).status_code == 404
    assert client.get(url_of(MODEL, "receipt", lost.pk)).status_code == 200


def test_payouts_are_listed_and_never_typed(as_staff, mutua, loan):
    client = as_staff(mutua)

    page = tell(client.get(url_of("payments.payout", "changelist"), {"q": loan.number}))

    assert "KES 100,000.00" in page
    assert client.get(url_of("payments.payout", "add")).status_code == 403
