"""Ways past Python to rows that are written once."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, models


def replace(row: models.Model, **changed: str) -> None:
    """Put a copy into the place of a row, with other SQL in some columns. SQLite alone can."""
    table = row._meta.db_table
    columns = [field.column for field in row._meta.concrete_fields]
    copied = ", ".join(changed.get(column, column) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) "
            f"SELECT {copied} FROM {table} WHERE id = %s",
            [row.pk],
        )


def truncate(model: type[models.Model]) -> None:
    """Empty a table and all that lean on it. PostgreSQL alone can."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what waits would stop it first
        cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")


def displace(row: models.Model, **changed: str) -> None:
    """Replace a row, or empty its table, whichever the database knows."""
    if connection.vendor == "sqlite":
        replace(row, **changed)
    else:
        truncate(type(row))


@contextmanager
def listens_to_replaced_rows(listens: bool) -> Iterator[None]:
    """Let triggers of SQLite hear of replaced rows, or not, as in a program that is not ours."""
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA recursive_triggers={'ON' if listens else 'OFF'}")
        try:
            yield
        finally:
            cursor.execute("PRAGMA recursive_triggers=ON")
