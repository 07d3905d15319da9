"""The books under many transfers: `python -m tests.benchmarks.books [TRANSFERS]`.

On the engine that DATABASE_URL names; 5,000,000 transfers on PostgreSQL unless told, 200,000 on
SQLite. A trial balance over open books is compared with one bare GROUP BY on a covering index; with
closed months it must not grow with the history, so it is taken after 6 months and after 24 of the
same size. Posting is compared with bare INSERTs of the same rows in transactions of the same size.
Exits with 1 when a goal is missed; they are goals on PostgreSQL.
"""

import sys
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

from django.conf import settings

from lms import dates
from tests.benchmarks.common import engine, enter, finish, migrate, scratch_database, table, timed

SHORT, LONG = 6, 24  # months of history
ROUNDS = 5
SLOWER, GROWTH, THROUGHPUT = 2.0, 1.3, 0.40
START = date(2024, 1, 1)
LINES = 3  # transfers of an entry
ONE_BY_ONE, AT_ONCE = 300, 5_000  # entries posted
BARE = (
    "SELECT debit_id, credit_id, SUM(amount) FROM ledger_transfer WHERE date <= %s "
    "GROUP BY debit_id, credit_id"
)


def main() -> None:
    on_postgresql = engine() == "PostgreSQL"
    transfers = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000 if on_postgresql else 200_000
    misses: list[str] = []
    with scratch_database() as url:
        migrate(url)
        enter(url)
        settings.DEBUG = False  # with it Django keeps every statement
        office = Office()
        monthly = transfers // LONG
        office.fill(0, SHORT, monthly)
        short = office.closed_through(SHORT - 1)
        office.reopen_all()
        office.fill(SHORT, LONG, monthly)
        open_books, bare = office.trial_balance(LONG), office.bare(LONG)
        long = office.closed_through(LONG - 1)
        table(
            f"Trial balance of {transfers:,} transfers over {LONG} months, {engine()}",
            ("", "milliseconds"),
            [
                ("bare GROUP BY on a covering index", f"{bare * 1000:.1f}"),
                ("every month open", f"{open_books * 1000:.1f}"),
                (f"all but the last of {SHORT} months closed", f"{short * 1000:.1f}"),
                (f"all but the last of {LONG} months closed", f"{long * 1000:.1f}"),
            ],
        )
        _judge(misses, "open trial balance over bare", open_books / bare, most=SLOWER)
        _judge(misses, f"growth from {SHORT} to {LONG} months", long / short, most=GROWTH)
        _posting(office, misses)
    finish(misses if on_postgresql else [])


def _posting(office: "Office", misses: list[str]) -> None:
    rows = []
    for title, entries, size in (("one entry", ONE_BY_ONE, 1), ("1,000 entries", AT_ONCE, 1_000)):
        bare = median(office.insert(entries, size) for _ in range(3))
        ours = median(office.post(entries, size) for _ in range(3))
        rows.append(
            (title, f"{entries / bare:,.0f}", f"{entries / ours:,.0f}", f"{bare / ours:.0%}")
        )
        if bare / ours < THROUGHPUT:
            misses.append(f"posting {title} a commit at {bare / ours:.0%} of bare INSERTs")
    table(
        f"Entries of {LINES} transfers posted a second",
        ("in a transaction", "bare INSERTs", "posted", "share"),
        rows,
    )


def _judge(misses: list[str], what: str, found: float, *, most: float) -> None:
    print(f"{what}: {found:.2f}× (at most {most}×)")
    if found > most:
        misses.append(f"{what} is {found:.2f}×, more than {most}×")


