"""Database triggers, on both engines, that keep what is posted and what is closed.

SQLite forgets the triggers of a table that a migration makes anew: such a migration puts them up
again. While `ledger_period` itself is made anew there, the triggers that read it must rest.
"""

from collections.abc import Iterable, Mapping

from lms.ledger.balances import YEAR_END

# Tables to which rows are only added, with the columns that no two rows have in common.
TABLES = {"ledger_journalentry": ("id", "reference", "reverses_id"), "ledger_transfer": ("id",)}
POSTED = "Posted rows are not changed: reverse it"
# What the triggers of closed months say; `operations` turns it into a sentence.
CLOSED = "ledger_period_closed"
CLOSED_THROUGH = "SELECT MAX(last) FROM ledger_period WHERE status = 'closed'"
# What the triggers of the chart say of a header, and of an account that is no longer in use.
UNUSABLE = "ledger_account_takes_no_postings"
# Entries that only empty accounts or take back what they got: no longer in use is no hindrance.
ENDING = (
    "SELECT 1 FROM ledger_journalentry AS e WHERE e.id = {row}.entry_id "  # noqa: S608 - of constants
    f"AND (e.kind = '{YEAR_END}' OR e.reverses_id IS NOT NULL)"
)


def install(connection, tables: Mapping[str, Iterable[str]] = TABLES) -> None:
    """Refuse UPDATE, DELETE, REPLACE and TRUNCATE on tables to which rows are only added."""
    remove(connection, tables)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger AS $$ BEGIN "
                "RAISE EXCEPTION 'What is posted is not changed: reverse it (%).', TG_TABLE_NAME; "
                "END $$ LANGUAGE plpgsql"
            )
        for table, columns in tables.items():
            for event in ("UPDATE", "DELETE"):
                name = f"{table}_no_{event.lower()}"
                action = (
                    "FOR EACH ROW EXECUTE FUNCTION ledger_refuse()"
                    if connection.vendor == "postgresql"
                    else f"BEGIN SELECT RAISE(ABORT, '{POSTED}'); END"
                )
                cursor.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} {action}")
            if connection.vendor == "postgresql":
                forbid_truncating(cursor, table, function="ledger_refuse")
            else:
                keys = [f"{column} = NEW.{column}" for column in columns]
                forbid_replacing(cursor, table, keys=keys, reason=POSTED)


def forbid_replacing(cursor, table: str, *, keys: Iterable[str], reason: str) -> None:
    """Refuse a row that would take the place of another, on SQLite.

    INSERT OR REPLACE deletes there what is in its way, and by default no trigger hears of it.
    `keys` are the conditions, on a row in its way and NEW, under which it would.
    """
    there = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {key})" for key in keys)  # noqa: S608 - of constants
    cursor.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {there} "
        f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
    )


def forbid_truncating(cursor, table: str, *, function: str) -> None:
    """Refuse TRUNCATE by a function that raises, on PostgreSQL."""
    cursor.execute(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
    )


def remove(connection, tables: Iterable[str] = TABLES) -> None:
    """Drop these triggers, for a migration that fills what is posted or makes its table anew."""
    for table in tables:
        for event in ("update", "delete", "replace", "truncate"):
            drop(connection, table, f"{table}_no_{event}")


def guard_closed(connection) -> None:
    """Refuse rows of a day in a closed month.

    On PostgreSQL once for each statement, so that posting many rows pays for it once.
    """
    unguard_closed(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION ledger_refuse_closed() RETURNS trigger AS $$ "  # noqa: S608 - of constants
                f"DECLARE closed date := ({CLOSED_THROUGH}); BEGIN "
                "IF closed IS NOT NULL AND EXISTS (SELECT 1 FROM posted WHERE date <= closed) THEN "
                f"RAISE EXCEPTION '{CLOSED}' USING ERRCODE = 'check_violation'; END IF; "
                "RETURN NULL; END $$ LANGUAGE plpgsql"
            )
        for table in TABLES:
            action = (
                "REFERENCING NEW TABLE AS posted FOR EACH STATEMENT "
                "EXECUTE FUNCTION ledger_refuse_closed()"
                if connection.vendor == "postgresql"
                else f"WHEN NEW.date <= ({CLOSED_THROUGH}) "
                f"BEGIN SELECT RAISE(ABORT, '{CLOSED}'); END"
            )
            cursor.execute(f"CREATE TRIGGER {table}_open AFTER INSERT ON {table} {action}")


def guard_accounts(connection) -> None:
    """Refuse transfers on a header, or on an account that is no longer in use.

    The end of a year and the reversal of an entry still reach the latter.
    """
    unguard_accounts(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION ledger_refuse_account() RETURNS trigger AS $$ BEGIN "
                f"IF EXISTS ({_unusable('posted', 'posted,')}) THEN "
                f"RAISE EXCEPTION '{UNUSABLE}' USING ERRCODE = 'check_violation'; END IF; "
                "RETURN NULL; END $$ LANGUAGE plpgsql"
            )
            action = (
                "REFERENCING NEW TABLE AS posted FOR EACH STATEMENT "
                "EXECUTE FUNCTION ledger_refuse_account()"
            )
        else:
            action = (
                f"WHEN EXISTS ({_unusable('NEW')}) BEGIN SELECT RAISE(ABORT, '{UNUSABLE}'); END"
            )
        cursor.execute(
            f"CREATE TRIGGER ledger_transfer_usable AFTER INSERT ON ledger_transfer {action}"
        )


def _unusable(row: str, tables: str = "") -> str:
    """Return the question after accounts of a row that take no postings.

    Its entry is only looked up where an account is no longer in use.
    """
    return (
        f"SELECT 1 FROM {tables} ledger_account AS a "  # noqa: S608 - of constants
        f"WHERE a.code IN ({row}.debit_id, {row}.credit_id) AND "
        f"(a.is_header OR (NOT a.is_active AND NOT EXISTS ({ENDING.format(row=row)})))"
    )


def unguard_accounts(connection) -> None:
    """Drop the trigger of unusable accounts."""
    drop(connection, "ledger_transfer", "ledger_transfer_usable")


def unguard_closed(connection) -> None:
    """Drop the triggers of closed months."""
    for table in TABLES:
        drop(connection, table, f"{table}_open")


def drop(connection, table: str, name: str) -> None:
    """Drop a trigger if it is there."""
    with connection.cursor() as cursor:
        on = f" ON {table}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on}")
