from django.db import migrations

# The nightly close queues what these did.
REPLACED = ("lms.jobs.remind_upcoming", "lms.jobs.remind_due_today", "lms.jobs.remind_overdue")


def drop(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(func__in=REPLACED).delete()


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0002_close_the_day")]

    operations = [
        # The jobs of the old schedules are gone, so undoing this does not plan them again.
        migrations.RunPython(drop, migrations.RunPython.noop)
    ]
