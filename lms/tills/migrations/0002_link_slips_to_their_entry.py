import django.db.models.deletion
from django.db import migrations, models


def link(apps, schema_editor):
    """Find the entry of every slip that arrived by the name it was posted under."""
    entries = apps.get_model("ledger", "JournalEntry").objects
    for slip in apps.get_model("tills", "Banking").objects.filter(status="confirmed").iterator():
        slip.arrived_entry = entries.filter(reference=f"banking:{slip.pk}:arrived").first()
        slip.save(update_fields=["arrived_entry"])


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0004_guard_accounts"),
        ("tills", "0001_tables"),
    ]

    operations = [
        migrations.AddField(
            model_name="banking",
            name="arrived_entry",
            field=models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="arrived_slip",
                to="ledger.journalentry",
            ),
        ),
        migrations.AddField(
            model_name="historicalbanking",
            name="arrived_entry",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="ledger.journalentry",
            ),
        ),
        # Going back drops the column, and nothing is lost: the entry keeps its name.
        migrations.RunPython(link, migrations.RunPython.noop),
    ]
