"""Show the office at work: data, web, worker and a Safaricom of its own, in one command."""

import gc
import os
import subprocess
import time

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from lms import dates
from lms.backoffice.demo import people
from lms.backoffice.demo.surroundings import MARK, Surroundings
from lms.backoffice.demo.tree import Tree, dies_with_parent, manage
from lms.errors import Refused

TIPS = """
What a customer does with an M-Pesa prompt (STK push) is told by the last two digits of the phone:
  00 has too little money   01 cancels   02 does not answer   04 its callback comes twice
  03 pays, the callback is lost   05 pays slowly   08 pays, and only a query tells; others pay.
To pay the paybill by hand, as a customer would:
  curl -d '{{"account": "LN000001", "amount": 500, "phone": "254712345678"}}' \\
    {simulator}/_control/pay
Logs: {logs}
"""


class Command(BaseCommand):
    help = (
        "Start the office with the data of a believable lender: two branches, nine people, 320 "
        "customers and eighteen months of loans, in .data/demo.sqlite3 (or DATABASE_URL, when "
        "that is empty or holds a demo). Web, worker and a loopback Safaricom run until Ctrl-C. A "
        "second start goes on with the same data."
    )
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="Port of the office (8000).")
        parser.add_argument(
            "--data-only", action="store_true", help="Load the data, start nothing, and end."
        )
        parser.add_argument(
            "--fresh", action="store_true", help="Throw the SQLite demo data away and make it anew."
        )

    def handle(self, *, port: int, data_only: bool, fresh: bool, **options) -> None:
        try:
            if os.environ.get(MARK):
                self._load(fresh=fresh)
                return
            around = Surroundings(port=port)
            if not data_only:
                around.check_ports()
            with around.alone():
                self._prepare(around, fresh=fresh)
                if not data_only:
                    self._serve(around)
        except Refused as refusal:
            raise CommandError(refusal.message) from refusal
        except KeyboardInterrupt:
            raise CommandError("Stopped before the data was ready.") from None

    # --- The data, in a process with the settings of the demo ---

    def _load(self, *, fresh: bool) -> None:
        # Imported here: the models belong to the settings of the child process.
        from lms.backoffice.demo import loading  # noqa: PLC0415

        started = time.monotonic()
        gc.set_threshold(200_000)  # a short life, and a quicker one
        settings.DEBUG = False  # with it Django keeps every statement
        found = loading.found()
        if fresh or found == "unfinished":
            loading.drop()
            found = "nothing"
        loading.migrate()
        if found == "nothing":
            loading.load(now=dates.now())
        seconds = time.monotonic() - started
        self.stdout.write(f"{loading.census()}.")
        how = "Going on with the data that is there" if found == "whole" else "The data was made"
        self.stdout.write(f"{how}, in {seconds:.1f} s.")

    def _prepare(self, around: Surroundings, *, fresh: bool) -> None:
        """Bring the data up in a process of its own, whose refusal is then this one's."""
        self.stdout.write("Preparing the demo: about a minute the first time…")
        self.stdout.flush()
        with around.log("data").open("wb") as log:
            done = subprocess.run(  # noqa: S603  our own command line
                manage("demo", "--data-only", *(["--fresh"] if fresh else [])),
                env=around.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
                preexec_fn=dies_with_parent(),
            )
        self.stdout.write(done.stdout.rstrip())
        if done.returncode:
            lines = around.log("data").read_text(errors="replace").strip().splitlines()
            why = lines[-1].removeprefix("CommandError: ") if lines else "it was stopped"
            raise CommandError(why)

    # --- The processes ---

    def _serve(self, around: Surroundings) -> None:
        tree = Tree(around)
        try:
            tree.start()
            dead = [] if not tree.is_ready() else self._announce_and_watch(tree, around)
            dead = dead or tree.dead()
            is_wanted = tree.is_wanted
        finally:
            late = tree.stop()
        for name in late:
            self.stderr.write(f"The {name} did not end by itself and was ended.")
        if is_wanted:
            name = dead[0] if dead else "web"
            raise CommandError(
                f"The {name} stopped, so everything was stopped. Its log: {around.log(name)}"
            )
        self.stdout.write("Stopped.")

    def _announce_and_watch(self, tree: Tree, around: Surroundings) -> list[str]:
        self.stdout.write(f"\nThe office is open: {around.url}\n")
        self.stdout.write(f"{'User name':<10} {'Role':<14} Branch")
        for username, (_, role, branch, _) in people.STAFF.items():
            where = people.BRANCHES[branch][0] if branch else "Head office"
            self.stdout.write(f"{username:<10} {role:<14} {where}")
        self.stdout.write(f"The password of each: {people.PASSWORD}")
        logs = ", ".join(str(around.log(name)) for name in tree.children)
        self.stdout.write(TIPS.format(simulator=around.simulator_url, logs=logs))
        self.stdout.write("Ctrl-C stops everything.")
        self.stdout.flush()
        return tree.watch()
