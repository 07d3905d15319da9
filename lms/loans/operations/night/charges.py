"""Late penalties of a night, set-based. `lateness` is the same rule, loan by loan, in Python."""

from datetime import date

from lms.ledger import chart
from lms.loans import penalties
from lms.loans.models import Loan, Penalty, Repayment
from lms.loans.operations.night import sql

# A charge is worked out as a whole number of these parts of a cent: hundredths of a percent,
# and a thirtieth for a day of a month.
PARTS = 10_000 * 30
RULE = (
    "penalty_base", "penalty_value", "penalty_frequency", "penalty_grace_days", "penalty_start",
    "penalty_cap_kind", "penalty_cap_value", "penalty_stop",
)  # fmt: skip


def charge(first: int, last: int, *, on: date) -> int:
    """Charge overdue instalments what lateness cost by the end of a day; return how many."""
    late = (
        f"l.id BETWEEN {first} AND {last} AND l.status = {sql.ACTIVE} AND l.penalty_base <> 'none'"
    )
    has_late = (
        "EXISTS (SELECT 1 FROM loans_repayment AS r WHERE r.loan_id = l.id "
        f"AND r.status IN ({sql.OPEN}) AND r.due_date < {sql.day(on)})"
    )
    sql.lock(f"{late} AND {has_late}")
    sql.put_aside("night_late", _late(late, on))
    sql.put_aside("night_charge", _charges(on))
    charged = _write(first, on=on)
    sql.drop("night_charge", "night_late")
    return charged


def _late(late: str, on: date) -> str:
    """Return the query of the overdue instalments, each with its rule and base in cents."""
    return f"""
        SELECT r.id AS repayment_id, r.loan_id, r.due_date, r.number, r.penalties_since,
               l.branch_id, l.penalty_base, l.penalty_frequency, l.penalty_grace_days,
               l.penalty_start, l.penalty_cap_kind,
               {sql.cents("l.penalty_value")} AS rate,
               {sql.cents("l.penalty_cap_value")} AS cap,
               {sql.cents("l.principal")} AS lent,
               CASE l.penalty_base
               WHEN 'fixed' THEN {sql.cents("l.penalty_value")}
               WHEN 'principal' THEN {sql.owing("r", "principal")}
               WHEN 'outstanding_principal' THEN {sql.cents("p.principal")}
               ELSE {sql.owing("r", "principal", "interest")} END AS base,
               {_until(on)} AS until
          FROM loans_repayment AS r
          JOIN loans_loan AS l ON l.id = r.loan_id
          JOIN loans_position AS p ON p.loan_id = l.id
         WHERE {late} AND r.status IN ({sql.OPEN}) AND r.due_date < {sql.day(on)}"""


