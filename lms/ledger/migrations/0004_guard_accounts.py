from django.db import migrations

from lms.ledger import immutability


def install(apps, schema_editor):
    immutability.guard_accounts(schema_editor.connection)


def remove(apps, schema_editor):
    immutability.unguard_accounts(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_let_products_have_accounts")]

    operations = [migrations.RunPython(install, remove)]
