"""Callbacks from answer to loan: `python -m tests.benchmarks.inbox [accept] [lag] [backlog]`.

On the engine that DATABASE_URL names; the speeds are goals on PostgreSQL. `accept` needs wrk
(Debian's package of that name). Exits with 1 when a goal is missed.
"""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import requests

from tests.benchmarks.common import engine, finish, table
from tests.processes import scenes
from tests.processes.office import SECRET, Office, Web, open_office, wait_for

ROUNDS, ROUND_SECONDS, CONNECTIONS = 5, 8, (8, 32)
SHARE, SLOWER = 0.40, 3.0  # of the requests and of the p99 of a view that does nothing
A_SECOND, SECONDS, LAG = 50, 60, 2.0
LOANS, TURNS, FASTER = 500, 2, 5.0
VALIDATED_WITHIN = 2.0
SCRIPT = Path(__file__).with_name("post.lua")


class Load(NamedTuple):
    """What wrk saw in one round: requests a second, milliseconds, failed requests."""

    a_second: float
    p50: float
    p99: float
    errors: int


def main() -> None:
    wanted = sys.argv[1:] or ["accept", "lag", "backlog"]
    misses: list[str] = []
    for name in wanted:
        PARTS[name](misses)
    finish(misses)


# --- Accepted -------------------------------------------------------------------------------------
def accept(misses: list[str]) -> None:
    """A callback stored, committed and answered, against a view that does nothing."""
    runs = count()
    with open_office() as office:
        account = office.ask("lend", 1, 900_000, 12)[0][0]
        web = office.start_web(threads=4, application="tests.benchmarks.bare")
        paths = {"nothing": "/bare/", "callback": f"/daraja/{SECRET}/confirmation/"}
        rows = []
        for connections in CONNECTIONS:
            rounds: dict[str, list[Load]] = {name: [] for name in paths}
            for path in paths.values():
                _load(web, path, next(runs), account, connections, seconds=2)
            for _ in range(ROUNDS):
                for name, path in paths.items():
                    rounds[name].append(
                        _load(web, path, next(runs), account, connections, seconds=ROUND_SECONDS)
                    )
            rows += _judge_accepted(connections, rounds, misses)
        stored = sum(office.ask("callbacks").values())
    table(
        f"{engine()}: gunicorn, 2 workers of 4 threads, medians of {ROUNDS} rounds of "
        f"{ROUND_SECONDS} s, {stored:,} callbacks stored",
        ["connections, view", "requests/s", "share", "p50 ms", "p99 ms", "x", "errors"],
        rows,
    )


