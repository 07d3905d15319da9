"""Interest earned by time, on loans whose product earns it so (`income_basis` accrual).

What is earned by the end of a day is worked out from the instalments, compared with what is booked
and the difference posted. On a loan in default what is earned and unpaid waits in suspense.
"""

from datetime import date, timedelta

from lms.ledger import chart
from lms.loans.models import Loan
from lms.loans.models.terms import IncomeBasis
from lms.loans.operations.night import sql

# A loan may be closed by money of an earlier day: so long its interest is still looked at.
LOOKS_BACK = timedelta(days=31)


def accrue(first: int, last: int, *, on: date) -> int:
    """Book what interest was earned and suspended by a day; return how many loans moved."""
    chosen = (
        f"l.id BETWEEN {first} AND {last} AND l.income_basis = '{IncomeBasis.ACCRUAL}' "
        f"AND (l.status = {sql.ACTIVE} OR l.status = '{Loan.Status.CLOSED}' "
        f"AND l.closed_on >= {sql.day(on - LOOKS_BACK)})"
    )
    sql.lock(chosen)
    sql.put_aside("night_interest", _moves(chosen, first, last, on))
    moved = sql.execute(
        "UPDATE loans_position SET "
        "interest_earned = ROUND(interest_earned + t.earned / 100.0, 2), "
        "interest_suspended = ROUND(interest_suspended + t.suspended / 100.0, 2) "
        "FROM night_interest AS t WHERE t.loan_id = loans_position.loan_id"
    )
    if moved:
        _book(first, on=on)
    sql.drop("night_interest")
    return moved


def _moves(chosen: str, first: int, last: int, on: date) -> str:
    """Return the query of what to book: loan, branch, account of income, cents earned, suspended.

    Every table is held to the keys of the chunk, or PostgreSQL reads all of it each time.
    """
    today = sql.day(on)
    run = sql.days("until", "COALESCE(s.before, disbursed_on)")
    period = sql.days("s.coming", "COALESCE(s.before, disbursed_on)")
    return f"""
        WITH chosen AS (
            SELECT l.id AS loan_id, l.branch_id, l.disbursed_on, n.id AS defaulted,
                   {sql.account("l.posting_profile_id", chart.INTEREST_INCOME)} AS income,
                   {sql.cents("p.interest_earned")} AS earned,
                   {sql.cents("p.interest_suspended")} AS suspended,
                   CASE WHEN l.status <> {sql.ACTIVE} THEN {sql.day(date.max)}
                        WHEN l.interest_stops_on < {today} THEN l.interest_stops_on
                        ELSE {today} END AS until
              FROM loans_loan AS l
              JOIN loans_position AS p ON p.loan_id = l.id
                   AND p.loan_id BETWEEN {first} AND {last}
              LEFT JOIN loans_nonperforming AS n ON n.loan_id = l.id AND n.ended_on IS NULL
             WHERE {chosen}
        ), sums AS (
            SELECT r.loan_id,
                   SUM(CASE WHEN r.due_date <= c.until THEN r.interest - r.interest_waived
                       ELSE 0 END) AS due,
                   SUM(r.interest_paid) AS paid,
                   MAX(CASE WHEN r.due_date <= c.until AND r.version > 0 THEN r.due_date END)
                        AS before,
                   MIN(CASE WHEN r.due_date > c.until THEN r.due_date END) AS coming
              FROM loans_repayment AS r JOIN chosen AS c ON c.loan_id = r.loan_id
             WHERE r.loan_id BETWEEN {first} AND {last} AND r.status NOT IN ({sql.GONE})
             GROUP BY r.loan_id
        ), by_now AS (
            SELECT c.*, {sql.cents("COALESCE(s.paid, 0)")} AS paid,
                   {sql.cents("COALESCE(s.due, 0)")}
                   + CASE WHEN s.coming IS NULL OR ({run}) <= 0 THEN 0
                   ELSE ({sql.cents("r.interest - r.interest_waived")} * ({run}) * 2 + ({period}))
                        / (({period}) * 2) END AS target
              FROM chosen AS c
              LEFT JOIN sums AS s ON s.loan_id = c.loan_id
              LEFT JOIN loans_repayment AS r ON r.loan_id = c.loan_id AND r.due_date = s.coming
                   AND r.loan_id BETWEEN {first} AND {last} AND r.status NOT IN ({sql.GONE})
        ), moves AS (
            SELECT loan_id, branch_id, income, target - earned AS earned,
                   CASE WHEN defaulted IS NOT NULL AND target > paid
                        THEN target - paid ELSE 0 END - suspended AS suspended
              FROM by_now
        )
        SELECT * FROM moves WHERE earned <> 0 OR suspended <> 0"""


def _book(first: int, *, on: date) -> None:
    """Post the moves. What is both earned and suspended never passes through income."""
    entry = sql.post_entries(
        "accrual",
        branches=[pk for (pk,) in sql.fetch("SELECT DISTINCT branch_id FROM night_interest")],
        narration=f"Interest earned by {on:%d %b %Y}",
        first=first,
        on=on,
    )
    straight = (
        "CASE WHEN earned > 0 AND suspended > 0 THEN "
        f"{sql.least('earned', 'suspended')} WHEN earned < 0 AND suspended < 0 THEN "
        f"-({sql.least('-earned', '-suspended')}) ELSE 0 END"
    )
    sql.execute(f"""
        INSERT INTO ledger_transfer
            (entry_id, date, debit_id, credit_id, amount, branch_id, subject)
        WITH moves AS (
            SELECT loan_id, branch_id, income, earned, suspended, {straight} AS straight
              FROM night_interest
        ), lines AS (
            SELECT loan_id, branch_id, straight AS amount, '{chart.UNEARNED_INTEREST}' AS debit,
                   '{chart.SUSPENDED_INTEREST}' AS credit FROM moves WHERE straight <> 0
             UNION ALL
            SELECT loan_id, branch_id, earned - straight, '{chart.UNEARNED_INTEREST}', income
              FROM moves WHERE earned <> straight
             UNION ALL
            SELECT loan_id, branch_id, suspended - straight, income, '{chart.SUSPENDED_INTEREST}'
              FROM moves WHERE suspended <> straight
        )
        SELECT {entry}, {sql.day(on)}, CASE WHEN amount > 0 THEN debit ELSE credit END,
               CASE WHEN amount > 0 THEN credit ELSE debit END, ABS(amount) / 100.0, t.branch_id,
               {sql.loan_number("t.loan_id")} FROM lines AS t""")
