from django.db import migrations

from lms.ledger import chart


def switch_manual_entries_off(apps, schema_editor):
    """Every account the chart keeps takes no typed entries, whatever was switched on meanwhile."""
    accounts = apps.get_model("ledger", "Account").objects
    accounts.filter(pk__in=chart.KEPT).update(takes_manual_entries=False)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_guard_accounts")]

    operations = [
        # Undone, they stay off: which were on before is not known.
        migrations.RunPython(switch_manual_entries_off, migrations.RunPython.noop),
    ]
