from django.apps import AppConfig


class ImportsConfig(AppConfig):
    name = "lms.imports"
    verbose_name = "Imports"
