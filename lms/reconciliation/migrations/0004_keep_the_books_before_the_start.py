from decimal import Decimal

from django.db import migrations, models

from lms.reconciliation import freezing


def keep(apps, schema_editor):
    """Keep what the first of each account was signed off with; its proof knows."""
    freezing.remove(schema_editor.connection)
    begun = set()
    rows = apps.get_model("reconciliation", "Reconciliation").objects
    for row in rows.order_by("account", "first"):
        if row.account_id not in begun and row.status == "signed_off":
            rows.filter(pk=row.pk).update(
                books_before=row.opening - Decimal(row.proof["brought_forward"]),
                books_before_at=row.signed_at,
            )
        begun.add(row.account_id)
    freezing.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0003_tell_cheques_that_cleared")]

    operations = [
        migrations.AddField(
            model_name="historicalreconciliation",
            name="books_before",
            field=models.DecimalField(
                decimal_places=2,
                editable=False,
                max_digits=14,
                null=True,
                verbose_name="books before the first day (KES)",
            ),
        ),
        migrations.AddField(
            model_name="historicalreconciliation",
            name="books_before_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="reconciliation",
            name="books_before",
            field=models.DecimalField(
                decimal_places=2,
                editable=False,
                max_digits=14,
                null=True,
                verbose_name="books before the first day (KES)",
            ),
        ),
        migrations.AddField(
            model_name="reconciliation",
            name="books_before_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        # Going back drops the columns.
        migrations.RunPython(keep, migrations.RunPython.noop),
    ]
