"""Loading the demo's data into an empty database, and telling such a one from a real one."""

from collections import Counter
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from lms.backoffice.demo import (
    counters,
    endings,
    journals,
    people,
    reconciling,
    referrals,
    takeover,
)
from lms.backoffice.demo.incidents import Incidents
from lms.backoffice.demo.sending import Payouts
from lms.backoffice.demo.story import Story
from lms.closing import proofs
from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Loan, Repayment
from lms.mpesa.models import Callback
from lms.mpesa.simulator import Simulator
from lms.notifications.models import Message
from lms.payments.models import Payment

DEMO = "DEMO"  # the branches of the demo have codes that start with this
NEVER = 24 * 3600.0  # seconds: the story itself brings the callbacks, not the simulator


def found() -> str:
    """Tell what the database holds of the demo: `nothing`, an `unfinished` story or a `whole` one.

    Raises Refused when it holds anything that is not the demo's. Nothing is written.
    """
    tables = set(connection.introspection.table_names())
    if not tables:
        return "nothing"
    if "staff_branch" not in tables:
        raise Refused(_refusal("tables of another program"))
    codes = _column("SELECT code FROM staff_branch")
    others = sorted(code for code in codes if not code.startswith(DEMO))
    if others:
        raise Refused(_refusal(f"the branch {others[0]}, which is not of the demo"))
    if not codes and (strangers := len(_column("SELECT id FROM staff_staff"))):
        raise Refused(_refusal(f"{strangers} staff, but no demo"))
    reachable = _column("SELECT code FROM staff_branch WHERE phone <> ''")
    return "whole" if reachable else "unfinished" if codes else "nothing"


def _column(sql: str) -> list:
    """Return the first column of a query; the models may be older or newer than the tables."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


def _refusal(what: str) -> str:
    name = connection.settings_dict["NAME"]
    return (
        f"The database {name} holds {what}: the demo only goes into a database of its own, and "
        "nothing was written. Unset DATABASE_URL to use .data/demo.sqlite3."
    )


def drop() -> None:
    """Delete the SQLite file of the demo. Raises Refused on another engine."""
    if connection.vendor != "sqlite":
        raise Refused(
            f"The demo data in {connection.settings_dict['NAME']} cannot be renewed from here: "
            "drop that database and create it anew."
        )
    connection.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{connection.settings_dict['NAME']}{ending}").unlink(missing_ok=True)


def migrate() -> None:
    """Bring the tables up to date."""
    _write_through(enabled=False)
    call_command("migrate", interactive=False, verbosity=0)
    _write_through(enabled=True)


class BooksDiffer(Exception):
    """The books of the demo are not what its rows say."""


def _must_hold() -> None:
    off = [
        f"{proved.name}: off by {proved.show(proved.difference)} {proved.detail}"
        for proved in proofs.prove()
        if not proved.holds
    ]
    if off:
        raise BooksDiffer(f"The books of the demo do not agree. {'; '.join(off)}")


def load(*, now: datetime) -> None:
    """Tell the whole story, up to `now`, into a migrated, empty database.

    The same day makes the same data. Raises BooksDiffer when a proof of the books does not hold at
    the end.
    """
    story = Story(now=now)
    _write_through(enabled=False)
    daraja = Simulator(
        shortcode=str(settings.DARAJA_SHORTCODE),
        passkey=settings.DARAJA_PASSKEY,
        consumer_key=settings.DARAJA_CONSUMER_KEY,
        consumer_secret=settings.DARAJA_CONSUMER_SECRET,
        callback_delay=NEVER,
        initiator=settings.DARAJA_INITIATOR,
    )
    with story.clock.ticking(), daraja:
        settings.DARAJA_URL = daraja.url  # of this process alone, which ends with the story
        with transaction.atomic():
            story.begin()
            Incidents(story, daraja).plan()
            Payouts(story, daraja).plan()
            endings.plan(story)
            journals.plan(story)
            counters.plan(story)
            referrals.plan(story)
            takeover.plan(story)
            reconciling.plan(story)
            story.live_until(story.till.inbox_from)
        # Prompts and messages commit before they leave the house, so these days do as well.
        story.live_until()
        _must_hold()
        people.connect_telephones(story.office)
    _write_through(enabled=True)


def _write_through(*, enabled: bool) -> None:
    """Let SQLite wait for the disk, or not: an unfinished demo is thrown away after a crash."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous={'FULL' if enabled else 'OFF'}")
            if enabled:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def census() -> str:
    """Return in one line what the database holds."""
    loans = Counter(Loan.objects.values_list("status", flat=True))
    states = ", ".join(f"{count} {status}" for status, count in sorted(loans.items()))
    return (
        f"{Customer.objects.count()} customers, {loans.total()} loans ({states}), "
        f"{Repayment.objects.count()} instalments, {Payment.objects.count()} payments, "
        f"{Callback.objects.count()} callbacks, {Message.objects.count()} messages"
    )
