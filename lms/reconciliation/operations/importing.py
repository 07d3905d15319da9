"""Bring a statement: look at it first, then take all of it in, or set it aside.

A line is known by what it says, so a file brought twice, or one that overlaps another, adds
nothing twice. A file with a line that cannot be read is not taken in at all.
"""

import hashlib
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction

from lms import dates, tables
from lms.errors import Refused
from lms.money import ZERO, kes
from lms.reconciliation import reading
from lms.reconciliation.models import (
    BankLayout,
    Match,
    MatchedEntry,
    MatchedLine,
    Reconciliation,
    StatementFile,
    StatementLine,
)
from lms.reconciliation.operations.beginning import keep_balances, locked
from lms.reconciliation.operations.pairing import pair_up
from lms.reconciliation.reading import Reading, Row

Status = StatementFile.Status
SHOWN = 100
# Lines written in one statement.
BATCH = 500
COUNTS = ("new", "known", "outside", "failed", "wrong", "summary")


def bring(
    reconciliation: Reconciliation,
    *,
    content: bytes,
    filename: str,
    by,
    layout: BankLayout | None = None,
) -> StatementFile:
    """Store a statement and say what taking it in would do. No line is written yet.

    Raises Refused when it cannot be read or is not of this account.
    """
    if len(content) > settings.IMPORT_MAX_MEGABYTES * 1024 * 1024:
        raise Refused(
            f"“{filename}” is larger than {settings.IMPORT_MAX_MEGABYTES} MB: export the period "
            "in several parts.",
            field="file",
        )
    _must_fit(reconciliation, layout)
    found = _read(content, filename, layout)
    if not found.rows and not found.wrong:
        raise Refused(f"“{filename}” has no transactions in it.", field="file")
    digest = hashlib.sha256(content).hexdigest()
    with transaction.atomic():
        reconciliation = locked(reconciliation)
        made = StatementFile(
            reconciliation=reconciliation,
            layout=layout,
            filename=filename[-200:],
            sha256=digest,
            brought_by=by,
        )
        _tell(made, found)
        suffix = ".xlsx" if content.startswith(b"PK") else ".csv"
        made.file.save(f"{digest[:12]}{suffix}", ContentFile(content), save=False)
        made._history_user, made._change_reason = by, "Brought"
        made.save()
    return made


def take_in(file: StatementFile, *, by, on: date) -> StatementFile:
    """Write the new lines of a statement, then match them; all of it or nothing.

    Raises Refused when a line cannot be read, or when nothing in it is new.
    """
    with transaction.atomic():
        reconciliation = locked(file.reconciliation)
        file = StatementFile.objects.select_for_update().get(pk=file.pk)
        with file.file.open("rb") as stored:
            found = _read(stored.read(), file.filename, file.layout)
        _tell(file, found)
        if found.wrong:
            raise Refused(f"{_several(len(found.wrong), 'line')} cannot be read: correct the file.")
        if file.status == Status.READ and not file.new:
            raise Refused("Every line of this period is here already: there is nothing to take in.")
        file.move_to(Status.TAKEN, by=by, reason=f"{file.new} lines taken in", fields=COUNTS)
        _write(file, reconciliation, found.rows)
        _take_balances(reconciliation, by=by)
        pair_up(reconciliation, by=by)
    return file


def discard(file: StatementFile, *, by, on: date) -> StatementFile:
    """Set a statement aside that was only looked at. Raises Refused after it was taken in."""
    with transaction.atomic():
        file = StatementFile.objects.select_for_update().get(pk=file.pk)
        file.move_to(Status.DISCARDED, by=by, reason="Set aside")
    return file


def withdraw(file: StatementFile, *, reason: str, by, on: date) -> StatementFile:
    """Take the lines of a statement out again that was brought by mistake.

    Pairs that the program found go with them. Raises Refused where a person matched or booked
    one of the lines, and once the reconciliation is signed off.
    """
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        reconciliation = locked(file.reconciliation)
        file = StatementFile.objects.select_for_update().get(pk=file.pk)
        file.move_to(Status.WITHDRAWN, by=by, reason=reason)
        matches = Match.objects.filter(lines__line__file=file)
        if (
            matches.exclude(how__in=Match.How.values).exists()
            or matches.filter(how__in=Match.BY_A_PERSON).exists()
        ):
            raise Refused(
                "Lines of this statement were matched or booked by hand: they stay on the record."
            )
        if matches.exclude(reconciliation=reconciliation).exists():
            raise Refused("Lines of this statement are matched in a later period.")
        keys = list(matches.values_list("pk", flat=True))
        MatchedLine.objects.filter(match__in=keys).delete()
        MatchedEntry.objects.filter(match__in=keys).delete()
        Match.objects.filter(pk__in=keys).delete()
        file.lines.all().delete()
        _take_balances(reconciliation, by=by)
    return file


