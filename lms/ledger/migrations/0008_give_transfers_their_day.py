import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import OuterRef, Subquery

from lms.ledger import immutability


def fill(apps, schema_editor):
    """Copy the day of each entry to its transfers, while the triggers rest."""
    entry = apps.get_model("ledger", "JournalEntry")
    transfer = apps.get_model("ledger", "Transfer")
    day = entry.objects.filter(pk=OuterRef("entry")).values("date")
    immutability.remove(schema_editor.connection)
    transfer.objects.filter(date=None).update(date=Subquery(day))
    immutability.install(schema_editor.connection)


def install(apps, schema_editor):
    immutability.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0007_seed_the_full_chart"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # SQLite makes the tables anew, without triggers: `fill`, and this on the way back,
        # put them up again.
        migrations.RunPython(migrations.RunPython.noop, install),
        migrations.AlterField(
            model_name="journalentry",
            name="kind",
            field=models.CharField(max_length=24),
        ),
        migrations.AlterField(
            model_name="journalentry",
            name="posted_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="transfer",
            name="credit",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credits",
                to="ledger.account",
            ),
        ),
        migrations.AlterField(
            model_name="transfer",
            name="debit",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="debits",
                to="ledger.account",
            ),
        ),
        migrations.AlterField(
            model_name="transfer",
            name="subject",
            field=models.CharField(
                blank=True, help_text="Whose money: a loan or payment number.", max_length=16
            ),
        ),
        migrations.AddField(
            model_name="transfer",
            name="date",
            field=models.DateField(null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
