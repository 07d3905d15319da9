from django.db import migrations

from lms.ledger import immutability


def install(apps, schema_editor):
    immutability.guard_accounts(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_keep_control_accounts")]

    operations = [
        # Undone, the trigger stays as it is: its former text is no longer here.
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
