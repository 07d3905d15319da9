"""Apply what Safaricom posts, as it comes."""

import logging
import signal
import threading

from django.core.management.base import BaseCommand
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    reset_queries,
)

from lms import inbox
from lms.words import counted

log = logging.getLogger(__name__)
LOOK_EVERY = 0.2  # seconds between looks at an empty line
TRY_AGAIN_AFTER = 1  # seconds, when the database does not answer


class Command(BaseCommand):
    help = (
        "Applies what Safaricom posts: each stored callback becomes a payment, is placed on its "
        "loan, and the customer is told. Runs until Ctrl-C or SIGTERM, and finishes what it has "
        "in hand. Start it beside the web and the worker; several may run side by side. Without "
        "it the worker does the same once a minute."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="Apply what waits now, say how much that was, and end.",
        )

    def handle(self, *, once: bool, **options) -> None:
        if once:
            self.stdout.write(f"{counted(inbox.drain(), 'callback')} applied or tried.")
            return
        self.stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.stdout.write("Applying callbacks as they come. Stop with Ctrl-C.")
        self.stdout.flush()
        while not self.stopping.is_set():
            self.stopping.wait(self._pause_after_a_look())
        self.stdout.write("Stopped.")

    def _pause_after_a_look(self) -> float:
        """Apply some of what waits; return after how many seconds to look again."""
        reset_queries()  # which Django keeps with DEBUG
        close_old_connections()
        try:
            return 0 if inbox.drain_some() else LOOK_EVERY
        except (OperationalError, InterfaceError):
            log.exception("The database did not answer: callbacks wait.")
            connection.close()
            return TRY_AGAIN_AFTER
