"""What the rows of the loans say the books must hold, and rows that contradict one another.

Nothing is written here. Both engines count in whole cents, in the database.
"""

from decimal import Decimal
from typing import NamedTuple

from django.conf import settings

from lms import money
from lms.loans.allocation import COMPONENTS
from lms.loans.models import Position
from lms.loans.models.repayments import late_components
from lms.loans.operations.night import sql

SHOWN = 5


class Wrong(NamedTuple):
    """Rows that contradict others: how many there are, and the keys of the first."""

    number: int
    first: list[int]


def owed() -> dict[str, Decimal]:
    """Return what all customers owe by their instalments, per component (KES).

    Principal that is lent and stands on no instalment is counted with it.
    """
    sums = ", ".join(f"COALESCE(SUM({sql.owing('r', name)}), 0)" for name in COMPONENTS)
    ((*cents,),) = sql.fetch(
        f"SELECT {sums} FROM loans_repayment AS r WHERE r.status NOT IN ({sql.GONE})"
    )
    found = {
        name: money.money(Decimal(amount) / 100)
        for name, amount in zip(COMPONENTS, cents, strict=True)
    }
    found["principal"] += Position.objects.aggregate(sum=money.total("unscheduled"))["sum"]
    return found


def suspended() -> Decimal:
    """Return the interest that positions hold in suspense (KES)."""
    return Position.objects.aggregate(sum=money.total("interest_suspended"))["sum"]


def wrong_positions() -> Wrong:
    """Return the loans whose position is not what their rows make of it, or is missing."""
    unpaid = {name: sql.owing("r", name) for name in COMPONENTS}
    given = sql.cents("r.principal_paid + r.principal_waived")  # also on what is cancelled
    stands = f"r.status NOT IN ({sql.GONE})"
    late = f"{sql.owing('r', *late_components())} > {settings.ARREARS_TOLERANCE * 100}"
    lent = sql.cents("l.principal - l.undisbursed + l.capitalised")
    wrong = " OR ".join(
        [
            "p.loan_id IS NULL",
            f"{sql.cents('p.principal')} <> {lent} - COALESCE(s.given, 0)",
            f"{sql.cents('p.unscheduled')} <> {lent} - COALESCE(s.scheduled, 0)",
            *(f"{sql.cents(f'p.{name}')} <> COALESCE(s.{name}, 0)" for name in COMPONENTS[1:]),
            "p.overdue_since IS DISTINCT FROM s.since",
        ]
    )
    rows = ", ".join(
        f"SUM(CASE WHEN {stands} THEN {unpaid[name]} ELSE 0 END) AS {name}"
        for name in COMPONENTS[1:]
    )
    return _wrong(f"""
        SELECT l.id FROM loans_loan AS l
          LEFT JOIN loans_position AS p ON p.loan_id = l.id
          LEFT JOIN (SELECT r.loan_id, SUM({given}) AS given,
                            SUM(CASE WHEN {stands} THEN {sql.cents("r.principal")}
                                     ELSE {given} END) AS scheduled, {rows},
                            MIN(CASE WHEN r.status IN ({sql.OPEN}) AND {late}
                                     THEN r.due_date END) AS since
                       FROM loans_repayment AS r GROUP BY r.loan_id) AS s ON s.loan_id = l.id
         WHERE l.disbursed_on IS NOT NULL AND ({wrong})""")


def wrong_instalments() -> Wrong:
    """Return the instalments whose allocations are not what is paid on them, or beyond what is due.

    Components are compared one by one.
    """
    paid = " OR ".join(
        f"COALESCE(a.{name}, 0) <> {sql.cents(f'r.{name}_paid')}" for name in COMPONENTS
    )
    below = " OR ".join(
        f"({sql.owing('r', name)} < 0 AND r.status NOT IN ({sql.GONE}))" for name in COMPONENTS
    )
    sums = ", ".join(
        f"SUM(CASE WHEN component = '{name}' THEN {sql.cents('amount')} ELSE 0 END) AS {name}"
        for name in COMPONENTS
    )
    return _wrong(f"""
        SELECT r.id FROM loans_repayment AS r
          LEFT JOIN (SELECT repayment_id, {sums} FROM loans_allocation GROUP BY repayment_id)
                    AS a ON a.repayment_id = r.id
         WHERE {paid} OR {below}""")


def wrong_payments() -> Wrong:
    """Return the payments whose allocated part is not what they paid on loans.

    That is allocations, recoveries of what was written off, and fees before a disbursement.
    """
    return _wrong(f"""
        SELECT p.id FROM payments_payment AS p
          LEFT JOIN (SELECT payment_id, SUM(cents) AS cents
                       FROM (SELECT payment_id, {sql.cents("amount")} AS cents
                               FROM loans_allocation
                              UNION ALL
                             SELECT payment_id, {sql.cents("amount")} FROM loans_recovery
                              UNION ALL
                             SELECT payment_id, {sql.cents("fee + excise")}
                               FROM loans_feepayment WHERE ended_on IS NULL) AS parts
                      GROUP BY payment_id) AS s ON s.payment_id = p.id
         WHERE {sql.cents("p.allocated")} <> COALESCE(s.cents, 0)""")


def _wrong(keys: str) -> Wrong:
    """Return what a query of keys finds, without reading more of it than is shown."""
    found = sql.fetch(
        f"SELECT COUNT(*) OVER (), id FROM ({keys}) AS wrong ORDER BY id LIMIT {SHOWN}"
    )
    return Wrong(found[0][0] if found else 0, [pk for _, pk in found])
