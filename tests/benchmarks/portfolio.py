"""A loan book of any size, made by a few set-based INSERTs out of one real loan.

Every row is a copy of a row that the operations wrote, with other keys, names, dates and amounts,
so that whatever columns and constraints there are, the copies satisfy them.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import environ
from django.db import connection, connections
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from lms import dates, routing
from lms.customers.models import Customer
from lms.loans.models import Allocation, Loan, Position, Repayment
from lms.payments.models import Payment
from lms.staff.models import Branch
from tests import factories

BRANCHES = {"NRB": "Nairobi", "NKU": "Nakuru", "MSA": "Mombasa", "KSM": "Kisumu", "ELD": "Eldoret"}
INSTALMENTS = 12
PAID_WITH_RECEIPT = 3  # instalments of a loan that have a payment of their own
FIRST = 1_000_000  # the keys of the copies start above those of the originals

# The number of a copy is `i`, that of its instalment `k`. A loan was disbursed up to 540 days
# ago; instalments are 30 days apart; each tenth loan stopped paying 60 days ago.
DISBURSED = "-((i * 7919) % 540)"
DUE = f"({DISBURSED} + 30 * k)"
IS_PAID = f"({DUE} < CASE WHEN i % 10 = 0 THEN -60 ELSE 0 END)"
ALL_PAID = f"({DISBURSED} + 30 * {INSTALMENTS} < CASE WHEN i % 10 = 0 THEN -60 ELSE 0 END)"


class Book:
    """A loan book in a database of its own, and the two managers who look at it."""

    def __init__(self, url: str, loans: int) -> None:
        self._connection = connection.copy()
        self._connection.settings_dict["NAME"] = environ.Env.db_url_config(url)["NAME"]
        self.open()
        fill(loans, on=dates.today())
        self._clients = {
            "head office": _client("wairimu", None),
            "one branch": _client("kiprono", factories.branch()),
        }

    def open(self) -> None:
        """Let this process look at this database, over a connection that stays open."""
        connections["default"] = self._connection

    def close(self) -> None:
        self._connection.close()

    def get(self, who: str, page: str, query: str, expected: str) -> None:
        """Ask for a list as one of the managers would, and see that it shows what it should."""
        path = reverse(f"admin:{page}_changelist")
        answer = self._clients[who].get(f"{path}?{query}" if query else path)
        assert answer.status_code == 200, (path, query, answer.status_code)
        assert expected in answer.content.decode(), f"{path}?{query} does not show {expected}"


def phone(number: int) -> str:
    return f"254{700_000_000 + number}"


def loan_number(number: int) -> str:
    return f"LN{FIRST + number:06d}"


def receipt(number: int, instalment: int) -> str:
    return f"U{100_000_000 + number * INSTALMENTS + instalment}"


def fill(loans: int, *, on: date) -> None:
    """Make so many loans of 12 instalments as they stand on a day, spread over five branches."""
    original = _original()
    branches = [factories.branch(code, name).pk for code, name in BRANCHES.items()]
    branch = (
        "CASE i % 5 " + " ".join(f"WHEN {n} THEN {pk}" for n, pk in enumerate(branches)) + " END"
    )
    i, k = numbers("i", loans), numbers("k", INSTALMENTS)
    with connection.cursor() as cursor:
        for statement in (
            copy(Customer, original.customer_id, i, _customer(branch)),
            copy(Loan, original.pk, i, _loan(branch, on)),
            copy(Repayment, original.repayments.get().pk, f"{i}, {k}", _repayment(on)),
            copy(Position, original.pk, i, {"loan_id": f"{FIRST} + i"}),
            _position_of(),
            *_receipts(original, i, branch, on),
        ):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            # As autovacuum does. Nobody does it for an office on SQLite.
            cursor.execute("ANALYZE")


def _client(username: str, branch: Branch | None) -> Client:
    client = Client()
    client.force_login(factories.staff(username, "Manager", branch=branch))
    return client


def _original() -> Loan:
    """Return a loan of one instalment with one payment on it, made by the operations."""
    loan = factories.active(Decimal(12_000), terms={"number_of_repayments": 1})
    routing.take(
        method="mpesa",
        amount=Decimal(1_100),
        reference="UAA0000000",
        value_date=factories.DAY,
        account=loan.number,
        by=None,
        on=factories.DAY,
    )
    return Loan.objects.get(pk=loan.pk)


def _customer(branch: str) -> dict[str, str]:
    return {
        "id": f"{FIRST} + i",
        "last_name": "'Mwangi' || i",
        "name": "'Wanjiku Mwangi' || i",
        "phone": "'254' || (700000000 + i)",
        "id_number": "'' || (10000000 + i)",
        "branch_id": branch,
    }


def _loan(branch: str, on: date) -> dict[str, str]:
    return {
        "id": f"{FIRST} + i",
        "customer_id": f"{FIRST} + i",
        "branch_id": branch,
        "number_of_repayments": str(INSTALMENTS),
        "status": f"CASE WHEN {ALL_PAID} THEN 'closed' ELSE 'active' END",
        "closed_on": f"CASE WHEN {ALL_PAID} THEN {day_after(on, f'{DISBURSED} + 360')} END",
        **dict.fromkeys(("applied_on", "approved_on", "disbursed_on"), day_after(on, DISBURSED)),
    }


def _repayment(on: date) -> dict[str, str]:
    return {
        "id": f"{FIRST} + i * {INSTALMENTS} + k",
        "loan_id": f"{FIRST} + i",
        "number": "k",
        "due_date": day_after(on, DUE),
        "principal": "1000",
        "interest": "100",
        "principal_paid": f"CASE WHEN {IS_PAID} THEN 1000 ELSE 0 END",
        "interest_paid": f"CASE WHEN {IS_PAID} THEN 100 ELSE 0 END",
        "status": f"CASE WHEN {IS_PAID} THEN 'completed' ELSE 'pending' END",
        "paid_on": f"CASE WHEN {IS_PAID} THEN {day_after(on, DUE)} END",
    }


def _position_of() -> str:
    """Return the UPDATE that writes what each loan owes into its position."""
    return f"""
        UPDATE loans_position SET principal = owed.principal, interest = owed.interest,
               unscheduled = 0, overdue_since = owed.since
          FROM (SELECT loan_id, SUM(principal - principal_paid) AS principal,
                       SUM(interest - interest_paid) AS interest,
                       MIN(CASE WHEN status = 'pending' THEN due_date END) AS since
                  FROM loans_repayment WHERE loan_id > {FIRST} GROUP BY loan_id) AS owed
         WHERE owed.loan_id = loans_position.loan_id"""


def _receipts(original: Loan, i: str, branch: str, on: date) -> list[str]:
    """Return the INSERTs of the first payments of each loan and where they went."""
    payment = Payment.objects.get(reference="UAA0000000")
    part = Allocation.objects.filter(payment=payment).earliest("pk")
    key = f"{FIRST} + i * {INSTALMENTS} + k"
    source = f"{i}, {numbers('k', PAID_WITH_RECEIPT)}"
    paid = {
        "id": key,
        "reference": f"'U' || (100000000 + i * {INSTALMENTS} + k)",
        "request_key": "NULL",
        "amount": "1100",
        "allocated": "1100",
        "credited": "0",
        "value_date": day_after(on, DUE),
        "account": f"'LN' || ({FIRST} + i)",
        "payer_phone": "'254' || (700000000 + i)",
        "customer_id": f"{FIRST} + i",
        "branch_id": branch,
        "entry_id": "NULL",
    }
    parts = {"payment_id": key, "repayment_id": key, "component": "'principal'", "amount": "1000"}
    return [
        copy(Payment, payment.pk, source, paid, where=IS_PAID),
        copy(Allocation, part.pk, source, {"id": key, **parts}, where=IS_PAID),
        copy(
            Allocation,
            part.pk,
            source,
            {"id": f"10000000 + {key}", **parts, "component": "'interest'", "amount": "100"},
            where=IS_PAID,
        ),
    ]


def copy(
    model: type[Model], pk: int, source: str, changes: Mapping[str, str], where: str = "1 = 1"
) -> str:
    """Return the INSERT that copies one row for every row of the source, with these changes."""
    table = model._meta.db_table
    columns = [field.column for field in model._meta.local_concrete_fields]
    assert changes.keys() <= set(columns)
    values = ", ".join(changes.get(column, f'original."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    key = model._meta.pk.column
    return (
        f'INSERT INTO "{table}" ({names}) SELECT {values} FROM "{table}" AS original, {source} '
        f'WHERE original."{key}" = {pk} AND {where}'
    )


def numbers(name: str, count: int) -> str:
    """Return a FROM item of the numbers 1 to `count` in a column of this name."""
    if connection.vendor == "postgresql":
        return f"generate_series(1, {count}) AS numbers_{name}({name})"
    return (
        f"(WITH RECURSIVE n({name}) AS (SELECT 1 UNION ALL SELECT {name} + 1 FROM n "
        f"WHERE {name} < {count}) SELECT {name} FROM n) AS numbers_{name}"
    )


def day_after(on: date, days: str) -> str:
    """Return the SQL of the date so many days after a day."""
    if connection.vendor == "postgresql":
        return f"(DATE '{on}' + ({days}))"
    return f"date('{on}', ({days}) || ' days')"
