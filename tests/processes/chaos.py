"""Payments through a Safaricom on which much goes wrong, to an office whose processes are killed.

In the end each customer must be credited exactly what Safaricom took from them, and each payout
must be paid once. Everything that is left to chance follows from one seed.
"""

import base64
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal

from lms.mpesa.simulator import Simulator
from tests.processes import scenes
from tests.processes.office import SECRET, Office, Running

RATES = {
    "duplicate": 0.20, "drop": 0.10, "reorder": 0.10, "delay": 0.05, "hang_up": 0.05,
    "timeout": 0.05, "http500": 0.02, "html": 0.02,
}  # fmt: skip
STK_SHARE = 0.25
AT_THE_SAME_TIME = 8  # customers who pay by hand
QUIET_WITHIN = 60
UTILITY = 100_000_000  # KES to pay out of
PULLER = "254722000000"  # the phone nominated for pulling missed payments
LATER = (3, 6, 16, 61)  # minutes after which payouts whose fate is open are asked about


@dataclass
class Chaos:
    """What came of it: what Safaricom took and the office credited, KES and phone by receipt."""

    took: dict[str, tuple[Decimal, str]]
    credited: dict[str, tuple[Decimal, str]]
    kills: dict[str, int]
    faults: dict[str, int]
    recovered: dict[str, int] = field(default_factory=dict)
    # What left Safaricom for customers, what the office knows as paid to them, both by receipt;
    # how often money left for one payout at most; and how the loans to pay out stand.
    left: dict[str, tuple[Decimal, str]] = field(default_factory=dict)
    paid_out: dict[str, tuple[Decimal, str]] = field(default_factory=dict)
    most_times: int = 0
    loans: dict[str, int] = field(default_factory=dict)


def chaos(
    office: Office, *, payments: int, customers: int, seconds: float, seed: int, payouts: int = 0
) -> Chaos:
    """Let customers pay and be paid for so many seconds while processes die; then recover it."""
    chance = random.Random(seed)
    port = _free_port()
    with Simulator(initiator="testapi", utility=UTILITY, puller=PULLER) as safaricom:
        _introduce(office, safaricom, port=port)
        accounts = scenes.lend_apart(office, customers)
        phones = dict(zip(accounts, office.ask("phones_of", accounts), strict=True))
        to_pay = office.ask("approve_payouts", payouts) if payouts else []
        processes = _Processes(office, port=port, pays_out=bool(payouts))
        safaricom.faults.set(seed=seed, **RATES)

        pushes = chance.sample(accounts, min(customers, int(payments * STK_SHARE)))
        by_hand = [chance.choice(accounts) for _ in range(payments - len(pushes))]
        asked = [(phones[account], chance.randrange(10, 900), account) for account in pushes]
        paid = [(phones[account], chance.randrange(10, 900), account) for account in by_hand]
        work = [
            threading.Thread(target=_ask_by_stk, args=(office, asked, seconds)),
            threading.Thread(target=_pay_by_hand, args=(safaricom, paid, seconds)),
        ]
        for one in work:
            one.start()
        while any(one.is_alive() for one in work):
            time.sleep(chance.uniform(0.3, 1.2))
            processes.kill_one()
        for one in work:
            one.join()
        processes.start_missing()
        processes.end("payouts")
        seen = safaricom.faults.told()["seen"]
        _settle(office, safaricom)

        safaricom.faults.set()
        recovered = {}
        for job in RECOVERY:
            before = len(office.ask("references"))
            job(office, safaricom)
            _settle(office, safaricom)
            recovered[job.__name__] = len(office.ask("references")) - before
        office.ask("match_missing", [(taken.receipt, taken.account) for taken in safaricom.took])
        asked_for = list(safaricom.paid.asked.values())
        return Chaos(
            took={taken.receipt: (Decimal(taken.amount), taken.phone) for taken in safaricom.took},
            credited=office.ask("credited"),
            kills=processes.kills,
            faults=seen,
            recovered=recovered,
            left={one.receipt: (Decimal(one.amount), one.phone) for one in asked_for if one.times},
            paid_out=office.ask("paid_out"),
            most_times=max((one.times for one in asked_for), default=0),
            loans=office.ask("standing_of_loans", to_pay),
        )


