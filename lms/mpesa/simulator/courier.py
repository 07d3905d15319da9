"""Posts callbacks after a delay, each in a thread of its own, and counts those on the way."""

import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 20  # seconds to wait for the lender


class Courier:
    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._on_the_way = 0

    def later(self, work, *, delay: float) -> None:
        """Call `work()` after `delay` seconds, unless the courier stops first."""
        with self._changed:
            self._on_the_way += 1
        threading.Thread(target=self._run, args=(work, delay), daemon=True).start()

    def _run(self, work, delay: float) -> None:
        try:
            if not self._stopped.wait(delay):
                work()
        finally:
            with self._changed:
                self._on_the_way -= 1
                self._changed.notify_all()

    def wait_until_quiet(self, *, timeout: float = 10) -> bool:
        """Return True as soon as nothing is on the way any more, False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            return self._changed.wait_for(
                lambda: self._on_the_way == 0, max(0.0, deadline - time.monotonic())
            )

    def stop(self) -> None:
        """Drop what has not left yet."""
        self._stopped.set()
        self.wait_until_quiet(timeout=2)


def post(url: str, body: dict[str, Any], *, timeout: float = TIMEOUT) -> tuple[int, dict[str, Any]]:
    """Post JSON and return the HTTP status and the JSON object answered; 0 when nobody did."""
    parts = urlsplit(url)
    https = parts.scheme == "https"
    connect = http.client.HTTPSConnection if https else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=timeout)
    try:
        connection.request(
            "POST",
            parts.path or "/",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "User-Agent": "Loopback Daraja"},
        )
        response = connection.getresponse()
        answer = json.loads(response.read(65536) or b"{}")
    except (OSError, http.client.HTTPException):
        return 0, {}
    except ValueError:
        return response.status, {}
    finally:
        connection.close()
    return response.status, answer if isinstance(answer, dict) else {}
