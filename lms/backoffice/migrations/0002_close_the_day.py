from django.db import migrations

from lms import dates
from lms.backoffice import schedules

REPLACED = ("lms.jobs.use_credit", "lms.jobs.charge_penalties")


def plan(apps, schema_editor):
    schedule = apps.get_model("django_q", "Schedule")
    schedule.objects.filter(func__in=REPLACED).delete()
    schedules.seed(schedule, now=dates.now())


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0001_plan_the_jobs")]

    operations = [
        # The jobs of the old schedules are gone, so undoing this does not plan them again.
        migrations.RunPython(plan, migrations.RunPython.noop)
    ]
