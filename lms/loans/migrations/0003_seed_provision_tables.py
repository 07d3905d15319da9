from django.db import migrations

# Source of the bands: the day counts of CBK/PG/04 and of the deposit-taking microfinance and SACCO
# regulations as lenders use them. The percentages are starting points that staff edit.
TABLES = (
    (
        "management",
        "Management",
        "The lender's own credit policy; edit it to what the board approved.",
        True,
        (
            ("Normal", 0, 1),
            ("Watch", 31, 5),
            ("Substandard", 61, 25),
            ("Doubtful", 91, 50),
            ("Loss", 181, 100),
        ),
    ),
    (
        "cbk",
        "CBK prudential",
        "CBK/PG/04, banks: days past due as in the CRB data specification.",
        False,
        (
            ("Normal", 0, 1),
            ("Watch", 31, 3),
            ("Substandard", 91, 20),
            ("Doubtful", 181, 100),
            ("Loss", 361, 100),
        ),
    ),
    (
        "microfinance",
        "Microfinance",
        "Deposit-taking microfinance regulations 2008.",
        False,
        (
            ("Normal", 0, 1),
            ("Watch", 1, 5),
            ("Substandard", 31, 25),
            ("Doubtful", 61, 75),
            ("Loss", 91, 100),
        ),
    ),
    (
        "sasra",
        "SASRA",
        "SACCO societies regulations.",
        False,
        (
            ("Performing", 0, 1),
            ("Watch", 1, 5),
            ("Substandard", 31, 25),
            ("Doubtful", 181, 50),
            ("Loss", 361, 100),
        ),
    ),
)


def seed(apps, schema_editor):
    table_model = apps.get_model("loans", "ProvisionTable")
    band_model = apps.get_model("loans", "ProvisionBand")
    for code, name, source, is_booked, bands in TABLES:
        table, is_new = table_model.objects.get_or_create(
            code=code, defaults={"name": name, "source": source, "is_booked": is_booked}
        )
        if is_new:
            band_model.objects.bulk_create(
                band_model(table=table, name=word, from_days=days, rate=rate)
                for word, days, rate in bands
            )


class Migration(migrations.Migration):
    dependencies = [("loans", "0002_relate_status_to_due_date")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
