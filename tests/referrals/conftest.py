import pytest


@pytest.fixture(autouse=True)
def _rewards_are_on(settings):
    settings.REFERRAL_REWARD = 500
    settings.REFERRAL_MONTHLY_CAP = 5
