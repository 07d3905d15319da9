"""The lines of a schedule file, each cell read. Pure: no database, no clock."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal

from lms import tables
from lms.imports.verdicts import Verdict
from lms.money import ZERO, kes

COLUMNS = {
    "loan": (
        "loan no",
        "loan number",
        "loan id",
        "loan ref",
        "loan reference",
        "loan account",
        "loan account no",
        "loan account number",
        "account",
        "account no",
        "account number",
        "a/c no",
        "contract",
        "contract no",
    ),
    "number": (
        "no",
        "#",
        "instalment",
        "installment",
        "instalment no",
        "installment no",
        "instalment number",
        "installment number",
        "inst no",
        "repayment no",
        "repayment number",
        "schedule no",
        "period",
        "seq",
    ),
    "due_date": (
        "due",
        "due on",
        "date",
        "date due",
        "repayment date",
        "instalment date",
        "installment date",
        "schedule date",
    ),
    "amount_due": (
        "amount",
        "amount (kes)",
        "amount due (kes)",
        "due amount",
        "total",
        "total due",
        "total amount due",
        "instalment amount",
        "installment amount",
        "repayment amount",
        "expected amount",
        "amount payable",
        "emi",
    ),
    "principal": ("principal due", "principal amount", "principal (kes)", "capital"),
    "interest": ("interest due", "interest amount", "interest (kes)"),
    "fees": ("fee", "fees due", "fees (kes)", "charges", "other charges"),
    "penalty": ("penalties", "penalty due", "penalties (kes)", "late fee", "fine", "fines"),
    "amount_paid": (
        "paid",
        "paid amount",
        "total paid",
        "amount paid (kes)",
        "amount received",
        "repaid",
    ),
    "status": ("state", "repayment status", "instalment status", "installment status"),
}
REQUIRED = ("loan", "number", "due_date", "amount_due")
MOST_INSTALMENTS = 100_000

# What lenders write, and what it means here. `due` says nothing beyond "not settled yet".
STATUSES = {
    "unpaid": ("pending", "unpaid", "not paid", "not due", "upcoming", "scheduled", "open"),
    "due": ("due", "current", "active", "running"),
    "partial": ("partial", "partially paid", "partly paid", "part paid"),
    "completed": ("completed", "complete", "paid", "fully paid", "cleared", "settled", "closed"),
    "overdue": ("overdue", "late", "in arrears", "arrears", "past due"),
    "waived": ("waived", "forgiven"),
    "cancelled": ("cancelled", "canceled", "void"),
}
STATUS_OF = {word: status for status, words in STATUSES.items() for word in words}


class Item(Verdict):
    """One line: one instalment of one loan, as the file tells it.

    `loan` is the text of the file. `old` is the instalment that stands here, `pay` and `waive`
    are what an import would settle on it, by component.
    """

    __slots__ = (
        "amount_due",
        "amount_paid",
        "due_date",
        "fees",
        "interest",
        "loan",
        "number",
        "old",
        "pay",
        "penalty",
        "principal",
        "status",
        "waive",
    )

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.loan = ""
        self.number: int | None = None
        self.due_date: date | None = None
        self.amount_due = ZERO
        self.principal = self.interest = self.fees = self.penalty = None
        self.amount_paid: Decimal | None = None
        self.status = ""
        self.old = self.pay = self.waive = None

    @property
    def key(self) -> str:
        return self.loan if self.number is None else f"{self.loan} no. {self.number}"

    @property
    def text(self) -> str:
        if self.due_date is None:
            return self.message
        parts = [f"due {self.due_date:%d %b %Y}", kes(self.amount_due)]
        parts += [
            f"{name} {kes(getattr(self, name))}"
            for name in ("principal", "interest", "fees", "penalty")
            if getattr(self, name)
        ]
        if self.pay:
            parts.append(f"paid {kes(sum(self.pay.values()))}")
        if self.waive:
            parts.append(f"waived {kes(sum(self.waive.values()))}")
        if self.status == "cancelled":
            parts.append("cancelled")
        return ", ".join(parts)

    @property
    def is_cancelled(self) -> bool:
        return self.status == "cancelled"

    @property
    def has_split(self) -> bool:
        """The line says of what the amount is made."""
        return not (
            self.principal is None
            and self.interest is None
            and self.fees is None
            and self.penalty is None
        )


def read(lines: Iterable[tables.Line], columns: Sequence[str]) -> list[Item]:
    """Return an item a line, with the first cell that cannot be read called wrong.

    `columns` are the canonical names that the file has.
    """
    parsers = [(name, _remembered(PARSERS[name]), name in REQUIRED) for name in columns]
    items = []
    for line in lines:
        item = Item(line.number)
        items.append(item)
        if line.error is not None:
            item.refuse("", line.error)
            continue
        cells = line.cells
        for name, parse, is_required in parsers:
            cell = cells[name]
            if cell == "" and not is_required:
                continue
            try:
                setattr(item, name, parse(cell))
            except ValueError as error:
                item.refuse(name, str(error))
    return items


def _remembered(parse: Callable, most: int = 100_000) -> Callable:
    """Return the parser with a memory: a file repeats its days and amounts, and shares them."""
    known: dict[str, object] = {}

    def remember(cell: object) -> object:
        if type(cell) is not str:
            return parse(cell)
        found = known.get(cell)
        if found is None:
            found = parse(cell)
            if len(known) < most:
                known[cell] = found
        return found

    return remember


def _loan(cell: object) -> str:
    # An apostrophe before a number is how spreadsheets are told that it is text.
    if not (text := tables.parse_text(cell).lstrip("'’")):
        raise ValueError("The loan is empty. Write its number, like LN000123.")
    return text


def _number(cell: object) -> int:
    number = tables.parse_int(cell)
    if not 1 <= number <= MOST_INSTALMENTS:
        raise ValueError(f"Instalments are numbered from 1, so {number} cannot be right.")
    return number


def _amount(cell: object) -> Decimal:
    amount = tables.parse_money(cell)
    if amount < 0:
        raise ValueError(f"{kes(amount)} is negative. Write the amount without a minus.")
    return amount


def _amount_due(cell: object) -> Decimal:
    if not (amount := _amount(cell)):
        raise ValueError("The amount due is zero. Write what falls due, or delete the line.")
    return amount


def _status(cell: object) -> str:
    words = re.sub(r"[\W_]+", " ", tables.parse_text(cell)).strip().lower()
    if words not in STATUS_OF:
        raise ValueError(
            f"“{tables.parse_text(cell)}” is not a status. "
            "Write pending, partial, completed, overdue, waived or cancelled, or leave it empty."
        )
    return STATUS_OF[words]


PARSERS = {
    "loan": _loan,
    "number": _number,
    "due_date": tables.parse_date,
    "amount_due": _amount_due,
    "principal": _amount,
    "interest": _amount,
    "fees": _amount,
    "penalty": _amount,
    "amount_paid": _amount,
    "status": _status,
}
