"""How fast a schedule file comes in: `python -m tests.benchmarks.schedule_import [ROWS …]`.

Set DATABASE_URL to a PostgreSQL database; the work is done in scratch databases beside it. Each
figure is taken on loans without a schedule, 12 instalments a loan, in one run:

floor    COPY to a staging table, set-based checks, INSERT … SELECT into loans_repayment;
import   lms.imports: upload, check with preview and report, apply with history and books;
library  django-import-export's defaults on 2,000 rows (preview and confirm), extrapolated.

Exits with 1 when a figure misses its goal.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from statistics import median

from tests.benchmarks import common

SIZES = (50_000, 500_000)
MOST_TIMES_FLOOR = 10
LEAST_TIMES_LIBRARY = 10
MOST_MEGABYTES = 500
MOST_GROWTH = 12


def measure(url: str, rows: int) -> dict[str, float]:
    """Take every figure for one size, in a process that does nothing else."""
    common.enter(url)
    from django.conf import settings  # noqa: PLC0415

    from tests.benchmarks import schedule_sides as sides  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as settings.MEDIA_ROOT:
        boss, text = sides.prepare(rows)
        floors = []
        for _ in range(3):
            sides.clear()
            floors.append(sides.floor(text))
        sides.clear()
        library = sides.library(text) * rows if rows == SIZES[0] else 0.0
        sides.clear()
        check, apply = sides.ours(text, boss, rows)
    return {
        "floor": median(floors),
        "check": check,
        "apply": apply,
        "library": library,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measured_apart(rows: int) -> dict[str, float]:
    """Measure one size in a new process and scratch database, so that its peak is its own."""
    with common.scratch_database() as url:
        common.migrate(url)
        told = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.schedule_import", "--measure", url, str(rows)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return json.loads(told.stdout.splitlines()[-1])


def main(sizes: list[int]) -> None:
    """Measure each size, print both sides and compare them with the goals."""
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        sys.exit("This compares with COPY: set DATABASE_URL to a PostgreSQL database.")
    lines, misses, totals = [], [], {}
    for rows in sizes:
        found = measured_apart(rows)
        total = totals[rows] = found["check"] + found["apply"]
        times = total / found["floor"]
        slower = found["library"] / total
        lines.append(
            [
                f"{rows:,} rows",
                f"{found['floor']:.2f} s",
                f"{found['check']:.2f} s + {found['apply']:.2f} s",
                f"{times:.1f} ×",
                f"{found['megabytes']:.0f} MiB",
                f"{found['library']:.0f} s, {slower:.0f} ×" if slower else "not measured",
            ]
        )
        if rows == SIZES[0] and times > MOST_TIMES_FLOOR:
            misses.append(f"{rows:,} rows took {times:.1f} times the floor")
        if slower and slower < LEAST_TIMES_LIBRARY:
            misses.append(f"django-import-export was only {slower:.1f} times slower")
        if rows == SIZES[0] and found["megabytes"] > MOST_MEGABYTES:
            misses.append(f"{rows:,} rows took {found['megabytes']:.0f} MiB")
    common.table(
        "Import of repayment schedules on PostgreSQL (the library: 2,000 rows, extrapolated)",
        ["", "floor", "check + apply", "ratio, at most 10", "peak memory", "import-export"],
        lines,
    )
    if len(sizes) > 1:
        growth = totals[sizes[-1]] / totals[sizes[0]]
        print(f"\n{sizes[-1] / sizes[0]:.0f} times the rows take {growth:.1f} times the time.")
        if growth > MOST_GROWTH * sizes[-1] / sizes[0] / 10:
            misses.append(f"the time grew {growth:.1f} times")
    common.finish(misses)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main([int(word) for word in sys.argv[1:]] or list(SIZES))
