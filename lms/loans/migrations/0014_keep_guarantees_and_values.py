"""Guarantors were written down with their consent, and collateral with one value: keep both."""

from django.db import migrations


def keep(apps, schema_editor):
    apps.get_model("loans", "Guarantor").objects.filter(consented_on__isnull=False).update(
        status="consented", consent_means="form"
    )
    valuation = apps.get_model("loans", "Valuation")
    rows = apps.get_model("loans", "Collateral").objects.filter(valuations=None)
    valuation.objects.bulk_create(
        [
            valuation(
                collateral_id=row.pk,
                value=row.value,
                forced_sale_percent=row.forced_sale_percent,
                valued_on=row.valued_on,
                note="First valuation",
            )
            for row in rows.iterator(chunk_size=2000)
        ],
        batch_size=500,
    )


class Migration(migrations.Migration):
    dependencies = [("loans", "0013_add_security")]

    # Backwards the columns and the table of valuations go, and what stood in them before stays.
    operations = [migrations.RunPython(keep, migrations.RunPython.noop)]
