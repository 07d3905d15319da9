from django.apps import AppConfig


class CustomersConfig(AppConfig):
    name = "lms.customers"
    verbose_name = "Customers"
