from django.db import migrations, models
from django.db.models import F


def line_up(apps, schema_editor):
    callbacks = apps.get_model("mpesa", "Callback").objects
    callbacks.filter(status="received").update(due_at=F("received_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("mpesa", "0004_pay_customers"),
        ("payments", "0004_take_referral_rewards"),
    ]

    operations = [
        migrations.AddField(
            model_name="callback",
            name="due_at",
            field=models.DateTimeField(
                editable=False,
                help_text="While it is received, not before.",
                null=True,
                verbose_name="next attempt",
            ),
        ),
        # The column goes away with the step before: there is nothing to undo.
        migrations.RunPython(line_up, migrations.RunPython.noop),
    ]
