"""The sides that `schedule_import` compares, on one PostgreSQL database that Django is open on."""

import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import tablib
from django.conf import settings
from django.db import connection, transaction
from import_export.resources import ModelResource

from lms import dates
from lms.imports import operations
from lms.ledger import chart
from lms.ledger.operations import Line, Posting, post_many
from lms.loans.models import Loan, Repayment
from lms.staff.models import Staff
from tests import factories

SAMPLE = 2_000
A_LOAN = 12
ON = date(2026, 3, 20)
DISBURSED = date(2025, 12, 20)
PRINCIPAL = Decimal("12000.00")
HEADER = "loan,number,due_date,amount_due,principal,interest\n"

CHECKS = """
    SELECT count(*) FROM (
        SELECT s.loan FROM staged s LEFT JOIN loans_loan l ON l.id = s.loan AND l.status = 'active'
        WHERE l.id IS NULL OR s.amount_due <= 0 OR s.principal < 0 OR s.interest < 0
           OR s.principal + s.interest <> s.amount_due OR s.due_date <= l.disbursed_on
        UNION ALL
        SELECT loan FROM staged GROUP BY loan, number HAVING count(*) > 1
        UNION ALL
        SELECT loan FROM (
            SELECT loan, due_date,
                   lag(due_date) OVER (PARTITION BY loan ORDER BY number) AS before FROM staged
        ) days WHERE due_date <= before
        UNION ALL
        SELECT s.loan FROM staged s JOIN loans_loan l ON l.id = s.loan
        GROUP BY s.loan, l.principal HAVING sum(s.principal) <> l.principal
        UNION ALL
        SELECT s.loan FROM staged s
        JOIN loans_repayment r ON r.loan_id = s.loan AND r.number = s.number
    ) wrong
"""
INSERT = """
    INSERT INTO loans_repayment (
        loan_id, number, due_date, principal, interest, fees, penalties, principal_paid,
        interest_paid, fees_paid, penalties_paid, principal_waived, interest_waived, fees_waived,
        penalties_waived, status, paid_on)
    SELECT loan, number, due_date, principal, interest, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'pending',
           NULL
    FROM staged
"""


def prepare(rows: int) -> tuple[Staff, str]:
    """Make running loans without a schedule; return who imports and the file for all of them."""
    boss = factories.staff("benchmark", branch=None, is_superuser=True)
    customer, product, branch = factories.wanjiku(), factories.product(), factories.branch()
    template = Loan(customer=customer, branch=branch, created_by=boss)
    template.copy_terms(product.version_on(DISBURSED))
    fields = {
        field.attname: getattr(template, field.attname)
        for field in Loan._meta.concrete_fields
        if not field.primary_key
    }
    fields |= {
        "principal": PRINCIPAL,
        "status": "active",
        "applied_on": DISBURSED,
        "disbursed_on": DISBURSED,
    }
    loans = Loan.objects.bulk_create(
        (Loan(**fields) for _ in range(-(-rows // A_LOAN))), batch_size=2000
    )
    post_many(
        (
            Posting(
                reference=f"takeover:{loan.pk}",
                narration="Takeover",
                lines=[Line(chart.LOAN_PRINCIPAL, chart.OPENING_BALANCES, PRINCIPAL)],
                branch_id=branch.pk,
                subject=loan.number,
            )
            for loan in loans
        ),
        kind="takeover",
        on=ON,
        by=boss,
    )
    return boss, HEADER + "".join(_lines(loans, rows))


def _lines(loans: list[Loan], rows: int) -> Iterator[str]:
    for index in range(rows):
        loan, number = loans[index // A_LOAN], index % A_LOAN + 1
        last = number == A_LOAN or index == rows - 1
        principal = PRINCIPAL - 950 * (number - 1) if last else Decimal(950)
        interest = Decimal(index % 97 + 20) + Decimal("0.25")
        due = dates.add_months(DISBURSED, number)
        yield f"{loan.number},{number},{due},{principal + interest},{principal},{interest}\n"


def clear() -> None:
    """Empty what an import writes, so that the next figure starts from the same place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE loans_repayment, loans_historicalrepayment, loans_position CASCADE"
        )
        cursor.execute("ANALYZE loans_loan")


def floor(text: str) -> float:
    """Return the seconds of COPY, set-based checks and INSERT … SELECT."""
    bare = text.replace("LN", "")
    start = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE staged (loan bigint, number int, due_date date, "
            "amount_due numeric(14, 2), principal numeric(14, 2), interest numeric(14, 2)) "
            "ON COMMIT DROP"
        )
        with cursor.copy("COPY staged FROM STDIN WITH (FORMAT csv, HEADER)") as copy:
            copy.write(bare)
        cursor.execute("ANALYZE staged")
        cursor.execute(CHECKS)
        assert cursor.fetchone() == (0,)
        cursor.execute(INSERT)
    return time.perf_counter() - start


def ours(text: str, boss: Staff, rows: int) -> tuple[float, float]:
    """Return the seconds of upload with check, and of apply."""
    settings.IMPORT_MAX_MEGABYTES = 200
    start = time.perf_counter()
    job = operations.upload(
        kind="schedule", content=text.encode(), filename="benchmark.csv", by=boss
    )
    job = operations.check(job, on=ON)
    checked = time.perf_counter()
    job = operations.confirm(job, leave_out_bad=False, by=boss)
    job = operations.apply(job, by=boss, on=ON)
    done = time.perf_counter()
    assert (job.status, job.new) == ("done", rows), (job.status, job.error)
    assert Repayment.objects.count() == Repayment.history.count() == rows
    return checked - start, done - checked


class RepaymentResource(ModelResource):
    """What django-import-export makes of the model by itself, skipping rows that are the same."""

    class Meta:
        model = Repayment
        skip_unchanged = True
        import_id_fields = ("loan", "number")
        fields = ("loan", "number", "due_date", "principal", "interest")


def library(text: str) -> float:
    """Return the seconds per row of the library's defaults: preview, then confirm."""
    lines = [line.split(",") for line in text.splitlines()[1 : SAMPLE + 1]]
    data = tablib.Dataset(headers=("loan", "number", "due_date", "principal", "interest"))
    for loan, number, due, _, principal, interest in lines:
        data.append((int(loan.removeprefix("LN")), number, due, principal, interest))
    start = time.perf_counter()
    RepaymentResource().import_data(data, dry_run=True, raise_errors=True)
    RepaymentResource().import_data(data, dry_run=False, raise_errors=True)
    seconds = time.perf_counter() - start
    assert Repayment.objects.count() == SAMPLE
    return seconds / SAMPLE
