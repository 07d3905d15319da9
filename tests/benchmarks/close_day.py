"""How long a night takes: `python -m tests.benchmarks.close_day [LOANS …]`.

Set DATABASE_URL to a PostgreSQL database; the work is done in scratch databases beside it. Over
each book (10,000 and 100,000 active loans of 12 instalments, a fifth late, interest accrued daily)
three nights are closed twice, in turn and each in a process of its own:

close_day  all steps, in chunks that resume, with locks, failures and progress, and the proof of
           the books, which the floor does not do;
floor      the same work as one transaction of bare SQL statements on the same tables.

Both must end in the same rows. Then the last night is run again, and one of a broken loan. Exits
with 1 when a figure misses its goal.
"""

import json
import os
import resource
import subprocess
import sys
from datetime import date, timedelta
from statistics import median

from tests.benchmarks import common

SIZES = (10_000, 100_000)
NIGHTS = 3
MOST_TIMES_FLOOR = 2
MOST_MEGABYTES = 300
MOST_GROWTH = 12
MOST_AGAIN = 0.2


def work(what: str, url: str, argument: str) -> dict:
    """Do one thing in a process that does nothing else, and say how long it took."""
    common.enter(url)
    from django.db import connection  # noqa: PLC0415

    from lms.closing import operations  # noqa: PLC0415
    from lms.closing.models import CloseFailure, DayClose  # noqa: PLC0415
    from tests.benchmarks import nights  # noqa: PLC0415

    if what == "fill":
        nights.fill(int(argument))
        operations.close_day(nights.DAY)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        return {"seconds": 0}
    if what == "ends":
        return nights.ends()
    day = date.fromisoformat(argument)
    if what == "broken":
        loan = nights.break_one(day)
    connection.ensure_connection()
    seconds = common.timed(
        {
            "floor": lambda: nights.floor(day),
            "again": lambda: operations.close_day(day, again=True),
        }.get(what, lambda: operations.close_day(day))
    )
    if what == "broken":
        stopped = list(CloseFailure.objects.values_list("loan_id", flat=True))
        assert stopped == [loan.pk], stopped
    steps = {s.step: float(s.seconds) for s in DayClose.objects.filter(day=day)}
    rows = sum(DayClose.objects.filter(day=day).values_list("rows", flat=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "megabytes": memory, "steps": steps, "rows": rows}


def apart(what: str, url: str, argument: object = "") -> dict:
    told = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.close_day", "--do", what, url, str(argument)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(told.stdout.splitlines()[-1])


def measure(loans: int) -> dict:
    """Take every figure for one size."""
    with common.scratch_database() as url:
        common.migrate(url)
        apart("fill", url, loans)
        with common.scratch_database(copy_of=url) as bare:
            first = date.fromisoformat("2026-07-01")
            ours, floors = [], []
            for number in range(NIGHTS):
                day = first + timedelta(days=number)
                ours.append(apart("close", url, day))
                floors.append(apart("floor", bare, day)["seconds"])
            ends, bare_ends = apart("ends", url), apart("ends", bare)
        differing = [name for name in ends if ends[name] != bare_ends[name]]
        second = apart("close", url, day)
        again = apart("again", url, day)
        changed = apart("ends", url) != ends
        broken = apart("broken", url, day + timedelta(days=1))
    for step, seconds in ours[-1]["steps"].items():
        print(f"  {loans:,} loans, {step}: {seconds:.2f} s")
    return {
        "close": median(night["seconds"] for night in ours),
        "floor": median(floors),
        "rows": ours[-1]["rows"],
        "megabytes": max(night["megabytes"] for night in ours),
        "differing": {name: (ends[name], bare_ends[name]) for name in differing},
        "second": second["seconds"],
        "again": again["seconds"],
        "changed": changed,
        "broken": broken["seconds"],
    }


def main(sizes: list[int]) -> None:
    """Measure each size, print both sides and compare them with the goals."""
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        sys.exit("The floor is PostgreSQL's: set DATABASE_URL to a database there.")
    found, misses = {loans: measure(loans) for loans in sizes}, []
    lines = []
    for loans, figures in found.items():
        close = figures["close"]
        ratio = close / figures["floor"]
        lines.append(
            [
                f"{loans:,} loans",
                f"{close:.2f} s",
                f"{figures['floor']:.2f} s",
                f"{ratio:.2f} ×",
                f"{figures['megabytes']:.0f} MiB",
                f"{figures['second']:.2f} s",
                f"{figures['again']:.2f} s",
                f"{figures['broken']:.2f} s",
            ]
        )
        if loans == max(sizes) and ratio > MOST_TIMES_FLOOR:
            misses.append(f"{loans:,} loans took {ratio:.2f} times the floor")
        if figures["megabytes"] > MOST_MEGABYTES:
            misses.append(f"{loans:,} loans took {figures['megabytes']:.0f} MiB")
        if figures["second"] > MOST_AGAIN * close:
            misses.append(f"{loans:,} loans: the second run took {figures['second']:.2f} s")
        if figures["changed"]:
            misses.append(f"{loans:,} loans: a second run changed rows")
        misses += [
            f"{loans:,} loans: the {name} differ: {ours} against {bare}"
            for name, (ours, bare) in figures["differing"].items()
        ]
    common.table(
        f"A night on PostgreSQL, medians of {NIGHTS}; the last three columns: the same day a second"
        " time, every loan of it looked at again, a night with one broken loan",
        ["", "close_day", "floor", "ratio, at most 2", "peak memory", "second", "again", "broken"],
        lines,
    )
    small, large = min(sizes), max(sizes)
    if large > small:
        growth = found[large]["close"] / found[small]["close"]
        print(f"\n{large / small:.0f} times the loans take {growth:.1f} times the time.")
        if growth > MOST_GROWTH * large / small / 10:
            misses.append(f"the time grew {growth:.1f} times")
    common.finish(misses)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--do"]:
        print(json.dumps(work(*sys.argv[2:5])))
    else:
        main([int(word) for word in sys.argv[1:]] or list(SIZES))
