from django.db import migrations

from lms.notifications import wording


def seed(apps, schema_editor) -> None:
    wording.seed(apps.get_model("notifications", "MessageTemplate"))


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_tables")]

    # Backwards there is nothing to do: the step before drops the table, edited templates and all.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
