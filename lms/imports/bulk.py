"""Writing tens of thousands of rows: COPY on PostgreSQL, executemany on SQLite.

Nothing here checks or keeps history: the callers do. A connection inside COPY answers no query,
so whatever the rows need is looked up before.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from django.db import connection, models


def insert(model: type[models.Model], fields: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Insert rows of plain values (int, str, Decimal, date, datetime, None) for these fields.

    `fields` are attribute names as the model has them (`loan_id`, `due_date`).
    """
    table, columns = _names(model, fields)
    listed = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({listed}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(
                f"INSERT INTO {table} ({listed}) VALUES ({marks})",  # noqa: S608
                _prepared(model, fields, rows),
            )


def update(model: type[models.Model], fields: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Set these fields on rows of plain values; the last value of each is the primary key."""
    table, columns = _names(model, [*fields, model._meta.pk.attname])
    settings = ", ".join(f"{column} = %s" for column in columns[:-1])
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET {settings} WHERE {columns[-1]} = %s",  # noqa: S608
            _prepared(model, [*fields, model._meta.pk.attname], rows),
        )


def _names(model: type[models.Model], fields: Sequence[str]) -> tuple[str, list[str]]:
    """Return the quoted table and columns of a model."""
    quote = connection.ops.quote_name
    columns = {field.attname: quote(field.column) for field in model._meta.concrete_fields}
    return quote(model._meta.db_table), [columns[name] for name in fields]


def _prepared(
    model: type[models.Model], fields: Sequence[str], rows: Iterable[Sequence]
) -> Iterator[Sequence]:
    """Yield the rows as the driver takes them: SQLite alone keeps instants as text without zone.

    Field by field preparation would cost more than the writing; amounts and days are adapted by
    the driver.
    """
    instants = [
        place
        for place, name in enumerate(fields)
        if isinstance(_field(model, name), models.DateTimeField)
    ]
    if connection.vendor == "postgresql" or not instants:
        yield from rows
        return
    adapt = lru_cache(connection.ops.adapt_datetimefield_value)
    for row in rows:
        values = list(row)
        for place in instants:
            values[place] = adapt(values[place])
        yield values


def _field(model: type[models.Model], attname: str) -> models.Field:
    return next(field for field in model._meta.concrete_fields if field.attname == attname)
