from django.apps import AppConfig


class MpesaConfig(AppConfig):
    name = "lms.mpesa"
    verbose_name = "M-Pesa"
