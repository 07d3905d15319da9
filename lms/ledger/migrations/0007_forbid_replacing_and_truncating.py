from django.db import migrations

from lms.ledger import immutability


def install(apps, schema_editor):
    immutability.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_let_years_end_on_unused_accounts")]

    operations = [
        # Undone, the triggers stay: the migration that made the first of them takes all away.
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