def _must_fit(reconciliation: Reconciliation, layout: BankLayout | None) -> None:
    if reconciliation.is_mpesa and layout is not None:
        raise Refused("M-Pesa statements need no bank: leave it empty.", field="layout")
    if not reconciliation.is_mpesa and layout is None:
        raise Refused("Choose the bank, so that its columns are understood.", field="layout")
    if layout is not None and layout.account_id != reconciliation.account_id:
        raise Refused(
            f"Statements of {layout} are about account {layout.account}, not "
            f"{reconciliation.account}.",
            field="layout",
        )


def _read(content: bytes, filename: str, layout: BankLayout | None) -> Reading:
    try:
        if layout is None:
            return reading.read_mpesa(content, filename=filename)
        return reading.read_bank(content, filename=filename, columns=layout.columns)
    except tables.TableError as error:
        raise Refused(str(error), field="file") from error


def _tell(file: StatementFile, found: Reading) -> None:
    """Write down on the file what each of its lines is: new, known, outside, wrong."""
    inside = [row for row in found.rows if file.reconciliation.holds(row.day)]
    known = _known(file.reconciliation, inside)
    new = [row for row in inside if row.key not in known]
    opening, closing = reading.balances_of(inside)
    told = [row for row in inside if row.happened]
    file.new, file.known = len(new), len(inside) - len(new)
    file.outside = len(found.rows) - len(inside)
    file.failed = len(inside) - len(told)
    file.wrong = len(found.wrong)
    file.summary = {
        "wrong": found.wrong[:SHOWN],
        "skipped": found.skipped[:SHOWN],
        "breaks": found.breaks[:SHOWN],
        "new": [_shown(row) for row in new[:SHOWN]],
        "opening": None if opening is None else kes(opening),
        "closing": None if closing is None else kes(closing),
        "in": kes(sum((row.amount for row in told if row.amount > 0), ZERO)),
        "out": kes(-sum((row.amount for row in told if row.amount < 0), ZERO)),
    }


def _shown(row: Row) -> dict[str, Any]:
    return {
        "line": row.number,
        "day": dates.show(row.day),
        "reference": row.reference,
        "narration": row.narration,
        "amount": kes(row.amount),
        "happened": row.happened,
    }


def _known(reconciliation: Reconciliation, rows: list[Row]) -> set[str]:
    """Return the keys of these rows that the account has already, whatever their day.

    M-Pesa names a transaction by its receipt, and exports may tell it on another day.
    """
    keys = [row.key for row in rows]
    lines = StatementLine.objects.filter(account=reconciliation.account_id)
    return {
        key
        for start in range(0, len(keys), BATCH)
        for key in lines.filter(key__in=keys[start : start + BATCH]).values_list("key", flat=True)
    }


def _write(file: StatementFile, reconciliation: Reconciliation, rows: list[Row]) -> None:
    inside = [row for row in rows if reconciliation.holds(row.day)]
    known = _known(reconciliation, inside)
    said = _said(reconciliation, inside)
    lines = []
    for row in inside:
        if row.key in known:
            continue
        about = _about(reconciliation, row)
        lines.append(
            StatementLine(
                reconciliation=reconciliation,
                file=file,
                account_id=reconciliation.account_id,
                number=row.number,
                key=row.key,
                day=row.day,
                at=row.at,
                value_date=row.value_date,
                reference=row.reference,
                kind=row.kind,
                narration=row.narration,
                party=row.party,
                linked=row.linked,
                account_no=row.account_no,
                amount=row.amount,
                balance=row.balance,
                happened=row.happened,
                repeats=row.happened and bool(row.reference) and about in said,
            )
        )
        if row.happened:
            said.add(about)
    StatementLine.objects.bulk_create(lines, batch_size=BATCH)


def _about(reconciliation: Reconciliation, row: Row | StatementLine) -> tuple:
    """Return what two lines have in common of which one should not be there."""
    if reconciliation.is_mpesa:
        return row.reference, row.kind.casefold(), row.amount > 0
    return row.day, row.reference, row.narration, row.amount


def _said(reconciliation: Reconciliation, rows: list[Row]) -> set[tuple]:
    """Return what the lines of the account around these days say already."""
    if not rows:
        return set()
    first = min(row.day for row in rows) - timedelta(days=1)
    last = max(row.day for row in rows) + timedelta(days=1)
    lines = StatementLine.objects.filter(
        account=reconciliation.account_id, day__range=(first, last), happened=True
    ).only("day", "reference", "narration", "kind", "amount")
    return {_about(reconciliation, line) for line in lines}


def _take_balances(reconciliation: Reconciliation, *, by) -> None:
    """Take the balances from the lines of the period, where the statement writes them."""
    own = StatementLine.objects.filter(
        reconciliation=reconciliation, happened=True, balance__isnull=False
    ).order_by("day", "at", "pk")
    first, last = own.first(), own.last()
    if first is None or last is None:
        return
    keep_balances(
        reconciliation,
        first.balance - first.amount,
        last.balance,
        by=by,
        reason="Balances of the statement",
    )


def _several(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
