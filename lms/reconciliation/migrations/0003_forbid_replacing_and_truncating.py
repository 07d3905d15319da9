from django.db import migrations

from lms.reconciliation import freezing


def install(apps, schema_editor):
    freezing.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0002_freeze_what_is_signed_off")]

    operations = [
        # Undone, the triggers stay: the migration that made the first of them takes all away.
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
