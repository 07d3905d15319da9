from decimal import Decimal

from django.conf import settings
from django.db import migrations, models


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
    ]
