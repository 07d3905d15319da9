"""The trial balance: every account with its balance; debits and credits are the same sum."""

from datetime import date, timedelta

from lms import dates
from lms.ledger.balances import Balance, balances, movements
from lms.ledger.models import Account
from lms.money import ZERO
from lms.reports.accounts import usual
from lms.reports.shape import (
    Cell,
    Column,
    Look,
    Report,
    Row,
    money_columns,
    report_target,
    row,
    total,
)
from lms.reports.spans import Scope, between, year_to


def trial_balance(*, last: date, first: date | None = None, scope: Scope) -> Report:
    """Return the balances as of a day; with `first`, what they were before and what moved since."""
    if first is None:
        return _as_of(last, scope)
    return _of_days(first, last, scope)


def _as_of(on: date, scope: Scope) -> Report:
    found = balances(on, branch_ids=scope.branch_ids)
    lines = [
        (account, _sides(found[account.code]))
        for account in Account.objects.order_by("code")
        if account.code in found
    ]
    start = year_to(on)[0]
    rows = [
        row(
            _name(account, start, on, scope),
            Cell(sides[0] or None, _way(account, start, on, scope)),
            Cell(sides[1] or None, _way(account, start, on, scope)),
        )
        for account, sides in lines
        if any(sides)
    ]
    sums = [total(sides[place] for _, sides in lines) for place in (0, 1)]
    return Report(
        title="Trial balance",
        about=(f"As of {dates.show(on)}", scope.name),
        columns=(Column("Account"), *money_columns(["Debit", "Credit"])),
        rows=(*rows, row("Total", *sums, look=Look.TOTAL)),
        notes=_notes(sums[0] - sums[1]),
    )


def _of_days(first: date, last: date, scope: Scope) -> Report:
    before = balances(first - timedelta(days=1), branch_ids=scope.branch_ids)
    moved = movements(first, last, branch_ids=scope.branch_ids, with_year_end=True)
    rows: list[Row] = []
    closing = []
    for account in Account.objects.order_by("code"):
        old, new = before.get(account.code, Balance()), moved.get(account.code, Balance())
        if not (old.net or any(new)):
            continue
        sides = _sides(old.plus(new))
        closing.append((new.debit, new.credit, *sides))
        way = _way(account, first, last, scope)
        figures = (new.debit, new.credit, *(side or None for side in sides))
        rows.append(
            row(
                _name(account, first, last, scope),
                usual(account, old),
                *(Cell(amount, way) for amount in figures),
            )
        )
    sums = [total(figures[place] for figures in closing) for place in range(4)]
    return Report(
        title="Trial balance",
        about=(between(first, last), scope.name),
        columns=(
            Column("Account"),
            *money_columns(["Opening", "Debits", "Credits", "Closing debit", "Closing credit"]),
        ),
        rows=(*rows, row("Total", None, *sums, look=Look.TOTAL)),
        notes=(
            "Opening balances stand on the usual side of each account; in brackets on the other.",
            *_notes(sums[2] - sums[3]),
        ),
    )


def _sides(balance: Balance) -> tuple:
    """Return the balance in the debit or in the credit column."""
    net = balance.net
    return (net, ZERO) if net > 0 else (ZERO, -net)


def _name(account: Account, first: date, last: date, scope: Scope) -> Cell:
    return Cell(str(account), _way(account, first, last, scope))


def _way(account: Account, first: date, last: date, scope: Scope):
    return report_target("account", account=account.code, first=first, last=last, **scope.answers)


def _notes(difference) -> tuple[str, ...]:
    if not difference:
        return ()
    return (f"The books do not balance: {difference:,.2f}. Run manage.py prove_books.",)
