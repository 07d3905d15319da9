"""The loan book that the demo's lender took over from a chama: loans, and a file of schedules."""

import csv
import io
from datetime import date, timedelta
from decimal import Decimal

from lms import dates
from lms.backoffice.demo.story import Story
from lms.customers.models import Customer
from lms.imports import operations as imports
from lms.loans.models import Loan
from lms.loans.operations import lifecycle
from lms.money import ZERO

LOANS = 10
FILENAME = "tujenge-schedules.csv"
COLUMNS = (
    "loan", "number", "due_date", "amount_due", "principal", "interest", "amount_paid",
)  # fmt: skip
DAYS_AGO = 1  # when the book is brought in


def plan(story: Story) -> None:
    """Plan the takeover of a loan book, and the import of its schedules by the accountant."""
    story.plan(story.today - timedelta(days=DAYS_AGO), 10.5, lambda day: take_over(story, day))


def take_over(story: Story, on: date) -> None:
    """Write the loans down as running, then import what is due and was paid on each."""
    borrowers = Customer.objects.filter(
        kyc_status=Customer.Kyc.VERIFIED, loans=None, branch__code="DEMOKSM"
    ).select_related("branch")
    lines = []
    for number, customer in enumerate(borrowers.order_by("pk")[:LOANS]):
        loan = lifecycle.apply(
            customer=customer,
            product=story.products["MSHAHARA"],
            principal=Decimal(20_000 + number * 5_000),
            by=story.office.teams["DEMOKSM"].officer,
            on=on,
            legacy_number=f"TJ/{2041 + number * 3}",
            purpose="Taken over from Tujenge chama",
        )
        disbursed_on = dates.add_months(on, -(number % 4) - 1) - timedelta(days=number)
        loan = lifecycle.take_over(
            loan,
            disbursed_on=disbursed_on,
            with_schedule=False,
            by=story.office.teams["DEMOKSM"].manager,
            on=on,
        )
        lines += _schedule(loan, on=on)
    _import(lines, story, on=on)


def _schedule(loan: Loan, *, on: date) -> list[dict]:
    """Return the lines of one loan as the old system wrote them: what is past is paid."""
    rows = loan.calculator(disbursed_on=loan.disbursed_on, fees=[]).schedule()
    return [
        {
            "loan": loan.legacy_number,
            "number": row.number,
            "due_date": row.due_date.isoformat(),
            "amount_due": row.principal + row.interest,
            "principal": row.principal,
            "interest": row.interest,
            "amount_paid": row.principal + row.interest if row.due_date < on else ZERO,
        }
        for row in rows
    ]


def _import(lines: list[dict], story: Story, *, on: date) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(lines)
    job = imports.upload(
        kind="schedule",
        content=text.getvalue().encode(),
        filename=FILENAME,
        by=story.office.accountant,
    )
    job = imports.check(job, on=on)
    job = imports.confirm(job, leave_out_bad=False, by=story.office.accountant)
    imports.apply(job, by=story.office.accountant, on=on)
