from django.apps import AppConfig


class LoansConfig(AppConfig):
    name = "lms.loans"
    verbose_name = "Lending"
