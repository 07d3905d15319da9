"""Candidates on the page of a payment and in the queue, and accepting the certain ones."""

from datetime import date
from decimal import Decimal

import pytest

from lms import dates, routing
from lms.loans.operations import collection
from lms.notifications.models import Message
from lms.payments.models import Payment
from tests import books, factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

D = Decimal
MODEL = "payments.payment"
TODAY = date(2026, 2, 15)
QUEUE = "?status__exact=unallocated"
WANJIKU = {"payer_phone": "254712345678", "payer_name": "WANJIKU MWANGI"}


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


def tell(response) -> str:
    return response.content.decode()


def stray(account="", **fields) -> Payment:
    return routing.take(
        **{
            "method": "mpesa",
            "amount": D(1000),
            "reference": f"UKL2CC{Payment.objects.count():04d}",
            "value_date": TODAY,
            "account": account,
            "branch": factories.branch(),
            "by": None,
            "on": TODAY,
            **WANJIKU,
            **fields,
        }
    )


def kisumu_loan():
    kisumu = factories.branch("KSM", "Kisumu")
    otieno = factories.customer("Otieno Ouma", "254722000111", branch=kisumu)
    factories.vault(kisumu)
    return factories.active(customer=otieno)


# --- One payment ---------------------------------------------------------------------------------
def test_the_page_of_a_payment_shows_each_candidate_with_score_and_reason(as_staff, kamau, loan):
    payment = stray()

    page = tell(as_staff(kamau).get(url_of(MODEL, "change", payment.pk)))

    assert "Whose money may it be?" in page
    assert (
        "Paid from the customer&#x27;s phone; the payer&#x27;s name is the customer&#x27;s" in page
    )
    assert f"{url_of(MODEL, 'place_here', payment.pk)}?loan={loan.pk}" in page
    assert "Two independent signs agree" in page


def test_asking_to_place_it_shows_the_reason_and_answering_places_it_once(as_staff, kamau, loan):
    payment = stray()
    client = as_staff(kamau)

    dialog = tell(client.get(f"{url_of(MODEL, 'place_here', payment.pk)}?loan={loan.pk}"))
    assert "Score 95" in dialog
    assert Payment.objects.get().status == Payment.Status.UNALLOCATED

    assert went_through(answer(client, MODEL, "place_here", payment.pk, loan=loan.pk))
    again = tell(answer(client, MODEL, "place_here", payment.pk, loan=loan.pk))

    assert "Nothing speaks for" in again or "allocated" in again
    payment.refresh_from_db()
    assert (payment.status, payment.customer) == (Payment.Status.ALLOCATED, loan.customer)
    assert Message.objects.get().occasion == "payment_received"
    assert payment.history.filter(history_change_reason__startswith="Suggestion 95").count() == 1
    books.prove()


def test_who_may_not_match_sees_why_and_places_nothing(as_staff, achieng, loan):
    payment = stray()
    client = as_staff(achieng)

    page = tell(client.get(url_of(MODEL, "change", payment.pk)))

    assert "Whose money may it be?" in page
    assert "place_here" not in page
    assert ask(client, MODEL, "place_here", payment.pk).status_code == 403


def test_a_loan_of_another_branch_is_not_named_and_not_taken(as_staff, kamau):
    other = kisumu_loan()
    payment = stray(payer_phone="254722000111", payer_name="OTIENO OUMA")
    client = as_staff(kamau)

    page = tell(client.get(url_of(MODEL, "change", payment.pk)))
    forged = tell(answer(client, MODEL, "place_here", payment.pk, loan=other.pk))

    assert "1 of the candidates is a loan of another branch" in page
    assert other.number not in page
    assert "There is no such loan." in forged or "no loan is suggested" in forged.lower()
    payment.refresh_from_db()
    assert payment.status == Payment.Status.UNALLOCATED


def test_a_placed_payment_has_no_candidates(as_staff, kamau, loan):
    payment = stray(loan.number)

    page = tell(as_staff(kamau).get(url_of(MODEL, "change", payment.pk)))

    assert payment.status == Payment.Status.ALLOCATED
    assert "Whose money may it be?" not in page


# --- The queue -----------------------------------------------------------------------------------
def test_the_queue_has_a_column_with_the_best_candidate(as_staff, kamau, loan):
    stray()
    stray("RENT", payer_name="JOHN KIOKO", payer_phone="")
    client = as_staff(kamau)

    page = tell(client.get(url_of(MODEL, "changelist") + QUEUE))

    assert page.count('class="office-suggested"') == 1
    assert f"{loan.number} · Wanjiku Mwangi" in page
    assert 'class="office-suggested"' not in tell(client.get(url_of(MODEL, "changelist")))


