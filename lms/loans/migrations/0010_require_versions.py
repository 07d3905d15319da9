import django.db.models.deletion
from django.db import migrations, models

MOVED = (
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


class Migration(migrations.Migration):
    dependencies = [("loans", "0009_move_terms_to_versions")]

    operations = [
        migrations.AlterField(
            model_name="loan",
            name="version",
            field=models.ForeignKey(
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="loans",
                to="loans.productversion",
                verbose_name="product version",
            ),
        ),
        migrations.AlterField(
            model_name="productfee",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="fees",
                to="loans.productversion",
            ),
        ),
        *(
            migrations.RemoveConstraint("loanproduct", f"product_{name}_limits")
            for name in ("amount", "term", "rate")
        ),
        *(
            migrations.RemoveField(model, name)
            for model in ("historicalloanproduct", "loanproduct")
            for name in MOVED
        ),
        migrations.RemoveField("historicalproductfee", "product"),
        migrations.RemoveField("productfee", "product"),
    ]