class Office:
    """The books that are measured."""

    def __init__(self) -> None:
        from tests import factories  # noqa: PLC0415

        self.by = factories.kamau()
        self.branches = [factories.branch(f"B{n}", f"Branch {n}").pk for n in range(10)]
        self.posted = 0

    def fill(self, first: int, last: int, monthly: int) -> None:
        """Write months of entries and transfers in two statements, then let the engine count."""
        from django.db import connection  # noqa: PLC0415

        start = dates.add_months(START, first)
        days = (dates.add_months(START, last) - start).days
        entries = monthly * (last - first) // LINES
        on_postgresql = connection.vendor == "postgresql"
        numbers = (
            f"generate_series(1, {entries}) AS n(i)"
            if on_postgresql
            else f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
            f"WHERE i < {entries}) SELECT i FROM n) AS n"
        )
        day = f"n.i * {days - 1} / {entries}"
        day = f"DATE '{start}' + {day}" if on_postgresql else f"DATE('{start}', ({day}) || ' days')"
        places = " ".join(f"WHEN {n} THEN {pk}" for n, pk in enumerate(self.branches))
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO ledger_journalentry (date, kind, reference, narration, posted_at) "
                f"SELECT {day}, 'bulk', 'bulk:{first}:' || n.i, 'A bulk entry', CURRENT_TIMESTAMP "
                f"FROM {numbers}"
            )
            cursor.execute(
                "INSERT INTO ledger_transfer "
                "(entry_id, date, debit_id, credit_id, amount, branch_id, subject) "
                "SELECT e.id, e.date, a.debit, a.credit, 100 + e.id % 900, "
                f"CASE e.id % {len(self.branches)} {places} END, 'LN' || (e.id % 50000) "
                "FROM ledger_journalentry AS e CROSS JOIN "
                "(SELECT '1020' AS debit, '2010' AS credit UNION ALL "
                "SELECT '2010', '1110' UNION ALL SELECT '2040', '4010') AS a "
                f"WHERE e.reference LIKE 'bulk:{first}:%'"
            )
            cursor.execute("VACUUM ANALYZE" if on_postgresql else "ANALYZE")

    def closed_through(self, months: int) -> float:
        """Close so many months; return what a trial balance of the next takes, in seconds."""
        from lms.ledger import periods  # noqa: PLC0415

        today = dates.add_months(START, months + 1)
        periods.prepare(on=today - timedelta(days=1))
        for _ in range(months):
            period = periods.next_to_close()
            close = periods.close_year if period.ends_year else periods.close_period
            close(period, by=self.by, on=today)
        return self.trial_balance(months + 1)

    def reopen_all(self) -> None:
        """Open every month again, without asking anybody."""
        from lms.ledger.models import Period, PeriodBalance  # noqa: PLC0415

        PeriodBalance.objects.all().delete()
        Period.objects.update(status=Period.Status.OPEN, closed_by=None, closed_at=None)

    def trial_balance(self, months: int) -> float:
        from lms.ledger import balances  # noqa: PLC0415

        day = dates.add_months(START, months) - timedelta(days=1)
        return median(timed(lambda: balances.balances(day)) for _ in range(ROUNDS))

    def bare(self, months: int) -> float:
        from django.db import connection  # noqa: PLC0415

        day = dates.add_months(START, months) - timedelta(days=1)

        def ask() -> None:
            with connection.cursor() as cursor:
                cursor.execute(BARE, [day])
                cursor.fetchall()

        return median(timed(ask) for _ in range(ROUNDS))

    def post(self, entries: int, size: int) -> float:
        """Post entries in transactions of `size`; return the seconds."""
        from django.db import transaction  # noqa: PLC0415

        from lms.ledger import chart  # noqa: PLC0415
        from lms.ledger.operations import Line, Posting, post, post_many  # noqa: PLC0415

        lines = [Line(chart.BANK, chart.FEE_INCOME, Decimal("1.10"))] * LINES
        same = {"kind": "test", "on": dates.add_months(START, LONG), "by": self.by}

        def work() -> None:
            for numbers in self._chunks(entries, size):
                with transaction.atomic():
                    named = [(f"posted:{number}", f"LN{number}") for number in numbers]
                    if size == 1:
                        ((reference, subject),) = named
                        post(
                            reference=reference,
                            narration="A test",
                            lines=lines,
                            branch_id=self.branches[0],
                            subject=subject,
                            **same,
                        )
                    else:
                        post_many(
                            [
                                Posting(reference, "A test", lines, self.branches[0], subject)
                                for reference, subject in named
                            ],
                            **same,
                        )

        return timed(work)

    def insert(self, entries: int, size: int) -> float:
        """Insert the same rows as plain as can be; return the seconds."""
        from django.db import connection, transaction  # noqa: PLC0415

        day = dates.add_months(START, LONG)
        row = f"(%s, '{day}', '1030', '4020', 1.10, {self.branches[0]}, %s)"

        def work() -> None:
            for numbers in self._chunks(entries, size):
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(
                        "INSERT INTO ledger_journalentry "
                        "(date, kind, reference, narration, posted_by_id, posted_at) VALUES "
                        + ", ".join(
                            f"('{day}', 'test', 'bare:{number}', 'A test', {self.by.pk}, "
                            "CURRENT_TIMESTAMP)"
                            for number in numbers
                        )
                        + " RETURNING id"
                    )
                    made = [pk for (pk,) in cursor.fetchall()]
                    for some in range(0, len(made), 100):
                        keys = [pk for pk in made[some : some + 100] for _ in range(LINES)]
                        cursor.execute(
                            "INSERT INTO ledger_transfer (entry_id, date, debit_id, credit_id, "
                            "amount, branch_id, subject) VALUES " + ", ".join([row] * len(keys)),
                            [value for pk in keys for value in (pk, f"LN{pk}")],
                        )

        return timed(work)

    def _chunks(self, entries: int, size: int):
        """Yield numbers that were never posted, `size` at a time."""
        first, self.posted = self.posted, self.posted + entries
        for start in range(first, first + entries, size):
            yield range(start, min(start + size, first + entries))


if __name__ == "__main__":
    main()
