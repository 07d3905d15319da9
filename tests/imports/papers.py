"""Files as text, and the way through an import, for the tests of this room."""

from datetime import date
from decimal import Decimal
from pathlib import Path

from lms.imports import operations
from lms.imports.models import ImportJob
from lms.loans.models import Loan
from lms.loans.operations import lifecycle
from tests import factories

ON = date(2026, 3, 20)
DISBURSED = date(2026, 1, 5)
DATA = Path(__file__).parent.parent / "data" / "imports"
HEADER = "loan,number,due_date,amount_due,principal,interest,fees,penalty,amount_paid,status\n"


def running(principal: str = "10000.00", **fields) -> Loan:
    """A loan taken over without a schedule, disbursed on 5 January 2026."""
    draft = factories.draft(Decimal(principal), **fields)
    return lifecycle.take_over(
        draft, disbursed_on=DISBURSED, with_schedule=False, by=factories.kamau(), on=ON
    )


def uploaded(text: str | bytes, *, by=None, kind="schedule", filename="book.csv") -> ImportJob:
    content = text.encode() if isinstance(text, str) else text
    return operations.upload(
        kind=kind, content=content, filename=filename, by=by or factories.kamau()
    )


def checked(text: str | bytes, **where) -> ImportJob:
    return operations.check(uploaded(text, **where), on=ON)


def imported(text: str | bytes, *, leave_out_bad: bool = False, **where) -> ImportJob:
    """The whole way: upload, check, confirm, apply."""
    job = checked(text, **where)
    job = operations.confirm(job, leave_out_bad=leave_out_bad, by=job.created_by)
    return operations.apply(job, by=job.created_by, on=ON)


def counts(job: ImportJob) -> dict[str, int]:
    """The counts that are not zero."""
    names = ("new", "changed", "unchanged", "wrong", "left_out")
    return {name: getattr(job, name) for name in names if getattr(job, name)}


def wrong(job: ImportJob) -> list[tuple[int, str, str]]:
    """Line, column and sentence of each wrong line."""
    return [(row["line"], row["column"], row["message"]) for row in job.summary["wrong"]]


def rows(loan: Loan, *fields: str) -> list[tuple]:
    return list(loan.repayments.order_by("number").values_list(*fields))
