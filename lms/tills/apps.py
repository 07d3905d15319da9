from django.apps import AppConfig


class TillsConfig(AppConfig):
    name = "lms.tills"
    verbose_name = "Tills"
