"""What a statement file says: rows of M-Pesa and of banks, told alike. No database, no clock.

Amounts are signed KES as our account feels them: money in is more than zero. Rows come back oldest
first, whatever order the file has, because only so does each balance follow from the one before.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from decimal import Decimal

from lms import dates, tables
from lms.money import ZERO

MPESA_COLUMNS = {
    "receipt": ("receipt no.", "receipt number", "transaction id", "receipt"),
    "completed": ("completion time", "completed time", "transaction date"),
    "details": ("details", "transaction details", "description"),
    "status": ("transaction status",),
    "in": ("paid in", "money in", "credit"),
    "out": ("withdrawn", "withdrawal", "paid out", "money out", "debit"),
    "balance": ("account balance",),
    "kind": ("reason type", "transaction type"),
    "party": ("other party info", "other party", "opposite party"),
    "linked": ("linked transaction id", "linked transaction"),
    "account": ("a/c no.", "a/c no", "account no.", "account number"),
}
MPESA_REQUIRED = ("receipt", "completed", "status", "in", "out")
COMPLETED = ("completed", "complete", "success", "successful")

CHARGE_WORDS = re.compile(
    r"\b(charges?|fees?|commission|tariff|excise|levy|cost of)\b", re.IGNORECASE
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)? ?([AP]M)?", re.IGNORECASE)
_SIDE = re.compile(r"\s*(CR|DR)\.?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """How one bank writes its statement: the titles of its columns, empty where it has none."""

    day: str
    narration: str
    value_date: str = ""
    reference: str = ""
    debit: str = ""
    credit: str = ""
    amount: str = ""
    balance: str = ""
    date_format: str = "day_first"
    out_is_positive: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a statement. `happened` is False for what M-Pesa lists but did not carry out."""

    number: int
    day: date
    amount: Decimal
    reference: str = ""
    narration: str = ""
    kind: str = ""
    party: str = ""
    linked: str = ""
    account_no: str = ""
    at: datetime | None = None
    value_date: date | None = None
    balance: Decimal | None = None
    happened: bool = True
    key: str = ""

    @property
    def is_charge(self) -> bool:
        return looks_like_charge(self.kind, self.narration, self.amount)


@dataclass(slots=True)
class Reading:
    """A whole file. `wrong` are lines that cannot be read, `skipped` those that move no money.

    `breaks` are the lines whose balance does not follow from the line before them.
    """

    rows: list[Row] = field(default_factory=list)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)  # line, column, what to do
    skipped: list[tuple[int, str]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)


def looks_like_charge(kind: str, narration: str, amount: Decimal) -> bool:
    """Tell whether money that left was the price of a transaction.

    The kind of an M-Pesa line decides where it is there: names of payers are in the details.
    """
    return amount < 0 and bool(CHARGE_WORDS.search(kind or narration))


def read_mpesa(content: bytes, *, filename: str) -> Reading:
    """Return the lines of an M-Pesa organisation statement. Raises TableError.

    Withdrawn may be written with or without a minus, days in either order, times with or without
    seconds; lines before the header do not count.
    """
    columns = MPESA_COLUMNS
    table = tables.read(content, filename=filename, columns=columns, required=MPESA_REQUIRED)
    return _read(table.lines, _mpesa_row, _mpesa_identity)


def read_bank(content: bytes, *, filename: str, columns: Columns) -> Reading:
    """Return the lines of a bank statement written as `columns` say. Raises TableError.

    Lines without a day or without an amount move no money and are skipped: totals, footers,
    balances brought forward.
    """
    names = ("day", "value_date", "reference", "narration", "debit", "credit", "amount", "balance")
    titles = {name: (title,) for name in names if (title := getattr(columns, name))}
    table = tables.read(content, filename=filename, columns=titles, required=tuple(titles))
    return _read(table.lines, lambda line: _bank_row(line, columns), _bank_identity)


class _Skip(Exception):
    """The line moves no money; the text says why."""


