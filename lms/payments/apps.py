from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "lms.payments"
    verbose_name = "Payments"