class _Processes:
    """The web, the worker and the process that applies, each of which may be killed."""

    def __init__(self, office: Office, *, port: int, pays_out: bool) -> None:
        self._start: dict[str, Callable[[], Running]] = {
            "web": lambda: office.start_web(threads=4, port=port),
            "callbacks": office.start_drain,
            "worker": office.start_cluster,
        }
        if pays_out:
            self._start["payouts"] = lambda: office.start_chore("keep_paying_out")
        self._running = {name: start() for name, start in self._start.items()}
        self.kills = dict.fromkeys(self._start, 0)

    def kill_one(self) -> None:
        """Kill -9 the one that was killed least, and start it again."""
        name = min(self.kills, key=lambda name: (self.kills[name], name))
        self._running[name].kill()
        self.kills[name] += 1
        self._running[name] = self._start[name]()

    def end(self, name: str) -> None:
        if name in self._running:
            self._running.pop(name).kill()

    def start_missing(self) -> None:
        for name, one in self._running.items():
            if not one.is_alive:
                self._running[name] = self._start[name]()


def _introduce(office: Office, safaricom: Simulator, *, port: int) -> None:
    """Let the office and Safaricom know each other."""
    base = f"http://127.0.0.1:{port}"
    office.environment |= {
        "DARAJA_URL": safaricom.url,
        "DARAJA_CONSUMER_KEY": "key",
        "DARAJA_CONSUMER_SECRET": "secret",
        "DARAJA_PASSKEY": "passkey",
        "DARAJA_TIMEOUT": "5",
        "DARAJA_B2C_DAY": str(UTILITY),
        "DARAJA_PULL_NUMBER": PULLER,
        "DARAJA_CALLBACK_BASE": base,
        "DARAJA_INITIATOR": "testapi",
        "DARAJA_SECURITY_CREDENTIAL": base64.b64encode(bytes(256)).decode(),
    }
    safaricom.confirmation_url = f"{base}/daraja/{SECRET}/confirmation/"
    safaricom.validation_url = f"{base}/daraja/{SECRET}/validation/"


def _ask_by_stk(office: Office, asked: list[tuple[str, int, str]], seconds: float) -> None:
    """Ask for payments by STK push, one after the other, evenly over the time."""
    started = time.monotonic()
    for number, one in enumerate(asked):
        _wait_until(started + seconds * number / len(asked))
        office.ask("push", *one)


def _pay_by_hand(safaricom: Simulator, paid: list[tuple[str, int, str]], seconds: float) -> None:
    """Pay the paybill, some at the same time, evenly over the time."""
    started = time.monotonic()

    def pay(number: int) -> None:
        _wait_until(started + seconds * number / len(paid))
        phone, amount, account = paid[number]
        safaricom.pay(account=account, amount=amount, phone=phone)

    with ThreadPoolExecutor(AT_THE_SAME_TIME) as pool:
        list(pool.map(pay, range(len(paid))))


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _settle(office: Office, safaricom: Simulator) -> None:
    """Wait until everything that is on the way was delivered and applied."""
    if not safaricom.wait_until_quiet(timeout=QUIET_WITHIN):
        raise TimeoutError("Callbacks are still on the way.")
    scenes.drain(office)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# --- Recovery -------------------------------------------------------------------------------------
def query_open_pushes(office: Office, safaricom: Simulator) -> None:
    """The watchdog asks what became of pushes that never called back."""
    office.ask("query_open_pushes")


def pull_missed(office: Office, safaricom: Simulator) -> None:
    """The schedule pulls the payments whose confirmation never came."""
    office.ask("pull_missed")


def ask_by_receipt(office: Office, safaricom: Simulator) -> None:
    """Customers show the message of a payment that the office has not: a clerk asks about it."""
    took = [taken.receipt for taken in safaricom.took]
    missing = sorted(set(took) - set(office.ask("references")))
    for start in range(0, len(missing), 50):
        office.ask("ask_about", missing[start : start + 50])


def follow_payouts(office: Office, safaricom: Simulator) -> None:
    """The watchdog asks what became of payouts; a person sends what Safaricom never had."""
    for minutes in LATER:
        office.ask("look_after_payouts", minutes)
        _settle(office, safaricom)
        office.ask("send_unknown_again", minutes + 1)
        _settle(office, safaricom)
        if not office.ask("open_payouts"):
            return


# In this order; what finds dropped payments by itself goes before the customers who complain.
RECOVERY = (query_open_pushes, pull_missed, ask_by_receipt, follow_payouts)
