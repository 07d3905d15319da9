"""A book of active loans for the nightly close, and the same night as plain SQL statements."""

from datetime import date
from decimal import Decimal

from django.db import connection, transaction

from lms import dates
from lms.customers.models import Customer
from lms.loans.models import Loan, Penalty, Position, ProvisionTable, Repayment
from tests import factories
from tests.benchmarks.portfolio import BRANCHES, FIRST, INSTALMENTS, copy, day_after, numbers

DAY = date(2026, 6, 30)  # the day before the first night that is measured
# 0.5% a day of what is unpaid of the instalment, after 3 days, at most 10% of it.
TERMS = {
    "penalty_base": "instalment",
    "penalty_value": Decimal("0.5"),
    "penalty_frequency": "daily",
    "penalty_grace_days": 3,
    "penalty_cap_kind": "percent_of_base",
    "penalty_cap_value": Decimal(10),
    "income_basis": "accrual",
    "number_of_repayments": 1,
}
RULE = "0.5% of the overdue instalment a day, after 3 days, at most 10% of that"

# Loan i was paid out 190 to 219 days ago, so six of its instalments fell due; each fifth loan
# missed the last 1 to 6 of them.
DUE = "(30 * k - 190 - i % 30)"
MISSED = "CASE WHEN i % 5 = 0 THEN 1 + (i / 5) % 6 ELSE 0 END"
IS_PAID = f"({DUE} <= 0 AND k <= 6 - ({MISSED}))"


def fill(loans: int) -> None:
    """Make so many active loans of 12 instalments, a fifth of them late."""
    original = factories.active(Decimal(12_000), product=factories.product(code="NIGHT", **TERMS))
    branches = [factories.branch(code, name).pk for code, name in BRANCHES.items()]
    branch = (
        "CASE i % 5 " + " ".join(f"WHEN {n} THEN {pk}" for n, pk in enumerate(branches)) + " END"
    )
    i, k = numbers("i", loans), numbers("k", INSTALMENTS)
    key = f"{FIRST} + i"
    paid_out = day_after(DAY, "-190 - i % 30")
    customer = {
        "id": key,
        "last_name": "'Mwangi' || i",
        "name": "'Wanjiku Mwangi' || i",
        "phone": "'254' || (700000000 + i)",
        "id_number": "'' || (10000000 + i)",
        "branch_id": branch,
    }
    loan = {
        "id": key,
        "customer_id": key,
        "branch_id": branch,
        "number_of_repayments": str(INSTALMENTS),
        **dict.fromkeys(("applied_on", "approved_on", "disbursed_on"), paid_out),
    }
    repayment = {
        "id": f"{FIRST} + i * {INSTALMENTS} + k",
        "loan_id": key,
        "number": "k",
        "due_date": day_after(DAY, DUE),
        "principal": "1000",
        "interest": "101 + i % 13",
        "principal_paid": f"CASE WHEN {IS_PAID} THEN 1000 ELSE 0 END",
        "interest_paid": f"CASE WHEN {IS_PAID} THEN 101 + i % 13 ELSE 0 END",
        "status": f"CASE WHEN {IS_PAID} THEN 'completed' ELSE 'pending' END",
        "paid_on": f"CASE WHEN {IS_PAID} THEN {day_after(DAY, DUE)} END",
    }
    with connection.cursor() as cursor:
        for statement in (
            copy(Customer, original.customer_id, i, customer),
            copy(Loan, original.pk, i, loan),
            copy(Repayment, original.repayments.get().pk, f"{i}, {k}", repayment),
            copy(Position, original.pk, i, {"loan_id": key}),
            f"""UPDATE loans_position SET principal = owed.principal, interest = owed.interest,
                       unscheduled = 0, overdue_since = owed.since
                  FROM (SELECT loan_id, SUM(principal - principal_paid) AS principal,
                               SUM(interest - interest_paid) AS interest,
                               MIN(CASE WHEN status = 'pending' THEN due_date END) AS since
                          FROM loans_repayment WHERE loan_id > {FIRST} GROUP BY loan_id) AS owed
                 WHERE owed.loan_id = loans_position.loan_id""",
        ):
            cursor.execute(statement)
        cursor.execute("ANALYZE")


