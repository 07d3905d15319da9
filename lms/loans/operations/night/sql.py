"""SQL that both engines read alike, and what every set-based step of the night needs.

Money is worked out in whole cents, as integers, so that SQLite's floats never round it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from django.db import connection, models

from lms import dates
from lms.ledger.books import must_be_open
from lms.ledger.models import JournalEntry
from lms.loans.models import Loan, Repayment

OPEN = ", ".join(f"'{status}'" for status in Repayment.OPEN)
GONE = ", ".join(f"'{status}'" for status in Repayment.GONE)
ACTIVE = f"'{Loan.Status.ACTIVE}'"


def execute(statement: str, parameters: Sequence = ()) -> int:
    """Run one statement; return how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return max(cursor.rowcount, 0)


def fetch(statement: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def be_quick() -> None:
    """Keep PostgreSQL from compiling statements: it takes longer than running them."""
    if connection.vendor == "postgresql":
        execute("SET LOCAL jit = off")


def check_keys() -> None:
    """Let a key that leads nowhere be refused now, not at the end of the transaction."""
    if connection.vendor == "postgresql":
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        execute("SET CONSTRAINTS ALL DEFERRED")


def put_aside(name: str, query: str) -> None:
    """Keep the rows of a query in a temporary table until `drop`."""
    execute(f"CREATE TEMPORARY TABLE {name} AS {query}")
    if connection.vendor == "postgresql":  # or it expects a handful of rows, and joins by loops
        execute(f"ANALYZE {name}")


def drop(*names: str) -> None:
    for name in names:
        execute(f"DROP TABLE {name}")


def day(on: date) -> str:
    """Return the literal of a date."""
    return f"DATE '{on}'" if connection.vendor == "postgresql" else f"'{on}'"


def days(end: str, start: str) -> str:
    """Return the days from one date to another."""
    if connection.vendor == "postgresql":
        return f"({end} - {start})"
    return f"CAST(julianday({end}) - julianday({start}) AS integer)"


def cents(amount: str) -> str:
    return f"CAST(ROUND(({amount}) * 100) AS bigint)"


def account(profile: str, code: str) -> str:
    """Return what a loan of a posting profile is posted to in place of a common account."""
    return (
        f"CASE WHEN {profile} IS NULL THEN '{code}' ELSE COALESCE((SELECT a.code "
        "FROM ledger_postingprofile_accounts AS pa JOIN ledger_account AS a ON a.code = "
        f"pa.account_id WHERE pa.postingprofile_id = {profile} AND a.stands_for_id = '{code}'), "
        f"'{code}') END"
    )


def least(one: str, other: str) -> str:
    return f"CASE WHEN ({one}) < ({other}) THEN ({one}) ELSE ({other}) END"


def owing(row: str, *components: str) -> str:
    """Return what is unpaid of components of an instalment, in cents."""
    return cents(
        " + ".join(f"{row}.{name} - {row}.{name}_paid - {row}.{name}_waived" for name in components)
    )


def loan_number(pk: str) -> str:
    return (
        f"'LN' || CASE WHEN {pk} < 1000000 THEN SUBSTR(CAST(1000000 + {pk} AS varchar(20)), 2) "
        f"ELSE CAST({pk} AS varchar(20)) END"
    )


def lock(where: str) -> None:
    """Lock loans until the transaction ends. SQLite lets one writer in at a time anyway."""
    if connection.vendor == "postgresql":
        execute(f"SELECT id FROM loans_loan AS l WHERE {where} ORDER BY id FOR NO KEY UPDATE")


def write(
    model: type[models.Model],
    statement: str,
    *,
    which: str,
    kind: str,
    reason: str,
    parameters: Sequence = (),
) -> int:
    """Insert or update rows of a model with a history row each; return how many.

    `which` finds the written rows again, as t, where the engine cannot go on with what it wrote.
    `kind` is + for new rows, ~ for changed ones; `reason` is SQL over t.
    """
    table, history = model._meta.db_table, model.history.model._meta.db_table
    names = [f'"{field.column}"' for field in model._meta.local_concrete_fields]
    keep = (
        f"INSERT INTO {history} ({', '.join(names)}, history_date, history_type, "
        f"history_change_reason) SELECT {', '.join(f't.{name}' for name in names)}, %s, '{kind}',"
        f" {reason} FROM "
    )
    now = connection.ops.adapt_datetimefield_value(dates.now())
    if connection.vendor == "postgresql":
        written = ", ".join(f"{table}.{name}" for name in names)
        return execute(f"WITH t AS ({statement} RETURNING {written}) {keep} t", [*parameters, now])
    execute(statement, parameters)
    return execute(f"{keep} {table} AS t {which}", [now])


def post_entries(
    kind: str, *, branches: Iterable[int], narration: str, first: int, on: date
) -> str:
    """Post an empty entry for each branch, and return the SQL that finds it by t.branch_id.

    Its transfers follow in one statement for all of them. Raises Refused for a closed month.
    """
    must_be_open(on)
    branches = sorted(set(branches))
    prefix = f"{kind}:{on}:"
    posted = JournalEntry.objects.keyed(prefix).filter(reference__contains=f":{first}")
    taken = set(posted.values_list("reference", flat=True))
    entries = JournalEntry.objects.bulk_create(
        JournalEntry(
            date=on,
            kind=kind,
            reference=_free(f"{prefix}{branch}:{first}", taken),
            narration=narration,
        )
        for branch in branches
    )
    return _case("t.branch_id", dict(zip(branches, (entry.pk for entry in entries), strict=True)))


def _free(reference: str, taken: set[str]) -> str:
    """Return a reference that is not taken: a chunk that is run again may find more to post."""
    found, times = reference, 1
    while found in taken:
        times += 1
        found = f"{reference}.{times}"
    return found


def _case(value: str, results: Mapping[int, int]) -> str:
    whens = " ".join(f"WHEN {key} THEN {result}" for key, result in results.items())
    return f"CASE {value} {whens} END"
