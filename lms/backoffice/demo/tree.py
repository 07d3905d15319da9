"""The processes of a running demo: started together, watched, stopped together."""

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from django.conf import settings

from lms.backoffice.demo.surroundings import HOST, Surroundings

MANAGE = Path(settings.BASE_DIR) / "manage.py"
READY_WITHIN = 40  # seconds until the web answers
STOP_WITHIN = 15  # seconds that a process has to end by itself
LOOK_EVERY = 0.2  # seconds
PR_SET_PDEATHSIG = 1


def manage(*arguments: str) -> list[str]:
    return [sys.executable, str(MANAGE), *arguments]


def commands(around: Surroundings) -> dict[str, list[str]]:
    """Return the command line of each process by its name."""
    web = [
        sys.executable, "-m", "gunicorn", "lms.wsgi",
        "--bind", f"{HOST}:{around.port}",
        "--worker-class", "gthread", "--workers", "2", "--threads", "4",
        "--timeout", "60", "--graceful-timeout", "5", "--access-logfile", "-",
    ]  # fmt: skip
    return {
        "simulator": manage(
            "daraja_simulator", "--port", str(around.simulator_port), "--utility", "books"
        ),
        "web": web,
        "worker": manage("qcluster"),
        "callbacks": manage("apply_callbacks"),
    }


def dies_with_parent():
    """Return what a child does before it starts: on Linux it asks to be ended with its parent."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Tree:
    """The children, and the wish to stop, which a signal or the death of one of them brings."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.children: dict[str, subprocess.Popen] = {}
        self.is_wanted = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop_wanting)

    def _stop_wanting(self, number: int, frame: FrameType | None) -> None:
        self.is_wanted = False

    def start(self) -> None:
        """Start every process, each leading a group of its own, its words in a log of its own."""
        environment, before = self.around.environment(), dies_with_parent()
        for name, command in commands(self.around).items():
            with self.around.log(name).open("ab") as log:
                self.children[name] = subprocess.Popen(  # noqa: S603  our own command lines
                    command,
                    cwd=settings.BASE_DIR,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=before,  # noqa: PLW1509  no threads here
                )

    def is_ready(self) -> bool:
        """Wait until the web answers; False when it does not, or nobody wants it any more."""
        until = time.monotonic() + READY_WITHIN
        while self.is_wanted and not self.dead() and time.monotonic() < until:
            if self._answers():
                return True
            time.sleep(LOOK_EVERY)
        return False

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.around.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def dead(self) -> list[str]:
        """Return the names of the processes that have ended."""
        return [name for name, child in self.children.items() if child.poll() is not None]

    def watch(self) -> list[str]:
        """Wait until somebody wants to stop or a process dies; return the names of the dead."""
        while self.is_wanted and not self.dead():
            time.sleep(LOOK_EVERY)
        return self.dead() if self.is_wanted else []

    def stop(self) -> list[str]:
        """Ask every process to end, then end those that overstay; return the names of these.

        Only the process itself is asked: a worker whose whole group is told hangs.
        """
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        until = time.monotonic() + STOP_WITHIN
        late = []
        for name, child in self.children.items():
            try:
                child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(name)
            _end_group(child)
        return late


def _end_group(child: subprocess.Popen) -> None:
    """End what is left of a child's group, and wait for the child itself."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