class _Wrong(Exception):
    """One cell cannot be read."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def _read(
    lines: Iterable[tables.Line], make: Callable, identity: Callable[[Row], tuple]
) -> Reading:
    """Return what every line says, oldest first, each with its key."""
    reading = Reading()
    for line in lines:
        if line.error is not None:
            reading.wrong.append((line.number, "", line.error))
            continue
        try:
            reading.rows.append(make(line))
        except _Skip as why:
            reading.skipped.append((line.number, str(why)))
        except _Wrong as wrong:
            reading.wrong.append((line.number, wrong.column, str(wrong)))
    reading.rows, reading.breaks = in_order(reading.rows)
    reading.rows = _with_keys(reading.rows, identity)
    return reading


def _with_keys(rows: Sequence[Row], identity: Callable[[Row], tuple]) -> list[Row]:
    """Name every row so that another file of the same days names it alike.

    Rows that say exactly the same are numbered: which of them is which does not matter.
    """
    seen: Counter = Counter()
    keyed = []
    for row in rows:
        same = identity(row)
        seen[same] += 1
        text = "|".join([*map(str, same), str(seen[same])])
        keyed.append(replace(row, key=hashlib.sha256(text.encode()).hexdigest()))
    return keyed


def _mpesa_identity(row: Row) -> tuple:
    """A charge repeats the receipt of its payment, so receipt, kind and amount name a line."""
    return ("mpesa", row.reference, row.kind.casefold(), row.amount, row.happened)


def _bank_identity(row: Row) -> tuple:
    words = re.sub(r"\W+", "", row.narration).casefold()
    return ("bank", row.day, row.reference, words, row.amount, row.balance)


# --- M-Pesa --------------------------------------------------------------------------------------
def _mpesa_row(line: tables.Line) -> Row:
    cells = line.cells
    receipt = re.sub(r"\s+", "", _text(cells, "receipt")).upper()
    if not receipt and not _text(cells, "completed"):
        raise _Skip("No receipt and no time: not a transaction.")
    if not receipt:
        raise _Wrong("receipt", "The receipt number is empty. Export the statement again.")
    day = _cell(cells, "completed", tables.parse_date)
    return Row(
        number=line.number,
        day=day,
        at=_instant(cells.get("completed"), day),
        amount=_two_columns(cells, paid_in="in", paid_out="out"),
        reference=receipt[:40],
        narration=_text(cells, "details")[:300],
        kind=_text(cells, "kind")[:80],
        party=_text(cells, "party")[:120],
        linked=re.sub(r"\s+", "", _text(cells, "linked")).upper()[:40],
        account_no=_text(cells, "account")[:40],
        balance=_optional_money(cells, "balance"),
        happened=_text(cells, "status").casefold() in COMPLETED,
    )


def _instant(value: object, day: date) -> datetime | None:
    """Return when it was completed in Kenya, None where the cell says only the day."""
    if isinstance(value, datetime):
        return dates.instant(day, value.time())
    found = _CLOCK.search(str(value))
    if not found:
        return None
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if found[4]:
        hour = hour % 12 + (12 if found[4].upper() == "PM" else 0)
    try:
        return dates.instant(day, time(hour, minute, second))
    except ValueError as error:
        raise _Wrong("completed", f"“{found[0]}” is not a time of day.") from error


# --- Banks ---------------------------------------------------------------------------------------
def _bank_row(line: tables.Line, columns: Columns) -> Row:
    cells = line.cells
    if not _text(cells, "day"):
        raise _Skip("No date: not a transaction.")
    amounts = [_text(cells, name) for name in ("debit", "credit", "amount")]
    if not any(amounts):
        raise _Skip("No amount: not a transaction.")
    if columns.amount:
        amount = _cell(cells, "amount", _sided)
        amount = -amount if columns.out_is_positive else amount
        if not amount:
            raise _Skip("The amount is zero.")
    else:
        amount = _two_columns(cells, paid_in="credit", paid_out="debit")

    def as_day(value: object) -> date:
        return _day(value, columns.date_format)

    return Row(
        number=line.number,
        day=_cell(cells, "day", as_day),
        value_date=_cell(cells, "value_date", as_day) if _text(cells, "value_date") else None,
        amount=amount,
        reference=re.sub(r"\s+", "", _text(cells, "reference")).upper()[:40],
        narration=_text(cells, "narration")[:300],
        balance=_optional_money(cells, "balance"),
    )


def _day(value: object, date_format: str) -> date:
    """Return the day of a cell in the bank's way of writing it. Raises ValueError."""
    if isinstance(value, date | datetime):
        return tables.parse_date(value)
    text = tables.parse_text(value)
    if date_format == "compact":
        if not re.fullmatch(r"\d{8}", text):
            raise ValueError(f"“{text[:40]}” is not a date like 20260131.")
        return tables.parse_date(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    if date_format == "month_first":
        found = re.match(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})\b", text)
        if found:
            month, gap, day, year = found.groups()
            return tables.parse_date(f"{day}{gap}{month}{gap}{year}")
    return tables.parse_date(text)


