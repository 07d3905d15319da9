from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "lms.notifications"
    verbose_name = "Messages"
