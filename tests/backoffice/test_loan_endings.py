"""The ends of a loan, as staff bring them about: dialogs with figures, papers, moves, deaths."""

from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse

from lms import dates
from lms.loans.models import DeathClaim, IssuedDocument, Loan, Waiver
from lms.loans.operations import deaths, relief
from lms.notifications.models import Message
from lms.payments.models import Payment, Payout
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through
from tests.books import prove
from tests.loans.test_settling import pay

D = Decimal
TODAY = date(2026, 1, 25)
LOAN = "loans.loan"


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


def status_of(loan):
    return Loan.objects.get(pk=loan.pk).status


SETTLE = {"method": "cash", "reference": "", "value_date": "25/01/2026", "request_key": "k1"}


def test_settling_shows_the_figures_and_acts_once(as_staff, mutua, loan):
    client = as_staff(mutua)

    asked = ask(client, LOAN, "settle_early", loan.pk)
    assert "KES 100,658.00 pays it off on 25 Jan 2026" in asked.content.decode()
    assert "KES 12,812.00 of interest is given up" in asked.content.decode()
    assert status_of(loan) == "active"
    for _ in range(2):
        response = answer(client, LOAN, "settle_early", loan.pk, amount="100658", **SETTLE)
        assert went_through(response)

    assert status_of(loan) == "closed"
    assert Payment.objects.get().allocated == 100_658
    assert Message.objects.filter(occasion="payment_received").count() == 1
    prove()


def test_too_little_money_is_refused_before_it_is_taken(as_staff, mutua, loan):
    response = answer(as_staff(mutua), LOAN, "settle_early", loan.pk, amount="100000", **SETTLE)

    assert "KES 658.00 is missing" in response.content.decode()
    assert not Payment.objects.exists()


def test_a_payoff_quote_is_issued_printed_and_printed_again_as_a_copy(as_staff, njeri, loan):
    client = as_staff(njeri)

    response = answer(client, LOAN, "payoff_quote", loan.pk, on="25/01/2026")

    quote = IssuedDocument.objects.get()
    page = reverse("admin:loans_issueddocument_change", args=[quote.pk])
    assert response.headers["HX-Redirect"] == page
    assert "KES 100,658.00" in client.get(page).content.decode()
    url = reverse("admin:loans_issueddocument_print", args=[quote.pk])
    assert client.get(url).status_code == 405
    first, second = (client.post(url).content.decode() for _ in range(2))
    for words in (quote.number, "Wanjiku Mwangi", loan.number, "KES 65.75", "1 Feb 2026"):
        assert words in first
    assert "COPY" not in first
    assert "COPY 1" in second


def test_a_clearance_letter_is_refused_while_anything_is_owed(as_staff, kamau, loan):
    client = as_staff(kamau)

    refused = answer(client, LOAN, "clearance", loan.pk)
    assert "KES 113,470.00 is still owed" in refused.content.decode()
    pay(loan, 113_470, on=TODAY)
    assert went_through(answer(client, LOAN, "clearance", loan.pk))

    body = IssuedDocument.objects.get().body
    assert "owes us nothing any more" in body
    assert "KES 113,470.00" in body


def test_writing_off_shows_what_it_costs_and_the_page_what_is_still_owed(as_staff, kamau, loan):
    client = as_staff(kamau)

    asked = ask(client, LOAN, "write_off", loan.pk).content.decode()
    assert "owes KES 113,470.00 (principal KES 100,000.00, interest KES 13,470.00)" in asked
    assert "covers KES 0.00 of the principal" in asked
    response = answer(client, LOAN, "write_off", loan.pk, amount="", reason="Shop burnt down")

    assert went_through(response)
    assert status_of(loan) == "written_off"
    page = client.get(url_of(LOAN, "change", loan.pk)).content.decode()
    assert "Written off, still owed" in page
    assert "KES 113,470.00 written off" in client.get(url_of(LOAN, "changelist")).content.decode()
    prove()


def test_some_instalments_are_chosen_in_the_dialog(as_staff, kamau, loan):
    keys = list(loan.repayments.filter(number__lte=2).values_list("pk", flat=True))

    response = answer(
        as_staff(kamau), LOAN, "write_off", loan.pk, repayments=keys, amount="", reason="Court"
    )

    assert went_through(response)
    assert loan.repayments.filter(status="written_off").count() == 2


def test_money_that_comes_after_a_write_off_is_shown_as_recovered(as_staff, kamau, loan):
    client = as_staff(kamau)
    answer(client, LOAN, "write_off", loan.pk, amount="", reason="Gone")

    pay(loan, 500, on=TODAY)

    page = client.get(reverse("admin:loans_loan_part", args=[loan.pk, "relief"])).content.decode()
    assert "Recovered after it was written off" in page
    assert "KES 112,970.00" in client.get(url_of(LOAN, "change", loan.pk)).content.decode()
    prove()


def test_a_disbursement_is_undone(as_staff, kamau, loan):
    response = answer(as_staff(kamau), LOAN, "undo_disbursement", loan.pk, reason="Wrong phone")

    assert went_through(response)
    assert status_of(loan) == "approved"


