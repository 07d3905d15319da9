"""The move of terms from products to versions, on rows as they stood before it."""

from datetime import UTC, date, datetime
from decimal import Decimal

from tests.migrating import migrate

BEFORE = ("loans", "0007_seed_provision_tables")
AFTER = ("loans", "0010_require_versions")


def lend(apps, product, *, applied_on: date, disbursed_on: date | None = None) -> int:
    """Write a loan of before the move down; return its key."""
    branch, _ = apps.get_model("staff", "Branch").objects.get_or_create(code="NRB", name="Nairobi")
    person, _ = apps.get_model("staff", "Staff").objects.get_or_create(username="njeri")
    customer, _ = apps.get_model("customers", "Customer").objects.get_or_create(
        phone="254712345678", id_number="12345678", name="Wanjiku Mwangi", branch=branch
    )
    loan = apps.get_model("loans", "Loan").objects.create(
        customer=customer,
        product=product,
        branch=branch,
        principal=Decimal(50_000),
        applied_on=applied_on,
        disbursed_on=disbursed_on,
        created_by=person,
    )
    return loan.pk


def test_each_product_becomes_its_approved_first_version_and_back(empty_database):
    apps = migrate(BEFORE)
    product_model = apps.get_model("loans", "LoanProduct")
    terms = {"rate": Decimal("2.75"), "penalty_base": "fixed", "penalty_value": Decimal(300)}
    lent = product_model.objects.create(
        code="LENT", name="Lent", max_principal=Decimal(70_000), **terms
    )
    product_model.objects.create(code="NEVER", name="Never lent")
    apps.get_model("loans", "ProductFee").objects.create(product=lent, name="Fee", value=Decimal(2))
    for day, rate in ((1, Decimal(2)), (2, Decimal("2.75"))):
        apps.get_model("loans", "HistoricalLoanProduct").objects.create(
            id=lent.pk,
            code="LENT",
            name="Lent",
            rate=rate,
            history_date=datetime(2026, 1, day, tzinfo=UTC),
            history_type="~",
            history_change_reason=f"Day {day}",
        )
    loan = lend(apps, lent, applied_on=date(2024, 5, 2), disbursed_on=date(2023, 12, 1))
    lend(apps, lent, applied_on=date(2024, 1, 9))

    apps = migrate(AFTER)

    version_model = apps.get_model("loans", "ProductVersion")
    first, never = version_model.objects.order_by("product__code")
    assert (first.number, first.status, first.starts_on, first.ends_on) == (
        1,
        "approved",
        date(2023, 12, 1),
        None,
    )
    assert (first.rate, first.penalty_value, first.max_principal) == (
        Decimal("2.75"),
        Decimal(300),
        Decimal(70_000),
    )
    assert (never.status, never.starts_on) == ("approved", date(2000, 1, 1))
    assert first.fees.get().value == Decimal(2)
    past = apps.get_model("loans", "HistoricalProductVersion").objects.order_by("history_date")
    assert list(past.values_list("id", "rate", "history_change_reason")) == [
        (first.pk, Decimal(2), "Day 1"),
        (first.pk, Decimal("2.75"), "Day 2"),
    ]
    loans = apps.get_model("loans", "Loan").objects
    assert set(loans.values_list("version_id", flat=True)) == {first.pk}
    assert loans.get(pk=loan).product_id == lent.pk

    apps = migrate(BEFORE)

    back = apps.get_model("loans", "LoanProduct").objects.get(code="LENT")
    assert (back.rate, back.penalty_value, back.fees.get().value) == (
        Decimal("2.75"),
        Decimal(300),
        Decimal(2),
    )


def test_old_guarantors_keep_their_consent_and_old_collateral_its_value(empty_database):
    apps = migrate(BEFORE)
    product = apps.get_model("loans", "LoanProduct").objects.create(code="LENT", name="Lent")
    loan = lend(apps, product, applied_on=date(2024, 1, 9))
    customer = apps.get_model("customers", "Customer").objects.get()
    apps.get_model("loans", "Guarantor").objects.create(
        loan_id=loan, customer=customer, amount=Decimal(20_000), consented_on=date(2024, 1, 8)
    )
    thing = {
        "loan_id": loan,
        "kind": "vehicle",
        "value": Decimal(100_000),
        "valued_on": date(2023, 12, 20),
        "forced_sale_percent": 60,
    }
    apps.get_model("loans", "Collateral").objects.create(description="Probox", **thing)
    apps = migrate(("loans", "0013_add_security"))
    # What was written between the two steps: one asked to guarantee, one thing with its value.
    other = apps.get_model("customers", "Customer").objects.create(
        phone="254722000111", id_number="22000111", branch_id=customer.branch_id
    )
    apps.get_model("loans", "Guarantor").objects.create(
        loan_id=loan, customer=other, amount=Decimal(5_000)
    )
    valued = apps.get_model("loans", "Collateral").objects.create(description="Plot", **thing)
    apps.get_model("loans", "Valuation").objects.create(
        collateral=valued,
        value=Decimal(100_000),
        forced_sale_percent=60,
        valued_on=date(2023, 12, 20),
        note="By a valuer",
    )

    apps = migrate(("loans", "0014_keep_guarantees_and_values"))

    guarantors = apps.get_model("loans", "Guarantor").objects.order_by("pk")
    kept = guarantors.values_list("amount", "consented_on", "status", "consent_means")
    assert list(kept) == [
        (Decimal(20_000), date(2024, 1, 8), "consented", "form"),
        (Decimal(5_000), None, "proposed", ""),
    ]
    values = apps.get_model("loans", "Valuation").objects.order_by("collateral_id")
    facts = ("collateral__description", "value", "forced_sale_percent", "valued_on", "note")
    assert list(values.values_list(*facts)) == [
        ("Probox", Decimal(100_000), 60, date(2023, 12, 20), "First valuation"),
        ("Plot", Decimal(100_000), 60, date(2023, 12, 20), "By a valuer"),
    ]
    statuses = apps.get_model("loans", "Collateral").objects.values_list("status", flat=True)
    assert set(statuses) == {"held"}
