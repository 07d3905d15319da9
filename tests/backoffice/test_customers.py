"""The page of a customer."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from lms.customers.models import Customer, CustomerDocument
from lms.payments.models import Payment
from tests import factories

ADD = reverse("admin:customers_customer_add")
LIST = reverse("admin:customers_customer_changelist")


def page_of(customer, name="change"):
    return reverse(f"admin:customers_customer_{name}", args=[customer.pk])


TABS = ("documents", "loans", "payments", "guarantees", "referred", "messages")


def answers(**changed) -> dict:
    """What the form sends for Mwende, who is new."""
    return {
        "kind": "individual",
        "first_name": "Mwende",
        "other_names": "",
        "last_name": "Mutiso",
        "business_name": "",
        "id_kind": "national_id",
        "id_number": "23456789",
        "kra_pin": "",
        "date_of_birth": "1990-05-17",
        "gender": "female",
        "phone": "0711 000 333",
        "email": "",
        "town": "Gikomba",
        "address": "",
        "takes_messages": "on",
        "occupation": "Tailor",
        "branch": factories.branch().pk,
        "loan_officer": "",
        "notes": "",
        "next_of_kin": "",
        "next_of_kin_phone": "",
        **{f"{tab}-{name}_FORMS": "0" for tab in TABS for name in ("TOTAL", "INITIAL")},
        **changed,
    }


# --- Registering and changing --------------------------------------------------------------------
@pytest.mark.parametrize("spelling", ["0711 000 333", "+254 711 000 333", "254711000333"])
def test_a_phone_is_taken_in_any_spelling(as_staff, njeri, spelling):
    answer = as_staff(njeri).post(ADD, answers(phone=spelling))

    mwende = Customer.objects.get()
    assert answer.status_code == 302
    assert mwende.phone == "254711000333"
    assert mwende.kyc_status == "pending"
    assert mwende.history.get().history_user == njeri


def test_who_may_set_a_score_limit_and_who_may_only_see_it(as_staff, njeri, kamau):
    client = as_staff(njeri)
    client.post(ADD, answers(score_limit="90000"))
    mwende = Customer.objects.get()
    assert mwende.score_limit is None
    client.post(page_of(mwende), answers(score_limit="90000", reason="Asked for more"))
    mwende.refresh_from_db()
    assert mwende.score_limit is None

    as_staff(kamau).post(page_of(mwende), answers(score_limit="90000", reason="Scored"))

    mwende.refresh_from_db()
    assert mwende.score_limit == Decimal(90_000)
    page = as_staff(njeri).get(page_of(mwende)).content.decode()
    assert 'name="score_limit"' not in page
    assert "90000" in page.replace(",", "")


def test_a_phone_that_is_none_is_refused_beside_its_field(as_staff, njeri):
    answer = as_staff(njeri).post(ADD, answers(phone="12345"))

    errors = answer.context["adminform"].form.errors
    assert errors["phone"][0].startswith("“12345” is not a Kenyan mobile number.")


def test_a_phone_belongs_to_one_customer(as_staff, njeri, wanjiku):
    answer = as_staff(njeri).post(ADD, answers(phone="0712345678"))

    errors = answer.context["adminform"].form.errors
    assert errors["phone"] == ["Another customer already has this phone."]


def test_a_business_needs_its_name(as_staff, njeri):
    answer = as_staff(njeri).post(ADD, answers(kind="business", id_kind="registration"))

    assert "business_name" in answer.context["adminform"].form.errors


def test_kyc_is_not_typed_into_the_form(as_staff, njeri):
    as_staff(njeri).post(ADD, answers(kyc_status="verified"))

    assert Customer.objects.get().kyc_status == "pending"


def test_a_customer_is_registered_in_the_own_branch_only(as_staff, njeri):
    kisumu = factories.branch("KSM", "Kisumu")

    answer = as_staff(njeri).post(ADD, answers(branch=kisumu.pk))

    assert "branch" in answer.context["adminform"].form.errors


def test_a_loan_officer_comes_from_the_own_branch(as_staff, njeri, mutua):
    far = factories.staff("akinyi", "Loan officer", branch=factories.branch("KSM", "Kisumu"))
    gone = factories.staff("gone", "Loan officer", is_active=False)

    form = as_staff(njeri).get(ADD).context["adminform"].form

    offered = set(form.fields["loan_officer"].queryset)
    assert {njeri, mutua} <= offered
    assert {far, gone} & offered == set()


def test_an_officer_who_left_stays_until_somebody_changes_it(as_staff, njeri):
    gone = factories.staff("gone", "Loan officer", is_active=False)
    customer = factories.customer(loan_officer=gone)

    form = as_staff(njeri).get(page_of(customer)).context["adminform"].form

    assert gone in form.fields["loan_officer"].queryset


def test_a_changed_phone_stays_in_the_history_with_its_reason(as_staff, njeri, wanjiku):
    answer = as_staff(njeri).post(
        page_of(wanjiku),
        answers(
            first_name="Wanjiku",
            last_name="Mwangi",
            id_number=wanjiku.id_number,
            phone="0722 999 888",
            reason="Lost the old line",
        ),
    )

    assert answer.status_code == 302
    new, old = wanjiku.history.all()[:2]
    assert (old.phone, new.phone) == ("254712345678", "254722999888")
    assert new.history_change_reason == "Lost the old line"
    assert new.history_user == njeri


def test_a_paper_is_kept_with_the_customer(as_staff, njeri, wanjiku):
    paper = SimpleUploadedFile("id.pdf", b"%PDF-1.4", content_type="application/pdf")
    as_staff(njeri).post(
        page_of(wanjiku),
        {
            **answers(
                first_name="Wanjiku",
                last_name="Mwangi",
                id_number=wanjiku.id_number,
                phone="0712345678",
            ),
            "documents-TOTAL_FORMS": "1",
            "documents-0-kind": "id_front",
            "documents-0-file": paper,
            "documents-0-number": "",
            "documents-0-expires_on": "",
            "documents-0-customer": wanjiku.pk,
        },
    )

    document = CustomerDocument.objects.get()
    assert document.customer == wanjiku
    assert document.history.get().history_user == njeri


# --- Finding -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        "0712345678",
        "+254 712 345 678",
        "12345678",
        "wanjiku",
        "MWANGI wan",
        "CU{pk:06d}",
        "cu {pk}",
    ],
)
def test_a_customer_is_found_by(as_staff, kamau, wanjiku, words):
    factories.otieno()

    answer = as_staff(kamau).get(LIST, {"q": words.format(pk=wanjiku.pk)})

    assert list(answer.context["cl"].result_list) == [wanjiku]


def test_a_customer_is_found_by_the_number_of_a_loan(as_staff, kamau, loan):
    factories.otieno()

    answer = as_staff(kamau).get(LIST, {"q": loan.number})

    assert list(answer.context["cl"].result_list) == [loan.customer]


# --- The whole story -----------------------------------------------------------------------------
def test_the_header_tells_exposure_and_credit(as_staff, kamau, loan):
    entry = loan.customer.payments.model
    entry.objects.create(
        method="cash",
        amount=Decimal(500),
        credited=Decimal(500),
        value_date=date(2026, 1, 20),
        customer=loan.customer,
        branch=loan.branch,
        received_in=loan.branch,
        status=Payment.Status.ALLOCATED,
    )

    facts = dict(as_staff(kamau).get(page_of(loan.customer)).context["facts"])

    assert facts["Phone"] == "0712 345 678"
    assert facts["Exposure"] == f"KES {loan.position.outstanding:,.2f}"
    assert facts["Credit balance"] == "KES 500.00"


def test_the_page_shows_loans_and_guarantees(as_staff, kamau, loan):
    factories.guarantor(loan, amount=Decimal(5000))

    borrower = as_staff(kamau).get(page_of(loan.customer)).content.decode()
    guarantor = as_staff(kamau).get(page_of(factories.otieno())).content.decode()

    assert loan.number in borrower
    assert "KES 100,000.00" in borrower
    assert "Wanjiku Mwangi" in guarantor
    assert "KES 5,000.00" in guarantor


def test_who_may_only_look_reads_phones_as_people_write_them(as_staff, achieng, wanjiku):
    body = as_staff(achieng).get(page_of(wanjiku)).content.decode()

    assert "0712 345 678" in body
    assert ">254712345678<" not in body


# --- KYC -----------------------------------------------------------------------------------------
@pytest.fixture
def mwende(db):
    return factories.customer("Mwende Mutiso", "254711000333", kyc_status="pending")


def test_asking_to_verify_changes_nothing_and_answering_verifies_once(as_staff, kamau, mwende):
    client = as_staff(kamau)
    url = page_of(mwende, "verify")

    assert client.get(url).status_code == 200
    mwende.refresh_from_db()
    assert mwende.kyc_status == "pending"

    answer = client.post(url, {"_form_submitted": "True", "note": "Original ID seen"})
    assert answer["HX-Redirect"] == page_of(mwende)
    mwende.refresh_from_db()
    assert mwende.kyc_status == "verified"
    change = mwende.history.first()
    assert (change.history_user, change.history_change_reason) == (kamau, "Original ID seen")

    again = client.post(url, {"_form_submitted": "True"})
    assert "The KYC of Mwende Mutiso is verified already." in again.content.decode()


def test_rejecting_needs_a_reason(as_staff, kamau, mwende):
    client = as_staff(kamau)
    url = page_of(mwende, "reject")

    client.post(url, {"_form_submitted": "True"})
    mwende.refresh_from_db()
    assert mwende.kyc_status == "pending"

    client.post(url, {"_form_submitted": "True", "reason": "The photo is another person"})
    mwende.refresh_from_db()
    assert mwende.kyc_status == "rejected"


def test_who_may_not_verify_is_not_offered_it_and_403_when_forged(as_staff, njeri, mwende):
    client = as_staff(njeri)
    url = page_of(mwende, "verify")

    assert url not in client.get(page_of(mwende)).content.decode()
    assert client.post(url, {"_form_submitted": "True"}).status_code == 403
    mwende.refresh_from_db()
    assert mwende.kyc_status == "pending"


def test_what_makes_no_sense_is_not_offered(as_staff, kamau, wanjiku):
    body = as_staff(kamau).get(page_of(wanjiku)).content.decode()

    assert page_of(wanjiku, "verify") not in body
    assert page_of(wanjiku, "reject") in body


# --- Speed ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_takes_the_same_queries_for_one_customer_and_for_three(
    as_staff, kamau, django_assert_num_queries, rows
):
    for number in range(rows):
        person = factories.customer("Mwende Mutiso", f"25471100030{number}", loan_officer=kamau)
        factories.active(customer=person)
    client = as_staff(kamau)
    client.get(LIST)

    with django_assert_num_queries(15):
        client.get(LIST)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_page_takes_the_same_queries_for_one_loan_and_for_three(
    as_staff, kamau, django_assert_num_queries, rows, wanjiku
):
    for _ in range(rows):
        factories.active(customer=wanjiku)
    client = as_staff(kamau)
    client.get(page_of(wanjiku))

    with django_assert_num_queries(27):
        client.get(page_of(wanjiku))
