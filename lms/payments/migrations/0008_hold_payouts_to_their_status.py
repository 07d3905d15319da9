from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0007_tell_what_became_of_payouts")]

    operations = [
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
