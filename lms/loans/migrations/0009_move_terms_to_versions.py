from datetime import date

from django.db import migrations
from django.db.models import Min, OuterRef, Subquery

# Written down here, for the models move on.
FIELDS = (
    "allocation_direction",
    "allocation_order",
    "day_count",
    "grace_interest",
    "instalment_multiple",
    "interest_grace",
    "interest_multiple",
    "max_principal",
    "max_rate",
    "max_repayments",
    "method",
    "min_principal",
    "min_rate",
    "min_repayments",
    "number_of_repayments",
    "penalty_base",
    "penalty_cap_kind",
    "penalty_cap_value",
    "penalty_frequency",
    "penalty_grace_days",
    "penalty_start",
    "penalty_value",
    "principal_grace",
    "rate",
    "rate_period",
    "repay_every",
    "repay_unit",
    "rounding_mode",
    "surplus",
    "penalty_stop",
    "recalculates",
    "income_basis",
    "rebate",
    "holiday_rule",
    "npl_days",
    "closing_tolerance",
)


def move(apps, schema_editor):
    """Make each product's terms its approved first version, with their history, fees and loans."""
    product_model = apps.get_model("loans", "LoanProduct")
    version_model = apps.get_model("loans", "ProductVersion")
    firsts = {
        product: min(filter(None, days))
        for product, *days in apps.get_model("loans", "Loan")
        .objects.order_by()
        .values_list("product")
        .annotate(Min("applied_on"), Min("disbursed_on"))
    }
    for product in product_model.objects.order_by("pk"):
        decided = {
            "product_id": product.pk,
            "number": 1,
            "status": "approved",
            "starts_on": firsts.get(product.pk, date(2000, 1, 1)),
            "approval_reference": "Offered before versions were kept",
        }
        version = version_model.objects.create(
            **decided, **{name: getattr(product, name) for name in FIELDS}
        )
        _move_history(apps, product.pk, version.pk, decided)
        for model in ("ProductFee", "HistoricalProductFee"):
            fees = apps.get_model("loans", model).objects.filter(product_id=product.pk)
            fees.update(version_id=version.pk)
    first = version_model.objects.filter(product_id=OuterRef("product_id")).values("pk")[:1]
    for model in ("Loan", "HistoricalLoan"):
        apps.get_model("loans", model).objects.update(version_id=Subquery(first))


def _move_history(apps, product_id, version_id, decided):
    """Let the history of the version start with what the product's says of its terms."""
    model = apps.get_model("loans", "HistoricalProductVersion")
    kept = ("history_date", "history_change_reason", "history_type", "history_user_id", *FIELDS)
    past = apps.get_model("loans", "HistoricalLoanProduct").objects.filter(id=product_id)
    model.objects.bulk_create(
        model(id=version_id, **decided, **{name: getattr(row, name) for name in kept})
        for row in past.order_by("history_id")
    )


def move_back(apps, schema_editor):
    """Give each product the terms and fees of its newest version; those before it are dropped."""
    fee_model = apps.get_model("loans", "ProductFee")
    for product in apps.get_model("loans", "LoanProduct").objects.order_by("pk"):
        versions = apps.get_model("loans", "ProductVersion").objects.filter(product=product)
        newest = versions.order_by("status", "-number").first()  # approved before draft
        if newest is None:
            continue
        for name in FIELDS:
            setattr(product, name, getattr(newest, name))
        product.save()
        fee_model.objects.filter(version=newest).update(product=product)
    fee_model.objects.filter(product=None).delete()


class Migration(migrations.Migration):
    dependencies = [("loans", "0008_add_product_versions")]

    operations = [migrations.RunPython(move, move_back)]
