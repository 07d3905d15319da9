"""The lists of the office over a small and a large book: `python -m tests.benchmarks.lists`.

On the engine that DATABASE_URL names. Both books stand side by side and take turns. Exits with 1
when a page takes more than 9 times an empty page of the admin, or over the large book more than
1.5 times what it takes over the small one. The goals are for PostgreSQL, where large books live;
on SQLite the figures are only printed.
"""

import sys
from collections import defaultdict
from contextlib import ExitStack
from functools import partial
from statistics import median

from tests.benchmarks.common import (
    engine,
    enter,
    finish,
    migrate,
    scratch_database,
    table,
    timed,
)

SMALL, LARGE = 834, 100_000  # loans, of 12 instalments each
TIMES_EMPTY, TIMES_SMALL = 9, 1.5
ROUNDS = 11
SOUGHT = 230  # a loan of Nairobi whose first instalments were paid by receipt
EMPTY = ("mpesa_callback", "", "")
PAGES = {
    "repayments": ("loans_repayment", "", "KES 1,100.00"),
    "repayments by phone": ("loans_repayment", "q=0{phone}", "{loan}"),
    "repayments by loan": ("loans_repayment", "q={loan}", "{loan}"),
    "repayments by receipt": ("loans_repayment", "q={receipt}", "{loan}"),
    "repayments overdue": ("loans_repayment", "state=overdue", "KES 1,100.00"),
    "repayments pending": ("loans_repayment", "state=pending", "KES 1,100.00"),
    "repayments completed": ("loans_repayment", "state=completed", "KES 1,100.00"),
    "loans": ("loans_loan", "", "Wanjiku Mwangi"),
    "loans active": ("loans_loan", "status=active", "Wanjiku Mwangi"),
    "loans by phone": ("loans_loan", "q=0{phone}", "{loan}"),
    "payments": ("payments_payment", "", "KES 1,100.00"),
    "payments by receipt": ("payments_payment", "q={receipt}", "{receipt}"),
}


def main() -> None:
    with ExitStack() as stack:
        migrated = stack.enter_context(scratch_database())
        migrate(migrated)
        urls = [stack.enter_context(scratch_database(copy_of=migrated)) for _ in range(2)]
        enter(urls[0])
        from django.conf import settings  # noqa: PLC0415

        from tests.benchmarks import portfolio  # noqa: PLC0415

        settings.DEBUG, settings.ALLOWED_HOSTS = False, ["testserver"]
        books = []
        for url, loans in zip(urls, (SMALL, LARGE), strict=True):
            seconds = timed(lambda: books.append(portfolio.Book(url, loans)))  # noqa: B023
            print(f"{engine()}: made {loans * 12:,} repayments in {seconds:.0f} s", file=sys.stderr)
        words = {
            "phone": portfolio.phone(SOUGHT)[3:],
            "loan": portfolio.loan_number(SOUGHT),
            "receipt": portfolio.receipt(SOUGHT, 1),
        }
        misses: list[str] = []
        for who in ("head office", "one branch"):
            _compare(who, books, words, misses)
        for book in books:
            book.close()
    if engine() == "PostgreSQL":
        finish(misses)


def _compare(who: str, books: list, words: dict[str, str], misses: list[str]) -> None:
    """Print a table of what one person waits for, and note what misses its goal."""
    rows = []
    for name, page in PAGES.items():
        found = [part.format(**words) for part in page]
        empties, pages = _time(who, books, found)
        times_empty = pages[1] / min(empties)
        times_small = pages[1] / pages[0]
        if times_empty > TIMES_EMPTY:
            misses.append(f"{who}, {name}: {times_empty:.1f} times an empty page")
        if times_small > TIMES_SMALL:
            misses.append(f"{who}, {name}: {times_small:.2f} times what it takes over few rows")
        milliseconds = [f"{each * 1000:.1f}" for each in (min(empties), *pages)]
        rows.append([name, *milliseconds, f"{times_empty:.1f}", f"{times_small:.2f}"])
    table(
        f"{engine()}, {who}: medians of {ROUNDS}",
        [
            "",
            "empty page, ms",
            f"{SMALL * 12:,} rows, ms",
            f"{LARGE * 12:,} rows, ms",
            f"× empty (≤ {TIMES_EMPTY})",
            f"large ÷ small (≤ {TIMES_SMALL})",
        ],
        rows,
    )


def _time(who: str, books: list, page: list[str]) -> tuple[list[float], list[float]]:
    """Return the median seconds of an empty page and of this one over each book.

    They take turns, so that another program on the machine slows all of them alike.
    """
    taken: dict[tuple[int, int], list[float]] = defaultdict(list)
    for turn in range(ROUNDS + 1):
        for number, book in enumerate(books):
            book.open()
            for kind, wanted in enumerate((EMPTY, page)):
                seconds = timed(partial(book.get, who, *wanted))
                if turn:  # the first one warms up
                    taken[kind, number].append(seconds)
    empties, pages = (
        [median(taken[kind, number]) for number, _ in enumerate(books)] for kind in (0, 1)
    )
    return empties, pages


if __name__ == "__main__":
    main()
