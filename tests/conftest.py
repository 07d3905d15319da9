"""Fixtures for everyone: the cast, and a database whose seeds survive a flush."""

import os

import pytest
from django.apps import apps
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings

from lms.ledger import chart, immutability
from lms.notifications import wording
from lms.reconciliation import freezing
from lms.tills import immutability as drawers
from tests import factories

FROZEN = (immutability, freezing, drawers)

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright keeps a loop running
# A busy machine is no reason to fail.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)  # pytest-django then puts what flushes the database last
def pytest_collection_modifyitems(items) -> None:
    """Begin with what starts processes or a browser: last, one worker would wait for the other."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("processes") is None and "browser" not in item.path.parts
        )
    )


@pytest.fixture(autouse=True)
def _settings_of_a_test(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "files"
    # Nothing is remembered from one test or request to the next: figures are always fresh.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.DARAJA_CALLBACK_SECRET = "5ec2e7" * 6
    settings.DARAJA_CONSUMER_KEY = "key"
    settings.DARAJA_CONSUMER_SECRET = "secret"
    settings.DARAJA_PASSKEY = "passkey"


def seed() -> None:
    """Put back what migrations put into an empty database."""
    chart.seed(apps.get_model("ledger", "Account"))
    wording.seed(apps.get_model("notifications", "MessageTemplate"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix, tmp_path_factory):
    """On SQLite the test database is a file: in memory, threads lock one another's tables."""
    if connection.vendor == "sqlite":
        folder = tmp_path_factory.mktemp("database")
        connection.settings_dict["TEST"]["NAME"] = str(folder / "test.sqlite3")


@pytest.fixture
def committed(transactional_db):
    """A database in which commits are real, for threads and processes; flushed afterwards."""
    seed()


@pytest.fixture(scope="session", autouse=True)
def _ledger_can_be_flushed():
    """Triggers refuse the DELETE or TRUNCATE of a flush: they rest meanwhile."""
    flush = TransactionTestCase._fixture_teardown

    def flush_without_triggers(case) -> None:
        for triggers in FROZEN:
            triggers.remove(connection)
        flush(case)
        for triggers in FROZEN:
            triggers.install(connection)

    TransactionTestCase._fixture_teardown = flush_without_triggers
    yield
    TransactionTestCase._fixture_teardown = flush


@pytest.fixture
def kamau(db):
    return factories.kamau()


@pytest.fixture
def achieng(db):
    return factories.achieng()


@pytest.fixture
def njeri(db):
    return factories.njeri()


@pytest.fixture
def mutua(db):
    return factories.mutua()


@pytest.fixture
def wanjiku(db):
    return factories.wanjiku()


@pytest.fixture
def loan(db):
    """Wanjiku's 100,000 at 24% declining over 12 months, disbursed on 15 January 2026."""
    return factories.active()


@pytest.fixture
def as_staff(client, db):
    """Log a member of staff in and return the client."""

    def log_in(person):
        client.force_login(person)
        return client

    return log_in
