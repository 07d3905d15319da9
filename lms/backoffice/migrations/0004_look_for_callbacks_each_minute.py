from django.db import migrations

FUNC, BEFORE, AFTER = "lms.jobs.apply_waiting_callbacks", 5, 1


def hurry(apps, schema_editor):
    """Where staff left the schedule as it was, let it run each minute."""
    schedules = apps.get_model("django_q", "Schedule").objects
    schedules.filter(func=FUNC, minutes=BEFORE).update(minutes=AFTER)


def take_time(apps, schema_editor):
    schedules = apps.get_model("django_q", "Schedule").objects
    schedules.filter(func=FUNC, minutes=AFTER).update(minutes=BEFORE)


class Migration(migrations.Migration):
    dependencies = [("backoffice", "0003_follow_reversals_and_pull")]

    operations = [migrations.RunPython(hurry, take_time)]
