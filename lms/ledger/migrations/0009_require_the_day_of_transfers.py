from django.db import migrations, models

from lms.ledger import immutability


def install(apps, schema_editor):
    immutability.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_give_transfers_their_day")]

    operations = [
        # SQLite makes the table anew, without triggers: they are put up again, either way.
        migrations.RunPython(migrations.RunPython.noop, install),
        migrations.AlterField(
            model_name="transfer",
            name="date",
            field=models.DateField(),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(
                fields=["date"],
                include=("debit", "credit", "branch", "amount"),
                name="transfer_by_date",
            ),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["debit", "date"], name="transfer_by_debit"),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["credit", "date"], name="transfer_by_credit"),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["subject"], name="transfer_by_subject"),
        ),
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
