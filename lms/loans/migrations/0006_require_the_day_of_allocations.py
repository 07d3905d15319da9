from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("loans", "0005_date_what_was_paid")]

    operations = [
        migrations.AlterField(
            "allocation",
            "counts_on",
            models.DateField(
                help_text="The value date, or the day on which credit was used.",
                verbose_name="counts from",
            ),
        ),
    ]
