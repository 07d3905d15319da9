from decimal import Decimal

from django.conf import settings
from django.db import migrations, models
from django.db.models import F


def tell_what_became_of_each(apps, schema_editor):
    """Payouts so far were handed over: they arrived, unless they were reversed."""
    for name in ("Payout", "HistoricalPayout"):
        rows = apps.get_model("payments", name).objects
        rows.update(arrived=F("amount"))
        rows.filter(reversed_on__isnull=False).update(status="reversed")


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0003_record_who_referred"),
        ("ledger", "0008_keep_payouts_on_their_way"),
        ("payments", "0005_hold_what_goes_back"),
        ("staff", "0002_seed_holidays"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="historicalpayout",
            name="arrived",
            field=models.DecimalField(
                db_default=Decimal("0.00"),
                decimal_places=2,
                default=Decimal("0.00"),
                editable=False,
                max_digits=14,
                verbose_name="arrived (KES)",
            ),
        ),
        migrations.AddField(
            model_name="historicalpayout",
            name="status",
            field=models.CharField(
                choices=[
                    ("on_its_way", "On its way"),
                    ("partly", "Partly arrived"),
                    ("failed", "Did not arrive"),
                    ("paid", "Paid"),
                    ("reversed", "Reversed"),
                ],
                db_default="paid",
                default="paid",
                editable=False,
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="payout",
            name="arrived",
            field=models.DecimalField(
                db_default=Decimal("0.00"),
                decimal_places=2,
                default=Decimal("0.00"),
                editable=False,
                max_digits=14,
                verbose_name="arrived (KES)",
            ),
        ),
        migrations.AddField(
            model_name="payout",
            name="status",
            field=models.CharField(
                choices=[
                    ("on_its_way", "On its way"),
                    ("partly", "Partly arrived"),
                    ("failed", "Did not arrive"),
                    ("paid", "Paid"),
                    ("reversed", "Reversed"),
                ],
                db_default="paid",
                default="paid",
                editable=False,
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="historicalpayout",
            name="method",
            field=models.CharField(
                choices=[
                    ("cash", "Cash"),
                    ("mpesa", "M-Pesa"),
                    ("bank", "Bank"),
                    ("cheque", "Cheque"),
                    ("b2c", "M-Pesa, sent by us"),
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="payout",
            name="method",
            field=models.CharField(
                choices=[
                    ("cash", "Cash"),
                    ("mpesa", "M-Pesa"),
                    ("bank", "Bank"),
                    ("cheque", "Cheque"),
                    ("b2c", "M-Pesa, sent by us"),
                ],
                max_length=9,
            ),
        ),
        migrations.RunPython(tell_what_became_of_each, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="payout",
            index=models.Index(
                condition=models.Q(("status__in", ["on_its_way", "partly", "failed"])),
                fields=["status", "-id"],
                name="payout_by_open_status",
            ),
        ),
        migrations.AddConstraint(
            model_name="payout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("reversed_on__isnull", False), ("status", "reversed")),
                    models.Q(
                        models.Q(("status", "reversed"), _negated=True),
                        ("reversed_on__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="payout_reversed_on_a_day",
            ),
        ),
        migrations.AddConstraint(
            model_name="payout",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status", "reversed"),
                    models.Q(("arrived", models.F("amount")), ("status", "paid")),
                    models.Q(("arrived", 0), ("method", "b2c"), ("status", "failed")),
                    models.Q(
                        ("arrived__lt", models.F("amount")),
                        ("method", "b2c"),
                        ("status__in", ["on_its_way", "partly"]),
                    ),
                    _connector="OR",
                ),
                name="payout_status_follows_what_arrived",
            ),
        ),
    ]
