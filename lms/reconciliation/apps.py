from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "lms.reconciliation"
    verbose_name = "Reconciliation"
