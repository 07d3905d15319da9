"""One payment, one loan, a commit each: `python -m tests.benchmarks.payments`.

On the engine that DATABASE_URL names, in one process. A payment is received and placed on its
loan (lock, allocation, position, history, books); a loan of twelve instalments is written down and
paid out. What a payment costs must not grow with the instalments or the history of its loan.
Exits with 1 when a goal is missed on PostgreSQL.
"""

from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from statistics import median
from time import perf_counter

from tests.benchmarks.common import enter, finish, migrate, scratch_database, table

PAYMENTS, LOANS, ROUNDS = 40, 60, 5
HISTORY = 120  # payments a loan with a long history has
QUERIES, PAYMENTS_A_SECOND, LOANS_A_SECOND = 30, 100, 80
GROWTH = 1.25
DAY = date(2026, 1, 15)


def main() -> None:
    with scratch_database() as url:
        migrate(url)
        engine = enter(url)
        _measure(engine)


def _measure(engine: str) -> None:
    from django.db import connection, transaction  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from lms import routing  # noqa: PLC0415
    from lms.loans.models import Loan  # noqa: PLC0415
    from lms.loans.operations import lifecycle  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    misses: list[str] = []
    references, phones = count(1), count(254711000000)
    mutua, kamau, njeri = factories.mutua(), factories.kamau(), factories.njeri()
    product = factories.product(penalty_base="instalment", penalty_value=Decimal(1))
    daily = factories.product(
        code="DAILY", repay_unit="days", number_of_repayments=300, max_repayments=400
    )

    def lend(offered, size=1) -> list[Loan]:
        with transaction.atomic():
            customers = [
                factories.customer(f"Customer {n}", str(next(phones))) for n in range(size)
            ]
            return [
                factories.active(Decimal(100_000), customer=person, product=offered)
                for person in customers
            ]

    def pay(loan: Loan, day: date, amount: Decimal = Decimal("317.35")) -> None:
        routing.take(
            method="mpesa",
            amount=amount,
            reference=f"UKP{next(references):07d}",
            value_date=day,
            account=loan.number,
            by=mutua,
            on=day,
        )

    def pace(loans: list[Loan], day: date) -> float:
        started = perf_counter()
        for loan in loans:
            pay(loan, day)
        return len(loans) / (perf_counter() - started)

    def queries(loan: Loan, day: date) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            pay(loan, day)
        return len(captured)

    plain, long, old = lend(product, PAYMENTS), lend(daily, PAYMENTS), lend(product, 10)
    for loan in old:
        with transaction.atomic():
            for step in range(HISTORY):
                pay(loan, DAY + timedelta(days=step // 20), Decimal(10))
    kinds = {
        "12 instalments": plain,
        "300 instalments": long,
        f"12 instalments, {HISTORY} payments before": old * (PAYMENTS // len(old)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(ROUNDS):
        day = DAY + timedelta(days=20 + turn * 10)
        for name, loans in kinds.items():
            # A loan with a history comes up several times a round: on a later day each time.
            chunks = [loans] if name != list(kinds)[2] else [old] * (PAYMENTS // len(old))
            speeds[name].append(
                median(pace(part, day + timedelta(days=step)) for step, part in enumerate(chunks))
            )
    after = DAY + timedelta(days=20 + ROUNDS * 10)
    counted = {name: queries(loans[0], after) for name, loans in kinds.items()}
    first = median(speeds["12 instalments"])
    rows = []
    for name, found in speeds.items():
        speed = median(found)
        rows.append([name, f"{speed:.0f}", counted[name], f"{first / speed:.2f}"])
        if counted[name] > QUERIES:
            misses.append(f"{name}: {counted[name]} queries, goal {QUERIES}")
        if first / speed > GROWTH:
            misses.append(f"{name}: {first / speed:.2f}x the time of 12 instalments")
    if len(set(counted.values())) > 1:
        misses.append(f"The number of queries is not constant: {counted}")
    if engine == "PostgreSQL" and first < PAYMENTS_A_SECOND:
        misses.append(f"{first:.0f} payments a second, goal {PAYMENTS_A_SECOND}")
    table(
        f"{engine}: payments received and placed, a commit each",
        ["loan of", "payments/s", "queries", "x"],
        rows,
    )
    _lend_and_pay_out(engine, product, next(phones), misses, (njeri, kamau, mutua), lifecycle)
    finish(misses)


def _lend_and_pay_out(engine, product, phone, misses, people, lifecycle) -> None:
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from tests import factories  # noqa: PLC0415

    njeri, kamau, mutua = people
    customer = factories.customer("Otieno Ouma", str(phone))
    create, decide, pay_out = [], [], []

    def one() -> None:
        marks = [perf_counter()]
        loan = lifecycle.apply(
            customer=customer, product=product, principal=Decimal(100_000), by=njeri, on=DAY
        )
        marks.append(perf_counter())
        lifecycle.submit(loan, by=njeri, on=DAY)
        loan = lifecycle.approve(loan, by=kamau, on=DAY)
        marks.append(perf_counter())
        lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY)
        marks.append(perf_counter())
        for kept, begin, end in zip((create, decide, pay_out), marks, marks[1:], strict=True):
            kept.append(end - begin)

    for _ in range(LOANS):
        one()
    with CaptureQueriesContext(connection) as captured:
        one()
    made = 1 / (median(create) + median(pay_out))
    whole = 1 / (median(create) + median(decide) + median(pay_out))
    table(
        f"{engine}: loans of 12 instalments, a commit each step",
        ["", "loans/s"],
        [
            ["written down and paid out", f"{made:.0f}"],
            [f"and submitted and approved between ({len(captured)} queries)", f"{whole:.0f}"],
        ],
    )
    if engine == "PostgreSQL" and made < LOANS_A_SECOND:
        misses.append(f"{made:.0f} loans a second, goal {LOANS_A_SECOND}")


if __name__ == "__main__":
    main()
