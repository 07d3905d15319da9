from django.db import migrations

from lms import dates
from lms.backoffice import schedules

NEW = ("See to payouts by M-Pesa",)


def plan(apps, schema_editor):
    schedules.seed(apps.get_model("django_q", "Schedule"), now=dates.now(), names=NEW)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0004_look_for_callbacks_each_minute")]

    operations = [
        # Staff may have changed the schedules, so undoing this leaves them alone.
        migrations.RunPython(plan, migrations.RunPython.noop)
    ]
