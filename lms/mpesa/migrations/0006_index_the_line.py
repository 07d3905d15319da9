from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("mpesa", "0005_put_callbacks_in_line")]

    operations = [
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=Q(status="received"), fields=["due_at", "id"], name="callback_in_line"
            ),
        ),
    ]
