"""The verbs of manual journals: write, submit, approve, reject, withdraw, reverse, copy.

One person writes, another approves: only then do the books hear of it.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from lms import dates, money
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.beginning import must_be_in_books
from lms.ledger.books import must_be_open
from lms.ledger.models import Account, ManualJournal, ManualLine, Transfer
from lms.ledger.operations import Line, post
from lms.ledger.operations import reverse as mirror
from lms.ledger.splitting import Side, split
from lms.money import ZERO
from lms.staff.models import Approval, Branch
from lms.staff.operations import ask, decide
from lms.staff.operations import withdraw as take_back

Status = ManualJournal.Status
BETWEEN = chart.BETWEEN_BRANCHES
KIND = "manual_journal"


# --- Writing -------------------------------------------------------------------------------------
class Wanted(NamedTuple):
    """A line to write. Account is a code, the amounts are KES, one of them zero."""

    account: str
    debit: Decimal = ZERO
    credit: Decimal = ZERO
    branch: Branch | None = None
    memo: str = ""


def write(
    *,
    date: date,
    narration: str,
    branch: Branch,
    lines: Iterable[Wanted],
    by,
    reason: str = "Written",
    **fields,
) -> ManualJournal:
    """Make a draft with its lines. `by` may be None for a draft that a job makes.

    Raises Refused for a day before the books begin.
    """
    must_be_in_books(date, field="date")
    with transaction.atomic():
        journal = ManualJournal(
            date=date, narration=narration, branch=branch, created_by=by, **fields
        )
        journal._history_user, journal._change_reason = by, reason[:100]
        journal.save()
        for each in lines:
            line = ManualLine(
                journal=journal,
                account_id=each.account,
                debit=each.debit,
                credit=each.credit,
                branch=each.branch,
                memo=each.memo,
            )
            line._history_user, line._change_reason = by, reason[:100]
            line.save()
    return journal


def copy(journal: ManualJournal, *, by, on: date) -> ManualJournal:
    """Make a draft of today with the lines of another journal, whatever became of that one."""
    return write(
        date=on,
        narration=journal.narration,
        branch=journal.branch,
        lines=[wanted(line) for line in journal.lines.select_related("branch")],
        by=by,
        reason=f"Copied from {journal.number}",
        reverses_next_period=journal.reverses_next_period,
    )


def wanted(line) -> Wanted:
    """Return a line of a journal or a template as one to write."""
    return Wanted(line.account_id, line.debit, line.credit, line.branch, line.memo)


# --- Deciding ------------------------------------------------------------------------------------
def submit(journal: ManualJournal, *, by, on: date) -> ManualJournal:
    """Put a draft before a second person, with what it would do to balances.

    Raises Refused for one that does not balance, names an account that takes no manual entries,
    touches a branch that is not one's own, or is dated after this month.
    """
    with transaction.atomic():
        journal = _locked(journal)
        _must_be_postable(journal, by=by, on=on)
        _ask(journal, reason=journal.narration, by=by)
    return journal


def approve(journal: ManualJournal, *, by, on: date, reason: str = "") -> ManualJournal:
    """Post a submitted journal, and at once its reversal in the next month where it asks for one.

    Raises Refused for one's own, and for everything that stops it from being submitted.
    """
    with transaction.atomic():
        journal = _locked(journal)
        _must_be_submitted(journal)
        if journal.reverses_id:
            _must_be_mirrorable(journal.sides(), date=journal.date, field="date", by=by)
        else:
            _must_be_postable(journal, by=by, on=on)
        _post(journal, reason=reason, by=by)
        if journal.reverses_next_period:
            reversal = _mirrored(
                journal,
                date=next_period(journal.date),
                reason="Reverses next period",
                by=journal.approval.asked_by,
            )
            _post(reversal, reason=reason, by=by)
    return journal


def reject(journal: ManualJournal, *, reason: str, by, on: date) -> ManualJournal:
    """Refuse a submitted journal for good; it may be copied. Raises Refused for one's own."""
    with transaction.atomic():
        journal = _locked(journal)
        _must_be_submitted(journal)
        _must_be_anothers(journal, by)
        journal.approval = decide(journal.approval, approve=False, reason=reason, by=by)
        journal.move_to(Status.REJECTED, by=by, reason=reason)
    return journal


def withdraw(journal: ManualJournal, *, reason: str, by, on: date) -> ManualJournal:
    """Take a draft, or a journal that one submitted oneself, back for good; it may be copied."""
    if not reason.strip():
        raise Refused("Give the reason: it stays on the record.", field="reason")
    with transaction.atomic():
        journal = _locked(journal)
        if journal.status == Status.SUBMITTED:
            take_back(journal.approval, reason=reason, by=by, on=on)
        journal.move_to(Status.WITHDRAWN, by=by, reason=reason)
    return journal


