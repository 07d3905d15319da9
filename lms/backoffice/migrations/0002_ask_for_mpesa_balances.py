from django.db import migrations

from lms import dates
from lms.backoffice import schedules

NEW = ("Ask for M-Pesa balances", "Forget old requests to Daraja")


def plan(apps, schema_editor):
    schedules.seed(apps.get_model("django_q", "Schedule"), now=dates.now(), names=NEW)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0001_plan_the_jobs")]

    operations = [
        # Staff may have changed the schedules, so undoing this leaves them alone.
        migrations.RunPython(plan, migrations.RunPython.noop)
    ]
