import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("customers", "0004_keep_hashes_of_phones")]

    operations = [
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(fields=["phone_hash"], name="customer_by_phone_hash"),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(
                django.db.models.functions.text.Substr("phone", 10, 3),
                name="customer_by_phone_end",
            ),
        ),
    ]
