from django.db import migrations

from lms.ledger import chart, immutability


def seed(apps, schema_editor):
    chart.seed(apps.get_model("ledger", "Account"))


def install(apps, schema_editor):
    immutability.install(schema_editor.connection)
    immutability.guard_closed(schema_editor.connection)


def remove(apps, schema_editor):
    immutability.unguard_closed(schema_editor.connection)
    immutability.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_tables")]

    operations = [
        # The accounts stay when this is undone: transfers may stand on them.
        migrations.RunPython(seed, migrations.RunPython.noop),
        migrations.RunPython(install, remove),
    ]
