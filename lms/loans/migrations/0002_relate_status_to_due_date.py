from django.db import migrations

# Old instalments are settled and future ones open. Without this PostgreSQL takes status and due
# date for unrelated, expects twenty times the overdue rows there are, and reads the whole table
# to count them.
CREATE = (
    "CREATE STATISTICS repayment_status_by_due_date (mcv) ON status, due_date FROM loans_repayment",
    "ALTER STATISTICS repayment_status_by_due_date SET STATISTICS 1000",
)


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in CREATE:
            schema_editor.execute(statement)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS repayment_status_by_due_date")


class Migration(migrations.Migration):
    dependencies = [("loans", "0001_tables")]

    operations = [migrations.RunPython(create, drop)]
