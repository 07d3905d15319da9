from django.db import migrations

from lms.reconciliation import freezing


def install(apps, schema_editor):
    freezing.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0004_keep_the_books_before_the_start")]

    operations = [
        # Undone, the triggers stay: the migration that made the first of them takes all away.
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
