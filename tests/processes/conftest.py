"""An office of real processes on a database of its own, for tests that kill them."""

import pytest

from tests.benchmarks.common import migrate, scratch_database
from tests.processes.office import open_office


@pytest.fixture(scope="session")
def migrated():
    """An empty database that every office starts from."""
    with scratch_database() as url:
        migrate(url)
        yield url


@pytest.fixture
def office(migrated):
    with open_office(copy_of=migrated) as office:
        yield office
