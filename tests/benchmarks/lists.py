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
PAGES = {
    "(an empty list)": ("mpesa_callback", "", ""),
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
        for who, found in _time(books, words).items():
            _compare(who, found, misses)
        for book in books:
            book.close()
    finish(misses)


def _time(books: list, words: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    """Return, for each person and page, the median seconds over each book.

    Every round asks for every page of both books, after one round that only warms up.
    """
    taken = {
        who: {name: [[] for _ in books] for name in PAGES} for who in ("head office", "one branch")
    }
    for turn in range(ROUNDS + 1):
        for number, book in enumerate(books):
            book.open()
            for who, pages in taken.items():
                for name, seconds in pages.items():
                    page, query, expected = (part.format(**words) for part in PAGES[name])
                    spent = timed(partial(book.get, who, page, query, expected))
                    if turn:
                        seconds[number].append(spent)
    return {
        who: {name: [median(each) for each in seconds] for name, seconds in pages.items()}
        for who, pages in taken.items()
    }


def _compare(who: str, found: dict[str, list[float]], misses: list[str]) -> None:
    """Print a table of what one person waited for, and note what misses its goal."""
    empty = min(found["(an empty list)"])
    rows = []
    for name, (small, large) in found.items():
        times_empty, times_small = large / empty, large / small
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


if __name__ == "__main__":
    main()
