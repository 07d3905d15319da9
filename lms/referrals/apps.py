from django.apps import AppConfig


class ReferralsConfig(AppConfig):
    name = "lms.referrals"
    verbose_name = "Referrals"
