import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_seed_between_branches")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="is_active",
            field=models.BooleanField(
                default=True,
                help_text="Off: it is kept and reported, but no longer offered.",
                verbose_name="active",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="is_contra",
            field=models.BooleanField(
                default=False,
                help_text="Stands on the other side than its kind, as an allowance does among assets.",
                verbose_name="contra account",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="is_header",
            field=models.BooleanField(
                default=False,
                help_text="Sums the accounts under it; takes no postings.",
                verbose_name="header",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                help_text="The header it is summed under in reports.",
                limit_choices_to={"is_header": True},
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="children",
                to="ledger.account",
                verbose_name="header",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="takes_manual_entries",
            field=models.BooleanField(
                default=True,
                help_text="Off where loans, receipts or drawers are kept in step with it.",
            ),
        ),
        migrations.AddField(
            model_name="historicalaccount",
            name="is_active",
            field=models.BooleanField(
                default=True,
                help_text="Off: it is kept and reported, but no longer offered.",
                verbose_name="active",
            ),
        ),
        migrations.AddField(
            model_name="historicalaccount",
            name="is_contra",
            field=models.BooleanField(
                default=False,
                help_text="Stands on the other side than its kind, as an allowance does among assets.",
                verbose_name="contra account",
            ),
        ),
        migrations.AddField(
            model_name="historicalaccount",
            name="is_header",
            field=models.BooleanField(
                default=False,
                help_text="Sums the accounts under it; takes no postings.",
                verbose_name="header",
            ),
        ),
        migrations.AddField(
            model_name="historicalaccount",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                help_text="The header it is summed under in reports.",
                limit_choices_to={"is_header": True},
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="ledger.account",
                verbose_name="header",
            ),
        ),
        migrations.AddField(
            model_name="historicalaccount",
            name="takes_manual_entries",
            field=models.BooleanField(
                default=True,
                help_text="Off where loans, receipts or drawers are kept in step with it.",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_header", True), ("takes_manual_entries", True), _negated=True
                ),
                name="account_header_takes_no_entries",
                violation_error_message="A header takes no entries: switch manual entries off.",
            ),
        ),
    ]