def _charges(on: date) -> str:
    """Return the query of what to charge: instalment, loan, branch, cents posted and suspended."""
    return f"""
        WITH counted AS (
            SELECT late.*,
                   {sql.days("until", "due_date")} AS late_until,
                   {sql.days(sql.least("penalties_since", "until"), "due_date")} AS late_since,
                   CASE WHEN penalty_base = 'fixed' THEN rate * 10000 ELSE base * rate END AS each,
                   CASE penalty_cap_kind
                   WHEN 'amount' THEN cap * {PARTS}
                   WHEN 'percent_of_principal' THEN lent * cap * 30
                   WHEN 'percent_of_base' THEN base * cap * 30 END AS most
              FROM night_late AS late
        ), wanted AS (
            SELECT counted.*,
                   ({_owed("late_until")})
                   - CASE WHEN penalties_since IS NULL THEN 0 ELSE ({_owed("late_since")}) END
                   - COALESCE(charged.since, 0) AS added,
                   COALESCE(charged.ever, 0) AS ever
              FROM counted
              LEFT JOIN (
                   SELECT c.repayment_id, SUM({sql.cents("a.amount + a.suspended")}) AS ever,
                          SUM(CASE WHEN c.penalties_since IS NULL
                                   OR a.charged_on > c.penalties_since
                              THEN {sql.cents("a.amount + a.suspended")} ELSE 0 END) AS since
                     FROM night_late AS c
                     JOIN loans_penalty AS a ON a.repayment_id = c.repayment_id
                    WHERE a.charged_by_id IS NULL AND a.cancelled_on IS NULL
                    GROUP BY c.repayment_id
              ) AS charged ON charged.repayment_id = counted.repayment_id
        ), due AS (
            SELECT repayment_id, loan_id, branch_id, due_date, number,
                   CASE WHEN penalty_cap_kind IN ('amount', 'percent_of_principal')
                             AND added > {_most()} - ever
                        THEN {_most()} - ever ELSE added END AS charge
              FROM wanted WHERE added > 0
        ), capped AS (
            SELECT due.*, {_allowance("due.loan_id", on)} AS allowed,
                   SUM(charge) OVER (PARTITION BY due.loan_id ORDER BY due_date, number
                                     ROWS UNBOUNDED PRECEDING) AS reached
              FROM due WHERE charge > 0
        ), cut AS (
            SELECT repayment_id, loan_id, branch_id, charge,
                   CASE WHEN allowed IS NULL THEN charge
                        ELSE {sql.least("reached", "allowed")}
                             - {sql.least("reached - charge", "allowed")} END AS posted
              FROM capped
        )
        SELECT repayment_id, loan_id, branch_id, CAST(posted AS bigint) AS posted,
               CAST(charge - posted AS bigint) AS suspended
          FROM cut"""


def _until(on: date) -> str:
    """Return the last day that counts: none after interest stops or the loan has matured."""
    stop = f"CASE WHEN l.interest_stops_on < {sql.day(on)} THEN l.interest_stops_on ELSE {{}} END"
    maturity = (
        "(SELECT MAX(m.due_date) FROM loans_repayment AS m "
        f"WHERE m.loan_id = l.id AND m.status NOT IN ({sql.GONE}))"
    )
    stop = stop.format(sql.day(on))
    return f"CASE WHEN l.penalty_stop = 'maturity' THEN {sql.least(stop, maturity)} ELSE {stop} END"


def _owed(late: str) -> str:
    """Return what a rule wants after so many days, in cents, rounded to whole shillings."""
    counted = f"({late} - CASE penalty_start WHEN 'due_date' THEN 0 ELSE penalty_grace_days END)"
    whole = (
        "each * CASE penalty_frequency WHEN 'once' THEN 30 "
        f"WHEN 'weekly' THEN ({counted} + 6) / 7 * 30 WHEN 'monthly' THEN {counted} "
        f"ELSE {counted} * 30 END"
    )
    within = f"CASE WHEN most < {whole} THEN most ELSE {whole} END"
    to_cents = f"(({within}) + {PARTS // 2}) / {PARTS}"
    return f"CASE WHEN {late} <= penalty_grace_days THEN 0 ELSE ({to_cents} + 50) / 100 * 100 END"


def _most() -> str:
    """Return what all charges on an instalment may come to, in cents of whole shillings."""
    return f"(most + {50 * PARTS}) / {100 * PARTS} * 100"


def _allowance(loan: str, on: date) -> str:
    """Return what the in duplum rule lets through on a loan, in cents; NULL while it performs."""
    unpaid = (
        f"SELECT SUM({sql.owing('u', 'penalties')} + CASE WHEN u.due_date <= {sql.day(on)} "
        f"THEN {sql.owing('u', 'interest')} ELSE 0 END) FROM loans_repayment AS u "
        f"WHERE u.loan_id = {loan} AND u.status IN ({sql.OPEN})"
    )
    left = f"{sql.cents('n.principal')} - ({unpaid})"
    return (
        f"(SELECT CASE WHEN {left} > 0 THEN {left} ELSE 0 END FROM loans_nonperforming AS n "
        f"WHERE n.loan_id = {loan} AND n.ended_on IS NULL AND n.since <= {sql.day(on)})"
    )


