from django.db import migrations

from lms.ledger import chart


def seed(apps, schema_editor):
    chart.seed(apps.get_model("ledger", "Account"))


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_seed_capitalised_interest")]

    # The account stays when this is undone: transfers may stand on it.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
