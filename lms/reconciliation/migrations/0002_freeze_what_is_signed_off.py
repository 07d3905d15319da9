from django.db import migrations

from lms.reconciliation import freezing


def install(apps, schema_editor):
    freezing.install(schema_editor.connection)


def remove(apps, schema_editor):
    freezing.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0001_tables")]

    operations = [migrations.RunPython(install, remove)]
