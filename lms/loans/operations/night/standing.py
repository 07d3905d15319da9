"""Where each loan stands at the end of a day: since when it is late, its class, its default."""

from datetime import date

from django.conf import settings

from lms.ledger.operations import Line
from lms.loans.models import Loan, NonPerforming, ProvisionTable, Waiver
from lms.loans.models.repayments import late_components
from lms.loans.operations import relief, rows
from lms.loans.operations.booking import COSTS
from lms.loans.operations.night import sql
from lms.loans.operations.posting import post
from lms.money import ZERO

IN_DUPLUM = "In duplum: interest and penalties have reached the principal"


def classify(first: int, last: int, *, on: date) -> int:
    """Write what has moved of the standing of active loans, and return how many rows moved.

    Defaults begin and end, and charges beyond the in duplum cap are suspended.
    """
    query = _standings(f"l.id BETWEEN {first} AND {last}", on)
    moved = (
        "was IS DISTINCT FROM since OR classification <> class "
        "OR (defaulted IS NULL AND days >= npl_days) OR (defaulted IS NOT NULL AND days = 0)"
    )
    sql.put_aside("night_moved", f"SELECT loan_id FROM ({query}) AS found WHERE {moved}")
    written = 0
    if sql.fetch("SELECT 1 FROM night_moved LIMIT 1"):
        # Looked at again once nobody else can move them.
        sql.lock("l.id IN (SELECT loan_id FROM night_moved)")
        sql.put_aside(
            "night_standing",
            f"{_standings('l.id IN (SELECT loan_id FROM night_moved)', on)}",
        )
        written = _write(on)
        sql.drop("night_standing")
    sql.drop("night_moved")
    written += sql.execute(
        f"UPDATE loans_nonperforming SET ended_on = {sql.day(on)} WHERE ended_on IS NULL "
        f"AND loan_id IN (SELECT id FROM loans_loan WHERE id BETWEEN {first} AND {last} "
        f"AND status = '{Loan.Status.CLOSED}')"
    )
    return written + _suspend(first, last, on=on)


def _standings(where: str, on: date) -> str:
    """Return the query of active loans: days past due and the class that they make, and what is."""
    return f"""
        SELECT found.*, {_class(on)} AS class FROM (
            SELECT l.id AS loan_id, l.npl_days, l.restructured_on, p.principal, p.classification,
                   p.overdue_since AS was, s.since, n.id AS defaulted,
                   CASE WHEN s.since < {sql.day(on)}
                        THEN {sql.days(sql.day(on), "s.since")} ELSE 0 END AS days
              FROM loans_loan AS l
              JOIN loans_position AS p ON p.loan_id = l.id
              LEFT JOIN loans_nonperforming AS n ON n.loan_id = l.id AND n.ended_on IS NULL
              LEFT JOIN (SELECT r.loan_id, MIN(r.due_date) AS since
                           FROM loans_repayment AS r
                          WHERE {where.replace("l.id", "r.loan_id")} AND r.status IN ({sql.OPEN})
                                AND {sql.owing("r", *late_components())}
                                    > {settings.ARREARS_TOLERANCE * 100}
                          GROUP BY r.loan_id) AS s ON s.loan_id = l.id
             WHERE {where} AND l.status = {sql.ACTIVE}) AS found"""


def _class(on: date) -> str:
    """Return the class that the days past due make, by the table that goes to the books.

    In the night in which it was restructured a loan keeps its class, unless it is worse.
    """
    table = ProvisionTable.objects.booked().first()
    bands = table.bands_on(on) if table else []
    if not bands:
        return "classification"
    names = [band.name.replace("'", "''") for band in bands]
    by_days = " ".join(
        f"WHEN days >= {band.from_days} THEN '{name}'"
        for band, name in reversed(list(zip(bands, names, strict=True)))
    )
    first_day = " ".join(
        f"WHEN '{name}' THEN {band.from_days}" for band, name in zip(bands, names, strict=True)
    )
    return (
        f"CASE WHEN restructured_on = {sql.day(on)} "
        f"AND days < CASE classification {first_day} ELSE 0 END "
        f"THEN classification ELSE CASE {by_days} END END"
    )


def _write(on: date) -> int:
    written = sql.execute(
        "UPDATE loans_position SET overdue_since = t.since, classification = t.class "
        "FROM night_standing AS t WHERE t.loan_id = loans_position.loan_id "
        "AND (t.was IS DISTINCT FROM t.since OR t.classification <> t.class)"
    )
    written += sql.execute(
        "INSERT INTO loans_nonperforming (loan_id, since, principal) "
        f"SELECT loan_id, {sql.day(on)}, principal FROM night_standing "
        "WHERE defaulted IS NULL AND days >= npl_days"
    )
    return written + sql.execute(
        f"UPDATE loans_nonperforming SET ended_on = {sql.day(on)} WHERE id IN "
        "(SELECT defaulted FROM night_standing WHERE days = 0)"
    )


def _suspend(first: int, last: int, *, on: date) -> int:
    """Suspend what is unpaid of interest and penalties beyond the principal of loans in default."""
    beyond = sql.fetch(f"""
        SELECT n.loan_id FROM loans_nonperforming AS n
          JOIN loans_loan AS l ON l.id = n.loan_id AND l.status = {sql.ACTIVE}
          JOIN loans_repayment AS r ON r.loan_id = n.loan_id AND r.status IN ({sql.OPEN})
         WHERE n.loan_id BETWEEN {first} AND {last} AND n.ended_on IS NULL
         GROUP BY n.loan_id, n.principal
        HAVING SUM({sql.owing("r", "penalties")} + CASE WHEN r.due_date <= {sql.day(on)}
                   THEN {sql.owing("r", "interest")} ELSE 0 END) > {sql.cents("n.principal")}
         ORDER BY n.loan_id""")
    return sum(_cut(pk, on=on) for (pk,) in beyond)


def _cut(pk: int, *, on: date) -> int:
    """Suspend the charges of one loan beyond its cap, the latest penalties first."""
    loan = rows.lock(pk)
    default = NonPerforming.objects.get(loan=loan, ended_on=None)
    due = list(loan.repayments.unpaid().order_by("-due_date", "-number"))
    charges = [(row, "penalties", row.owing_of("penalties")) for row in due]
    charges += [(row, "interest", row.owing_of("interest")) for row in due if row.due_date <= on]
    left = sum((amount for _, _, amount in charges), ZERO) - default.principal
    parts = []
    for row, name, amount in charges:
        part = min(amount, left)
        if part > 0:
            parts.append((row, name, part))
            left -= part
    if not parts:
        return 0
    made = relief.give_up(parts, kind=Waiver.Kind.IN_DUPLUM, reason=IN_DUPLUM, by=None, on=on)
    post(
        loan,
        kind="in_duplum",
        reference=f"in_duplum:{made[0].pk}",
        on=on,
        narration=f"{loan.number}: {IN_DUPLUM}",
        lines=[
            Line(COSTS[waiver.component], rows.RECEIVABLES[waiver.component], waiver.amount)
            for waiver in made
        ],
        by=None,
    )
    rows.refresh(loan, by=None, on=on)
    return len(made)
