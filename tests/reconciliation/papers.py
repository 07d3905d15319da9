"""Statements and reconciliations for tests: the paybill of 20 and 21 November 2026."""

from datetime import date
from decimal import Decimal
from pathlib import Path

from lms.ledger import chart
from lms.ledger.models import Account
from lms.payments.models import Payment
from lms.payments.operations import receive
from lms.reconciliation.models import BankLayout, Reconciliation, StatementFile, StatementLine
from lms.reconciliation.operations import beginning, importing
from tests import factories

FILES = Path(__file__).parents[1] / "data" / "statements"
FIRST, LAST = date(2026, 11, 20), date(2026, 11, 21)
HEADER = (
    "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance,"
    "Reason Type,Other Party Info,Linked Transaction ID,A/C No."
)


def auma():
    """Auma the accountant, who prepares."""
    return factories.staff("auma", "Accountant", branch=None)


def baraka():
    """Baraka, the other accountant, who signs."""
    return factories.staff("baraka", "Accountant", branch=None)


def begun(
    account: str = chart.MPESA_PAYBILL, *, first: date = FIRST, last: date = LAST, **fields
) -> Reconciliation:
    factories.branch()
    return beginning.begin(
        account=Account.objects.get(pk=account), first=first, last=last, by=auma(), on=last,
        **fields,
    )  # fmt: skip


def statement(*lines: str) -> bytes:
    """An M-Pesa statement: receipt, time, amount, kind and what follows, without balances."""
    rows = [HEADER]
    for line in lines:
        receipt, time, amount, kind, *rest = [part.strip() for part in line.split("|")]
        account, linked, status = [*rest, "", "", ""][:3]
        paid, withdrawn = (amount, "") if not amount.startswith("-") else ("", amount)
        rows.append(
            f"{receipt},{time},{kind} of somebody,{status or 'Completed'},{paid},{withdrawn},,"
            f"{kind},2547****011 - ASHA CHEBET,{linked},{account}"
        )
    return "\n".join(rows).encode()


def bank_statement(*lines: str) -> bytes:
    """A statement of `layout`: day, reference, particulars and amount, without balances."""
    rows = [
        "Transaction Date,Value Date,Transaction Reference,Particulars,Debit,Credit,Running Balance"
    ]
    for line in lines:
        day, reference, particulars, amount = [part.strip() for part in line.split("|")]
        debit, credit = (amount[1:], "") if amount.startswith("-") else ("", amount)
        rows.append(f"{day},{day},{reference},{particulars},{debit},{credit},")
    return "\n".join(rows).encode()


def bank_taken(reconciliation: Reconciliation, *lines: str) -> StatementFile:
    """A statement of the bank brought and taken in by Auma."""
    found = BankLayout.objects.first() or layout()
    return taken(reconciliation, bank_statement(*lines), layout=found)


def brought(reconciliation: Reconciliation, content: bytes | str = "mpesa.csv", **fields):
    if isinstance(content, str):
        content = (FILES / content).read_bytes()
    return importing.bring(
        reconciliation, content=content, filename="statement.csv", by=auma(), **fields
    )


def taken(reconciliation: Reconciliation, content: bytes | str = "mpesa.csv", **fields):
    """A statement brought and taken in by Auma."""
    file = brought(reconciliation, content, **fields)
    return importing.take_in(file, by=auma(), on=reconciliation.last)


def layout() -> BankLayout:
    made = BankLayout(
        name="Equity Bank",
        account_id=chart.BANK,
        day="Transaction Date",
        value_date="Value Date",
        reference="Transaction Reference",
        narration="Particulars",
        debit="Debit",
        credit="Credit",
        balance="Running Balance",
    )
    made.full_clean()
    made.save()
    return made


def paid(reference: str, amount: str, *, on: date = LAST, method: str = "mpesa") -> Payment:
    """Money that was received here, and waits unallocated."""
    return receive(
        method=method,
        amount=Decimal(amount),
        reference=reference,
        value_date=on,
        account="",
        branch=factories.branch(),
        by=None,
        on=on,
    )


def verdicts(reconciliation: Reconciliation) -> dict[str, list[str]]:
    """The references of the lines by verdict."""
    found: dict[str, list[str]] = {}
    for line in reconciliation.lines.order_by("pk"):
        found.setdefault(str(line.verdict), []).append(line.reference)
    return found


def line_of(reference: str, **only) -> StatementLine:
    return StatementLine.objects.get(reference=reference, **only)


def status_of(file: StatementFile) -> str:
    file.refresh_from_db()
    return file.status


def account(code: str) -> Account:
    return Account.objects.get(pk=code)
