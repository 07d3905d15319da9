"""History rows of what is written in bulk or by `update`: who changed it, when and why.

Saving a model keeps its history by itself (django-simple-history), a query of every column each.
Here the database copies the rows as they now stand, in one statement for many.
"""

from collections.abc import Collection, Iterable
from functools import cache
from typing import TypeVar

from django.db import connection, models

from lms import dates

Row = TypeVar("Row", bound=models.Model)

ADDED, CHANGED = "+", "~"
AT_ONCE = 500


def create(rows: Iterable[Row], *, by, reason: str) -> list[Row]:
    """Insert new rows of one model with a history row each, inside the caller's transaction."""
    made: list[Row] = []
    rows = list(rows)
    if rows:
        made = type(rows[0])._default_manager.bulk_create(rows, batch_size=AT_ONCE)
        keep(made, kind=ADDED, by=by, reason=reason)
    return made


def update(row: models.Model, fields: Iterable[str], *, by, reason: str) -> None:
    """Write some fields of a saved row with a history row, inside the caller's transaction."""
    values = {name: getattr(row, row._meta.get_field(name).attname) for name in fields}
    type(row)._base_manager.filter(pk=row.pk).update(**values)
    keep([row], kind=CHANGED, by=by, reason=reason)


def keep(rows: Collection[models.Model], *, kind: str, by, reason: str) -> None:
    """Write a history row for each of these saved rows of one model, as the database holds them.

    `kind` is ADDED or CHANGED; `by` the person, or None for the system; a `reason` is cut at
    100 letters.
    """
    keys = [row.pk for row in rows]
    if not keys:
        return
    insert = _insert(type(next(iter(rows))))
    now = connection.ops.adapt_datetimefield_value(dates.now())
    told = [now, kind, reason[:100], by.pk if by else None]
    with connection.cursor() as cursor:
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            cursor.execute(f"{insert} ({', '.join(['%s'] * len(some))})", [*told, *some])


@cache
def _insert(model: type[models.Model]) -> str:
    """Return the statement that copies rows of a model into its history, up to their keys."""
    history, quote = model.history.model, connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in history.tracked_fields)
    return (
        f"INSERT INTO {quote(history._meta.db_table)} ({columns}, history_date, history_type, "
        f"history_change_reason, history_user_id) SELECT {columns}, %s, %s, %s, %s "
        f"FROM {quote(model._meta.db_table)} WHERE {quote(model._meta.pk.column)} IN"
    )