def ask_to_reverse(
    journal: ManualJournal, *, reversal_date: date, reason: str, by, on: date
) -> ManualJournal:
    """Ask a second person to reverse a posted journal on a day; return the reversal, submitted.

    Raises Refused for one that is not posted or is reversed or touches a branch that is not one's
    own, and for a day before its own, after the next month or in a closed one.
    """
    with transaction.atomic():
        journal = _locked(journal)
        _must_be_reversible(journal)
        if reversal_date < journal.date:
            raise Refused(
                f"{journal.number} is dated {dates.show(journal.date)}: "
                "its reversal cannot come before it.",
                field="reversal_date",
            )
        _must_be_near(reversal_date, on=next_period(on))
        _must_be_mirrorable(journal.sides(), date=reversal_date, field="reversal_date", by=by)
        return _mirrored(journal, date=reversal_date, reason=reason, by=by)


def carry_out(approval: Approval, *, reason: str, by, on: date) -> ManualJournal:
    """Post the journal that an approval is about."""
    return approve(_asked(approval), reason=reason, by=by, on=on)


def turn_down(approval: Approval, *, reason: str, by, on: date) -> ManualJournal:
    """Reject the journal that an approval is about."""
    return reject(_asked(approval), reason=reason, by=by, on=on)


def call_back(approval: Approval, *, reason: str, by, on: date) -> ManualJournal:
    """Withdraw the journal that an approval is about."""
    return withdraw(_asked(approval), reason=reason, by=by, on=on)


def _asked(approval: Approval) -> ManualJournal:
    return ManualJournal.objects.get(approval=approval)


def _ask(journal: ManualJournal, *, reason: str, by) -> None:
    """Put a locked draft before a second person, of head office where it touches two branches."""
    is_of_one = {side.branch_id for side in journal.sides()} == {journal.branch_id}
    journal.approval = ask(
        KIND,
        subject=journal.number,
        summary=f"{journal}, {dates.show(journal.date)}",
        reason=reason,
        by=by,
        payload={"journal": journal.pk},
        diff="\n".join(map(str, effect(journal))),
        branch_id=journal.branch_id if is_of_one else None,
    )
    journal.move_to(Status.SUBMITTED, by=by, reason="Submitted", fields=("approval",))


def _mirrored(journal: ManualJournal, *, date: date, reason: str, by) -> ManualJournal:
    """Make the reversal of a posted journal, and put it before a second person."""
    reversal = write(
        date=date,
        narration=f"Reversal of {journal.number}: {reason}"[:160],
        branch=journal.branch,
        lines=[
            wanted(line)._replace(debit=line.credit, credit=line.debit)
            for line in journal.lines.select_related("branch")
        ],
        by=by,
        reason=f"Reversal: {reason}",
        reverses=journal,
    )
    _ask(reversal, reason=reason, by=by)
    return reversal


def _post(journal: ManualJournal, *, reason: str, by) -> None:
    """Decide on a locked journal and write it into the books; a reversal mirrors an entry."""
    _must_be_anothers(journal, by)
    journal.approval = decide(journal.approval, approve=True, reason=reason, by=by)
    if journal.reverses_id:
        why = journal.narration.removeprefix("Reversal of ")
        journal.entry = mirror(journal.reverses.entry, reason=why, on=journal.date, by=by)
    else:
        journal.entry = post(
            kind=KIND,
            reference=f"journal:{journal.pk}",
            on=journal.date,
            narration=str(journal),
            lines=[Line(*move) for move in split(journal.sides(), between=BETWEEN)],
            branch_id=journal.branch_id,
            by=by,
            subject=journal.number,
        )
    journal.move_to(Status.APPROVED, by=by, reason=reason or "Posted", fields=("entry",))


def _locked(journal: ManualJournal) -> ManualJournal:
    return ManualJournal.objects.select_for_update().get(pk=journal.pk)


# --- What may be posted --------------------------------------------------------------------------
def _must_be_submitted(journal: ManualJournal) -> None:
    if journal.status != Status.SUBMITTED:
        status = journal.get_status_display().lower()
        raise Refused(f"{journal.number} is {status}: there is nothing to decide.")


def _must_be_anothers(journal: ManualJournal, by) -> None:
    if by.pk in journal.makers():
        raise Refused(f"You wrote or submitted {journal.number}: a second person decides on it.")


