"""History rows of what is written in bulk or by `update`: who changed it, when and why.

Saving a model keeps its history by itself (django-simple-history), a query of every column each.
Here the database copies the rows as they now stand, in one statement for many.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import TypeVar

from django.db import connection, models

from lms import dates

Row = TypeVar("Row", bound=models.Model)

ADDED, CHANGED = "+", "~"
AT_ONCE = 500
MOST_PARAMETERS = 30_000  # of one statement, on either engine


def create(rows: Iterable[Row], *, by, reason: str) -> list[Row]:
    """Insert new rows of one model with a history row each, inside the caller's transaction.

    As `bulk_create` does, without signals; their keys are set. PostgreSQL copies them on the way.
    """
    rows = list(rows)
    if not rows:
        return []
    model = type(rows[0])
    statement, columns, key = _create(model)
    line = f"({', '.join(['%s'] * len(columns))})"
    told = _told(ADDED, by=by, reason=reason)
    step = min(AT_ONCE, MOST_PARAMETERS // len(columns))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        insert = f"{statement} VALUES {', '.join([line] * len(some))} RETURNING"
        values = [value for row in some for value in _values(row, columns, add=True)]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                kept = f"{_into(model)} FROM made"
                cursor.execute(
                    f"WITH made AS ({insert} *), kept AS ({kept}) SELECT {key} FROM made",
                    [*values, *told],
                )
            else:
                cursor.execute(f"{insert} {key}", values)
            keys = cursor.fetchall()
        for row, (pk,) in zip(some, sorted(keys), strict=True):
            row.pk = pk
            row._state.adding, row._state.db = False, connection.alias  # noqa: SLF001
    if connection.vendor != "postgresql":
        keep(rows, kind=ADDED, by=by, reason=reason)
    return rows


def update(
    rows: Collection[models.Model], fields: Iterable[str], *, by, reason: str | Sequence[str]
) -> None:
    """Write some fields of saved rows of one model, with a history row each.

    `reason` is that of all, or one a row. Inside the caller's transaction. Said to the database at
    once, for the ORM takes longer to spell such an UPDATE than the database to do it; PostgreSQL
    copies a single row on the way.
    """
    if len(rows) == 1 and connection.vendor == "postgresql":
        (row,) = rows
        statement, columns = _update(type(row), tuple(fields))
        told = _told(CHANGED, by=by, reason=reason if isinstance(reason, str) else reason[0])
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH changed AS ({statement} RETURNING *) {_into(type(row))} FROM changed",
                [*_values(row, columns), row.pk, *told],
            )
        return
    write(rows, fields)
    keep(rows, kind=CHANGED, by=by, reason=reason)


def write(rows: Collection[models.Model], fields: Iterable[str]) -> None:
    """Write some fields of saved rows of one model which keeps no history of them."""
    if not rows:
        return
    statement, columns = _update(type(next(iter(rows))), tuple(fields))
    values = [[*_values(row, columns), row.pk] for row in rows]
    with connection.cursor() as cursor:
        if len(values) > 1:
            cursor.executemany(statement, values)
        else:
            cursor.execute(statement, values[0])


def _values(row: models.Model, columns: Iterable[models.Field], *, add: bool = False) -> list:
    """Return what goes to the database, with the fields set that set themselves."""
    return [column.get_db_prep_save(column.pre_save(row, add), connection) for column in columns]


def keep(rows: Collection[models.Model], *, kind: str, by, reason: str | Sequence[str]) -> None:
    """Write a history row for each of these saved rows of one model, as the database holds them.

    `kind` is ADDED or CHANGED; `by` the person, or None for the system; a `reason`, that of all or
    one a row, is cut at 100 letters.
    """
    if not isinstance(reason, str):
        _keep_each(rows, reason, kind=kind, by=by)
        return
    keys = [row.pk for row in rows]
    if not keys:
        return
    model = type(next(iter(rows)))
    quote = connection.ops.quote_name
    copied = f"{_into(model)} FROM {quote(model._meta.db_table)}"
    told = _told(kind, by=by, reason=reason)
    with connection.cursor() as cursor:
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            which = f"{quote(model._meta.pk.column)} IN ({', '.join(['%s'] * len(some))})"
            cursor.execute(f"{copied} WHERE {which}", [*told, *some])


def _keep_each(rows: Collection[models.Model], reasons: Sequence[str], *, kind: str, by) -> None:
    """Write a history row for each of these rows, with a reason of its own."""
    told = list(zip((row.pk for row in rows), reasons, strict=True))
    if not told:
        return
    model = type(next(iter(rows)))
    quote = connection.ops.quote_name
    table, key = quote(model._meta.db_table), quote(model._meta.pk.column)
    copied = f"{_into(model, why='told_why')} FROM {table} JOIN told ON {table}.{key} = told_of"
    now, _, _, who = _told(kind, by=by, reason="")
    line = "(CAST(%s AS bigint), CAST(%s AS text))"
    with connection.cursor() as cursor:
        for start in range(0, len(told), AT_ONCE):
            some = told[start : start + AT_ONCE]
            lines = ", ".join([line] * len(some))
            cursor.execute(
                f"WITH told (told_of, told_why) AS (VALUES {lines}) {copied}",
                [*(part for pk, why in some for part in (pk, why[:100])), now, kind, who],
            )


def _told(kind: str, *, by, reason: str) -> list:
    now = connection.ops.adapt_datetimefield_value(dates.now())
    return [now, kind, reason[:100], by.pk if by else None]


@cache
def _create(model: type[models.Model]) -> tuple[str, list[models.Field], str]:
    """Return the statement that inserts rows up to their values, its fields and the key."""
    quote, key = connection.ops.quote_name, model._meta.pk
    fields = [field for field in model._meta.local_concrete_fields if field is not key]
    columns = ", ".join(quote(field.column) for field in fields)
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({columns})", fields, quote(key.column)


@cache
def _update(model: type[models.Model], names: tuple[str, ...]) -> tuple[str, list[models.Field]]:
    """Return the statement that writes these fields of a row by its key, and the fields."""
    quote = connection.ops.quote_name
    fields = [model._meta.get_field(name) for name in names]
    columns = ", ".join(f"{quote(field.column)} = %s" for field in fields)
    table, key = quote(model._meta.db_table), quote(model._meta.pk.column)
    return f"UPDATE {table} SET {columns} WHERE {key} = %s", fields


@cache
def _into(model: type[models.Model], why: str = "%s") -> str:
    """Return the statement that copies rows of a model into its history, up to where from."""
    history, quote = model.history.model, connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in history.tracked_fields)
    return (
        f"INSERT INTO {quote(history._meta.db_table)} ({columns}, history_date, history_type, "
        f"history_change_reason, history_user_id) SELECT {columns}, %s, %s, {why}, %s"
    )
