from django.db import migrations

from lms.ledger import chart


def seed(apps, schema_editor):
    chart.seed(apps.get_model("ledger", "Account"))


class Migration(migrations.Migration):
    dependencies = [("ledger", "0007_forbid_replacing_and_truncating")]

    operations = [
        # Undone, the account stays: transfers may name it by then.
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
