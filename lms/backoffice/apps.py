from django.apps import AppConfig
from django.db.models.signals import post_migrate


def sync_roles(sender, **kwargs) -> None:
    """Keep the role groups in step with their table once every app has its permissions."""
    from django.contrib.auth.models import Group, Permission  # noqa: PLC0415  apps must be loaded

    from lms.staff import roles  # noqa: PLC0415

    if Permission.objects.filter(content_type__app_label="closing").exists():
        roles.sync(Group, Permission)


class BackofficeConfig(AppConfig):
    """The last app of the house: it keeps the roles in step when all others have migrated."""

    name = "lms.backoffice"
    verbose_name = "Back-office"

    def ready(self) -> None:
        # The signal is only sent for apps with models; of those the closing migrates last.
        post_migrate.connect(sync_roles, sender=self.apps.get_app_config("closing"))
