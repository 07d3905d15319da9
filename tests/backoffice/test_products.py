"""Products by name, and the versions of their terms: drafted, compared, approved, withdrawn."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets

from lms import dates
from lms.loans.models import LoanProduct, ProductVersion
from lms.loans.operations import offers
from lms.staff.models import Staff
from tests import factories
from tests.backoffice.pages import (
    MOST_QUERIES,
    answer,
    ask,
    queries_of,
    url_of,
    went_through,
)

PRODUCT = "loans.loanproduct"
VERSION = "loans.productversion"
TODAY = date(2026, 11, 21)
NOTICE = TODAY + timedelta(days=30)
FLAT = {
    "code": "FLAT",
    "name": "Flat 3%",
    "method": "flat",
    "rate": Decimal(3),
    "rate_period": "month",
    "number_of_repayments": 6,
    "max_repayments": 12,
    "max_rate": Decimal(5),
    "min_principal": Decimal(20_000),
    "max_principal": Decimal(100_000),
}


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(dates, "today", lambda: TODAY)


@pytest.fixture
def boss(db) -> Staff:
    return Staff.objects.create_superuser("boss", password="maji-moto-42-safi")


@pytest.fixture
def draft(boss) -> ProductVersion:
    """The second version of Flat 3%, written by the boss."""
    return offers.new_version(factories.product(**FLAT), by=boss, on=TODAY)


def typed(version: ProductVersion, **changes) -> dict:
    """Return the form of a version as the page sends it."""
    form = {name: getattr(version, name) for name in version.FIXED_FIELDS}
    sent = {name: value for name, value in form.items() if value is not False and value is not None}
    return {
        **sent,
        "fees-TOTAL_FORMS": "0",
        "fees-INITIAL_FORMS": "0",
        "rules-TOTAL_FORMS": "0",
        "rules-INITIAL_FORMS": "0",
        **changes,
    }


def tell(response) -> str:
    return response.content.decode()


# --- The example ---------------------------------------------------------------------------------
def test_the_example_says_what_flat_interest_really_costs(as_staff, boss):
    # 60,000 for six instalments of 11,800: 4.9442% a month by its cash flows.
    version = factories.product(**FLAT).versions.get()

    page = tell(as_staff(boss).get(url_of(VERSION, "preview_of", version.pk)))

    assert "3% a month, flat is 59.33% APR: KES 60,000.00 lent today" in page
    assert "78.45%" in page
    assert "KES 10,800.00" in page


def test_the_example_follows_what_is_typed_and_stores_nothing(as_staff, boss, draft):
    fee = {"name": "Processing", "kind": "percent", "value": "2", "when": "deducted"}
    form = typed(draft, rate="4") | {
        "fees-TOTAL_FORMS": "1",
        **{f"fees-0-{name}": value for name, value in fee.items()},
        "fees-0-excise_rate": "20",
    }

    page = tell(as_staff(boss).post(url_of(VERSION, "preview_of", draft.pk), form))

    assert "4% a month, flat" in page
    assert "KES 58,560.00" in page
    draft.refresh_from_db()
    assert draft.rate == 3
    assert draft.fees.count() == 0


def test_what_lies_outside_the_limits_is_said_in_a_sentence(as_staff, boss, draft):
    page = as_staff(boss).post(url_of(VERSION, "preview_of", draft.pk), typed(draft, rate="9"))

    assert "Interest rate (%): The usual rate lies outside the limits." in tell(page)


# --- Writing -------------------------------------------------------------------------------------
def test_a_new_product_goes_on_to_the_draft_of_its_first_terms(as_staff, boss):
    form = {"code": "BODA", "name": "Boda boda", "is_active": "on", "notice_days": "14"}

    response = as_staff(boss).post(url_of(PRODUCT, "add"), form)

    version = LoanProduct.objects.get(code="BODA").versions.get()
    assert (version.number, version.status, version.created_by) == (1, "draft", boss)
    assert response["Location"] == url_of(VERSION, "change", version.pk)


def test_a_new_version_is_drafted_from_the_page_of_the_product(as_staff, boss):
    product = factories.product(**FLAT)
    client = as_staff(boss)
    assert "A draft with the latest terms" in tell(ask(client, PRODUCT, "new_version", product.pk))
    assert product.versions.count() == 1

    response = answer(client, PRODUCT, "new_version", product.pk)

    made = product.versions.get(number=2)
    assert response["HX-Redirect"] == url_of(VERSION, "change", made.pk)
    page = tell(client.get(url_of(PRODUCT, "change", product.pk)))
    assert f'href="{url_of(VERSION, "change", made.pk)}"' in page
    assert "Draft" in page
    assert "Current" in page


def test_terms_and_fees_are_written_while_the_version_is_a_draft(as_staff, boss, draft):
    client = as_staff(boss)
    form = typed(draft, rate="4", note="Dearer money") | {
        "fees-TOTAL_FORMS": "1",
        "fees-0-name": "Processing",
        "fees-0-kind": "percent",
        "fees-0-value": "2",
        "fees-0-when": "deducted",
        "fees-0-excise_rate": "20",
    }

    client.post(url_of(VERSION, "change", draft.pk), form)

    draft.refresh_from_db()
    assert (draft.rate, draft.note) == (4, "Dearer money")
    assert draft.fees.get().value == 2
    page = tell(client.get(url_of(VERSION, "change", draft.pk)))
    assert "<td><del>3</del></td>" in page
    assert "2% of principal, deducted from the disbursement, 20% excise" in page


def test_approved_terms_are_shown_and_not_written(as_staff, boss, draft):
    approved = draft.product.versions.get(number=1)
    client = as_staff(boss)

    assert 'name="rate"' not in tell(client.get(url_of(VERSION, "change", approved.pk)))
    refused = client.post(url_of(VERSION, "change", approved.pk), typed(approved, rate="1"))

    assert refused.status_code == 403
    approved.refresh_from_db()
    assert approved.rate == 3


def test_every_term_and_limit_has_its_place_on_the_page():
    page = admin.site.get_model_admin(ProductVersion)

    assert set(ProductVersion.FIXED_FIELDS) <= set(flatten_fieldsets(page.fieldsets))


# --- Decisions -----------------------------------------------------------------------------------
def test_the_dialog_shows_what_changes_and_approves_once(as_staff, kamau, draft):
    ProductVersion.objects.filter(pk=draft.pk).update(rate=Decimal("3.5"))
    client = as_staff(kamau)
    asked = tell(ask(client, VERSION, "approve_version", draft.pk))
    assert "Flat 3% v2 may start on 21 Dec 2026 at the earliest." in asked
    assert "<del>3</del>" in asked
    assert "3.5</ins>" in asked

    early = answer(
        client, VERSION, "approve_version", draft.pk, reference="BRD/7", starts_on="2026-12-01"
    )
    assert "30 days of notice" in tell(early)
    late = answer(
        client, VERSION, "approve_version", draft.pk, reference="BRD/7", starts_on="2026-12-21"
    )

    assert went_through(late)
    draft.refresh_from_db()
    assert (draft.state(on=TODAY), draft.starts_on, draft.approved_by) == ("future", NOTICE, kamau)


def test_terms_are_withdrawn_with_a_reason(as_staff, kamau, draft):
    client = as_staff(kamau)

    assert not went_through(answer(client, VERSION, "withdraw_version", draft.pk, reason=""))
    assert went_through(answer(client, VERSION, "withdraw_version", draft.pk, reason="No need"))

    draft.refresh_from_db()
    assert draft.status == "withdrawn"
    assert draft.history.first().history_change_reason == "No need"


def test_administrators_write_terms_and_managers_approve_them(as_staff, njeri, kamau, draft):
    administrator = factories.staff("grace", "Administrator")
    for person, may_write, may_approve in (
        (administrator, True, False),
        (kamau, False, True),
        (njeri, False, False),
    ):
        client = as_staff(person)
        assert client.get(url_of(VERSION, "change", draft.pk)).status_code == 200
        written = client.post(url_of(VERSION, "change", draft.pk), typed(draft))
        assert (written.status_code != 403) is may_write
        asked = ask(client, VERSION, "approve_version", draft.pk)
        assert (asked.status_code != 403) is may_approve
        assert (client.get(url_of(PRODUCT, "add")).status_code != 403) is may_write


# --- Lists ---------------------------------------------------------------------------------------
def test_the_list_counts_running_loans_in_as_many_queries_for_one_product_as_for_three(
    as_staff, kamau
):
    factories.active()
    client = as_staff(kamau)
    page = tell(client.get(url_of(PRODUCT, "changelist")))
    assert "24% a year" in page

    one = queries_of(client, url_of(PRODUCT, "changelist"))
    factories.product(code="BODA")
    factories.product(code="SHULE")
    three = queries_of(client, url_of(PRODUCT, "changelist"))

    assert one == three <= MOST_QUERIES


@pytest.mark.parametrize(
    ("state", "numbers"),
    [("current", [1]), ("future", [2]), ("draft", []), ("expired", []), ("withdrawn", [])],
)
def test_versions_are_found_by_how_they_stand_today(as_staff, kamau, draft, state, numbers):
    offers.approve_version(draft, reference="BRD/7", starts_on=NOTICE, by=kamau, on=TODAY)

    page = as_staff(kamau).get(url_of(VERSION, "changelist"), {"state": state})

    assert [version.number for version in page.context["cl"].result_list] == numbers


def test_the_list_of_versions_takes_as_many_queries_for_one_as_for_three(as_staff, kamau):
    factories.active()
    client = as_staff(kamau)

    one = queries_of(client, url_of(VERSION, "changelist"))
    factories.product(code="BODA")
    factories.product(code="SHULE")

    assert one == queries_of(client, url_of(VERSION, "changelist")) <= MOST_QUERIES
