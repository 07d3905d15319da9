from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "lms.ledger"
    verbose_name = "Ledger"
