import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0002_keep_where_money_was_received")]

    operations = [
        migrations.AlterField(
            "payment",
            "received_in",
            models.ForeignKey(
                db_index=False,
                editable=False,
                help_text="Its books hold this money until it pays a loan, and as credit.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="staff.branch",
            ),
        ),
    ]
