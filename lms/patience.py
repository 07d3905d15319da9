"""How long a request waits for the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction


@contextmanager
def waiting_at_most(seconds: int) -> Iterator[None]:
    """Let each statement of the block take so many seconds at most, or wait so long for a lock.

    One that takes longer raises OperationalError. On PostgreSQL the block is a transaction; on
    SQLite only a lock takes long, and reading waits for none.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {seconds * 1000:d}")
            yield
        return
    _wait_for_locks(seconds)
    try:
        yield
    finally:
        _wait_for_locks(settings.DATABASES["default"]["OPTIONS"]["timeout"])


def _wait_for_locks(seconds: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {seconds * 1000:d}")
