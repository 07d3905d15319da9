"""One payment, one loan, a commit each: `python -m tests.benchmarks.payments`.

On the engine that DATABASE_URL names, in one process. A payment that was received is posted to its
loan (lock, allocation, position, history, books); a loan of twelve instalments is written down and
paid out. What a payment costs must not grow with the instalments or the history of its loan.
Exits with 1 when a goal is missed; the speeds are goals on PostgreSQL.
"""

from datetime import date, timedelta
from decimal import Decimal
from itertools import count, pairwise
from statistics import median
from time import perf_counter

from django.conf import settings

from tests.benchmarks.common import enter, finish, migrate, scratch_database, table

LOANS, ROUNDS = 40, 7
OLD, HISTORY = 10, 120  # loans with a history, and the payments each has
QUERIES, PAYMENTS_A_SECOND, LOANS_A_SECOND = 30, 100, 80
GROWTH = 1.25
DAY = date(2026, 1, 15)
PLAIN = "12 instalments"


def main() -> None:
    with scratch_database() as url:
        migrate(url)
        engine = enter(url)
        settings.DEBUG = False  # with it Django keeps every statement
        office = Office()
        misses: list[str] = []
        _payments(office, engine, misses)
        _loans(office, engine, misses)
        finish(misses)


class Office:
    """The people, products and loans that are measured."""

    def __init__(self) -> None:
        from tests import factories  # noqa: PLC0415

        self.factories = factories
        self.references, self.phones = count(1), count(254711000000)
        self.mutua, self.kamau, self.njeri = (
            factories.mutua(), factories.kamau(), factories.njeri()
        )  # fmt: skip
        self.monthly = factories.product(penalty_base="instalment", penalty_value=Decimal(1))
        self.daily = factories.product(
            code="DAILY", repay_unit="days", number_of_repayments=300, max_repayments=400
        )

    def customer(self):
        return self.factories.customer("Otieno Ouma", str(next(self.phones)))

    def lend(self, product, size: int) -> list:
        from django.db import transaction  # noqa: PLC0415

        with transaction.atomic():
            return [
                self.factories.active(Decimal(100_000), customer=self.customer(), product=product)
                for _ in range(size)
            ]

    def lend_long_ago(self) -> list:
        """Loans with many payments behind them."""
        from django.db import transaction  # noqa: PLC0415

        loans = self.lend(self.monthly, OLD)
        for loan in loans:
            with transaction.atomic():
                for step in range(HISTORY):
                    self.pay(loan, DAY + timedelta(days=step // 20), Decimal(10))
        return loans

    def pay(self, loan, day: date, amount: Decimal = Decimal("317.35")) -> None:
        from lms import routing  # noqa: PLC0415

        routing.take(
            method="mpesa",
            amount=amount,
            reference=f"UKP{next(self.references):07d}",
            value_date=day,
            account=loan.number,
            by=self.mutua,
            on=day,
        )

    def receive(self, loan, day: date):
        from lms.payments import operations  # noqa: PLC0415

        return operations.receive(
            method="mpesa",
            amount=Decimal("317.35"),
            reference=f"UKP{next(self.references):07d}",
            value_date=day,
            account=loan.number,
            branch=loan.branch,
            customer=loan.customer,
            by=self.mutua,
            on=day,
        )

    def pace(self, loans, day: date) -> tuple[float, float]:
        """Receive a payment for each loan, then post each; return what one of both took (s)."""
        from lms.loans.operations import collection  # noqa: PLC0415

        started = perf_counter()
        payments = [self.receive(loan, day) for loan in loans]
        received = perf_counter()
        for loan, payment in zip(loans, payments, strict=True):
            collection.allocate(payment, loan, by=self.mutua, on=day)
        posted = perf_counter()
        return (received - started) / len(loans), (posted - received) / len(loans)

    def make_loan(self) -> list[float]:
        """Write a loan down, have it approved, pay it out; return what each of the three took."""
        from lms.loans.operations import lifecycle  # noqa: PLC0415

        customer = self.customer()
        marks = [perf_counter()]
        loan = lifecycle.apply(
            customer=customer,
            product=self.monthly,
            principal=Decimal(100_000),
            by=self.njeri,
            on=DAY,
        )
        marks.append(perf_counter())
        lifecycle.submit(loan, by=self.njeri, on=DAY)
        lifecycle.approve(loan, by=self.kamau, on=DAY)
        marks.append(perf_counter())
        lifecycle.disburse(loan, method="cash", reference=None, by=self.mutua, on=DAY)
        marks.append(perf_counter())
        return [end - begin for begin, end in pairwise(marks)]


def _queries(work) -> int:
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def _count_rows() -> None:
    """Tell the planner how full the tables are, as autovacuum does within a minute."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _payments(office: Office, engine: str, misses: list[str]) -> None:
    kinds = {
        PLAIN: office.lend(office.monthly, LOANS),
        "300 instalments": office.lend(office.daily, LOANS),
        f"12 instalments, {HISTORY} payments before": office.lend_long_ago(),
    }
    _count_rows()
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for turn in range(ROUNDS):
        for name, loans in kinds.items():
            took[name].append(office.pace(loans, DAY + timedelta(days=10 + turn)))
    after = DAY + timedelta(days=11 + ROUNDS)
    counted = {
        name: _queries(lambda loan=loans[0]: office.pay(loan, after))
        for name, loans in kinds.items()
    }
    posted = {name: [post for _, post in rounds] for name, rounds in took.items()}
    slower = {
        name: median(b / a for a, b in zip(posted[PLAIN], rounds, strict=True))
        for name, rounds in posted.items()
    }
    table(
        f"{engine}: payments, a commit each step",
        ["loan of", "posted/s", "x", "received and posted/s", "queries of both"],
        [
            [
                name,
                f"{1 / median(posted[name]):.0f}",
                f"{slower[name]:.2f}",
                f"{1 / median(map(sum, rounds)):.0f}",
                counted[name],
            ]
            for name, rounds in took.items()
        ],
    )
    misses += [
        f"{name}: {number} queries, goal {QUERIES}"
        for name, number in counted.items()
        if number > QUERIES
    ]
    misses += [
        f"{name}: {times:.2f}x the time of {PLAIN}, goal {GROWTH}"
        for name, times in slower.items()
        if times > GROWTH
    ]
    if len(set(counted.values())) > 1:
        misses.append(f"the number of queries is not constant: {counted}")
    speed = 1 / median(posted[PLAIN])
    if engine == "PostgreSQL" and speed < PAYMENTS_A_SECOND:
        misses.append(f"{speed:.0f} payments posted a second, goal {PAYMENTS_A_SECOND}")


def _loans(office: Office, engine: str, misses: list[str]) -> None:
    took = [office.make_loan() for _ in range(2 * LOANS)]
    create, decide, pay_out = (median(column) for column in zip(*took, strict=True))
    made = 1 / (create + pay_out)
    table(
        f"{engine}: loans of 12 instalments, a commit each step ({_queries(office.make_loan)} "
        "queries in all)",
        ["", "loans/s"],
        [
            ["written down and paid out", f"{made:.0f}"],
            ["and submitted and approved between", f"{1 / (create + decide + pay_out):.0f}"],
        ],
    )
    if engine == "PostgreSQL" and made < LOANS_A_SECOND:
        misses.append(f"{made:.0f} loans a second, goal {LOANS_A_SECOND}")


if __name__ == "__main__":
    main()
