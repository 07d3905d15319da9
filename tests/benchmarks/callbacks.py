"""Callbacks in a storm and under kill -9: `python -m tests.benchmarks.callbacks`.

On the engine that DATABASE_URL names. Exits with 1 when a payment is lost, made twice, or the
books do not balance.
"""

from time import perf_counter

from tests.benchmarks.common import engine, finish, table
from tests.processes import scenes
from tests.processes.office import open_office

STORMS = (
    ("1 receipt × 200 copies", {"receipts": 1, "copies": 200, "confirmations": 0}),
    ("50 receipts × 40 copies, C2B mixed in", {"receipts": 50, "copies": 32, "confirmations": 8}),
)
WEB_KILLS, POSTER_KILLS, CLUSTER_KILLS, CALLBACKS = 40, 20, 10, 300


def main() -> None:
    misses: list[str] = []
    storms = [_storm(name, sizes, misses) for name, sizes in STORMS]
    table(
        f"{engine()}: delivered by 200 threads at once, applied by two clusters meanwhile",
        ["", "sent", "HTTP 200", "stored", "payments", "answered s", "applied s", "a second"],
        storms,
    )
    crashes = [_web(misses), _poster(misses), _cluster(misses)]
    table(
        f"{engine()}: kill -9",
        ["", "kills", "acknowledged", "lost", "twice", "books", "s"],
        crashes,
    )
    finish(misses)


def _storm(name: str, sizes: dict[str, int], misses: list[str]) -> list:
    with open_office() as office:
        storm = scenes.storm(office, **sizes)
        sent, good = len(storm.answers), storm.answers.count(200)
        stored = sum(office.ask("callbacks").values())
        payments = office.ask("payments")["count"]
        office.ask("prove")
    if (good, stored, payments) != (sent, sent, sizes["receipts"]):
        misses.append(f"{name}: {good} answers, {stored} stored, {payments} payments")
    seconds = storm.answering + storm.applying
    return [
        name,
        sent,
        good,
        stored,
        payments,
        f"{storm.answering:.1f}",
        f"{seconds:.1f}",
        f"{sent / seconds:.0f}",
    ]


def _web(misses: list[str]) -> list:
    with open_office() as office:
        started = perf_counter()
        acknowledged = scenes.killed_while_answering(office, kills=WEB_KILLS, seed=3)
        seconds = perf_counter() - started
        return _judge("web worker, applier", office, WEB_KILLS, acknowledged, seconds, misses)


def _poster(misses: list[str]) -> list:
    with open_office() as office:
        started = perf_counter()
        said = scenes.killed_while_posting(office, kills=POSTER_KILLS, seed=4)
        seconds = perf_counter() - started
        acknowledged = [f"SLIP-{number}" for number in range(said)]
        return _judge("cashier", office, POSTER_KILLS, acknowledged, seconds, misses)


def _cluster(misses: list[str]) -> list:
    with open_office() as office:
        started = perf_counter()
        scenes.killed_while_applying(office, callbacks=CALLBACKS, kills=CLUSTER_KILLS, seed=5)
        seconds = perf_counter() - started
        acknowledged = [scenes.receipt_of(number) for number in range(CALLBACKS)]
        return _judge("cluster", office, CLUSTER_KILLS, acknowledged, seconds, misses)


def _judge(name, office, kills, acknowledged, seconds, misses: list[str]) -> list:
    """Let the sweeps work, then compare what was acknowledged with what is posted."""
    office.ask("put_in_order")
    posted = office.ask("references")
    lost = len(set(acknowledged) - set(posted))
    twice = len(posted) - len(set(posted))
    office.ask("prove")
    if lost or twice:
        misses.append(f"kill -9 of the {name}: {lost} lost, {twice} posted twice")
    return [name, kills, len(acknowledged), lost, twice, "agree", f"{seconds:.0f}"]


if __name__ == "__main__":
    main()
