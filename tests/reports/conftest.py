"""Books of a few entries, and whose they are."""

import pytest

from lms.reports.spans import Scope
from tests import factories
from tests.reports.books import quarter


@pytest.fixture
def books(db):
    quarter()


@pytest.fixture
def everywhere() -> Scope:
    return Scope()


@pytest.fixture
def kisumu(books) -> Scope:
    return Scope((factories.branch("KSM", "Kisumu").pk,), "Kisumu")