def floor(on: date) -> None:
    """Do all that the night does to this book as one transaction of bare statements.

    It knows the one rule of the book, that no charge meets the in duplum cap and that no loan was
    restructured; it neither locks nor cuts the book into chunks, and it could not tell which loan
    is broken.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        for statement in _statements(on):
            cursor.execute(statement)


def _columns(model) -> str:
    return ", ".join(f"t.{field.column}" for field in model._meta.local_concrete_fields)


def _names(model) -> str:
    return _columns(model).replace("t.", "")


def _entry(kind: str, narration: str, on: date, table: str) -> str:
    return f"""
        INSERT INTO ledger_journalentry (date, kind, reference, narration, posted_at)
        SELECT DISTINCT DATE '{on}', '{kind}', '{kind}:{on}:' || branch_id, '{narration}', now()
          FROM {table}"""


def _transfers(kind: str, debit: str, credit: str, amount: str, on: date, table: str) -> str:
    return f"""
        INSERT INTO ledger_transfer
            (entry_id, date, debit_id, credit_id, amount, branch_id, subject)
        SELECT e.id, DATE '{on}', '{debit}', '{credit}', {amount}, t.branch_id, 'LN' || t.loan_id
          FROM {table} AS t JOIN ledger_journalentry AS e
               ON e.reference = '{kind}:{on}:' || t.branch_id"""


def _statements(on: date):
    today = f"DATE '{on}'"
    unpaid = (
        "(r.principal - r.principal_paid - r.principal_waived "
        "+ r.interest - r.interest_paid - r.interest_waived)"
    )
    yield f"""
        CREATE TEMPORARY TABLE charge ON COMMIT DROP AS
        SELECT r.id, r.loan_id, l.branch_id,
               ROUND(ROUND(LEAST({unpaid} * 0.005 * ({today} - r.due_date - 3), {unpaid} * 0.1), 2))
               - COALESCE(c.sum, 0) AS amount
          FROM loans_repayment AS r JOIN loans_loan AS l ON l.id = r.loan_id
          LEFT JOIN (SELECT repayment_id, SUM(amount) AS sum FROM loans_penalty
                      WHERE charged_by_id IS NULL AND cancelled_on IS NULL
                      GROUP BY repayment_id) AS c ON c.repayment_id = r.id
         WHERE r.status IN ('pending', 'partial') AND r.due_date < {today} - 3
               AND l.status = 'active' AND l.penalty_base <> 'none'"""
    yield "DELETE FROM charge WHERE amount <= 0"
    yield f"""
        WITH made AS (
            INSERT INTO loans_penalty (repayment_id, amount, suspended, charged_on, rule)
            SELECT id, amount, 0, {today}, '{RULE}' FROM charge RETURNING *)
        INSERT INTO loans_historicalpenalty ({_names(Penalty)}, history_date, history_type,
                                             history_change_reason)
        SELECT {_columns(Penalty)}, now(), '+', '{RULE}' FROM made AS t"""
    yield f"""
        WITH made AS (
            UPDATE loans_repayment AS t SET penalties = t.penalties + c.amount FROM charge AS c
             WHERE c.id = t.id RETURNING {_columns(Repayment)})
        INSERT INTO loans_historicalrepayment ({_names(Repayment)}, history_date, history_type,
                                               history_change_reason)
        SELECT {_columns(Repayment)}, now(), '~', 'Penalty' FROM made AS t"""
    yield _entry("penalties", "Late penalties", on, "charge")
    summed = "(SELECT loan_id, branch_id, SUM(amount) AS sum FROM charge GROUP BY 1, 2)"
    yield _transfers("penalties", "1140", "4030", "t.sum", on, summed)
    yield f"""
        UPDATE loans_position AS p SET penalties = p.penalties + t.sum, last_event_on = {today}
          FROM {summed} AS t WHERE t.loan_id = p.loan_id"""
    classes = " ".join(
        f"WHEN s.days >= {band.from_days} THEN '{band.name}'"
        for band in reversed(ProvisionTable.objects.booked().get().bands_on(on))
    )
    yield f"""
        CREATE TEMPORARY TABLE standing ON COMMIT DROP AS
        SELECT s.*, CASE {classes} END AS class
          FROM (SELECT l.id AS loan_id, l.npl_days, MIN(r.due_date) AS since,
                       GREATEST({today} - COALESCE(MIN(r.due_date), {today}), 0) AS days
                  FROM loans_loan AS l LEFT JOIN loans_repayment AS r ON r.loan_id = l.id
                       AND r.status IN ('pending', 'partial') AND {unpaid} > 10
                 WHERE l.status = 'active' GROUP BY l.id) AS s"""
    yield """
        UPDATE loans_position AS p SET overdue_since = s.since, classification = s.class
          FROM standing AS s WHERE s.loan_id = p.loan_id
               AND (p.overdue_since IS DISTINCT FROM s.since OR p.classification <> s.class)"""
    yield f"""
        INSERT INTO loans_nonperforming (loan_id, since, principal)
        SELECT s.loan_id, {today}, p.principal FROM standing AS s
          JOIN loans_position AS p ON p.loan_id = s.loan_id
         WHERE s.days >= s.npl_days AND NOT EXISTS (
               SELECT 1 FROM loans_nonperforming AS n
                WHERE n.loan_id = s.loan_id AND n.ended_on IS NULL)"""
    yield f"""
        UPDATE loans_nonperforming AS n SET ended_on = {today} FROM standing AS s
         WHERE s.loan_id = n.loan_id AND n.ended_on IS NULL AND s.days = 0"""
    yield f"""
        CREATE TEMPORARY TABLE accrued ON COMMIT DROP AS
        SELECT l.id AS loan_id, l.branch_id, n.id IS NOT NULL AS defaulted, p.interest_suspended,
               s.due - p.interest_earned + COALESCE(ROUND(r.interest * ({today} - COALESCE(
                   s.before, l.disbursed_on)) / (r.due_date - COALESCE(s.before, l.disbursed_on)),
                   2), 0) AS earned, s.due - s.paid AS unpaid,
               COALESCE(ROUND(r.interest * ({today} - COALESCE(s.before, l.disbursed_on))
                   / (r.due_date - COALESCE(s.before, l.disbursed_on)), 2), 0) AS running
          FROM loans_loan AS l
          JOIN loans_position AS p ON p.loan_id = l.id
          JOIN (SELECT loan_id, SUM(interest_paid) AS paid,
                       COALESCE(SUM(interest - interest_waived) FILTER (WHERE due_date <= {today}),
                                0) AS due,
                       MAX(due_date) FILTER (WHERE due_date <= {today}) AS before,
                       MIN(due_date) FILTER (WHERE due_date > {today}) AS coming
                  FROM loans_repayment GROUP BY loan_id) AS s ON s.loan_id = l.id
          LEFT JOIN loans_repayment AS r ON r.loan_id = l.id AND r.due_date = s.coming
          LEFT JOIN loans_nonperforming AS n ON n.loan_id = l.id AND n.ended_on IS NULL
         WHERE l.status = 'active' AND l.income_basis = 'accrual'"""
    yield """
        ALTER TABLE accrued ADD COLUMN suspended numeric"""
    yield """
        UPDATE accrued SET suspended = CASE WHEN defaulted THEN unpaid + running ELSE 0 END
                                       - interest_suspended
         WHERE defaulted OR interest_suspended <> 0"""
    yield """
        UPDATE loans_position AS p SET interest_earned = p.interest_earned + a.earned,
               interest_suspended = p.interest_suspended + COALESCE(a.suspended, 0)
          FROM accrued AS a WHERE a.loan_id = p.loan_id AND (a.earned <> 0 OR a.suspended <> 0)"""
    yield _entry("accrual", "Interest earned", on, "accrued")
    # In this book what is suspended is all that was earned, and more when the default begins.
    yield _transfers(
        "accrual", "2040", "4010", "t.earned", on,
        "(SELECT * FROM accrued WHERE suspended IS NULL AND earned > 0)",
    )  # fmt: skip
    yield _transfers(
        "accrual", "2040", "2050", "t.earned", on,
        "(SELECT * FROM accrued WHERE suspended > 0 AND earned > 0)",
    )  # fmt: skip
    yield _transfers(
        "accrual", "4010", "2050", "t.suspended - t.earned", on,
        "(SELECT * FROM accrued WHERE suspended > earned)",
    )  # fmt: skip
    yield f"""
        INSERT INTO loans_loansnapshot (day, loan_id, branch_id, product_id, loan_officer_id,
               principal, interest, fees, penalties, arrears, days_past_due, classification,
               is_restructured, is_non_performing)
        SELECT {today}, l.id, l.branch_id, l.product_id, l.loan_officer_id, p.principal,
               p.interest, p.fees, p.penalties, COALESCE(a.sum, 0),
               GREATEST({today} - p.overdue_since, 0), p.classification,
               l.restructured_on IS NOT NULL, n.id IS NOT NULL
          FROM loans_loan AS l JOIN loans_position AS p ON p.loan_id = l.id
          LEFT JOIN loans_nonperforming AS n ON n.loan_id = l.id AND n.ended_on IS NULL
          LEFT JOIN (SELECT r.loan_id, SUM({unpaid} + r.fees - r.fees_paid - r.fees_waived
                            + r.penalties - r.penalties_paid - r.penalties_waived) AS sum
                       FROM loans_repayment AS r WHERE r.status IN ('pending', 'partial')
                            AND r.due_date < {today} GROUP BY r.loan_id) AS a ON a.loan_id = l.id
         WHERE l.status = 'active'"""
    yield from _provisions(on, today)


def _provisions(on: date, today: str):
    for table in ProvisionTable.objects.all():
        bands = table.bands_on(on)
        cases = " ".join(
            f"WHEN days_past_due >= {b.from_days} THEN '{b.name}'" for b in bands[::-1]
        )
        rates = " ".join(f"WHEN '{b.name}' THEN {b.rate}" for b in bands)
        yield f"""
            INSERT INTO loans_provision (day, table_id, branch_id, classification, loans,
                                         principal, required)
            SELECT {today}, {table.pk}, branch_id, class, COUNT(*), SUM(principal),
                   ROUND(SUM(principal) * CASE class {rates} END / 100, 2)
              FROM (SELECT branch_id, principal, CASE {cases} END AS class
                      FROM loans_loansnapshot WHERE day = {today}) AS s
             GROUP BY branch_id, class"""
    yield f"""
        CREATE TEMPORARY TABLE more ON COMMIT DROP AS
        SELECT p.branch_id, 0 AS loan_id, SUM(required) - COALESCE(
               (SELECT SUM(CASE WHEN credit_id = '1190' THEN amount ELSE -amount END)
                  FROM ledger_transfer AS t WHERE '1190' IN (debit_id, credit_id)
                       AND t.branch_id = p.branch_id), 0) AS sum
          FROM loans_provision AS p JOIN loans_provisiontable AS b ON b.id = p.table_id
         WHERE p.day = {today} AND b.is_booked GROUP BY p.branch_id"""
    yield _entry("provision", "Provision", on, "more")
    yield _transfers("provision", "5030", "1190", "t.sum", on, "(SELECT * FROM more WHERE sum > 0)")
    yield _transfers(
        "provision", "1190", "5030", "-t.sum", on, "(SELECT * FROM more WHERE sum < 0)"
    )


ENDS = {
    "penalties": "SELECT repayment_id, amount, suspended, charged_on, rule FROM loans_penalty",
    "instalments": "SELECT id, penalties, status FROM loans_repayment",
    "positions": "SELECT * FROM loans_position",
    "defaults": "SELECT loan_id, since, principal, ended_on FROM loans_nonperforming",
    "snapshots": "SELECT loan_id, day, branch_id, principal, interest, fees, penalties, arrears, "
    "days_past_due, classification, is_restructured, is_non_performing FROM loans_loansnapshot",
    "provisions": "SELECT day, table_id, branch_id, classification, loans, principal, required "
    "FROM loans_provision",
    "history of instalments": "SELECT id, penalties, history_type FROM loans_historicalrepayment",
    "history of penalties": "SELECT repayment_id, amount, charged_on FROM loans_historicalpenalty",
    "books": "SELECT e.date, debit_id, credit_id, amount, branch_id, "
    "CASE WHEN kind = 'provision' THEN '' ELSE subject END AS subject FROM ledger_transfer "
    "JOIN ledger_journalentry AS e ON e.id = entry_id",
}


def ends() -> dict[str, str]:
    """Return what is in each table that the night writes: how many rows, and a digest."""
    found = {}
    with connection.cursor() as cursor:
        for name, query in ENDS.items():
            cursor.execute(
                f"SELECT COUNT(*), MD5(COALESCE(STRING_AGG(line, '|' ORDER BY line), '')) "
                f"FROM (SELECT MD5(CAST(t AS text)) AS line FROM ({query}) AS t) AS lines"
            )
            count, text = cursor.fetchone()
            found[name] = f"{count:,} rows, {text}"
    return found


def break_one(on: date) -> Loan:
    """Give one late loan what its night cannot bear: its rule was charged by hand on that day."""
    row = Repayment.objects.filter(
        status="pending", due_date__lt=on - dates.timedelta(days=8), loan_id__gt=FIRST,
        due_date__gt=on - dates.timedelta(days=12),
    ).first()  # fmt: skip
    Penalty.objects.create(
        repayment=row, amount=1, charged_on=on, rule=RULE, charged_by=factories.kamau()
    )
    return row.loan
