from django.db import migrations

from lms.tills import immutability


def install(apps, schema_editor):
    immutability.install(schema_editor.connection)


def remove(apps, schema_editor):
    immutability.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("tills", "0003_book_again_what_came_back")]

    operations = [migrations.RunPython(install, remove)]
