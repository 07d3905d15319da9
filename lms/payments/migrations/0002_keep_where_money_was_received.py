import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Coalesce


def fill(apps, schema_editor):
    """A receipt stands in the books of one branch: that of its first transfer."""
    payment = apps.get_model("payments", "Payment")
    transfer = apps.get_model("ledger", "Transfer")
    booked = transfer.objects.filter(entry=models.OuterRef("entry")).values("branch")[:1]
    payment.objects.update(received_in=Coalesce(models.Subquery(booked), models.F("branch")))


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_tables"), ("ledger", "0001_tables")]

    operations = [
        migrations.AddField(
            "historicalpayment",
            "received_in",
            models.ForeignKey(
                blank=True,
                db_constraint=False,
                editable=False,
                help_text="Its books hold this money until it pays a loan, and as credit.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="staff.branch",
            ),
        ),
        migrations.AddField(
            "payment",
            "received_in",
            models.ForeignKey(
                db_index=False,
                editable=False,
                help_text="Its books hold this money until it pays a loan, and as credit.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="staff.branch",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
