"""On PostgreSQL, an index that finds a part of a name among many customers.

A database user who may not create the extension keeps working without it: searches by name are
then slower, and nothing else changes.
"""

from django.db import DatabaseError, migrations, transaction


def add_index(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    try:
        with transaction.atomic(using=schema_editor.connection.alias):
            schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DatabaseError:  # Not installed, or not ours to create: the operator decides.
        return
    schema_editor.execute(
        "CREATE INDEX IF NOT EXISTS customer_name_trigram"
        " ON customers_customer USING gin (UPPER(name) gin_trgm_ops)"
    )


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS customer_name_trigram")


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_tables")]

    operations = [migrations.RunPython(add_index, drop_index)]
