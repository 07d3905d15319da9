from django.db import migrations

from lms.ledger import chart


def seed(apps, schema_editor):
    chart.seed(apps.get_model("ledger", "Account"))


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_seed_chart_and_forbid_changes")]

    # The accounts stay when this is undone: transfers may stand on them.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
