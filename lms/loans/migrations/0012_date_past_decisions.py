from zoneinfo import ZoneInfo

from django.db import migrations

EAT = ZoneInfo("Africa/Nairobi")


def fill(apps, schema_editor):
    """Take the day on which a loan was rejected or withdrawn from its history."""
    history = apps.get_model("loans", "HistoricalLoan").objects
    for loan in apps.get_model("loans", "Loan").objects.filter(
        status__in=("rejected", "withdrawn")
    ):
        step = history.filter(id=loan.pk, status=loan.status).order_by("history_date").first()
        if step is not None:
            loan.decided_on = step.history_date.astimezone(EAT).date()
            loan.save(update_fields=["decided_on"])


class Migration(migrations.Migration):
    dependencies = [("loans", "0011_keep_eligibility_rules")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