def _load(web: Web, path: str, run: int, account: str, connections: int, *, seconds: int) -> Load:
    threads = 2
    done = subprocess.run(
        f"wrk -t{threads} -c{connections} -d{seconds}s --timeout 20s -s {SCRIPT} {web.url} "
        f"-- {path} {run:02d} {account}".split(),
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    number, microseconds, p50, p99, errors = map(int, line.split()[1:])
    return Load(number / microseconds * 1e6, p50 / 1000, p99 / 1000, errors)


def _judge_accepted(connections: int, rounds: dict[str, list[Load]], misses: list[str]) -> list:
    bare, ours = rounds["nothing"], rounds["callback"]
    share = median(b.a_second / a.a_second for a, b in zip(bare, ours, strict=True))
    slower = median(b.p99 for b in ours) / median(a.p99 for a in bare)
    errors = sum(load.errors for load in (*bare, *ours))
    if engine() == "PostgreSQL":
        if share < SHARE:
            misses.append(f"{connections} connections: {share:.2f} of an empty view, not {SHARE}")
        if slower > SLOWER:
            misses.append(f"{connections} connections: p99 {slower:.1f}x, goal {SLOWER}")
    if errors:
        misses.append(f"{connections} connections: {errors} requests failed")
    shown = {"nothing": ("", ""), "callback": (f"{share:.2f}", f"{slower:.1f}")}
    return [
        [
            f"{connections}, {name}",
            f"{median(load.a_second for load in loads):,.0f}",
            shown[name][0],
            f"{median(load.p50 for load in loads):.1f}",
            f"{median(load.p99 for load in loads):.1f}",
            shown[name][1],
            sum(load.errors for load in loads),
        ]
        for name, loads in rounds.items()
    ]


# --- Posted ---------------------------------------------------------------------------------------
def lag(misses: list[str]) -> None:
    """From the answer to the money on its loan, while callbacks come at a steady pace."""
    number = A_SECOND * SECONDS
    with open_office() as office:
        accounts = scenes.lend_apart(office, LOANS)
        web = office.start_web(threads=4)
        office.start_cluster()
        office.start_drain()
        office.ask("store_callbacks", accounts[:1], 100_000, True)
        office.ask("wait_until_applied", 60)
        wait_for(lambda: not office.ask("tasks_waiting"), "the worker is not up")
        with ThreadPoolExecutor(1) as watcher:
            seen = watcher.submit(office.ask, "watch_placed", number + 1, SECONDS + 60)
            answered, asked = _post_steadily(web, accounts, number)
            placed = {name: at for name, at in seen.result().items() if name in answered}
        waiting = office.ask("callbacks").get("received", 0)
        office.ask("prove")
    lags = sorted(placed.get(receipt, float("inf")) - at for receipt, at in answered.items())
    percent = quantiles(lags, n=100)
    slowest_question = max(asked)
    table(
        f"{engine()}: {A_SECOND} callbacks a second for {SECONDS} s, from answered to placed on "
        f"{LOANS} loans",
        ["", "answered", "placed", "left waiting", "p50 s", "p99 s", "max s"],
        [
            [
                "callbacks",
                len(answered),
                len(placed),
                waiting,
                f"{percent[49]:.2f}",
                f"{percent[98]:.2f}",
                f"{lags[-1]:.2f}",
            ]
        ],
    )
    table(
        "Validations answered meanwhile",
        ["", "asked", "p50 s", "p99 s", "max s"],
        [
            [
                "validations",
                len(asked),
                f"{median(asked):.3f}",
                f"{quantiles(asked, n=100)[98]:.3f}",
                f"{slowest_question:.3f}",
            ]
        ],
    )
    if len(placed) != number or waiting:
        misses.append(f"{number - len(placed)} of {number} not placed, {waiting} left waiting")
    if lags[-1] > LAG:
        misses.append(f"a callback was placed after {lags[-1]:.1f} s, goal {LAG}")
    if slowest_question > VALIDATED_WITHIN:
        misses.append(f"a validation took {slowest_question:.1f} s, goal {VALIDATED_WITHIN}")


def _post_steadily(web: Web, accounts: list[str], number: int) -> tuple[dict[str, float], list]:
    """Post confirmations at a steady pace, and a validation each tenth one.

    Returns when each was answered, by receipt, and the seconds that each validation took.
    """
    answered: dict[str, float] = {}
    asked: list[float] = []
    started = time.monotonic()
    sessions = threading.local()

    def send(n: int) -> None:
        time.sleep(max(0.0, started + n / A_SECOND - time.monotonic()))
        if not hasattr(sessions, "one"):
            sessions.one = requests.Session()
        account = accounts[n % len(accounts)]
        body = scenes.c2b_body(n, account)
        if n % 10 == 0:
            before = time.monotonic()
            verdict = sessions.one.post(f"{web.door}/validation/", data=body, timeout=60)
            asked.append(time.monotonic() - before)
            if verdict.json()["ResultCode"] != "0":
                raise AssertionError(verdict.text)
        sessions.one.post(f"{web.door}/confirmation/", data=body, timeout=60).raise_for_status()
        answered[scenes.receipt_of(n)] = time.time()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(number)))
    return answered, asked


# --- A backlog ------------------------------------------------------------------------------------
def backlog(misses: list[str]) -> None:
    """A backlog on as many loans, a task of django-q2 each against the process that drains."""
    took: dict[str, list[float]] = {"a task each, 2 workers": [], "drained": []}
    with open_office() as office:
        accounts = scenes.lend_apart(office, LOANS)
        numbers = count(step=LOANS)
        for turn in range(TURNS + 1):
            for name, start in (
                ("a task each, 2 workers", office.start_cluster),
                ("drained", office.start_drain),
            ):
                seconds = _work_off(office, start, accounts, next(numbers), tasks=name[0] == "a")
                if turn:  # the first round warms up
                    took[name].append(seconds)
        office.ask("prove")
        alike = office.ask("payments")
    speeds = {name: LOANS / median(rounds) for name, rounds in took.items()}
    slow, fast = speeds.values()
    table(
        f"{engine()}: {LOANS} confirmations on as many loans, medians of {TURNS} rounds, "
        f"{alike['placed']:,} of {alike['count']:,} payments placed",
        ["", "callbacks/s", "x"],
        [[name, f"{speed:.0f}", f"{speed / slow:.1f}"] for name, speed in speeds.items()],
    )
    if engine() == "PostgreSQL" and fast / slow < FASTER:
        misses.append(f"a backlog drains {fast / slow:.1f}x as fast as by tasks, goal {FASTER}")


def _work_off(office: Office, start, accounts: list[str], first: int, *, tasks: bool) -> float:
    """Let a process that is up and idle work off a backlog; return the seconds it takes."""
    running = start()
    office.ask("store_callbacks", accounts[:1], first + 100_000, tasks)
    office.ask("wait_until_applied", 60)
    seconds = office.ask("work_off", accounts, first, tasks)
    running.kill()
    office.ask("forget_tasks")
    return seconds


PARTS = {"accept": accept, "lag": lag, "backlog": backlog}

if __name__ == "__main__":
    main()
