"""The balance sheet and the income statement: accounts by kind, side by side in columns."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from lms import dates
from lms.ledger.models import Account
from lms.reports.accounts import Amounts, Sheet
from lms.reports.columns import moved, standing
from lms.reports.shape import (
    Cell,
    Column,
    Look,
    Report,
    Row,
    Target,
    money_columns,
    report_target,
    row,
    total,
)
from lms.reports.spans import Span, year_to

Kind = Account.Kind


def income_statement(spans: Sequence[Span]) -> Report:
    """Return income, expenses and profit, a column for each span."""
    sheet = Sheet(moved(spans), lambda *place: _way(spans, *place))
    income, expenses = sheet.sum(Kind.INCOME), sheet.sum(Kind.EXPENSE)
    rows = [
        *_part("Income", sheet, Kind.INCOME, income, len(spans)),
        *_part("Expenses", sheet, Kind.EXPENSE, expenses, len(spans)),
        row("Profit", *_less(income, expenses), look=Look.TOTAL),
    ]
    return Report(
        title="Income statement",
        about=_about(spans),
        columns=(Column("Account"), *money_columns([span.title for span in spans])),
        rows=tuple(rows),
        notes=("A loss, and whatever lessens its part, stands in brackets.",),
    )


def profit_of(span: Span) -> Decimal:
    """Return income less expenses of some days (KES), negative for a loss."""
    codes = _results()
    [column] = moved([span])
    return total(-balance.net for code, balance in column.items() if code in codes)


def _results() -> set[str]:
    """Return the codes of income and expenses."""
    kinds = (Kind.INCOME, Kind.EXPENSE)
    return set(Account.objects.filter(kind__in=kinds).values_list("code", flat=True))


def balance_sheet(spans: Sequence[Span]) -> Report:
    """Return what is owned and owed at the end of each span, with the profit not yet closed."""
    columns = standing(spans, lambda span: span.last)
    sheet = Sheet(columns, lambda *place: _way(spans, *place))
    assets, liabilities = sheet.sum(Kind.ASSET), sheet.sum(Kind.LIABILITY)
    booked = sheet.sum(Kind.EQUITY)
    unclosed = _less(sheet.sum(Kind.INCOME), sheet.sum(Kind.EXPENSE))
    earlier = _profit_of_earlier_years(spans)
    current = _less(unclosed, earlier)
    equity = _add(booked, unclosed)
    profit = [
        Cell(amount, _profit_way(span) if amount else None)
        for amount, span in zip(current, spans, strict=True)
    ]
    rows = [
        *_part("Assets", sheet, Kind.ASSET, assets, len(spans), look=Look.TOTAL),
        *_part("Liabilities", sheet, Kind.LIABILITY, liabilities, len(spans)),
        _head("Equity", len(spans)),
        *sheet.section(Kind.EQUITY),
        *([row("Profit of earlier years, not closed", *earlier, level=1)] if any(earlier) else []),
        row("Profit of the year", *profit, level=1),
        row("Total equity", *equity, look=Look.SUM),
        row("Total liabilities and equity", *_add(liabilities, equity), look=Look.TOTAL),
    ]
    off = any(_less(assets, _add(liabilities, equity)))
    return Report(
        title="Balance sheet",
        about=_about(spans, as_of=True),
        columns=(Column("Account"), *money_columns([span.title for span in spans])),
        rows=tuple(rows),
        notes=("The books do not balance. Run manage.py prove_books.",) if off else (),
    )


def _profit_of_earlier_years(spans: Sequence[Span]) -> Amounts:
    """Return the profit before the year of each span's last day that was not closed to equity."""
    codes = _results()
    columns = standing(spans, lambda span: date(span.last.year - 1, 12, 31))
    return tuple(
        total(-balance.net for code, balance in column.items() if code in codes)
        for column in columns
    )


def _part(
    title: str, sheet: Sheet, kind: str, sums: Amounts, width: int, *, look: Look = Look.SUM
) -> list[Row]:
    return [
        _head(title, width),
        *sheet.section(kind),
        row(f"Total {title.lower()}", *sums, look=look),
    ]


def _head(title: str, width: int) -> Row:
    return row(title, *([None] * width), look=Look.HEAD)


def _way(spans: Sequence[Span], account: Account, place: int) -> Target:
    span = spans[place]
    return report_target(
        "account", account=account.code, first=span.first, last=span.last, **span.scope.answers
    )


def _profit_way(span: Span) -> Target:
    first, last = year_to(span.last)
    return report_target("income-statement", first=first, last=last, **span.scope.answers)


def _about(spans: Sequence[Span], *, as_of: bool = False) -> tuple[str, ...]:
    main = spans[-1] if len({span.scope for span in spans}) > 1 else spans[0]
    days = (
        f"As of {dates.show(main.last)}"
        if as_of
        else f"{dates.show(main.first)} to {dates.show(main.last)}"
    )
    return (days, main.scope.name)


def _add(some: Amounts, others: Amounts) -> Amounts:
    return tuple(one + other for one, other in zip(some, others, strict=True))


def _less(some: Amounts, others: Amounts) -> Amounts:
    return tuple(one - other for one, other in zip(some, others, strict=True))
