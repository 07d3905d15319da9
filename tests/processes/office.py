"""A loan office made of real processes on a scratch database: web, workers, clerks."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import BrokenBarrierError

import requests

from tests.benchmarks.common import ROOT, migrate, scratch_database
from tests.processes import clerk

SECRET = "0ff1ce" * 6
PATIENCE = 120  # seconds until something that should have happened is a failure
_SPAWN = get_context("spawn")


class Office:
    """One database and every process that was started on it. `close` leaves none behind."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "lms.settings",
            "DEBUG": "False",
            "SECRET_KEY": "of-a-scratch-office-that-lives-for-a-minute-and-no-longer",
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS": "False",
            "STATIC_ROOT": str(folder / "static"),
            "MEDIA_ROOT": str(folder / "files"),
            "LOG_LEVEL": "WARNING",
            "WORKERS": "2",
            "SMS_CHANNEL": "console",
            "EMAIL_CHANNEL": "console",
            "DARAJA_CALLBACK_SECRET": SECRET,
            "DARAJA_SHORTCODE": "174379",
        }
        (folder / "static").mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._clerk: ProcessPoolExecutor | None = None

    def close(self) -> None:
        self._stack.close()

    # --- Chores ------------------------------------------------------------------------------
    def ask(self, chore: str, *arguments):
        """Return what one chore returns, done by the resident clerk, or raise what it raises."""
        if self._clerk is None:
            self._clerk = self._pool(1)
        return self._clerk.submit(clerk.do, chore, *arguments).result(timeout=PATIENCE)

    def together(self, chore: str, *each: tuple) -> list:
        """Do one chore in as many processes as there are tuples of arguments, at the same moment.

        Returns what they return, in order; raises the first error.
        """
        with ExitStack() as stack:
            pool = self._pool(len(each), barrier=_SPAWN.Barrier(len(each)), stack=stack)
            done = [pool.submit(clerk.meet_and_do, chore, *arguments) for arguments in each]
            errors = [future.exception(timeout=PATIENCE) for future in done]
        causes = sorted(filter(None, errors), key=lambda e: isinstance(e, BrokenBarrierError))
        if causes:
            raise causes[0]
        return [future.result() for future in done]

    def _pool(self, size: int, *, barrier=None, stack: ExitStack | None = None):
        pool = ProcessPoolExecutor(
            size, mp_context=_SPAWN, initializer=clerk.begin, initargs=(self.environment, barrier)
        )

        def end() -> None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(cancel_futures=True)

        (stack or self._stack).callback(end)
        return pool

    # --- Processes that a test may kill ------------------------------------------------------
    def start(self, *command: str, **options) -> "Running":
        """Start a Python process of this office, in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )
        running = Running(process)
        self._stack.callback(running.kill)
        return running

    def start_chore(self, chore: str, *arguments: object, **options) -> "Running":
        """Start one chore in a process of its own."""
        return self.start("-m", "tests.processes", chore, *map(str, arguments), **options)

    def start_cluster(self) -> "Running":
        """Start one django-q2 cluster: a guard, two workers, a scheduler."""
        with (self.folder / "cluster.log").open("ab") as log:
            return self.start("manage.py", "qcluster", stdout=log, stderr=log)

    def start_drain(self) -> "Running":
        """Start the process that applies callbacks."""
        with (self.folder / "callbacks.log").open("ab") as log:
            return self.start("manage.py", "apply_callbacks", stdout=log, stderr=log)

    def start_web(self, *, threads: int = 8, application: str = "lms.wsgi", port: int = 0) -> "Web":
        """Start gunicorn with two workers, on `port` or any, and wait until it answers."""
        with _listen(port) as listener:
            port = listener.getsockname()[1]
            with (self.folder / "web.log").open("ab") as log:
                running = self.start(
                    *f"-m gunicorn {application} --worker-class gthread --workers 2 "
                    f"--threads {threads} --bind fd://{listener.fileno()} --timeout 60 "
                    f"--log-level warning".split(),
                    pass_fds=[listener.fileno()],
                    stdout=log,
                    stderr=log,
                )
        web = Web(running.process, f"http://127.0.0.1:{port}")
        wait_for(web.is_up, "gunicorn did not answer")
        return web


def _listen(port: int) -> socket.socket:
    """Listen on a port, which the children of a process just killed may hold a moment longer."""
    found: list[socket.socket] = []

    def is_free() -> bool:
        with suppress(OSError):
            found.append(socket.create_server(("127.0.0.1", port), backlog=2048))
        return bool(found)

    wait_for(is_free, f"port {port} stayed in use", within=10)
    return found[0]


class Running:
    """A process and its children."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it and its children at once, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=PATIENCE)


class Web(Running):
    """gunicorn, as Safaricom sees it."""

    def __init__(self, process: subprocess.Popen, url: str) -> None:
        super().__init__(process)
        self.url = url

    @property
    def door(self) -> str:
        """Where callbacks are posted, up to their kind."""
        return f"{self.url}/daraja/{SECRET}"

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    def workers(self) -> list[int]:
        """Return the process ids of the web workers."""
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def post(self, kind: str, body: bytes) -> int:
        """Post one callback as Safaricom does; return the status of the answer."""
        answer = requests.post(
            f"{self.door}/{kind}/",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        return answer.status_code

    def post_until_answered(self, kind: str, body: bytes) -> None:
        """Post one callback again and again until it is acknowledged with HTTP 200."""

        def acknowledged() -> bool:
            try:
                return self.post(kind, body) == 200
            except requests.RequestException:
                return False

        wait_for(acknowledged, "a callback was never acknowledged", every=0.02)


def all_at_once(work: Callable, items: Sequence) -> list:
    """Call `work` with each item in a thread of its own, all released at the same moment."""
    gate = threading.Barrier(len(items))

    def run(item):
        gate.wait(timeout=PATIENCE)
        return work(*item)

    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(run, items))


def wait_for(
    happened: Callable[[], object], complaint: str, *, every: float = 0.1, within: float = PATIENCE
) -> None:
    """Return once `happened()` is true. Raises TimeoutError with the complaint."""
    deadline = time.monotonic() + within
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} within {within} seconds")
        time.sleep(every)


@contextmanager
def open_office(*, copy_of: str | None = None) -> Iterator[Office]:
    """Open an office on a scratch database, migrated or copied; close and drop it afterwards."""
    with scratch_database(copy_of=copy_of) as url, TemporaryDirectory() as folder:
        if copy_of is None:
            migrate(url)
        office = Office(url, Path(folder))
        try:
            yield office
        finally:
            office.close()
