"""Interest by what was really owed: actual balance × actual days. Pure: no Django, no clock.

The plan charges as if every instalment were paid on its day. For a loan of declining balance whose
product says so, interest follows the money instead: a late payer owes more, an early one less.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from lms.errors import Refused
from lms.loans import interest as rates
from lms.loans.schedule import Row, half_up
from lms.loans.terms import Tranche
from lms.money import CENT, ZERO

Balances = Sequence[tuple[date, Decimal]]


def interest(
    balances: Balances,
    *,
    start: date,
    end: date,
    annual_rate: Decimal,
    day_count: str,
    unit: Decimal,
) -> Decimal:
    """Return the interest from start (included) to end (excluded), rounded once, to `unit` (KES).

    `balances` are days in order with the principal owed from each on, the last of a day counting;
    before the first nothing is owed. The days of a balance are those from `start` to its end less
    those to its beginning, so that cutting a period in two costs nothing, even in 30/360.
    Raises Refused, naming `day_count`, for one that does not count days.
    """
    if day_count not in rates.PARTS_A_YEAR:
        raise Refused("Interest by actual days needs a day count over dates.", field="day_count")
    whole = rates.PARTS_A_YEAR[day_count]
    owed, reached, borne = 0, 0, 0
    for day, balance in [*balances, (end, ZERO)]:
        parts = rates.year_part(start, min(max(day, start), end), day_count).parts
        borne += owed * (parts - reached)
        owed, reached = int(balance / CENT), parts
    cost, per = rates.cost(annual_rate, 1, whole)
    return half_up(borne * cost, per, int(unit / CENT)) * CENT


def recalculate(
    rows: Sequence[Row],
    *,
    paid: Balances,
    annual_rate: Decimal,
    day_count: str,
    interest_multiple: Decimal,
    disbursed_on: date,
    on: date,
    tranches: Sequence[Tranche] = (),
) -> list[Row]:
    """Return the planned rows with the interest that the real payments of principal leave, at `on`.

    `paid` are days and KES of principal; a day's payment lowers the balance from that day on, and
    what comes after `on` is not known yet. Principal unpaid on its due date stays in the balance.
    From `on` the balance stands until the next due date, by which all that is scheduled to that
    day is taken as paid. Principal and fees stay as planned. Without interest grace, and with
    `day_count` as in the terms, payment on time gives the planned interest.
    """
    lent = sum((row.principal for row in rows), ZERO)
    lent -= sum((tranche.amount for tranche in tranches), ZERO)
    balances = _balances(rows, paid, on=on, lent=lent, start=disbursed_on, tranches=tranches)
    again, start = [], disbursed_on
    for row in rows:
        borne = interest(
            balances,
            start=start,
            end=row.due_date,
            annual_rate=annual_rate,
            day_count=day_count,
            unit=interest_multiple,
        )
        total = row.principal + borne + row.fees
        again.append(row._replace(interest=borne, total=total))
        start = row.due_date
    return again


def _balances(
    rows: Sequence[Row],
    paid: Balances,
    *,
    on: date,
    lent: Decimal,
    start: date,
    tranches: Sequence[Tranche],
) -> list[tuple[date, Decimal]]:
    """Return what is owed from each day on: as paid until `on`, after it as scheduled or better."""
    moves = [(day, amount) for day, amount in paid if day <= on]
    repaid, scheduled = sum((amount for _, amount in moves), ZERO), ZERO
    for row in rows:
        scheduled += row.principal
        if row.due_date > on and scheduled > repaid:
            moves.append((row.due_date, scheduled - repaid))
            repaid = scheduled
    moves += [(tranche.paid_on, -tranche.amount) for tranche in tranches]
    owed, balances = lent, [(start, lent)]
    for day, amount in sorted(moves):
        owed -= amount
        balances.append((day, max(owed, ZERO)))
    return balances