@pytest.mark.parametrize("level", ["certain", "likely", "none"])
def test_the_queue_is_filtered_by_how_good_the_suggestion_is(as_staff, kamau, loan, level):
    made = {
        "certain": stray(),
        "likely": stray("SHULE"),
        "none": stray("RENT", payer_name="JOHN KIOKO", payer_phone=""),
    }

    page = tell(as_staff(kamau).get(url_of(MODEL, "changelist"), {"suggestion": level}))

    assert {name: payment.reference in page for name, payment in made.items()} == {
        name: name == level for name in made
    }


def test_the_queue_takes_the_same_queries_for_one_row_and_for_three(as_staff, kamau, loan):
    client = as_staff(kamau)
    page = url_of(MODEL, "changelist") + QUEUE
    stray("LN000999")
    one = queries_of(client, page)
    stray("LN000998")
    stray("LN000997")

    assert queries_of(client, page) == one <= MOST_QUERIES
    assert queries_of(client, url_of(MODEL, "change", Payment.objects.first().pk)) <= MOST_QUERIES


# --- Many at once --------------------------------------------------------------------------------
def chosen(*payments, **fields) -> dict:
    return {
        "action": "accept_certain",
        "_selected_action": [payment.pk for payment in payments],
        **fields,
    }


def test_the_certain_ones_are_shown_with_count_and_total_before_anything_happens(
    as_staff, kamau, loan
):
    payments = [stray(), stray(), stray("SHULE")]

    page = tell(as_staff(kamau).post(url_of(MODEL, "changelist") + QUEUE, chosen(*payments)))

    assert "2 payments, KES 2,000.00" in page
    assert [f"{p.pk}:{loan.pk}" in page for p in payments] == [True, True, False]
    assert "1 of those chosen is not certain and stays where it is" in page
    assert Payment.objects.unallocated().count() == 3


def test_accepting_places_what_was_shown_and_a_second_click_does_nothing_twice(
    as_staff, kamau, loan
):
    payments = [stray(), stray()]
    client, page = as_staff(kamau), url_of(MODEL, "changelist") + QUEUE
    shown = [f"{payment.pk}:{loan.pk}" for payment in payments]

    first = client.post(page, chosen(*payments, answered="1", place=shown), follow=True)
    second = client.post(page, chosen(*payments, answered="1", place=shown), follow=True)

    assert "2 payments placed: KES 2,000.00." in tell(first)
    assert "placed: KES" not in tell(second)
    assert Payment.objects.unallocated().count() == 0
    assert [payment.history.count() for payment in payments] == [3, 3]
    assert Message.objects.count() == 2
    books.prove()


def test_what_is_refused_is_listed_and_the_rest_is_placed(as_staff, kamau, loan):
    good, gone, doubtful = stray(), stray(), stray()
    shown = [f"{payment.pk}:{loan.pk}" for payment in (good, gone, doubtful)]
    collection.reverse_payment(gone, reason="Never came", by=kamau, on=TODAY)
    Payment.objects.filter(pk=doubtful.pk).update(account="SHULE")

    page = tell(
        as_staff(kamau).post(
            url_of(MODEL, "changelist") + QUEUE,
            chosen(good, gone, doubtful, answered="1", place=shown),
            follow=True,
        )
    )

    assert "1 payment placed: KES 1,000.00." in page
    assert f"{gone.number}:" in page
    assert f"{doubtful.number}: {loan.number} is no longer certain" in page
    assert list(Payment.objects.unallocated()) == [doubtful]
    books.prove()


def test_forged_pairs_of_another_branch_or_of_nothing_place_nothing(as_staff, kamau, loan):
    other = kisumu_loan()
    payment = stray(payer_phone="254722000111", payer_name="OTIENO OUMA")
    shown = [f"{payment.pk}:{other.pk}", "x:y", f"{payment.pk}", "9" * 30 + ":1"]

    as_staff(kamau).post(
        url_of(MODEL, "changelist") + QUEUE, chosen(payment, answered="1", place=shown)
    )

    payment.refresh_from_db()
    assert payment.status == Payment.Status.UNALLOCATED


def test_who_may_not_match_is_not_offered_to_accept(as_staff, achieng, loan):
    payment = stray()
    client, page = as_staff(achieng), url_of(MODEL, "changelist") + QUEUE

    client.post(page, chosen(payment, answered="1", place=[f"{payment.pk}:{loan.pk}"]))

    assert "Accept the certain ones" not in tell(client.get(page))
    payment.refresh_from_db()
    assert payment.status == Payment.Status.UNALLOCATED