def test_a_waiver_is_taken_back_from_its_row(as_staff, kamau, loan):
    row = loan.repayments.get(number=1)
    (waiver,) = relief.waive(
        row, amount=D(10), component="interest", reason="x", by=kamau, on=TODAY
    )

    response = answer(as_staff(kamau), "loans.waiver", "take_back", waiver.pk, reason="Mistake")

    assert went_through(response)
    assert not Waiver.objects.standing().exists()
    prove()


def test_loans_are_moved_from_their_list_with_their_sums_shown(as_staff, kamau, loan):
    client, url = as_staff(kamau), url_of(LOAN, "changelist")
    other = factories.staff("wairimu", "Loan officer")
    chosen = {"action": "transfer_selected", "_selected_action": [loan.pk]}

    asked = client.post(url, chosen).content.decode()
    assert "1 loan on which KES 113,470.00 is owed" in asked
    answers = {"answered": "1", "_form_submitted": "True", "officer": other.pk, "reason": "Leave"}
    assert client.post(url, {**chosen, **answers}).status_code == 302

    assert Loan.objects.get(pk=loan.pk).loan_officer == other


def test_credit_is_paid_back_and_taken_back(as_staff, kamau, loan):
    client = as_staff(kamau)
    pay(loan, 113_970, on=TODAY)
    page = "customers.customer"

    assert (
        "KES 500.00 of credit is held"
        in ask(client, page, "refund_credit", loan.customer_id).content.decode()
    )
    response = answer(
        client, page, "refund_credit", loan.customer_id, amount="500", method="cash", reference=""
    )
    assert went_through(response)
    payout = Payout.objects.get(kind="refund")
    assert went_through(
        answer(client, "payments.payout", "undo_refund", payout.pk, reason="Not reached")
    )

    assert Payment.objects.get().credited == 500
    prove()


def test_a_death_is_recorded_claimed_and_paid(as_staff, kamau, loan):
    client, claims = as_staff(kamau), "loans.deathclaim"
    customer = loan.customer_id

    asked = ask(client, "customers.customer", "record_death", customer).content.decode()
    assert "1 active loan, KES 113,470.00 is owed." in asked
    died = {"died_on": "20/01/2026", "note": "Burial permit 7"}
    assert went_through(answer(client, "customers.customer", "record_death", customer, **died))
    claim = DeathClaim.objects.get()
    # 100,000 and five days of it at 24% / 365.
    assert (
        "KES 100,329.00 pays it off" in ask(client, claims, "make_claim", claim.pk).content.decode()
    )
    made = {"insurer": "Britam", "claim_number": "BR/7", "amount": "100329"}
    assert went_through(answer(client, claims, "make_claim", claim.pk, **made))
    paid = {"amount": "100329", "reference": "BRITAM-1"}
    assert went_through(answer(client, claims, "settle_claim", claim.pk, **paid))

    assert status_of(loan) == "closed"
    assert (
        "20 Jan 2026"
        in client.get(url_of("customers.customer", "change", customer)).content.decode()
    )
    prove()


def test_a_refused_claim_says_so(as_staff, kamau, loan):
    deaths.record_death(loan.customer, died_on=TODAY, by=kamau, on=TODAY)
    claim = DeathClaim.objects.get()
    client = as_staff(kamau)

    refused = answer(client, "loans.deathclaim", "refuse_claim", claim.pk, reason="Lapsed")
    assert "The claim is reported: nothing is refused" in refused.content.decode()
    undone = answer(client, "customers.customer", "undo_death", loan.customer_id, reason="Wrong")

    assert went_through(undone)
    assert not DeathClaim.objects.exists()


@pytest.mark.parametrize(
    "verb",
    ["settle_early", "write_off", "undo_disbursement", "close_with_remainder", "clearance",
     "payoff_quote"],
)  # fmt: skip
def test_who_may_only_look_ends_nothing(as_staff, achieng, loan, verb):
    assert ask(as_staff(achieng), LOAN, verb, loan.pk).status_code == 403


@pytest.mark.parametrize("verb", ["record_death", "undo_death", "refund_credit"])
def test_who_may_only_look_changes_no_customer(as_staff, achieng, loan, verb):
    response = ask(as_staff(achieng), "customers.customer", verb, loan.customer_id)

    assert response.status_code == 403


def test_verbs_that_do_not_fit_answer_with_a_sentence(as_staff, kamau):
    draft = factories.draft()
    client = as_staff(kamau)

    for verb in ("settle_early", "write_off", "close_with_remainder", "payoff_quote"):
        assert ask(client, LOAN, verb, draft.pk).status_code == 200
    refused = answer(client, LOAN, "close_with_remainder", draft.pk)
    assert "is draft" in refused.content.decode()


def test_the_lists_take_as_many_queries_for_three_rows_as_for_one(as_staff, kamau):
    client = as_staff(kamau)
    loans = [
        factories.active(D(9_000), customer=factories.customer(phone=f"25471100000{n}"))
        for n in range(3)
    ]
    urls = [url_of("loans.issueddocument", "changelist"), url_of("loans.deathclaim", "changelist")]
    counts = []
    for loan in loans:
        answer(client, LOAN, "payoff_quote", loan.pk, on="25/01/2026")
        deaths.record_death(loan.customer, died_on=TODAY, by=kamau, on=TODAY)
        counts.append([queries_of(client, url) for url in urls])

    assert counts[0] == counts[2]
    assert max(counts[2]) <= MOST_QUERIES