def _must_be_postable(journal: ManualJournal, *, by, on: date) -> None:
    """Refuse a journal that the books would not take, with what to do about it."""
    sides = journal.sides()
    if not sides:
        raise Refused(f"{journal.number} has no lines: add a debit and a credit.")
    split(sides, between=BETWEEN)
    for account in Account.objects.filter(pk__in={side.account for side in sides}):
        must_take_entries(account)
    must_be_own_branches(sides, by)
    _must_be_near(journal.date, on=on)
    must_be_open(journal.date, field="date")


def _must_be_mirrorable(sides: list[Side], *, date: date, field: str, by) -> None:
    """Refuse a reversal on a day of a closed month, or of lines of other branches than one's own.

    Its accounts are not asked: what was posted to them can always be taken back.
    """
    must_be_own_branches(sides, by)
    must_be_open(date, field=field)


def must_take_entries(account: Account) -> None:
    """Raise Refused for an account that nobody may post to by hand."""
    if account.is_header:
        raise Refused(f"{account} is a header: choose an account under it.")
    if not account.is_active:
        raise Refused(f"{account} is no longer used: choose another account.")
    if not account.takes_manual_entries:
        raise Refused(
            f"{account} is kept in step with loans, payments or drawers and takes no manual "
            "entries: use the action that moves them."
        )


def must_be_own_branches(sides: Iterable[Side], by) -> None:
    """Raise Refused for lines of another branch than one's own; head office has them all."""
    if by.sees_all_branches:
        return
    others = {side.branch_id for side in sides} - {by.branch_id}
    if other := Branch.objects.filter(pk__in=others).first():
        raise Refused(f"A line touches {other}: somebody of head office has to do this.")


def _must_be_near(day: date, *, on: date) -> None:
    """Refuse a day after the month of `on`: such a year is mistyped more often than meant."""
    last = next_period(on) - timedelta(days=1)
    if day > last:
        raise Refused(
            f"{dates.show(day)} is too far ahead: choose a day up to {dates.show(last)}.",
            field="reversal_date",
        )


def _must_be_reversible(journal: ManualJournal) -> None:
    if not journal.is_posted:
        raise Refused(f"{journal.number} is not posted: there is nothing to reverse.")
    if journal.reverses_id:
        raise Refused(f"{journal.number} is itself a reversal: copy the journal it reversed.")
    if standing := journal.reversals.standing().first():
        raise Refused(f"{journal.number} is reversed by {standing.number} already.")


def next_period(day: date) -> date:
    """Return the first day of the month after the one of `day`."""
    return dates.add_months(day.replace(day=1), 1)


# --- What it would do ----------------------------------------------------------------------------
class Effect(NamedTuple):
    """What a journal does to one account of one branch, on its normal side (KES)."""

    account: Account
    branch: Branch
    before: Decimal
    change: Decimal

    @property
    def after(self) -> Decimal:
        return self.before + self.change

    def __str__(self) -> str:
        figures = f"{self.before:,.2f} {self.change:+,.2f} = {self.after:,.2f}"
        return f"{self.account}, {self.branch}: {figures}"


def effect(journal: ManualJournal) -> list[Effect]:
    """Return what posting does to balances as of its date, by branch and account.

    The account between branches is among them where the lines move money from one to another.
    Raises Refused for lines that cannot be posted.
    """
    changes: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    for move in split(journal.sides(), between=BETWEEN):
        changes[move.branch_id, move.debit] += move.amount
        changes[move.branch_id, move.credit] -= move.amount
    branches = Branch.objects.in_bulk({branch_id for branch_id, _ in changes})
    accounts = Account.objects.in_bulk({code for _, code in changes})
    before = _balances(journal.date, branches, accounts)
    found = []
    for (branch_id, code), change in sorted(changes.items()):
        account = accounts[code]
        stands = account.signed(before.get((branch_id, code), ZERO))
        found.append(Effect(account, branches[branch_id], stands, account.signed(change)))
    return found


def _balances(
    on: date, branches: Iterable[int], codes: Iterable[str]
) -> dict[tuple[int, str], Decimal]:
    """Return debit balances at the end of a day, by branch and account (KES)."""
    found: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    rows = Transfer.objects.filter(date__lte=on, branch_id__in=list(branches)).order_by()
    for side, sign in (("debit", 1), ("credit", -1)):
        sums = rows.filter(**{f"{side}__in": list(codes)}).values_list("branch_id", side)
        for branch_id, code, amount in sums.annotate(sum=money.total("amount")):
            found[branch_id, code] += sign * money.money(amount)
    return found
