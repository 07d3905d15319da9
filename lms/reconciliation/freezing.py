"""Database triggers that freeze a reconciliation once it is signed off, on both engines.

What a statement says is never changed at all. Everything that belongs to a signed-off
reconciliation refuses to be added to, changed or taken away; the reconciliation itself accepts one
change, which is to be opened again.
"""

from lms.ledger import immutability

SIGNED = "SELECT 1 FROM reconciliation_reconciliation WHERE status = 'signed_off' AND id = "
OF_MATCH = "(SELECT reconciliation_id FROM reconciliation_match WHERE id = {row}.match_id)"
# Table to how a row of it leads to its reconciliation.
OWNERS = {
    "reconciliation_statementline": "{row}.reconciliation_id",
    "reconciliation_match": "{row}.reconciliation_id",
    "reconciliation_matchedline": OF_MATCH,
    "reconciliation_matchedentry": OF_MATCH,
}
# Table to the conditions under which a row takes the place of another, as SQLite can replace it.
KEYS = {
    "reconciliation_reconciliation": ("account_id = NEW.account_id AND first = NEW.first",),
    "reconciliation_statementline": ("account_id = NEW.account_id AND key = NEW.key",),
    "reconciliation_match": (),
    "reconciliation_matchedline": ("line_id = NEW.line_id AND is_live AND NEW.is_live",),
    "reconciliation_matchedentry": (
        "account_id = NEW.account_id AND entry_id = NEW.entry_id AND is_live AND NEW.is_live",
    ),
}
SIDES = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
FROZEN = "The reconciliation is signed off: reopen it first"
TOLD = "What a statement says is not changed"


def _rules():
    """Yield table, event and the condition under which it is refused, with the reason."""
    for table, owner in OWNERS.items():
        for event, sides in SIDES.items():
            signed = (f"EXISTS ({SIGNED}{owner.format(row=side)})" for side in sides)
            yield table, event, " OR ".join(signed), FROZEN
    yield "reconciliation_statementline", "UPDATE", "TRUE", TOLD
    own, signed = "reconciliation_reconciliation", "OLD.status = 'signed_off'"
    yield own, "UPDATE", f"{signed} AND NEW.status = 'signed_off'", FROZEN
    yield own, "DELETE", signed, FROZEN


def _names():
    for number, (table, event, condition, reason) in enumerate(_rules()):
        yield f"{table}_{event.lower()}_frozen_{number}", table, event, condition, reason


def install(connection) -> None:
    """Create the triggers."""
    remove(connection)
    with connection.cursor() as cursor:
        for name, table, event, condition, reason in _names():
            if connection.vendor == "postgresql":
                row = "OLD" if event == "DELETE" else "NEW"
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger AS $$ BEGIN "
                    f"IF {condition} THEN RAISE EXCEPTION '{reason}'; END IF; RETURN {row}; "
                    "END $$ LANGUAGE plpgsql"
                )
                cursor.execute(
                    f"CREATE TRIGGER {name} BEFORE {event} ON {table} "
                    f"FOR EACH ROW EXECUTE FUNCTION {name}()"
                )
            else:
                cursor.execute(
                    f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition} "
                    f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
                )
        _forbid_taking_places(connection, cursor)


def _forbid_taking_places(connection, cursor) -> None:
    """Refuse to empty these tables (PostgreSQL), or a row in the place of another (SQLite)."""
    if connection.vendor == "postgresql":
        cursor.execute(
            "CREATE OR REPLACE FUNCTION reconciliation_refuse() RETURNS trigger AS $$ BEGIN "
            f"RAISE EXCEPTION '{TOLD}'; END $$ LANGUAGE plpgsql"
        )
        for table in KEYS:
            immutability.forbid_truncating(cursor, table, function="reconciliation_refuse")
        return
    for table, keys in KEYS.items():
        immutability.forbid_replacing(cursor, table, keys=("id = NEW.id", *keys), reason=TOLD)


def remove(connection) -> None:
    """Drop the triggers, for the reverse migration."""
    with connection.cursor() as cursor:
        for name, table, *_ in _names():
            on = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on}")
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP FUNCTION IF EXISTS {name}()")
    for table in KEYS:
        for event in ("replace", "truncate"):
            immutability.drop(connection, table, f"{table}_no_{event}")
