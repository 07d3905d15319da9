from django.apps import AppConfig


class ClosingConfig(AppConfig):
    name = "lms.closing"
    verbose_name = "Nightly close"
