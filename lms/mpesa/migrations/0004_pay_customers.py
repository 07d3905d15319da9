import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import lms.mpesa.models.steps


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0008_keep_payouts_on_their_way"),
        ("mpesa", "0003_send_back_and_pull"),
        ("payments", "0008_hold_payouts_to_their_status"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="B2cPayment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("phone", models.CharField(max_length=12)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=2,
                        help_text="Whole shillings.",
                        max_digits=14,
                        verbose_name="amount (KES)",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting to be sent"),
                            ("sending", "Being sent"),
                            ("sent", "Waiting for Safaricom"),
                            ("unknown", "No answer from Safaricom"),
                            ("paid", "Paid"),
                            ("failed", "Failed"),
                            ("unresolved", "Needs review"),
                        ],
                        default="waiting",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "originator_id",
                    models.CharField(max_length=100, unique=True, verbose_name="our ID"),
                ),
                (
                    "conversation_id",
                    models.CharField(
                        blank=True,
                        max_length=100,
                        null=True,
                        unique=True,
                        verbose_name="conversation ID",
                    ),
                ),
                ("requested_on", models.DateField(db_index=True, verbose_name="asked for on")),
                ("requested_at", models.DateTimeField(verbose_name="asked for")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent")),
                (
                    "response_code",
                    models.CharField(
                        blank=True, max_length=40, verbose_name="answer to the request"
                    ),
                ),
                (
                    "response_description",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="in Safaricom's words"
                    ),
                ),
                ("result_code", models.CharField(blank=True, max_length=32)),
                (
                    "result_desc",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="result in Safaricom's words"
                    ),
                ),
                (
                    "receipt",
                    models.CharField(
                        blank=True,
                        max_length=20,
                        null=True,
                        unique=True,
                        verbose_name="M-Pesa receipt",
                    ),
                ),
                ("receiver", models.CharField(blank=True, max_length=120, verbose_name="paid to")),
                ("paid_at", models.DateTimeField(blank=True, null=True, verbose_name="paid")),
                (
                    "queries",
                    models.PositiveSmallIntegerField(default=0, verbose_name="times asked"),
                ),
                (
                    "queried_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last asked"),
                ),
                (
                    "next_query_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="ask again"),
                ),
                (
                    "is_adrift",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="Its money lies in suspense until it is taken up again.",
                        verbose_name="paid after it was taken back",
                    ),
                ),
                (
                    "is_unknown_there",
                    models.BooleanField(
                        default=False,
                        help_text="What it said when it was last asked.",
                        verbose_name="unknown to Safaricom",
                    ),
                ),
            ],
            options={
                "verbose_name": "M-Pesa payout",
                "ordering": ["-pk"],
                "permissions": [
                    (
                        "settle_b2cpayment",
                        "Can ask to settle an M-Pesa payout whose fate is unknown",
                    ),
                    ("approve_b2cpayment", "Can approve settling an M-Pesa payout"),
                ],
            },
            bases=(lms.mpesa.models.steps.Stepwise, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalB2cPayment",
            fields=[
                (
                    "id",
                    models.BigIntegerField(
                        auto_created=True, blank=True, db_index=True, verbose_name="ID"
                    ),
                ),
                ("phone", models.CharField(max_length=12)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=2,
                        help_text="Whole shillings.",
                        max_digits=14,
                        verbose_name="amount (KES)",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting to be sent"),
                            ("sending", "Being sent"),
                            ("sent", "Waiting for Safaricom"),
                            ("unknown", "No answer from Safaricom"),
                            ("paid", "Paid"),
                            ("failed", "Failed"),
                            ("unresolved", "Needs review"),
                        ],
                        default="waiting",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "originator_id",
                    models.CharField(db_index=True, max_length=100, verbose_name="our ID"),
                ),
                (
                    "conversation_id",
                    models.CharField(
                        blank=True,
                        db_index=True,
                        max_length=100,
                        null=True,
                        verbose_name="conversation ID",
                    ),
                ),
                ("requested_on", models.DateField(db_index=True, verbose_name="asked for on")),
                ("requested_at", models.DateTimeField(verbose_name="asked for")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent")),
                (
                    "response_code",
                    models.CharField(
                        blank=True, max_length=40, verbose_name="answer to the request"
                    ),
                ),
                (
                    "response_description",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="in Safaricom's words"
                    ),
                ),
                ("result_code", models.CharField(blank=True, max_length=32)),
                (
                    "result_desc",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="result in Safaricom's words"
                    ),
                ),
                (
                    "receipt",
                    models.CharField(
                        blank=True,
                        db_index=True,
                        max_length=20,
                        null=True,
                        verbose_name="M-Pesa receipt",
                    ),
                ),
                ("receiver", models.CharField(blank=True, max_length=120, verbose_name="paid to")),
                ("paid_at", models.DateTimeField(blank=True, null=True, verbose_name="paid")),
                (
                    "queries",
                    models.PositiveSmallIntegerField(default=0, verbose_name="times asked"),
                ),
                (
                    "queried_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last asked"),
                ),
                (
                    "next_query_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="ask again"),
                ),
                (
                    "is_adrift",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="Its money lies in suspense until it is taken up again.",
                        verbose_name="paid after it was taken back",
                    ),
                ),
                (
                    "is_unknown_there",
                    models.BooleanField(
                        default=False,
                        help_text="What it said when it was last asked.",
                        verbose_name="unknown to Safaricom",
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical M-Pesa payout",
                "verbose_name_plural": "historical M-Pesa payouts",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.RemoveConstraint(
            model_name="inquiry",
            name="inquiry_about_a_payment_names_it",
        ),
        migrations.AlterField(
            model_name="callback",
            name="kind",
            field=models.CharField(
                choices=[
                    ("stk", "STK result"),
                    ("validation", "C2B validation"),
                    ("confirmation", "C2B confirmation"),
                    ("balance", "Balance result"),
                    ("balance-timeout", "Balance timeout"),
                    ("status", "Payment status result"),
                    ("status-timeout", "Payment status timeout"),
                    ("b2c", "Payout result"),
                    ("b2c-timeout", "Payout timeout"),
                    ("reversal", "Reversal result"),
                    ("reversal-timeout", "Reversal timeout"),
                    ("pull", "Pulled payment"),
                    ("pull-notice", "Pull notification"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="darajarequest",
            name="kind",
            field=models.CharField(
                choices=[
                    ("token", "Access token"),
                    ("stk_push", "STK push"),
                    ("stk_query", "STK query"),
                    ("balance", "Account balance"),
                    ("status", "Transaction status"),
                    ("register", "Register addresses"),
                    ("b2c", "Payout"),
                    ("reversal", "Reversal"),
                    ("pull", "Pull of payments"),
                    ("pull_reg", "Register for pull"),
                    ("simulate", "Simulated payment"),
                ],
                max_length=9,
            ),
        ),
        migrations.AlterField(
            model_name="historicalinquiry",
            name="kind",
            field=models.CharField(
                choices=[("balance", "Balances"), ("status", "A payment"), ("payout", "A payout")],
                max_length=7,
            ),
        ),
        migrations.AlterField(
            model_name="inquiry",
            name="kind",
            field=models.CharField(
                choices=[("balance", "Balances"), ("status", "A payment"), ("payout", "A payout")],
                max_length=7,
            ),
        ),
        migrations.AddField(
            model_name="b2cpayment",
            name="entry",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="b2c_payment",
                to="ledger.journalentry",
            ),
        ),
        migrations.AddField(
            model_name="b2cpayment",
            name="payout",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="parts",
                to="payments.payout",
            ),
        ),
        migrations.AddField(
            model_name="b2cpayment",
            name="requested_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="callback",
            name="b2c",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="callbacks",
                to="mpesa.b2cpayment",
                verbose_name="M-Pesa payout",
            ),
        ),
        migrations.AddField(
            model_name="historicalinquiry",
            name="b2c",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="mpesa.b2cpayment",
                verbose_name="M-Pesa payout",
            ),
        ),
        migrations.AddField(
            model_name="inquiry",
            name="b2c",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="inquiries",
                to="mpesa.b2cpayment",
                verbose_name="M-Pesa payout",
            ),
        ),
        migrations.AddConstraint(
            model_name="inquiry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "balance"), ("receipt", "")),
                    models.Q(("kind", "status"), models.Q(("receipt", ""), _negated=True)),
                    models.Q(("b2c__isnull", False), ("kind", "payout")),
                    _connector="OR",
                ),
                name="inquiry_about_a_payment_names_it",
            ),
        ),
        migrations.AddField(
            model_name="historicalb2cpayment",
            name="entry",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="ledger.journalentry",
            ),
        ),
        migrations.AddField(
            model_name="historicalb2cpayment",
            name="history_user",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalb2cpayment",
            name="payout",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="payments.payout",
            ),
        ),
        migrations.AddField(
            model_name="historicalb2cpayment",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="b2cpayment",
            index=models.Index(fields=["status", "-id"], name="b2c_by_status"),
        ),
        migrations.AddIndex(
            model_name="b2cpayment",
            index=models.Index(fields=["phone", "requested_on"], name="b2c_by_phone"),
        ),
        migrations.AddIndex(
            model_name="b2cpayment",
            index=models.Index(
                condition=models.Q(("next_query_at__isnull", False)),
                fields=["next_query_at"],
                name="b2c_due_for_query",
            ),
        ),
        migrations.AddConstraint(
            model_name="b2cpayment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="b2c_amount_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="b2cpayment",
            constraint=models.CheckConstraint(
                condition=models.Q(("phone__regex", "^254[17][0-9]{8}$")),
                name="b2c_phone_is_kenyan",
            ),
        ),
        migrations.AddConstraint(
            model_name="b2cpayment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "paid"), _negated=True),
                    ("receipt__isnull", False),
                    _connector="OR",
                ),
                name="b2c_paid_has_receipt",
            ),
        ),
    ]