def _sided(value: object) -> Decimal:
    """Return an amount that may carry its side behind it: 1,200.00 DR left the account."""
    text = tables.parse_text(value)
    side = _SIDE.search(text)
    if not side:
        return tables.parse_money(value)
    amount = abs(tables.parse_money(text[: side.start()]))
    return -amount if side[1].upper() == "DR" else amount


# --- Cells ---------------------------------------------------------------------------------------
def _text(cells: dict, name: str) -> str:
    return _cell(cells, name, tables.parse_text) if cells.get(name, "") != "" else ""


def _cell(cells: dict, name: str, parse: Callable):
    try:
        return parse(cells.get(name, ""))
    except ValueError as error:
        raise _Wrong(name, str(error)) from error


def _optional_money(cells: dict, name: str) -> Decimal | None:
    return _cell(cells, name, _sided) if _text(cells, name) else None


def _two_columns(cells: dict, *, paid_in: str, paid_out: str) -> Decimal:
    """Return the signed amount of two columns of which one is filled, whatever signs they carry."""
    got = abs(_optional_money(cells, paid_in) or ZERO)
    gave = abs(_optional_money(cells, paid_out) or ZERO)
    if got and gave:
        raise _Wrong(paid_in, "Money came in and left on one line. Export the statement again.")
    if not got and not gave:
        raise _Wrong(paid_in, "No amount came in or left. Export the statement again.")
    return got or -gave


# --- Order ---------------------------------------------------------------------------------------
def in_order(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """Return the rows oldest first, and the line numbers at which the balance does not follow.

    The order in which more balances follow wins; with none to tell, the days decide.
    """
    forward, backward = list(rows), list(reversed(rows))
    if not rows:
        return [], []
    found = [(_breaks(forward), forward), (_breaks(backward), backward)]
    is_newest_first = (
        (rows[0].at or rows[0].day) > (rows[-1].at or rows[-1].day)
        if (bool(rows[0].at) == bool(rows[-1].at))
        else rows[0].day > rows[-1].day
    )
    if is_newest_first:
        found.reverse()
    breaks, ordered = min(found, key=lambda pair: len(pair[0]))
    return ordered, breaks


def _breaks(rows: Iterable[Row]) -> list[int]:
    broken, before = [], None
    for row in rows:
        if not row.happened or row.balance is None:
            continue
        if before is not None and before + row.amount != row.balance:
            broken.append(row.number)
        before = row.balance
    return broken


def balances_of(rows: Sequence[Row]) -> tuple[Decimal | None, Decimal | None]:
    """Return the balance before the first row and after the last; None where the file has none."""
    told = [row for row in rows if row.happened and row.balance is not None]
    if not told:
        return None, None
    return told[0].balance - told[0].amount, told[-1].balance
