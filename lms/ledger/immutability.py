"""Database triggers that refuse UPDATE and DELETE on what is posted, on both engines."""

TABLES = ("ledger_journalentry", "ledger_transfer")


def install(connection) -> None:
    """Create the triggers on every append-only table of the ledger."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger AS $$ BEGIN "
                "RAISE EXCEPTION 'What is posted is not changed: reverse it (%).', TG_TABLE_NAME; "
                "END $$ LANGUAGE plpgsql"
            )
        for table in TABLES:
            for event in ("UPDATE", "DELETE"):
                name = f"{table}_no_{event.lower()}"
                action = (
                    "FOR EACH ROW EXECUTE FUNCTION ledger_refuse()"
                    if connection.vendor == "postgresql"
                    else "BEGIN SELECT RAISE(ABORT, 'Posted rows are not changed: reverse it'); END"
                )
                cursor.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} {action}")


def remove(connection) -> None:
    """Drop the triggers, for the reverse migration."""
    with connection.cursor() as cursor:
        for table in TABLES:
            for event in ("update", "delete"):
                on = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_no_{event}{on}")
