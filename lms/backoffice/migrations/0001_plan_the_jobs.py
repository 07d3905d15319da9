from django.db import migrations

from lms import dates
from lms.backoffice import schedules


def plan(apps, schema_editor):
    schedules.seed(apps.get_model("django_q", "Schedule"), now=dates.now())


class Migration(migrations.Migration):
    initial = True

    dependencies = [("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more")]

    operations = [
        # Staff may have changed the schedules, so undoing this leaves them alone.
        migrations.RunPython(plan, migrations.RunPython.noop)
    ]
