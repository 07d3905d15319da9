"""The account statement and the journal: every transfer, in the order of its day."""

from datetime import date
from decimal import Decimal

from lms import dates, money
from lms.ledger import balances
from lms.ledger.models import Account, Transfer
from lms.reports.lines import carried, signed_sum
from lms.reports.shape import (
    WHOLE,
    Cell,
    Column,
    Kind,
    Look,
    Report,
    Row,
    Window,
    money_columns,
    report_target,
    row,
)
from lms.reports.sources import entry_cell, papers_of, source_of
from lms.reports.spans import Scope


def account_statement(
    *, account: Account, first: date, last: date, scope: Scope, window: Window = WHOLE
) -> Report:
    """Return the transfers of one account with its balance before, after each, and at the end.

    Balances stand on the account's normal side: in brackets when they lie on the other. Where a
    year was closed in these days, a line says what it came to without that, as the income
    statement has it.
    """
    found = balances.statement(account.code, first, last, branch_ids=scope.branch_ids)
    moved = found.transfers.order_by("date", "pk")
    debits, credits = signed_sum(moved, [account.code])
    running = found.opening.net + carried(moved, [account.code], window)
    rows = [_sum_row("Before" if window.offset else "Opening balance", account.signed(running))]
    shown = list(window.of(moved.select_related("entry", "debit", "credit", "branch")))
    papers = papers_of(transfer.entry_id for transfer in shown)
    for transfer in shown:
        is_debit = transfer.debit_id == account.code
        running += transfer.amount if is_debit else -transfer.amount
        other = transfer.credit if is_debit else transfer.debit
        rows.append(
            row(
                transfer.date,
                entry_cell(transfer.entry_id),
                transfer.entry.narration,
                source_of(transfer, papers),
                Cell(str(other), account_target(other, first, last, scope)),
                transfer.branch.code,
                transfer.amount if is_debit else None,
                None if is_debit else transfer.amount,
                account.signed(running),
            )
        )
    closing = found.opening.net + debits - credits
    if last >= date(first.year, 12, 31):
        ended = moved.filter(entry__kind__in=balances.YEAR_END_KINDS)
        debit, credit = signed_sum(ended, [account.code])
        if debit or credit:
            before = account.signed(closing - debit + credit)
            left = debits - debit, credits - credit
            rows.append(_sum_row("Before the year was closed", before, *left))
    ends = account.signed(closing)
    rows.append(_sum_row("Closing balance", ends, debits, credits, look=Look.TOTAL))
    return Report(
        title=f"Statement of {account}",
        about=(f"{dates.show(first)} to {dates.show(last)}", scope.name),
        columns=(
            Column("Day", Kind.DAY),
            *(Column(title) for title in ("Entry", "What", "Source", "Against", "Branch")),
            *money_columns(["Debit", "Credit", "Balance"]),
        ),
        rows=tuple(rows),
        lines=moved.count(),
    )


def _sum_row(
    title: str,
    balance: Decimal,
    debit: Decimal | None = None,
    credit: Decimal | None = None,
    *,
    look: Look = Look.SUM,
) -> Row:
    return row(None, "", title, "", "", "", debit, credit, balance, look=look)


def account_target(account: Account, first: date, last: date, scope: Scope):
    return report_target("account", account=account.code, first=first, last=last, **scope.answers)


def journal(
    *, first: date, last: date, scope: Scope, event: str = "", window: Window = WHOLE
) -> Report:
    """Return every transfer of some days; of one kind of event and its reversals where told."""
    moved = Transfer.objects.filter(date__range=(first, last)).order_by("date", "pk")
    if scope.branch_ids is not None:
        moved = moved.filter(branch__in=scope.branch_ids)
    if event:
        moved = moved.filter(entry__kind__in=(event, f"{event}_reversal"))
    sums = moved.order_by().aggregate(amount=money.total("amount"))
    shown = list(window.of(moved.select_related("entry__posted_by", "debit", "credit", "branch")))
    papers = papers_of(transfer.entry_id for transfer in shown)
    rows = [
        row(
            transfer.date,
            entry_cell(transfer.entry_id),
            event_name(transfer.entry.kind),
            transfer.entry.narration,
            source_of(transfer, papers),
            Cell(str(transfer.debit), account_target(transfer.debit, first, last, scope)),
            Cell(str(transfer.credit), account_target(transfer.credit, first, last, scope)),
            transfer.branch.code,
            str(transfer.entry.posted_by or ""),
            transfer.amount,
        )
        for transfer in shown
    ]
    rows.append(row(None, "", "Total", *[""] * 6, money.money(sums["amount"]), look=Look.TOTAL))
    titles = ("Entry", "Event", "What", "Source", "Debit", "Credit", "Branch", "By")
    return Report(
        title="Journal",
        about=(
            f"{dates.show(first)} to {dates.show(last)}",
            scope.name,
            event_name(event) if event else "All events",
        ),
        columns=(Column("Day", Kind.DAY), *map(Column, titles), Column("Amount", Kind.MONEY)),
        rows=tuple(rows),
        lines=moved.count(),
    )


def event_name(kind: str) -> str:
    """Return the kind of an entry in words: write_off_reversal is "Write off, reversed"."""
    base = kind.removesuffix("_reversal")
    words = base.replace("_", " ").capitalize()
    return f"{words}, reversed" if base != kind else words
