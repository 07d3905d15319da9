from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("loans", "0007_seed_provision_tables"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="HistoricalProductVersion",
            fields=[
                (
                    "id",
                    models.BigIntegerField(
                        auto_created=True, blank=True, db_index=True, verbose_name="ID"
                    ),
                ),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("flat", "Flat"),
                            ("declining_equal_instalments", "Declining balance, equal instalments"),
                            ("declining_equal_principal", "Declining balance, equal principal"),
                            ("interest_only", "Interest only, principal at the end"),
                            ("single_payment", "Single payment"),
                        ],
                        default="declining_equal_instalments",
                        max_length=28,
                        verbose_name="interest method",
                    ),
                ),
                (
                    "rate",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("2.5"),
                        max_digits=8,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="interest rate (%)",
                    ),
                ),
                (
                    "rate_period",
                    models.CharField(
                        choices=[
                            ("year", "a year"),
                            ("month", "a month"),
                            ("week", "a week"),
                            ("day", "a day"),
                            ("term", "for the whole term"),
                        ],
                        default="month",
                        max_length=5,
                    ),
                ),
                (
                    "day_count",
                    models.CharField(
                        choices=[
                            ("periodic", "Equal periods"),
                            ("actual/365", "Actual days / 365"),
                            ("actual/360", "Actual days / 360"),
                            ("30/360", "30 / 360"),
                            ("actual/actual", "Actual / actual"),
                        ],
                        default="periodic",
                        max_length=13,
                    ),
                ),
                (
                    "repay_every",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="one repayment every",
                    ),
                ),
                (
                    "repay_unit",
                    models.CharField(
                        choices=[("days", "days"), ("weeks", "weeks"), ("months", "months")],
                        default="months",
                        max_length=6,
                        verbose_name="unit",
                    ),
                ),
                (
                    "number_of_repayments",
                    models.PositiveSmallIntegerField(
                        default=6,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "principal_grace",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Interest is still due in them.",
                        verbose_name="periods without principal",
                    ),
                ),
                (
                    "interest_grace",
                    models.PositiveSmallIntegerField(
                        default=0, verbose_name="periods without interest payment"
                    ),
                ),
                (
                    "grace_interest",
                    models.CharField(
                        choices=[
                            ("billed", "billed when it falls due"),
                            ("capitalised", "added to the principal"),
                            ("accrued", "billed with the first full instalment"),
                            ("free", "forgiven"),
                        ],
                        default="billed",
                        max_length=11,
                        verbose_name="interest of those periods is",
                    ),
                ),
                (
                    "instalment_multiple",
                    models.CharField(
                        choices=[
                            ("0.01", "1 cent"),
                            ("1", "KES 1"),
                            ("5", "KES 5"),
                            ("10", "KES 10"),
                            ("50", "KES 50"),
                        ],
                        default="1",
                        max_length=4,
                        verbose_name="round instalments to",
                    ),
                ),
                (
                    "interest_multiple",
                    models.CharField(
                        choices=[
                            ("0.01", "1 cent"),
                            ("1", "KES 1"),
                            ("5", "KES 5"),
                            ("10", "KES 10"),
                            ("50", "KES 50"),
                        ],
                        default="1",
                        max_length=4,
                        verbose_name="round interest to",
                    ),
                ),
                (
                    "rounding_mode",
                    models.CharField(
                        choices=[("half_up", "to the nearest"), ("up", "upwards")],
                        default="half_up",
                        max_length=7,
                        verbose_name="rounding",
                    ),
                ),
                (
                    "penalty_base",
                    models.CharField(
                        choices=[
                            ("none", "No penalty"),
                            ("fixed", "Fixed amount"),
                            ("instalment", "% of the overdue instalment"),
                            ("principal", "% of the overdue principal"),
                            ("principal_and_interest", "% of overdue principal and interest"),
                            ("outstanding_principal", "% of the outstanding principal"),
                        ],
                        default="none",
                        max_length=22,
                    ),
                ),
                (
                    "penalty_value",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("0.00"),
                        max_digits=10,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="penalty (KES or %)",
                    ),
                ),
                (
                    "penalty_frequency",
                    models.CharField(
                        choices=[
                            ("once", "once per instalment"),
                            ("daily", "every day"),
                            ("weekly", "every week"),
                            ("monthly", "every month, by days"),
                        ],
                        default="once",
                        max_length=7,
                        verbose_name="charged",
                    ),
                ),
                (
                    "penalty_grace_days",
                    models.PositiveSmallIntegerField(default=0, verbose_name="days of grace"),
                ),
                (
                    "penalty_start",
                    models.CharField(
                        choices=[
                            ("after_grace", "from the end of grace"),
                            ("due_date", "from the due date once grace has passed"),
                        ],
                        default="after_grace",
                        max_length=11,
                        verbose_name="counted",
                    ),
                ),
                (
                    "penalty_cap_kind",
                    models.CharField(
                        choices=[
                            ("none", "No cap"),
                            ("amount", "KES amount"),
                            ("percent_of_base", "% of what it is charged on"),
                            ("percent_of_principal", "% of the loan principal"),
                        ],
                        default="none",
                        max_length=20,
                        verbose_name="capped at",
                    ),
                ),
                (
                    "penalty_cap_value",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("0.00"),
                        max_digits=12,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="cap (KES or %)",
                    ),
                ),
                (
                    "allocation_order",
                    models.CharField(
                        choices=[
                            (
                                "penalties_fees_interest_principal",
                                "Penalties, fees, interest, principal",
                            ),
                            ("interest_fees_principal", "Interest, fees and penalties, principal"),
                            (
                                "interest_principal_fees_penalties",
                                "Interest, principal, fees, penalties",
                            ),
                            (
                                "principal_interest_fees_penalties",
                                "Principal, interest, fees, penalties",
                            ),
                        ],
                        default="penalties_fees_interest_principal",
                        max_length=40,
                        verbose_name="a payment pays",
                    ),
                ),
                (
                    "allocation_direction",
                    models.CharField(
                        choices=[
                            ("vertical", "Finish the oldest instalment first"),
                            ("horizontal", "One component across all overdue instalments"),
                        ],
                        default="vertical",
                        max_length=10,
                        verbose_name="direction",
                    ),
                ),
                (
                    "surplus",
                    models.CharField(
                        choices=[
                            ("advance", "pays the next instalments in advance"),
                            ("credit", "stays as the customer's credit"),
                            ("shorten", "pays principal: fewer instalments"),
                            ("lower", "pays principal: lower instalments"),
                        ],
                        default="advance",
                        max_length=7,
                        verbose_name="money beyond what is due",
                    ),
                ),
                (
                    "penalty_stop",
                    models.CharField(
                        choices=[
                            ("none", "until it is paid"),
                            ("maturity", "until the last instalment of the loan is due"),
                        ],
                        default="none",
                        max_length=8,
                        verbose_name="charged on",
                    ),
                ),
                (
                    "recalculates",
                    models.BooleanField(
                        default=False,
                        help_text="Declining balance by the day: who pays late owes more, who pays early less.",
                        verbose_name="interest follows the actual balance",
                    ),
                ),
                (
                    "income_basis",
                    models.CharField(
                        choices=[("cash", "when it is paid"), ("accrual", "as the days pass")],
                        default="cash",
                        max_length=7,
                        verbose_name="interest is earned",
                    ),
                ),
                (
                    "rebate",
                    models.CharField(
                        choices=[
                            ("none", "None: all of it is owed"),
                            ("pro_rata", "In proportion to the instalments left"),
                            ("rule_of_78", "Rule of 78"),
                            ("actuarial", "Actuarial, at the true rate"),
                        ],
                        default="pro_rata",
                        max_length=10,
                        verbose_name="rebate of flat interest when settled early",
                    ),
                ),
                (
                    "holiday_rule",
                    models.CharField(
                        choices=[
                            ("keep", "stays on the day"),
                            ("next", "moves to the next working day"),
                            ("previous", "moves to the working day before"),
                        ],
                        default="keep",
                        max_length=8,
                        verbose_name="due on a Sunday or holiday",
                    ),
                ),
                (
                    "npl_days",
                    models.PositiveSmallIntegerField(
                        default=90,
                        help_text="From then on the in duplum rule caps interest and penalties.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="non-performing after days past due",
                    ),
                ),
                (
                    "closing_tolerance",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("0.00"),
                        help_text="A remainder up to this amount is given up when the last instalment is paid.",
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="closes with at most this unpaid (KES)",
                    ),
                ),
                (
                    "number",
                    models.PositiveSmallIntegerField(editable=False, verbose_name="version"),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("approved", "Approved"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="draft",
                        editable=False,
                        max_length=9,
                    ),
                ),
                (
                    "min_principal",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("1000"),
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="smallest amount (KES)",
                    ),
                ),
                (
                    "max_principal",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("100000"),
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="largest amount (KES)",
                    ),
                ),
                (
                    "min_repayments",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="fewest repayments",
                    ),
                ),
                (
                    "max_repayments",
                    models.PositiveSmallIntegerField(
                        default=12,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="most repayments",
                    ),
                ),
                (
                    "min_rate",
                    models.DecimalField(
                        decimal_places=4, default=0, max_digits=8, verbose_name="lowest rate (%)"
                    ),
                ),
                (
                    "max_rate",
                    models.DecimalField(
                        decimal_places=4, default=100, max_digits=8, verbose_name="highest rate (%)"
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="what changed and why"
                    ),
                ),
                (
                    "starts_on",
                    models.DateField(editable=False, null=True, verbose_name="in force from"),
                ),
                ("ends_on", models.DateField(editable=False, null=True, verbose_name="until")),
                ("approval_reference", models.CharField(blank=True, editable=False, max_length=60)),
                (
                    "approved_on",
                    models.DateField(editable=False, null=True, verbose_name="approved"),
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
                "verbose_name": "historical product version",
                "verbose_name_plural": "historical product versions",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="ProductVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("flat", "Flat"),
                            ("declining_equal_instalments", "Declining balance, equal instalments"),
                            ("declining_equal_principal", "Declining balance, equal principal"),
                            ("interest_only", "Interest only, principal at the end"),
                            ("single_payment", "Single payment"),
                        ],
                        default="declining_equal_instalments",
                        max_length=28,
                        verbose_name="interest method",
                    ),
                ),
                (
                    "rate",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("2.5"),
                        max_digits=8,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="interest rate (%)",
                    ),
                ),
                (
                    "rate_period",
                    models.CharField(
                        choices=[
                            ("year", "a year"),
                            ("month", "a month"),
                            ("week", "a week"),
                            ("day", "a day"),
                            ("term", "for the whole term"),
                        ],
                        default="month",
                        max_length=5,
                    ),
                ),
                (
                    "day_count",
                    models.CharField(
                        choices=[
                            ("periodic", "Equal periods"),
                            ("actual/365", "Actual days / 365"),
                            ("actual/360", "Actual days / 360"),
                            ("30/360", "30 / 360"),
                            ("actual/actual", "Actual / actual"),
                        ],
                        default="periodic",
                        max_length=13,
                    ),
                ),
                (
                    "repay_every",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="one repayment every",
                    ),
                ),
                (
                    "repay_unit",
                    models.CharField(
                        choices=[("days", "days"), ("weeks", "weeks"), ("months", "months")],
                        default="months",
                        max_length=6,
                        verbose_name="unit",
                    ),
                ),
                (
                    "number_of_repayments",
                    models.PositiveSmallIntegerField(
                        default=6,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                    ),
                ),
                (
                    "principal_grace",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Interest is still due in them.",
                        verbose_name="periods without principal",
                    ),
                ),
                (
                    "interest_grace",
                    models.PositiveSmallIntegerField(
                        default=0, verbose_name="periods without interest payment"
                    ),
                ),
                (
                    "grace_interest",
                    models.CharField(
                        choices=[
                            ("billed", "billed when it falls due"),
                            ("capitalised", "added to the principal"),
                            ("accrued", "billed with the first full instalment"),
                            ("free", "forgiven"),
                        ],
                        default="billed",
                        max_length=11,
                        verbose_name="interest of those periods is",
                    ),
                ),
                (
                    "instalment_multiple",
                    models.CharField(
                        choices=[
                            ("0.01", "1 cent"),
                            ("1", "KES 1"),
                            ("5", "KES 5"),
                            ("10", "KES 10"),
                            ("50", "KES 50"),
                        ],
                        default="1",
                        max_length=4,
                        verbose_name="round instalments to",
                    ),
                ),
                (
                    "interest_multiple",
                    models.CharField(
                        choices=[
                            ("0.01", "1 cent"),
                            ("1", "KES 1"),
                            ("5", "KES 5"),
                            ("10", "KES 10"),
                            ("50", "KES 50"),
                        ],
                        default="1",
                        max_length=4,
                        verbose_name="round interest to",
                    ),
                ),
                (
                    "rounding_mode",
                    models.CharField(
                        choices=[("half_up", "to the nearest"), ("up", "upwards")],
                        default="half_up",
                        max_length=7,
                        verbose_name="rounding",
                    ),
                ),
                (
                    "penalty_base",
                    models.CharField(
                        choices=[
                            ("none", "No penalty"),
                            ("fixed", "Fixed amount"),
                            ("instalment", "% of the overdue instalment"),
                            ("principal", "% of the overdue principal"),
                            ("principal_and_interest", "% of overdue principal and interest"),
                            ("outstanding_principal", "% of the outstanding principal"),
                        ],
                        default="none",
                        max_length=22,
                    ),
                ),
                (
                    "penalty_value",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("0.00"),
                        max_digits=10,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="penalty (KES or %)",
                    ),
                ),
                (
                    "penalty_frequency",
                    models.CharField(
                        choices=[
                            ("once", "once per instalment"),
                            ("daily", "every day"),
                            ("weekly", "every week"),
                            ("monthly", "every month, by days"),
                        ],
                        default="once",
                        max_length=7,
                        verbose_name="charged",
                    ),
                ),
                (
                    "penalty_grace_days",
                    models.PositiveSmallIntegerField(default=0, verbose_name="days of grace"),
                ),
                (
                    "penalty_start",
                    models.CharField(
                        choices=[
                            ("after_grace", "from the end of grace"),
                            ("due_date", "from the due date once grace has passed"),
                        ],
                        default="after_grace",
                        max_length=11,
                        verbose_name="counted",
                    ),
                ),
                (
                    "penalty_cap_kind",
                    models.CharField(
                        choices=[
                            ("none", "No cap"),
                            ("amount", "KES amount"),
                            ("percent_of_base", "% of what it is charged on"),
                            ("percent_of_principal", "% of the loan principal"),
                        ],
                        default="none",
                        max_length=20,
                        verbose_name="capped at",
                    ),
                ),
                (
                    "penalty_cap_value",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("0.00"),
                        max_digits=12,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="cap (KES or %)",
                    ),
                ),
                (
                    "allocation_order",
                    models.CharField(
                        choices=[
                            (
                                "penalties_fees_interest_principal",
                                "Penalties, fees, interest, principal",
                            ),
                            ("interest_fees_principal", "Interest, fees and penalties, principal"),
                            (
                                "interest_principal_fees_penalties",
                                "Interest, principal, fees, penalties",
                            ),
                            (
                                "principal_interest_fees_penalties",
                                "Principal, interest, fees, penalties",
                            ),
                        ],
                        default="penalties_fees_interest_principal",
                        max_length=40,
                        verbose_name="a payment pays",
                    ),
                ),
                (
                    "allocation_direction",
                    models.CharField(
                        choices=[
                            ("vertical", "Finish the oldest instalment first"),
                            ("horizontal", "One component across all overdue instalments"),
                        ],
                        default="vertical",
                        max_length=10,
                        verbose_name="direction",
                    ),
                ),
                (
                    "surplus",
                    models.CharField(
                        choices=[
                            ("advance", "pays the next instalments in advance"),
                            ("credit", "stays as the customer's credit"),
                            ("shorten", "pays principal: fewer instalments"),
                            ("lower", "pays principal: lower instalments"),
                        ],
                        default="advance",
                        max_length=7,
                        verbose_name="money beyond what is due",
                    ),
                ),
                (
                    "penalty_stop",
                    models.CharField(
                        choices=[
                            ("none", "until it is paid"),
                            ("maturity", "until the last instalment of the loan is due"),
                        ],
                        default="none",
                        max_length=8,
                        verbose_name="charged on",
                    ),
                ),
                (
                    "recalculates",
                    models.BooleanField(
                        default=False,
                        help_text="Declining balance by the day: who pays late owes more, who pays early less.",
                        verbose_name="interest follows the actual balance",
                    ),
                ),
                (
                    "income_basis",
                    models.CharField(
                        choices=[("cash", "when it is paid"), ("accrual", "as the days pass")],
                        default="cash",
                        max_length=7,
                        verbose_name="interest is earned",
                    ),
                ),
                (
                    "rebate",
                    models.CharField(
                        choices=[
                            ("none", "None: all of it is owed"),
                            ("pro_rata", "In proportion to the instalments left"),
                            ("rule_of_78", "Rule of 78"),
                            ("actuarial", "Actuarial, at the true rate"),
                        ],
                        default="pro_rata",
                        max_length=10,
                        verbose_name="rebate of flat interest when settled early",
                    ),
                ),
                (
                    "holiday_rule",
                    models.CharField(
                        choices=[
                            ("keep", "stays on the day"),
                            ("next", "moves to the next working day"),
                            ("previous", "moves to the working day before"),
                        ],
                        default="keep",
                        max_length=8,
                        verbose_name="due on a Sunday or holiday",
                    ),
                ),
                (
                    "npl_days",
                    models.PositiveSmallIntegerField(
                        default=90,
                        help_text="From then on the in duplum rule caps interest and penalties.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="non-performing after days past due",
                    ),
                ),
                (
                    "closing_tolerance",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("0.00"),
                        help_text="A remainder up to this amount is given up when the last instalment is paid.",
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="closes with at most this unpaid (KES)",
                    ),
                ),
                (
                    "number",
                    models.PositiveSmallIntegerField(editable=False, verbose_name="version"),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("approved", "Approved"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="draft",
                        editable=False,
                        max_length=9,
                    ),
                ),
                (
                    "min_principal",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("1000"),
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="smallest amount (KES)",
                    ),
                ),
                (
                    "max_principal",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("100000"),
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="largest amount (KES)",
                    ),
                ),
                (
                    "min_repayments",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="fewest repayments",
                    ),
                ),
                (
                    "max_repayments",
                    models.PositiveSmallIntegerField(
                        default=12,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="most repayments",
                    ),
                ),
                (
                    "min_rate",
                    models.DecimalField(
                        decimal_places=4, default=0, max_digits=8, verbose_name="lowest rate (%)"
                    ),
                ),
                (
                    "max_rate",
                    models.DecimalField(
                        decimal_places=4, default=100, max_digits=8, verbose_name="highest rate (%)"
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="what changed and why"
                    ),
                ),
                (
                    "starts_on",
                    models.DateField(editable=False, null=True, verbose_name="in force from"),
                ),
                ("ends_on", models.DateField(editable=False, null=True, verbose_name="until")),
                ("approval_reference", models.CharField(blank=True, editable=False, max_length=60)),
                (
                    "approved_on",
                    models.DateField(editable=False, null=True, verbose_name="approved"),
                ),
            ],
            options={
                "verbose_name": "product version",
                "ordering": ["product", "-number"],
                "permissions": [
                    ("approve_productversion", "Can approve or withdraw terms of a product")
                ],
            },
        ),
        migrations.AddField(
            model_name="historicalloanproduct",
            name="notice_days",
            field=models.PositiveSmallIntegerField(
                default=30,
                help_text="A version that changes the price starts no sooner after its approval.",
                verbose_name="notice of a new price (days)",
            ),
        ),
        migrations.AddField(
            model_name="loanproduct",
            name="notice_days",
            field=models.PositiveSmallIntegerField(
                default=30,
                help_text="A version that changes the price starts no sooner after its approval.",
                verbose_name="notice of a new price (days)",
            ),
        ),
        migrations.AddField(
            model_name="historicalproductversion",
            name="approved_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalproductversion",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalproductversion",
            name="history_user",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalproductversion",
            name="product",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="loans.loanproduct",
            ),
        ),
        migrations.AddField(
            model_name="productversion",
            name="approved_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="productversion",
            name="created_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="productversion",
            name="product",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="loans.loanproduct",
            ),
        ),
        migrations.AddField(
            model_name="historicalloan",
            name="version",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="loans.productversion",
                verbose_name="product version",
            ),
        ),
        migrations.AddField(
            model_name="historicalproductfee",
            name="version",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="loans.productversion",
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="version",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="loans",
                to="loans.productversion",
                verbose_name="product version",
            ),
        ),
        migrations.AlterField(
            model_name="productfee",
            name="product",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="fees",
                to="loans.loanproduct",
            ),
        ),
        migrations.AddField(
            model_name="productfee",
            name="version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="fees",
                to="loans.productversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="productversion",
            constraint=models.UniqueConstraint(
                fields=("product", "number"), name="version_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="productversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_principal__lte", models.F("max_principal"))),
                name="version_amount_limits",
            ),
        ),
        migrations.AddConstraint(
            model_name="productversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_repayments__lte", models.F("max_repayments"))),
                name="version_term_limits",
            ),
        ),
        migrations.AddConstraint(
            model_name="productversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_rate__lte", models.F("max_rate"))),
                name="version_rate_limits",
            ),
        ),
        migrations.AddConstraint(
            model_name="productversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "approved"), _negated=True),
                    models.Q(
                        ("starts_on__isnull", False),
                        models.Q(("approval_reference", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="version_approved_with_reference",
            ),
        ),
        migrations.AddConstraint(
            model_name="productversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ends_on__isnull", True),
                    ("ends_on__gte", models.F("starts_on")),
                    _connector="OR",
                ),
                name="version_ends_after_start",
            ),
        ),
    ]
