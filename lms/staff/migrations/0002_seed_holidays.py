from datetime import date

from django.db import migrations

# Source: Public Holidays Act, Cap. 110, First Schedule, and Easter. Idd-ul-Fitr and days that are
# gazetted late are added by staff.
EASTER = {2026: date(2026, 4, 5), 2027: date(2027, 3, 28), 2028: date(2028, 4, 16)}
FIXED = (
    (1, 1, "New Year's Day"),
    (5, 1, "Labour Day"),
    (6, 1, "Madaraka Day"),
    (10, 10, "Mazingira Day"),
    (10, 20, "Mashujaa Day"),
    (12, 12, "Jamhuri Day"),
    (12, 25, "Christmas Day"),
    (12, 26, "Utamaduni Day"),
)


def seed(apps, schema_editor):
    holiday = apps.get_model("staff", "Holiday")
    days = {}
    for year, sunday in EASTER.items():
        days[date.fromordinal(sunday.toordinal() - 2)] = "Good Friday"
        days[date.fromordinal(sunday.toordinal() + 1)] = "Easter Monday"
        days.update({date(year, month, day): name for month, day, name in FIXED})
    holiday.objects.bulk_create(
        [holiday(day=day, name=name) for day, name in sorted(days.items())], ignore_conflicts=True
    )


class Migration(migrations.Migration):
    dependencies = [("staff", "0001_tables")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
