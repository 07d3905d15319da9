import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mpesa", "0006_index_the_line"),
        ("payments", "0008_hold_payouts_to_their_status"),
    ]

    operations = [
        migrations.AlterField(
            model_name="callback",
            name="b2c",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="mpesa.b2cpayment",
                verbose_name="M-Pesa payout",
            ),
        ),
        migrations.AlterField(
            model_name="callback",
            name="checkout_id",
            field=models.CharField(blank=True, max_length=100, verbose_name="checkout request ID"),
        ),
        migrations.AlterField(
            model_name="callback",
            name="conversation_id",
            field=models.CharField(blank=True, max_length=100, verbose_name="conversation ID"),
        ),
        migrations.AlterField(
            model_name="callback",
            name="inquiry",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="mpesa.inquiry",
            ),
        ),
        migrations.AlterField(
            model_name="callback",
            name="payment",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="payments.payment",
            ),
        ),
        migrations.AlterField(
            model_name="callback",
            name="pull",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="mpesa.pull",
                verbose_name="found by",
            ),
        ),
        migrations.AlterField(
            model_name="callback",
            name="push",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="mpesa.mpesapayment",
            ),
        ),
        migrations.AlterField(
            model_name="callback",
            name="receipt",
            field=models.CharField(blank=True, max_length=20, verbose_name="M-Pesa receipt"),
        ),
        migrations.AlterField(
            model_name="callback",
            name="reversal",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="mpesa.reversal",
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(fields=["checkout_id"], name="callback_by_checkout_id"),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(fields=["conversation_id"], name="callback_by_conversation_id"),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(fields=["receipt"], name="callback_by_receipt"),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("push__isnull", False)),
                fields=["push"],
                name="callback_by_push",
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("payment__isnull", False)),
                fields=["payment"],
                name="callback_by_payment",
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("inquiry__isnull", False)),
                fields=["inquiry"],
                name="callback_by_inquiry",
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("b2c__isnull", False)), fields=["b2c"], name="callback_by_b2c"
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("reversal__isnull", False)),
                fields=["reversal"],
                name="callback_by_reversal",
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("pull__isnull", False)),
                fields=["pull"],
                name="callback_by_pull",
            ),
        ),
    ]
