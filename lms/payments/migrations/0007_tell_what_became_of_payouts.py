from django.db import migrations
from django.db.models import F


def tell_what_became_of_each(apps, schema_editor):
    """Payouts so far were handed over: they arrived, unless they were reversed."""
    for name in ("Payout", "HistoricalPayout"):
        rows = apps.get_model("payments", name).objects
        rows.update(arrived=F("amount"))
        rows.filter(reversed_on__isnull=False).update(status="reversed")


class Migration(migrations.Migration):
    dependencies = [("payments", "0006_let_payouts_be_on_their_way")]

    operations = [
        # Undone, the columns it fills go away.
        migrations.RunPython(tell_what_became_of_each, migrations.RunPython.noop),
    ]
