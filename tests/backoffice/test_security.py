"""Guarantors and collateral: their lists, their dialogs, and who may answer them."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from lms import dates
from lms.loans.models import Collateral, Guarantor, GuarantorNotice
from lms.loans.operations import security
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, answer, ask, queries_of, url_of, went_through

GUARANTOR = "loans.guarantor"
COLLATERAL = "loans.collateral"
TODAY = date(2026, 3, 20)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


def proposed() -> Guarantor:
    return security.propose(
        factories.draft(),
        customer=factories.otieno(),
        amount=Decimal(20_000),
        by=factories.njeri(),
        on=TODAY,
    )


def standing() -> Guarantor:
    """Otieno, for a loan that is in arrears today."""
    return factories.guarantor(factories.active())


def car() -> Collateral:
    return factories.collateral(factories.active())


GUARANTOR_ACTIONS = [
    ("consent", "njeri", {"means": "form", "consented_on": "2026-03-19"}, proposed),
    ("verify_capacity", "njeri", {"capacity": "90000", "basis": "Payslips"}, standing),
    (
        "notify",
        "njeri",
        {"kind": "demand", "channel": "letter", "sent_on": "2026-03-20", "text": "Pay."},
        standing,
    ),
    (
        "substitute",
        "kamau",
        {
            "customer": "0733 000 222",
            "amount": "20000",
            "means": "person",
            "consented_on": "2026-03-20",
            "reason": "Otieno moves away",
        },
        standing,
    ),
    ("release", "kamau", {"reason": "Half is repaid"}, standing),
]
COLLATERAL_ACTIONS = [
    (
        "revalue",
        "njeri",
        {"value": "90000", "forced_sale_percent": "60", "valued_on": "2026-03-20"},
        car,
    ),
    ("register", "njeri", {"mpsr_number": "MPSR1", "registered_on": "2026-03-20"}, car),
    ("insure", "njeri", {"insured_until": "2027-03-20"}, car),
    ("take_custody", "njeri", {"location": "Safe 2", "received_on": "2026-03-20"}, car),
    ("release", "kamau", {"released_to": "Wanjiku", "reason": "Board minute 12"}, car),
]
ACTIONS = [
    (model, *each)
    for model, actions in ((GUARANTOR, GUARANTOR_ACTIONS), (COLLATERAL, COLLATERAL_ACTIONS))
    for each in actions
]


def written() -> int:
    return sum(model.history.count() for model in (Guarantor, GuarantorNotice, Collateral))


@pytest.mark.parametrize(("model", "verb", "who", "answers", "make"), ACTIONS)
def test_asking_changes_nothing_and_answering_acts(
    as_staff, request, model, verb, who, answers, make
):
    client = as_staff(request.getfixturevalue(who))
    factories.customer("Akinyi Atieno", "254733000222")
    row = make()
    before = written()

    assert ask(client, model, verb, row.pk).status_code == 200
    assert written() == before

    assert went_through(answer(client, model, verb, row.pk, **answers))
    assert written() > before


@pytest.mark.parametrize(("model", "verb", "who", "answers", "make"), ACTIONS)
def test_who_may_only_look_is_turned_away(as_staff, achieng, model, verb, who, answers, make):
    row = make()
    before = written()

    assert answer(as_staff(achieng), model, verb, row.pk, **answers).status_code == 403
    assert written() == before


def test_a_refusal_is_shown_in_the_dialog(as_staff, kamau):
    row = standing()

    shown = answer(
        as_staff(kamau),
        GUARANTOR,
        "substitute",
        row.pk,
        customer="0712 345 678",  # the borrower
        amount="1",
        means="form",
        consented_on="2026-03-20",
        reason="Tries",
    )

    assert not went_through(shown)
    assert "The borrower cannot guarantee their own loan." in shown.content.decode()


def test_an_officer_does_not_release_what_a_manager_must(as_staff, njeri):
    assert answer(
        as_staff(njeri), COLLATERAL, "release", car().pk, released_to="W", reason="Asked"
    ).status_code == (403)


@pytest.mark.parametrize("term", ["0722 000 111", "22000111", "Otieno", "LN{loan:06d}", "Wanjiku"])
def test_a_guarantor_is_found_by_person_and_by_loan(as_staff, kamau, term):
    row = standing()

    page = as_staff(kamau).get(
        url_of(GUARANTOR, "changelist"), {"q": term.format(loan=row.loan_id)}
    )

    assert [found.pk for found in page.context["cl"].queryset] == [row.pk]


def test_collateral_is_found_by_its_serial_and_by_what_is_to_do(as_staff, kamau):
    found, other = car(), factories.collateral(factories.draft(), serial="KDB 999B")
    client = as_staff(kamau)

    by_serial = client.get(url_of(COLLATERAL, "changelist"), {"q": "kda 123a"})
    to_register = client.get(url_of(COLLATERAL, "changelist"), {"work": "unregistered"})
    everything = client.get(url_of(COLLATERAL, "changelist"))

    assert [row.pk for row in by_serial.context["cl"].queryset] == [found.pk]
    assert [row.pk for row in to_register.context["cl"].queryset] == [found.pk]
    assert [row.pk for row in everything.context["cl"].queryset] == [other.pk, found.pk]


def test_the_pages_show_exposure_capacity_and_cover(as_staff, kamau):
    loan = factories.active()
    guarantor = factories.guarantor(loan, capacity=Decimal(90_000))
    thing = factories.collateral(loan, value=loan.position.outstanding, forced_sale_percent=50)
    client = as_staff(kamau)

    person = client.get(url_of(GUARANTOR, "change", guarantor.pk)).content.decode()
    page = client.get(url_of(COLLATERAL, "change", thing.pk)).content.decode()

    assert "KES 90,000.00" in person
    assert "KES 20,000.00" in person
    assert "50%" in page


def test_a_paper_of_collateral_is_uploaded_and_shown_to_those_who_see_it(as_staff, njeri):
    thing = factories.collateral(factories.draft())
    client = as_staff(njeri)

    client.post(
        url_of(COLLATERAL, "change", thing.pk),
        {
            "valuations-TOTAL_FORMS": "0",
            "valuations-INITIAL_FORMS": "0",
            "documents-TOTAL_FORMS": "1",
            "documents-INITIAL_FORMS": "0",
            "documents-0-kind": "title",
            "documents-0-file": SimpleUploadedFile("logbook.pdf", b"%PDF-1.4 logbook"),
        },
    )

    paper = thing.documents.get()
    assert client.get(paper.file.url).status_code == 200
    elsewhere = factories.staff("ochieng", "Loan officer", branch=factories.branch("KSM", "Kisumu"))
    client.force_login(elsewhere)
    assert client.get(paper.file.url).status_code == 404


@pytest.mark.parametrize("model", [GUARANTOR, COLLATERAL])
def test_a_list_takes_the_same_queries_for_one_row_and_for_three(as_staff, kamau, model):
    def add():
        loan = factories.draft()
        factories.guarantor(loan)
        factories.collateral(loan)

    add()
    client = as_staff(kamau)
    one = queries_of(client, url_of(model, "changelist"))
    add()
    add()

    assert queries_of(client, url_of(model, "changelist")) == one <= MOST_QUERIES
