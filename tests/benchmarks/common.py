"""What every benchmark needs: a scratch database, timing, a table on the screen.

Django is opened by `enter`, once the process knows its database.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit
from uuid import uuid4

import django
import psycopg

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def scratch_database(*, copy_of: str | None = None) -> Iterator[str]:
    """Make a database on the engine that DATABASE_URL names, yield its URL, drop it afterwards.

    A SQLite file in a temporary folder, or a new database on the same PostgreSQL server. It is
    empty, or a copy of another scratch database that nobody has open.
    """
    server = os.environ.get("DATABASE_URL", "")
    if engine() == "PostgreSQL":
        name = f"lms_scratch_{uuid4().hex[:12]}"
        template = f' TEMPLATE "{_name_in(copy_of)}"' if copy_of else ""
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"{template}')
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    else:
        with tempfile.TemporaryDirectory(prefix="lms_scratch_") as folder:
            file = Path(folder) / "office.sqlite3"
            if copy_of:
                shutil.copy(_name_in(copy_of, absolute=True), file)
            yield f"sqlite:///{file}"


def migrate(url: str) -> None:
    """Bring a scratch database up to date in a process of its own."""
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
    )


def enter(url: str) -> str:
    """Open Django on a migrated scratch database in this process; return the engine's name."""
    os.environ["DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = "lms.settings"
    django.setup()
    return engine()


def engine() -> str:
    """Return the name of the engine that DATABASE_URL names."""
    on_postgresql = os.environ.get("DATABASE_URL", "").startswith(("postgres://", "postgresql://"))
    return "PostgreSQL" if on_postgresql else "SQLite"


def timed(work: Callable[[], object]) -> float:
    """Return how long one call takes, in seconds."""
    started = perf_counter()
    work()
    return perf_counter() - started


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, the first column to the left and the others to the right."""
    lines = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    print(f"\n{title}")
    for number, line in enumerate(lines):
        first, *others = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join([first, *(cell.strip().rjust(len(cell)) for cell in others)]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def finish(misses: Sequence[str]) -> None:
    """Say which goals were missed and end the process: 0 when none was, else 1."""
    print("\n" + "\n".join(f"MISSED: {miss}" for miss in misses) if misses else "\nEvery goal met.")
    sys.exit(bool(misses))


def _name_in(url: str, *, absolute: bool = False) -> str:
    path = urlsplit(url).path
    return path if absolute else path.removeprefix("/")
