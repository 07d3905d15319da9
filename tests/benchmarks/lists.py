"""The lists of the office over a small and a large book: `python -m tests.benchmarks.lists`.

On the engine that DATABASE_URL names. Both books stand side by side and take turns. Exits with 1
when a page takes more than 9 times an empty page of the admin, or over the large book more than
1.5 times what it takes over the small one.
"""

import sys
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
ROUNDS = 9
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
        from django.db import connection  # noqa: PLC0415

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
        connection.close()
    finish(misses)


def _compare(who: str, books: list, words: dict[str, str], misses: list[str]) -> None:
    """Time every page over both books as one person sees them; print a table."""
    pages = {"(an empty list)": EMPTY} | PAGES
    found = {name: _time(who, books, words, page) for name, page in pages.items()}
    empty = found["(an empty list)"]
    rows = []
    for name, (small, large) in found.items():
        times_empty, times_small = large / min(empty), large / small
        rows.append(
            [
                name,
                f"{small * 1000:.1f}",
                f"{large * 1000:.1f}",
                f"{times_empty:.1f}",
                f"{times_small:.2f}",
            ]
        )
        if times_empty > TIMES_EMPTY:
            misses.append(f"{who}, {name}: {times_empty:.1f} times an empty page")
        if times_small > TIMES_SMALL:
            misses.append(f"{who}, {name}: {times_small:.2f} times what it takes over few rows")
    table(
        f"{engine()}, {who}: medians of {ROUNDS}",
        [
            "",
            f"{SMALL * 12:,} rows, ms",
            f"{LARGE * 12:,} rows, ms",
            f"× empty (≤ {TIMES_EMPTY})",
            f"large ÷ small (≤ {TIMES_SMALL})",
        ],
        rows,
    )


def _time(who: str, books: list, words: dict[str, str], page: tuple) -> list[float]:
    """Return the median seconds of a page over each book, taking turns."""
    name, query, expected = page
    query, expected = query.format(**words), expected.format(**words)
    seconds: list[list[float]] = [[] for _ in books]
    for _ in range(ROUNDS):
        for book, taken in zip(books, seconds, strict=True):
            book.open()
            ask = partial(book.get, who, name, query, expected)
            ask()
            taken.append(timed(ask))
    return [median(taken) for taken in seconds]


if __name__ == "__main__":
    main()
