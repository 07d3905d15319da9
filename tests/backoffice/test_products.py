"""The product page: what is on offer and what it costs."""

from decimal import Decimal

import pytest

from lms.loans.models import LoanProduct
from lms.staff.models import Staff
from tests import factories
from tests.backoffice.pages import MOST_QUERIES, queries_of, url_of

MODEL = "loans.loanproduct"
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


@pytest.fixture
def boss(db) -> Staff:
    return Staff.objects.create_superuser("boss", password="maji-moto-42-safi")


def test_the_example_says_what_flat_interest_really_costs(as_staff, boss):
    # 60,000 for six instalments of 11,800: 4.9442% a month by its cash flows.
    product = factories.product(**FLAT)

    page = as_staff(boss).get(url_of(MODEL, "preview_of", product.pk)).content.decode()

    assert "3% a month, flat is 59.33% APR: KES 60,000.00 lent today" in page
    assert "78.45%" in page
    assert "KES 10,800.00" in page


def test_the_example_follows_what_is_typed_and_stores_nothing(as_staff, boss):
    product = factories.product(**FLAT)
    form = {field.name: getattr(product, field.name) for field in LoanProduct._meta.fields}
    typed = {name: "" if value is None else value for name, value in form.items()} | {
        "is_active": "on",
        "rate": "4",
        "fees-TOTAL_FORMS": "1",
        "fees-INITIAL_FORMS": "0",
        "fees-0-name": "Processing",
        "fees-0-kind": "percent",
        "fees-0-value": "2",
        "fees-0-when": "deducted",
        "fees-0-excise_rate": "20",
    }

    page = as_staff(boss).post(url_of(MODEL, "preview_of", product.pk), typed).content.decode()

    assert "4% a month, flat" in page
    assert "KES 58,560.00" in page
    product.refresh_from_db()
    assert product.rate == 3
    assert product.fees.count() == 0


def test_what_lies_outside_the_limits_is_said_in_a_sentence(as_staff, boss):
    product = factories.product(**FLAT)
    form = {field.name: getattr(product, field.name) for field in LoanProduct._meta.fields}
    form = {name: value for name, value in form.items() if value is not None}

    page = as_staff(boss).post(url_of(MODEL, "preview_of", product.pk), form | {"rate": "9"})

    assert "Interest rate (%): The usual rate lies outside the limits." in page.content.decode()


def test_only_administrators_change_products(as_staff, njeri):
    product = factories.product()
    client = as_staff(njeri)

    assert client.get(url_of(MODEL, "change", product.pk)).status_code == 200
    assert client.post(url_of(MODEL, "change", product.pk), {"rate": "1"}).status_code == 403
    assert client.get(url_of(MODEL, "add")).status_code == 403


def test_the_list_counts_running_loans_in_as_many_queries_for_one_product_as_for_three(
    as_staff, kamau
):
    factories.active()
    client = as_staff(kamau)
    page = client.get(url_of(MODEL, "changelist")).content.decode()
    assert "24% a year" in page

    one = queries_of(client, url_of(MODEL, "changelist"))
    factories.product(code="BODA")
    factories.product(code="SHULE")
    three = queries_of(client, url_of(MODEL, "changelist"))

    assert one == three <= MOST_QUERIES
