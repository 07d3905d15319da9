"""A drawer's day: opened with a count, filled from the vault, counted blind and closed."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NoReturn

from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post
from lms.money import kes
from lms.staff.models import Approval, Branch
from lms.staff.operations import ask, decide
from lms.tills.denominations import counted, worth
from lms.tills.models import CashCount, DrawerMovement, DrawerSession
from lms.tills.operations.cash import (
    flow,
    lock,
    move,
    must_be_money,
    must_be_open,
    must_hold,
    must_lie_in_vault,
)

Kind = DrawerMovement.Kind
Status = DrawerSession.Status
DIFFERENCE = "drawer_difference"  # the kind of approval asked for


def open_drawer(
    cashier, *, pieces: Mapping[int, int | None], branch: Branch, by, on: date
) -> DrawerSession:
    """Open a cashier's drawer with the float they counted out of the vault.

    `pieces` says how many of each note and coin. Raises Refused while they have a drawer that is
    not closed, for a branch that is not theirs, and for more than lies in its vault.
    """
    if by.pk != cashier.pk:
        raise Refused(f"Only {cashier} opens their own drawer: they answer for its cash.")
    if cashier.branch_id not in (None, branch.pk):
        raise Refused(f"{cashier} works in {cashier.branch}, not in {branch}.", field="branch")
    pieces = counted(pieces)
    session = DrawerSession(cashier=cashier, branch=branch, opened_on=on)
    session._history_user, session._change_reason = by, "Opened"
    with transaction.atomic():
        try:
            with transaction.atomic():
                session.save()
        except IntegrityError as error:
            raise Refused(
                "You have a drawer that is not closed: close it before you open another."
            ) from error
        count = _count(session, CashCount.Moment.OPENING, pieces, by=by)
        if count.total:
            _between_vault(session, count.total, Kind.FLOAT, key="opening", by=by, on=on)
    return session


def add_float(session: DrawerSession, *, amount: Decimal, key: str, by, on: date) -> DrawerSession:
    """Bring more cash from the vault into an open drawer.

    A repeated `key` is refused, as is more than lies in the vault.
    """
    must_be_money(amount)
    with transaction.atomic():
        session = _in_hand(session, by=by)
        _between_vault(session, amount, Kind.FLOAT, key=key, by=by, on=on)
    return session


def return_cash(
    session: DrawerSession, *, amount: Decimal, key: str, by, on: date
) -> DrawerSession:
    """Take cash out of an open drawer into the vault. A repeated `key` is refused."""
    must_be_money(amount)
    with transaction.atomic():
        session = _in_hand(session, by=by)
        must_hold(session, amount)
        _between_vault(session, -amount, Kind.VAULT, key=key, by=by, on=on)
    return session


def count(
    session: DrawerSession, *, pieces: Mapping[int, int | None], note: str = "", by, on: date
) -> DrawerSession:
    """Count an open drawer and close it; nothing moves in it from now on.

    When the count is what the books expect, the cash goes to the vault. Otherwise the difference
    waits for a second person; `note` is what the cashier says about it.
    Raises Refused while cash sent to a colleague is not accepted.
    """
    pieces = counted(pieces)
    with transaction.atomic():
        session = _in_hand(session, by=by)
        if waiting := session.sent.waiting().select_related("recipient").first():
            raise Refused(
                f"{kes(waiting.amount)} sent to {waiting.recipient} is not accepted: "
                "let them accept it, or take it back."
            )
        found = _count(session, CashCount.Moment.CLOSING, pieces, by=by)
        session.counted, session.expected = found.total, session.holds()
        session.closed_on = on
        if session.difference:
            session.approval = _ask(session, note, by=by)
            session.status = Status.COUNTED
            _save(session, by=by, reason=f"Counted: {shown(session)}")
        else:
            _empty(session, by=by, on=on, reason="Counted without a difference")
    return session


def approve_difference(session: DrawerSession, *, reason: str, by, on: date) -> DrawerSession:
    """Book what a drawer is over or short, and return its cash to the vault.

    Raises Refused for the cashier of the drawer, whoever counted it, and once it is decided.
    """
    with transaction.atomic():
        session = _to_decide(session, by=by)
        decide(session.approval, approve=True, reason=reason, by=by)
        entry = _post(
            session,
            _over_or_short(session.difference),
            key="difference",
            on=on,
            by=by,
            what=f"{shown(session)}, {session.cashier}",
        )
        move(session, session.difference, kind=Kind.DIFFERENCE, entry=entry)
        _empty(session, by=by, on=on, reason=reason or "Difference approved")
    return session


def reopen(session: DrawerSession, *, reason: str, by, on: date) -> DrawerSession:
    """Open a counted drawer again, so that what is missing is found and everything counted anew.

    That rejects the difference. Every count stays on record. Raises Refused for the cashier of
    the drawer, whoever counted it, and without a reason.
    """
    if not reason.strip():
        raise Refused("Say what is to be looked for: it stays on the record.", field="reason")
    with transaction.atomic():
        session = _to_decide(session, by=by)
        decide(session.approval, approve=False, reason=reason, by=by)
        session.status, session.approval = Status.OPEN, None
        session.counted = session.expected = session.closed_on = None
        _save(session, by=by, reason=f"Opened again: {reason}")
    return session


def carry_out(approval: Approval, *, reason: str, by, on: date) -> DrawerSession:
    """Approve the difference that was asked for. Raises as `approve_difference`."""
    return approve_difference(approval.drawer, reason=reason, by=by, on=on)


def turn_down(approval: Approval, *, reason: str, by, on: date) -> DrawerSession:
    """Reject the difference that was asked for, which opens the drawer. Raises as `reopen`."""
    return reopen(approval.drawer, reason=reason, by=by, on=on)


def call_back(approval: Approval, *, reason: str, by, on: date) -> NoReturn:
    """Refuse to take a difference back: a blind count is not counted again by its own wish."""
    raise Refused(f"{approval.drawer.number} is counted: somebody else opens it again.")


def shown(session: DrawerSession) -> str:
    """Return the difference in words."""
    difference = session.difference
    if not difference:
        return "no difference"
    return f"{kes(abs(difference))} {'over' if difference > 0 else 'short'}"


def key_of(session: DrawerSession, event: str) -> str:
    """Return the reference under which an event of a drawer is in the books."""
    return f"drawer:{session.pk}:{event}"


# --- What the verbs above share ------------------------------------------------------------------
def _in_hand(session: DrawerSession, *, by) -> DrawerSession:
    """Lock an open drawer for its cashier, or for one who oversees the drawers."""
    session = lock(session)
    if by.pk != session.cashier_id and not by.has_perm("tills.oversee_drawersession"):
        raise Refused(f"This is the drawer of {session.cashier}.")
    must_be_open(session)
    return session


def _to_decide(session: DrawerSession, *, by) -> DrawerSession:
    session = lock(session)
    if session.status != Status.COUNTED:
        raise Refused(f"{session.number} has no difference that waits for a decision.")
    if by.pk == session.cashier_id:
        raise Refused("This is your own drawer: somebody else must decide its difference.")
    return session


def _count(session: DrawerSession, moment: str, pieces: dict[str, int], *, by) -> CashCount:
    return CashCount.objects.create(
        session=session, moment=moment, pieces=pieces, total=worth(pieces), counted_by=by
    )


def _ask(session: DrawerSession, note: str, *, by):
    return ask(
        DIFFERENCE,
        subject=session.number,
        summary=f"Drawer {session.number} of {session.cashier}: {shown(session)}",
        reason=note.strip() or "Counted at closing.",
        payload={"drawer": session.pk, "difference": str(session.difference)},
        diff=f"Expected {kes(session.expected)}, counted {kes(session.counted)}.",
        branch_id=session.branch_id,
        by=by,
    )


def _over_or_short(difference: Decimal) -> Line:
    if difference > 0:
        return Line(chart.TILL_CASH, chart.CASH_OVER, difference)
    return Line(chart.CASH_SHORT, chart.TILL_CASH, -difference)


def _empty(session: DrawerSession, *, by, on: date, reason: str) -> None:
    """Bring all that was counted into the vault and close the drawer."""
    if session.counted:
        _between_vault(session, -session.counted, Kind.VAULT, key="closing", by=by, on=on)
    session.status = Status.CLOSED
    _save(session, by=by, reason=reason)


def _between_vault(
    session: DrawerSession, amount: Decimal, kind: str, *, key: str, by, on: date
) -> None:
    """Move cash from the vault into the drawer, or back when `amount` is below zero."""
    if amount > 0:
        must_lie_in_vault(session.branch, amount)
    line = flow(chart.TILL_CASH, chart.CASH, amount)
    what = "Float from the vault" if amount > 0 else "Back to the vault"
    move(session, amount, kind=kind, entry=_post(session, line, key=key, on=on, by=by, what=what))


def _post(session: DrawerSession, line: Line, *, key: str, on: date, by, what: str) -> JournalEntry:
    return post(
        kind="drawer",
        reference=key_of(session, key),
        on=on,
        narration=f"{session.number}: {what}",
        lines=[line],
        branch_id=session.branch_id,
        by=by,
        subject=session.number,
    )


def _save(session: DrawerSession, *, by, reason: str) -> None:
    session._history_user, session._change_reason = by, reason[:100]
    session.save()
