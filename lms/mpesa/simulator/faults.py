"""What goes wrong between Safaricom and a lender, at rates and in an order that a seed decides."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lms.mpesa.simulator.courier import Courier, post
from lms.mpesa.simulator.rules import Turned

# Of callbacks: posted twice; never; after the next ones; seconds later; hung up on before the
# lender's answer, and posted again.
OF_CALLBACKS = ("duplicate", "drop", "reorder", "delay", "hang_up")
# Of requests: done, and never answered; answered with an error; with a page of the gateway.
OF_REQUESTS = ("timeout", "http500", "html")
AGAIN, OVERTAKEN, LATE = (0.01, 0.5), (0.05, 0.4), (1.0, 3.0)  # seconds, from and to


class HungUp(Exception):
    """The connection ends without an answer."""


class Faults:
    """How often each goes wrong, from 0 (never, as it begins) to 1; and how often it did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set()

    def set(self, *, seed: int = 0, **rates: float) -> None:
        """Let things go wrong at these rates from now on, all others never.

        Raises ValueError for a name that there is not, and for a rate outside 0 to 1.
        """
        known = dict.fromkeys((*OF_CALLBACKS, *OF_REQUESTS), 0.0)
        wrong = [
            name
            for name, rate in rates.items()
            if name not in known or not isinstance(rate, int | float) or not 0 <= rate <= 1
        ]
        if wrong:
            raise ValueError(f"There is no fault {', '.join(wrong)}.")
        with self._lock:
            self._rates = known | rates
            self._chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
            self._seen: Counter[str] = Counter()

    def told(self) -> dict[str, Any]:
        """Return the rates, and how often each went wrong since they were set."""
        with self._lock:
            return {"rates": dict(self._rates), "seen": dict(self._seen)}

    def deliver(self, courier: Courier, url: str, body: dict[str, Any]) -> None:
        """Post a callback to the lender, as chance has it."""
        if self._strikes("drop"):
            return
        if self._strikes("duplicate"):
            courier.later(lambda: post(url, body), delay=self._between(*AGAIN))
        for name, span in (("delay", LATE), ("reorder", OVERTAKEN)):
            if self._strikes(name):
                courier.later(lambda: post(url, body), delay=self._between(*span))
                return
        if self._strikes("hang_up"):
            post(url, body, timeout=0.01)
            courier.later(lambda: post(url, body), delay=self._between(*AGAIN))
            return
        post(url, body)

    @contextmanager
    def at_the_door(self, *, page: type[Exception]) -> Iterator[None]:
        """Let a request fail before it is done, or its answer get lost after it."""
        if self._strikes("html"):
            raise page
        if self._strikes("http500"):
            raise Turned(500, "500.003.1001", "Internal Server Error")
        yield
        if self._strikes("timeout"):
            raise HungUp

    def _strikes(self, name: str) -> bool:
        with self._lock:
            struck = self._rates[name] > 0 and self._chance.random() < self._rates[name]
            self._seen[name] += struck
            return struck

    def _between(self, least: float, most: float) -> float:
        with self._lock:
            return self._chance.uniform(least, most)
