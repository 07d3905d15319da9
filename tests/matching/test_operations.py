"""Candidates for money that nobody could place, and placing it as it was suggested."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lms import phones, routing
from lms.errors import Refused
from lms.loans.operations import collection
from lms.matching.operations import accept, suggest
from lms.payments.models import Payment
from tests import books, factories

D = Decimal
TODAY = date(2026, 2, 15)

pytestmark = pytest.mark.django_db


def stray(account="", **fields) -> Payment:
    """KES 1,000 by M-Pesa that nobody could place."""
    number = Payment.objects.count()
    payment = routing.take(
        **{
            "method": "mpesa",
            "amount": D(1000),
            "reference": f"UKL2CC{number:04d}",
            "value_date": TODAY,
            "account": account,
            "branch": factories.branch(),
            "by": None,
            "on": TODAY,
            **fields,
        }
    )
    assert payment.status == Payment.Status.UNALLOCATED
    return payment


def judged(payment: Payment):
    return suggest([payment], on=TODAY)[payment.pk]


WHOLE = {"payer_phone": "254712345678", "payer_name": "WANJIKU MWANGI"}
HASHED = {**WHOLE, "payer_phone": phones.hashed("254712345678")}
MASKED = {**WHOLE, "payer_phone": "2547 ***** 678"}


@pytest.mark.parametrize(
    ("account", "payer", "level", "reason"),
    [
        ("", WHOLE, "certain", "paid from the customer's phone"),
        ("LIPA LOAN", HASHED, "certain", "paid from the customer's phone, known by its hash"),
        ("12345678", MASKED, "certain", "“12345678” is the customer's ID number"),
        ("0712345678", {"payer_name": "WANJIKU MWANGI"}, "certain", "the customer's phone was"),
        ("0712345678", {"payer_name": "OTIENO"}, "likely", "the customer's phone was typed"),
        ("WANJIKU MWANGI", WHOLE, "certain", "paid from the customer's phone"),
        ("OTIENO OUMA", WHOLE, "likely", "paid from the customer's phone"),
        ("LN998877", WHOLE, "likely", "paid from the customer's phone"),
        ("", MASKED, "likely", "the payer's name is the customer's"),
        ("", {"payer_name": "MWANGI WANJIKU"}, "likely", "the payer's name is the customer's"),
        ("RENT", {"payer_name": "JOHN KIOKO"}, "none", ""),
        ("", {}, "none", ""),
    ],
)
def test_what_a_payment_says_leads_to_a_loan(loan, account, payer, level, reason):
    factories.otieno()

    found = judged(stray(account, **payer))

    assert found.level == level
    if reason:
        assert found.best.borrower.loan == loan.pk
        assert found.best.reason.startswith(reason)


def test_a_number_without_its_letters_leads_to_the_loan(loan):
    found = judged(stray(str(loan.pk), **HASHED))

    assert found.is_certain
    assert found.best.score == 100
    assert found.best.signs[0].words == f"“{loan.pk}” is its number without the letters"


def test_a_number_one_slip_away_leads_to_the_loan(loan):
    typed = f"LN{loan.pk + 900_000:06d}"

    found = judged(stray(typed, **WHOLE))

    assert found.is_certain
    assert f"“{typed}” is one slip away from its number" in found.best.reason


def test_two_loans_of_a_customer_are_never_certain(loan):
    factories.active(D(50_000))

    found = judged(stray(**WHOLE))

    assert [one.score for one in found.candidates] == [80, 80]
    assert found.level == "likely"


def test_an_application_whose_fees_come_first_keeps_the_loan_from_being_certain(loan):
    fees = [{"name": "Form", "kind": "amount", "value": D(500), "when": "paid_before"}]
    factories.approved(D(50_000), product=factories.product(code="FEES", fees=fees))

    assert judged(stray(**WHOLE)).level == "likely"


def test_a_phone_that_pays_for_somebody_else_too_is_not_certain(loan):
    other = factories.active(customer=factories.otieno())
    routing.take(
        method="mpesa", amount=D(100), reference="UKL2CC9999", value_date=TODAY,
        account=other.number, by=None, on=TODAY, **WHOLE,
    )  # fmt: skip

    found = judged(stray(**HASHED))

    assert {one.borrower.loan for one in found.candidates} == {loan.pk, other.pk}
    assert not found.is_certain
    assert found.candidates[1].reason.startswith("this phone paid this loan before")


def test_a_namesake_does_not_keep_the_payers_own_loan_from_being_certain(loan):
    namesake = factories.customer("Wanjiku Mwangi", "254733000999")
    factories.active(customer=namesake)

    found = judged(stray(**WHOLE))

    assert found.is_certain
    assert found.best.borrower.loan == loan.pk


def test_the_amount_alone_suggests_nothing(loan):
    assert judged(stray(amount=D(9456))).candidates == ()


def test_the_amount_that_is_due_speaks_for_a_loan(loan):
    due = judged(stray(amount=D(9456), **MASKED)).best
    assert "KES 9,456.00 is exactly what is due" in due.reason


def test_more_than_the_loan_owes_is_not_certain(loan):
    assert judged(stray(amount=D(900_000), **WHOLE)).level == "likely"


def test_money_that_a_person_took_off_a_loan_is_never_certain(loan, kamau):
    payment = stray(**WHOLE)
    routing.match(payment, loan, by=kamau, on=TODAY)
    payment = collection.take_back(payment, reason="Not hers", by=kamau, on=TODAY)

    assert judged(payment).level == "likely"


def test_a_page_of_payments_takes_as_many_queries_as_a_few(loan):
    factories.active(customer=factories.otieno())
    payments = [
        payment
        for _ in range(3)
        for payment in (
            stray("LN000999", **MASKED),
            stray("WANJIKU MWANGI", **HASHED),
            stray("0722000111", payer_name="OTIENO OUMA", payer_phone="254722000111"),
        )
    ]

    counts = []
    for some in (payments[:3], payments):
        with CaptureQueriesContext(connection) as made:
            suggest(some, on=TODAY)
        counts.append(len(made))

    assert counts[0] == counts[1] <= 12


# --- Accepting -----------------------------------------------------------------------------------
def test_accepting_places_the_money_and_history_says_why(loan, kamau):
    payment = stray(**WHOLE)

    placed = accept(payment, loan, by=kamau, on=TODAY, only_certain=True)

    assert placed.status == Payment.Status.ALLOCATED
    reasons = list(placed.history.order_by("history_id").values_list("history_change_reason"))
    assert reasons[1] == (
        "Certain suggestion 95: paid from the customer's phone; the payer's name is the customer's",
    )
    assert placed.history.order_by("history_id")[1].history_user == kamau
    books.prove()


def test_accepting_twice_places_once(loan, kamau):
    payment = stray(**WHOLE)
    accept(payment, loan, by=kamau, on=TODAY)

    with pytest.raises(Refused, match="allocated"):
        accept(payment, loan, by=kamau, on=TODAY)

    assert payment.history.count() == 3
    books.prove()


def test_what_is_no_longer_certain_is_refused_and_nothing_is_written(loan, kamau):
    payment = stray(**WHOLE)
    assert judged(payment).is_certain
    factories.active(D(50_000))

    with pytest.raises(Refused, match="no longer certain"):
        accept(payment, loan, by=kamau, on=TODAY, only_certain=True)

    payment.refresh_from_db()
    assert payment.status == Payment.Status.UNALLOCATED
    assert payment.history.count() == 1


def test_a_loan_that_nothing_speaks_for_is_refused(loan, kamau):
    other = factories.active(customer=factories.otieno())

    with pytest.raises(Refused, match="Nothing speaks for"):
        accept(stray(**WHOLE), other, by=kamau, on=TODAY + timedelta(days=1))
