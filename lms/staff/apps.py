from django.apps import AppConfig


class StaffConfig(AppConfig):
    name = "lms.staff"
    verbose_name = "Staff"
