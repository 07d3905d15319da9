"""What is done to an office by many at once, and by kill -9. Tests judge it, benchmarks time it."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

from lms.mpesa.simulator import bodies
from lms.mpesa.simulator.books import EAT, Prompt, Taken
from tests.processes.office import Office, Web, all_at_once, wait_for

PHONE = "254712345678"
AT = datetime(2026, 3, 2, 10, 31, tzinfo=EAT)
AMOUNT = 500


@dataclass
class Storm:
    """Callbacks that came all at once: the answers, and seconds to answer and to apply."""

    answers: list[int]
    answering: float
    applying: float


# --- Many at once --------------------------------------------------------------------------------
def storm(office: Office, *, receipts: int, copies: int, confirmations: int) -> Storm:
    """Deliver the STK callback of each receipt `copies` times and its C2B confirmation as often.

    Everything is sent at the same moment, in no order, while two processes apply what is stored.
    """
    lent = office.ask("lend", 1, 20_000 + receipts * AMOUNT, 12)
    account = lent[0][0]
    office.ask("ask_by_stk", [(_checkout(n), account, AMOUNT) for n in range(receipts)])
    web = office.start_web()
    drains = [office.start_drain(), office.start_drain()]
    wait_for(lambda: all(one.is_alive for one in drains), "who applies did not start")
    sent = [("stk", stk_body(n, account)) for n in range(receipts) for _ in range(copies)]
    sent += [("confirmation", c2b_body(n, account)) for n in range(receipts)] * confirmations
    random.Random(2).shuffle(sent)

    started = time.monotonic()
    answers: list[int] = []
    for wave in range(0, len(sent), 200):
        answers += all_at_once(web.post, sent[wave : wave + 200])
    answered = time.monotonic()
    drain(office)
    applied = time.monotonic()

    return Storm(answers, answered - started, applied - answered)


def lend_apart(office: Office, count: int) -> list[str]:
    """Lend 100,000 to so many people; return the numbers of their loans."""
    numbers = []
    for first in range(0, count, 100):
        numbers += office.ask("lend_apart", first, min(100, count - first))
    return numbers


def drain(office: Office) -> None:
    """Wait until every stored callback was applied."""
    wait_for(
        lambda: office.ask("callbacks").get("received", 0) == 0,
        "the callbacks were not applied",
        every=0.2,
        within=1200,
    )


def cashiers(office: Office, rounds: list[tuple[str, Decimal]], *, without_lock: str = "") -> None:
    """Let two cashiers in two processes post each round at the same moment."""
    office.together("pay_in_step", (rounds, "A", without_lock), (rounds, "B", without_lock))


# --- kill -9 -------------------------------------------------------------------------------------
def killed_while_answering(office: Office, *, kills: int, seed: int) -> list[str]:
    """Kill web workers and the process that applies, while eight senders send until answered.

    Returns the receipts that were acknowledged.
    """
    chance = random.Random(seed)
    account = office.ask("lend", 1, 900_000, 12)[0][0]
    web, applier = office.start_web(), office.start_chore("keep_applying")
    numbers, acknowledged, over = count(1), [], threading.Event()

    def send() -> None:
        while not over.is_set():
            number = next(numbers)
            web.post_until_answered("confirmation", c2b_body(number, account))
            acknowledged.append(receipt_of(number))
            time.sleep(0.1)

    senders = [threading.Thread(target=send, daemon=True) for _ in range(8)]
    for sender in senders:
        sender.start()
    for kill in range(kills):
        time.sleep(chance.uniform(0.2, 1.0))
        _kill_a_worker(web, chance)
        if kill % 3 == 2:
            applier.kill()
            applier = office.start_chore("keep_applying")
    over.set()
    for sender in senders:
        sender.join()
    applier.kill()
    return acknowledged


def killed_while_posting(office: Office, *, kills: int, seed: int) -> int:
    """Kill a process that posts payments, again and again; each next one repeats what the last
    one did not say it had done. Returns how many were acknowledged."""
    chance = random.Random(seed)
    account = office.ask("lend", 1, 100_000, 12)[0][0]
    said = office.folder / "posted.txt"
    said.touch()
    for _ in range(kills):
        before = _lines(said)
        with said.open("ab") as file:
            poster = office.start_chore("keep_posting", account, "SLIP", before, stdout=file)
        wait_for(
            lambda: _lines(said) > before or not poster.is_alive,  # noqa: B023 - called at once
            "nothing was posted",
            every=0.01,
        )
        time.sleep(chance.uniform(0.05, 0.4))
        poster.kill()
    return _lines(said)


def killed_while_applying(office: Office, *, callbacks: int, kills: int, seed: int) -> None:
    """Store callbacks, then kill the process that applies them, again and again, and let a last
    one finish what stands in line."""
    chance = random.Random(seed)
    account = office.ask("lend", 1, 900_000, 12)[0][0]
    web = office.start_web()
    all_at_once(web.post, [("confirmation", c2b_body(n, account)) for n in range(callbacks)])
    web.kill()
    for _ in range(kills):
        applying = office.start_drain()
        before = office.ask("attempts")
        wait_for(
            lambda: office.ask("attempts") > before,  # noqa: B023 - called at once
            "nothing was taken from the line",
            every=0.01,
        )
        time.sleep(chance.uniform(0, 0.5))
        applying.kill()
    office.start_drain()
    drain(office)


def killed_while_importing(office: Office, file: Path, *, seconds: Sequence[float]) -> list[int]:
    """Import a file of schedules and kill it so many seconds after it began to write, once each.

    Returns how many instalments there were after each kill.
    """
    left = []
    for delay in seconds:
        before = office.ask("imports_applied")
        importing = office.start("manage.py", "import_schedule", str(file))
        wait_for(
            lambda: office.ask("imports_applied") > before,  # noqa: B023 - called at once
            "the import did not get as far as writing",
            every=0.02,
        )
        time.sleep(delay)
        importing.kill()
        left.append(office.ask("repayments"))
        if left[-1]:
            break
    return left


def _kill_a_worker(web: Web, chance: random.Random) -> None:
    wait_for(web.workers, "gunicorn has no workers", every=0.01)
    with suppress(ProcessLookupError):
        os.kill(chance.choice(web.workers()), signal.SIGKILL)


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


# --- What Safaricom sends ------------------------------------------------------------------------
def receipt_of(number: int) -> str:
    return f"UC2{number:07d}"


def stk_body(number: int, account: str) -> bytes:
    """Return the callback of a push that was paid."""
    prompt = Prompt("29115-34620561-1", _checkout(number), PHONE, AMOUNT, account, "", AT)
    return json.dumps(bodies.stk_success(prompt, _taken(number, account), odd_types=False)).encode()


def c2b_body(number: int, account: str) -> bytes:
    """Return the confirmation of the same payment."""
    taken = _taken(number, account)
    return json.dumps(bodies.c2b(taken, shortcode="174379", version=2, balance=49_197)).encode()


def _taken(number: int, account: str) -> Taken:
    return Taken(receipt_of(number), AMOUNT, account, PHONE, AT, _checkout(number))


def _checkout(number: int) -> str:
    return f"ws_CO_02032026103100{number:06d}"
