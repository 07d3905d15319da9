from django.db import migrations

from lms import dates
from lms.backoffice import schedules

NEW = ("Follow money that goes back", "Pull missed M-Pesa payments")


def plan(apps, schema_editor):
    schedules.seed(apps.get_model("django_q", "Schedule"), now=dates.now(), names=NEW)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0002_ask_for_mpesa_balances")]

    operations = [
        # Staff may have changed the schedules, so undoing this leaves them alone.
        migrations.RunPython(plan, migrations.RunPython.noop)
    ]
