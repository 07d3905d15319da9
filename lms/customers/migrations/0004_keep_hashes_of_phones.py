from django.db import migrations

import lms.customers.models
from lms import phones

AT_ONCE = 1_000


def fill(apps, schema_editor) -> None:
    customers = apps.get_model("customers", "Customer").objects.filter(phone_hash="")
    last = 0
    while rows := list(customers.filter(pk__gt=last).order_by("pk").only("phone")[:AT_ONCE]):
        for row in rows:
            row.phone_hash = phones.hashed(row.phone)
        customers.bulk_update(rows, ["phone_hash"])
        last = rows[-1].pk


class Migration(migrations.Migration):
    dependencies = [("customers", "0003_record_who_referred")]

    operations = [
        migrations.AddField(
            model_name="customer",
            name="phone_hash",
            field=lms.customers.models.PhoneHashField(
                default="",
                editable=False,
                help_text="By it a payment is known whose payer Safaricom names by hash. As "
                "private as the phone: not shown, not exported, not kept in history.",
                max_length=64,
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
