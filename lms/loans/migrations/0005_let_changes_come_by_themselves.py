import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("loans", "0004_post_products_to_their_accounts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="historicalloanchange",
            name="made_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                help_text="Nobody where a payment that came by itself was more than was due.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="loanchange",
            name="made_by",
            field=models.ForeignKey(
                blank=True,
                help_text="Nobody where a payment that came by itself was more than was due.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
