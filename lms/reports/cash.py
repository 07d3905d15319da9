"""Money itself: what came in and went out of cash, M-Pesa and bank, by what it was for."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import QuerySet

from lms import dates, money
from lms.ledger import chart
from lms.ledger.balances import Balance, balances
from lms.ledger.models import Account, Transfer
from lms.money import ZERO
from lms.reports.columns import standing
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
    total,
)
from lms.reports.sources import entry_cell, papers_of, source_of
from lms.reports.spans import Scope, Span, between

# The part of a cash flow that money of an account belongs to.
OPERATING, INVESTING, FINANCING = "operating", "investing", "financing"
PARTS = {
    OPERATING: "From lending and the office",
    INVESTING: "From property and equipment",
    FINANCING: "From owners and funders",
}
INVESTED = (chart.FIXED_ASSETS, chart.ACCUMULATED_DEPRECIATION)
FINANCED = (chart.FUNDER_LOANS,)
# What money on the other side of an account means to a reader; else the account's own name.
MEANINGS = {
    chart.UNALLOCATED: "Received from customers",
    chart.CUSTOMER_CREDIT: "Credit paid back to customers",
    chart.LOAN_PRINCIPAL: "Loans paid out",
    chart.CHAMA_FUNDS: "Chama money, in less out",
}


def cash_accounts() -> dict[str, Account]:
    """Return the accounts that are money: those under the header of cash, without the suspense."""
    every = list(Account.objects.order_by("code"))
    under = {chart.CASH_AND_BANK}
    for _ in every:  # Headers may stand under headers, in any order of codes.
        more = {account.code for account in every if account.parent_id in under} - under
        if not more:
            break
        under |= more
    return {
        account.code: account
        for account in every
        if account.code in under and not account.is_header and account.code != chart.SUSPENSE
    }


def _moved(codes: Iterable[str], first: date, last: date, scope: Scope) -> QuerySet[Transfer]:
    """Return the transfers into and out of these accounts, without those among them."""
    moved = Transfer.objects.filter(date__range=(first, last))
    if scope.branch_ids is not None:
        moved = moved.filter(branch__in=scope.branch_ids)
    codes = list(codes)
    into = moved.filter(debit__in=codes).exclude(credit__in=codes)
    out = moved.filter(credit__in=codes).exclude(debit__in=codes)
    return into | out


def flows(codes: Iterable[str], spans: Sequence[Span]) -> list[dict[str, Decimal]]:
    """Return what came in less what went out in each span (KES), by the account on the other side.

    Spans of the same days, one a branch, are read together.
    """
    codes = set(codes)
    found = {days: _by_branch(codes, *days) for days in {(s.first, s.last) for s in spans}}
    return [_within(found[span.first, span.last], span.scope) for span in spans]


def _by_branch(codes: set[str], first: date, last: date) -> dict[tuple[str, int], Decimal]:
    sums = _moved(codes, first, last, Scope()).order_by().values_list("debit", "credit", "branch")
    found: dict[tuple[str, int], Decimal] = defaultdict(lambda: ZERO)
    for debit, credit, branch, amount in sums.annotate(sum=money.total("amount")):
        into = debit in codes
        found[credit if into else debit, branch] += money.money(amount if into else -amount)
    return found


def _within(found: dict[tuple[str, int], Decimal], scope: Scope) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for (code, branch), amount in found.items():
        if scope.branch_ids is None or branch in scope.branch_ids:
            sums[code] += amount
    return sums


def cash_flow(spans: Sequence[Span]) -> Report:
    """Return the money that moved by what it was for, and what there was before and after."""
    codes = cash_accounts()
    columns = flows(codes, spans)
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    sums = {part: [ZERO] * len(spans) for part in PARTS}
    for account in Account.objects.order_by("code"):
        amounts = [column.get(account.code, ZERO) for column in columns]
        if not any(amounts):
            continue
        part = _part(account)
        parts[part].append(_line(account, amounts, spans))
        sums[part] = [had + more for had, more in zip(sums[part], amounts, strict=True)]
    rows: list[Row] = []
    for part, title in PARTS.items():
        if parts[part]:
            blank = [None] * len(spans)
            rows.append(row(title, *blank, look=Look.HEAD))
            rows += parts[part]
            rows.append(row("Net " + title[0].lower() + title[1:], *sums[part], look=Look.SUM))
    net = [total(sums[part][place] for part in PARTS) for place in range(len(spans))]
    opening = [_held(codes, found) for found in standing(spans, _eve)]
    closing = [_held(codes, found) for found in standing(spans, lambda span: span.last)]
    rows += [
        row("Change in cash", *net, look=Look.SUM),
        row("Cash at the start", *(total(held.values()) for held in opening)),
        row("Cash at the end", *(total(held.values()) for held in closing), look=Look.TOTAL),
        *_where(codes, closing, spans),
    ]
    main = spans[-1] if len({span.scope for span in spans}) > 1 else spans[0]
    return Report(
        title="Cash flow",
        about=(between(main.first, main.last), main.scope.name),
        columns=(Column("What for"), *money_columns([span.title for span in spans])),
        rows=tuple(rows),
        notes=(
            "Money that left stands in brackets. Moves between cash, M-Pesa and bank cancel out.",
        ),
    )


def _part(account: Account) -> str:
    if account.code in INVESTED:
        return INVESTING
    if account.code in FINANCED or account.kind == Account.Kind.EQUITY:
        return FINANCING
    return OPERATING


def _line(account: Account, amounts: Sequence[Decimal], spans: Sequence[Span]) -> Row:
    cells = (
        Cell(amount, _book_target(span, counter=account.code) if amount else None)
        for amount, span in zip(amounts, spans, strict=True)
    )
    return row(_meaning(account), *cells, level=1)


def _meaning(account: Account) -> str:
    if common := MEANINGS.get(account.stands_for_id):
        return f"{common}: {account.name}"
    return MEANINGS.get(account.code, account.name)


def _book_target(span: Span, **more: object):
    return report_target(
        "cash-book", first=span.first, last=span.last, **more, **span.scope.answers
    )


def held(on: date, scope: Scope) -> Decimal:
    """Return how much money there is at the end of a day (KES)."""
    return total(_held(cash_accounts(), balances(on, branch_ids=scope.branch_ids)).values())


def _eve(span: Span) -> date:
    return span.first - timedelta(days=1)


def _held(codes: Iterable[str], found: dict[str, Balance]) -> dict[str, Decimal]:
    return {code: found[code].net for code in codes if code in found}


def _where(codes: dict[str, Account], closing: list[dict], spans: Sequence[Span]) -> list[Row]:
    """Return where the money of the last days lies, account by account."""
    rows = []
    for code, account in codes.items():
        amounts = [held.get(code, ZERO) for held in closing]
        if any(amounts):
            ways = [
                report_target(
                    "account", account=code, first=span.first, last=span.last, **span.scope.answers
                )
                for span in spans
            ]
            cells = map(Cell, amounts, ways)
            rows.append(row(str(account), *cells, level=1))
    return rows


def cash_book(
    *, first: date, last: date, scope: Scope, counter: Account | None = None, window: Window = WHOLE
) -> Report:
    """Return each movement of money with its source; only those against `counter` where told.

    The balance runs over all cash, M-Pesa and bank together; against one account it sums up
    what moved.
    """
    codes = cash_accounts()
    moved = _moved(codes, first, last, scope).order_by("date", "pk")
    opening = ZERO
    if counter is None:
        found = balances(first - timedelta(days=1), branch_ids=scope.branch_ids)
        opening = total(_held(codes, found).values())
    else:
        moved = moved.filter(debit=counter) | moved.filter(credit=counter)
    running = opening + carried(moved, codes, window)
    shown = list(window.of(moved.select_related("entry", "debit", "credit", "branch")))
    papers = papers_of(transfer.entry_id for transfer in shown)
    into, out = signed_sum(moved, codes)
    rows = [
        row(
            "",
            "",
            "Before" if window.offset else "Opening",
            "",
            "",
            "",
            None,
            None,
            running,
            look=Look.SUM,
        )
    ]
    for transfer in shown:
        came = transfer.debit_id in codes
        running += transfer.amount if came else -transfer.amount
        place, other = (
            (transfer.debit, transfer.credit) if came else (transfer.credit, transfer.debit)
        )
        rows.append(
            row(
                transfer.date,
                entry_cell(transfer.entry_id),
                transfer.entry.narration,
                source_of(transfer, papers),
                str(place),
                str(other),
                transfer.amount if came else None,
                None if came else transfer.amount,
                running,
            )
        )
    rows.append(row("", "", "Total", "", "", "", into, out, opening + into - out, look=Look.TOTAL))
    against = f"Against {counter}" if counter else "All cash, M-Pesa and bank"
    return Report(
        title="Cash book",
        about=(f"{dates.show(first)} to {dates.show(last)}", scope.name, against),
        columns=(
            Column("Day", Kind.DAY),
            *(Column(title) for title in ("Entry", "What", "Source", "Account", "Against")),
            *money_columns(["In", "Out", "Balance" if counter is None else "Sum"]),
        ),
        rows=tuple(rows),
        lines=moved.count(),
    )
