"""How each running loan stands at the end of a day, kept for every report about that day."""

from datetime import date

from lms.loans.operations.night import sql

WRITTEN = (
    "branch_id", "product_id", "loan_officer_id", "principal", "interest", "fees", "penalties",
    "arrears", "days_past_due", "classification", "is_restructured", "is_non_performing",
)  # fmt: skip


def take(first: int, last: int, *, on: date) -> int:
    """Write a snapshot of every active loan, or correct the one of that day; return how many."""
    columns = ", ".join(WRITTEN)
    excluded = ", ".join(f"excluded.{name}" for name in WRITTEN)
    kept = ", ".join(f"loans_loansnapshot.{name}" for name in WRITTEN)
    changes = ", ".join(f"{name} = excluded.{name}" for name in WRITTEN)
    late = f"p.overdue_since < {sql.day(on)}"
    return sql.execute(f"""
        INSERT INTO loans_loansnapshot (day, loan_id, {columns})
        SELECT {sql.day(on)}, l.id, l.branch_id, l.product_id, l.loan_officer_id,
               p.principal, p.interest, p.fees, p.penalties, COALESCE(a.arrears, 0) / 100.0,
               CASE WHEN {late} THEN {sql.days(sql.day(on), "p.overdue_since")} ELSE 0 END,
               p.classification, l.restructured_on IS NOT NULL, n.id IS NOT NULL
          FROM loans_loan AS l
          JOIN loans_position AS p ON p.loan_id = l.id AND p.loan_id BETWEEN {first} AND {last}
          LEFT JOIN loans_nonperforming AS n ON n.loan_id = l.id AND n.ended_on IS NULL
          LEFT JOIN (SELECT r.loan_id,
                            SUM({sql.owing("r", "principal", "interest", "fees", "penalties")})
                            AS arrears
                       FROM loans_repayment AS r
                      WHERE r.loan_id BETWEEN {first} AND {last} AND r.status IN ({sql.OPEN})
                            AND r.due_date < {sql.day(on)}
                      GROUP BY r.loan_id) AS a ON a.loan_id = l.id
         WHERE l.id BETWEEN {first} AND {last} AND l.status = {sql.ACTIVE}
            ON CONFLICT (loan_id, day) DO UPDATE SET {changes}
         WHERE ({kept}) IS DISTINCT FROM ({excluded})""")