def _write(first: int, *, on: date) -> int:
    """Write the charges down, on the instalments, in the books and in the positions."""
    words, parameters = _words()
    if not parameters:
        return 0
    same = " AND ".join(f"model.{name} = l.{name}" for name in RULE)
    charged = sql.write(
        Penalty,
        "INSERT INTO loans_penalty (repayment_id, amount, suspended, charged_on, rule) "
        f"SELECT t.repayment_id, t.posted / 100.0, t.suspended / 100.0, {sql.day(on)}, {words} "
        "FROM night_charge AS t JOIN loans_loan AS l ON l.id = t.loan_id "
        f"JOIN night_rule AS model ON {same} ORDER BY t.repayment_id",
        which="JOIN night_charge AS c ON c.repayment_id = t.repayment_id "
        f"WHERE t.charged_on = {sql.day(on)} AND t.charged_by_id IS NULL "
        "AND t.cancelled_on IS NULL",
        kind="+",
        reason="SUBSTR(t.rule, 1, 100)",
        parameters=parameters,
    )
    sql.drop("night_rule")
    sql.write(
        Repayment,
        "UPDATE loans_repayment SET penalties = ROUND(penalties + c.posted / 100.0, 2) "
        "FROM night_charge AS c WHERE c.repayment_id = loans_repayment.id AND c.posted > 0",
        which="JOIN night_charge AS c ON c.repayment_id = t.id WHERE c.posted > 0",
        kind="~",
        reason="'Penalty of the night'",
    )
    _book(first, on=on)
    sql.execute(
        f"UPDATE loans_position SET penalties = ROUND(penalties + t.posted / 100.0, 2), "
        f"last_event_on = CASE WHEN last_event_on > {sql.day(on)} THEN last_event_on "
        f"ELSE {sql.day(on)} END FROM (SELECT loan_id, SUM(posted) AS posted FROM night_charge "
        "GROUP BY loan_id) AS t WHERE t.loan_id = loans_position.loan_id"
    )
    return charged


def _words() -> tuple[str, list[str]]:
    """Put aside the distinct rules among the charged loans; return SQL of their words."""
    columns = ", ".join(f"l.{name}" for name in RULE)
    sql.put_aside(
        "night_rule",
        f"SELECT MIN(l.id) AS sample, {columns} FROM night_charge AS t "
        f"JOIN loans_loan AS l ON l.id = t.loan_id GROUP BY {columns}",
    )
    samples = Loan.objects.filter(
        pk__in=[pk for (pk,) in sql.fetch("SELECT sample FROM night_rule")]
    )
    if not samples:
        sql.drop("night_rule")
        return "", []
    words = {loan.pk: penalties.describe(loan.penalty_rule) for loan in samples}
    whens = " ".join(f"WHEN {pk} THEN %s" for pk in words)
    return f"CASE model.sample {whens} END", list(words.values())


def _book(first: int, *, on: date) -> None:
    branches = sql.fetch("SELECT DISTINCT branch_id FROM night_charge WHERE posted > 0")
    if not branches:
        return
    entry = sql.post_entries(
        "penalties",
        branches=[pk for (pk,) in branches],
        narration=f"Late penalties of {on:%d %b %Y}",
        first=first,
        on=on,
    )
    sql.execute(
        "INSERT INTO ledger_transfer "
        "(entry_id, date, debit_id, credit_id, amount, branch_id, subject) "
        f"SELECT {entry}, {sql.day(on)}, "
        f"{sql.account('l.posting_profile_id', chart.PENALTIES_RECEIVABLE)}, "
        f"{sql.account('l.posting_profile_id', chart.PENALTY_INCOME)}, "
        f"t.posted / 100.0, t.branch_id, {sql.loan_number('t.loan_id')} "
        "FROM (SELECT loan_id, branch_id, SUM(posted) AS posted FROM night_charge "
        "WHERE posted > 0 GROUP BY loan_id, branch_id) AS t "
        "JOIN loans_loan AS l ON l.id = t.loan_id"
    )
