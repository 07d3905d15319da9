from django.db import migrations

from lms.ledger import chart


def seed(apps, schema_editor):
    account = apps.get_model("ledger", "Account")
    chart.seed(account)
    chart.arrange(account)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_widen_the_chart")]

    # The accounts stay when this is undone: transfers may stand on them.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
