from django.db import migrations

from lms import dates
from lms.backoffice import schedules


def plan(apps, schema_editor):
    schedules.seed(apps.get_model("django_q", "Schedule"), now=dates.now())


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0003_queue_reminders_at_night")]

    operations = [
        # Staff may have changed the schedule, so undoing this leaves it alone.
        migrations.RunPython(plan, migrations.RunPython.noop)
    ]
