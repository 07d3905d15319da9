"""Where cash lies that a person takes or pays: in their drawer, or in the vault of the branch.

A drawer is found by its row, under its lock, in the transaction of the payment: never by the
hours of a session. So cash counts in a drawer that is being closed before the count or not at
all, and what was counted in is known by its entry for ever.
"""

from datetime import date
from decimal import Decimal

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.balances import balance
from lms.ledger.models import JournalEntry
from lms.ledger.operations import Line, post, reverse
from lms.money import CENT, kes, money
from lms.staff.models import Branch
from lms.tills.models import DrawerMovement, DrawerSession

Kind = DrawerMovement.Kind


def lock(session: DrawerSession) -> DrawerSession:
    """Return the row of the drawer, locked until the transaction ends."""
    return (
        DrawerSession.objects.select_for_update(of=("self",))
        .select_related("cashier", "branch")
        .get(pk=session.pk)
    )


def drawer_of(by, *, branch_id: int) -> DrawerSession | None:
    """Return the locked drawer that cash of this person goes through, None for the vault.

    Raises Refused when that drawer is counted already, and when cash is handled in drawers where
    the person works (`branch_id` for those of no branch) and they have none.
    """
    if by is None:
        return None
    session = (
        DrawerSession.objects.select_for_update(of=("self",))
        .select_related("cashier")
        .unclosed()
        .filter(cashier=by)
        .first()
    )
    if session is not None:
        must_be_open(session)
        return session
    works_in = by.branch_id or branch_id
    if Branch.objects.filter(pk=works_in, requires_drawer=True).exists():
        raise Refused("Open your drawer first: cash is only handled in drawers here.")
    return None


def must_be_open(session: DrawerSession) -> None:
    """Refuse cash in or out of a drawer that was counted."""
    if not session.is_open:
        raise Refused(
            f"Drawer {session.number} of {session.cashier} is counted: "
            f"{session.get_status_display().lower()}."
        )


def account_of(session: DrawerSession | None, *, branch_id: int) -> str:
    """Return the account of a branch's books in which this cash lies.

    Cash for another branch than the drawer's is owed to it: `count_in` books the other half.
    """
    if session is None:
        return chart.CASH
    return chart.TILL_CASH if session.branch_id == branch_id else chart.BETWEEN_BRANCHES


def booked_on(session: DrawerSession | None, on: date) -> date:
    """Return the day on which cash of `on` stands in the books.

    It is never before its drawer was opened: what was counted until then stays as it was.
    """
    return on if session is None else max(on, session.opened_on)


def count_in(
    session: DrawerSession | None,
    amount: Decimal,
    *,
    kind: str,
    entry: JournalEntry,
    branch_id: int,
) -> None:
    """Count a payment (more than zero) or payout (less) in a locked drawer; the vault needs none.

    `entry` has booked it in the books of `branch_id`. Raises Refused when the drawer does not
    hold what is to leave it.
    """
    if session is None:
        return
    if amount < 0:
        must_hold(session, -amount)
    if session.branch_id != branch_id:
        post(
            kind="drawer_crossing",
            reference=_crossing(entry),
            on=entry.date,
            narration=f"{entry.narration} in {session.number}",
            lines=[flow(chart.TILL_CASH, chart.BETWEEN_BRANCHES, amount)],
            branch_id=session.branch_id,
            by=session.cashier,
            subject=session.number,
        )
    move(session, amount, kind=kind, entry=entry)


def undo(entry: JournalEntry, mirror: JournalEntry, *, reason: str, by, on: date) -> None:
    """Take a receipt or payout out of its drawer again, now that `mirror` has reversed it.

    While that drawer is open, it is the drawer that holds less (or more). Once its cash lies in
    the vault, because it was counted or the cash was brought there, the vault gives it up (or
    takes it), with an entry of its own. What never went through a drawer needs nothing.
    """
    movement = DrawerMovement.objects.filter(entry=entry).select_related("session").first()
    if movement is None:
        return
    session = lock(movement.session)
    if crossing := JournalEntry.objects.filter(reference=_crossing(entry)).first():
        reverse(crossing, reason=reason, on=on, by=by)
    if session.is_open and session.holds() >= movement.amount:
        move(session, -movement.amount, kind=Kind.UNDONE, entry=mirror)
        return
    post(
        kind="drawer_vault",
        reference=f"drawer:vault:{mirror.pk}",
        on=on,
        narration=f"The vault stands in for {session.number}",
        lines=[flow(chart.TILL_CASH, chart.CASH, movement.amount)],
        branch_id=session.branch_id,
        by=by,
        subject=session.number,
    )


def must_be_money(amount: Decimal) -> None:
    """Refuse to move nothing, less than nothing, or parts of a cent."""
    if amount < CENT or amount != money(amount):
        raise Refused("The amount must be more than KES 0.00, in whole cents.", field="amount")


def must_hold(session: DrawerSession, amount: Decimal) -> None:
    """Refuse to let more out of a locked drawer than the books say is in it.

    The sum itself is not told: the closing count is blind.
    """
    if session.holds() < amount:
        raise Refused(
            f"There is less than {kes(amount)} in drawer {session.number}: "
            "take more float from the vault first.",
            field="amount",
        )


def must_lie_in_vault(branch: Branch, amount: Decimal) -> None:
    """Refuse to take more out of the vault of a branch than the books say lies there.

    Whoever else takes out of it waits until the transaction ends.
    """
    Branch.objects.select_for_update(no_key=True).get(pk=branch.pk)
    held = balance(chart.CASH, date.max, branch_ids=[branch.pk]).net
    if held < amount:
        raise Refused(
            f"{kes(amount)} is more than the {kes(held)} in the vault of {branch}: bring money "
            "from the bank into it first, or correct its opening balance by a journal.",
            field="amount",
        )


def move(session: DrawerSession, amount: Decimal, *, kind: str, entry: JournalEntry) -> None:
    """Write what an entry moved in a locked drawer."""
    DrawerMovement.objects.create(session=session, kind=kind, amount=amount, entry=entry)


def flow(debit: str, credit: str, amount: Decimal) -> Line:
    """Return the movement of `amount` KES, in the other direction when it is below zero."""
    return Line(debit, credit, amount) if amount >= 0 else Line(credit, debit, -amount)


def _crossing(entry: JournalEntry) -> str:
    return f"drawer:crossing:{entry.pk}"
