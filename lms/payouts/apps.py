from django.apps import AppConfig


class PayoutsConfig(AppConfig):
    name = "lms.payouts"
    verbose_name = "Payouts by M-Pesa"
