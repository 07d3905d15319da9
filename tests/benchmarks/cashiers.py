"""Cashiers at the same loan at the same moment: `python -m tests.benchmarks.cashiers`.

On the engine that DATABASE_URL names. On PostgreSQL it also shows what happens without the row
lock, which proves that the check can see the fault. Exits with 1 when money is lost or over-paid.
"""

from decimal import Decimal

from tests.benchmarks.common import engine, finish, table, timed
from tests.processes import scenes
from tests.processes.office import Office, open_office

ROUNDS, LAST, SAME = 100, 100, 100
AMOUNT = Decimal("317.35")


def main() -> None:
    misses: list[str] = []
    rows = [_same_loan(misses), _last_instalment(misses), _same_reference(misses)]
    table(
        f"{engine()}: real processes that start each round together",
        ["", "rounds", "payments", "received KES", "allocated KES", "credit KES", "over-paid", "s"],
        rows,
    )
    if engine() == "PostgreSQL":
        _without_lock(misses)
    finish(misses)


def _same_loan(misses: list[str]) -> list:
    with open_office() as office:
        ((number, _),) = office.ask("lend", 1, 100_000, 12)
        seconds = timed(lambda: scenes.cashiers(office, [(number, AMOUNT)] * ROUNDS))
        return _judge(
            "two cashiers, one loan",
            office,
            (ROUNDS, 2 * ROUNDS, 2 * ROUNDS * AMOUNT, Decimal(0)),
            seconds,
            misses,
        )


def _last_instalment(misses: list[str]) -> list:
    with open_office() as office:
        lent = office.ask("lend", LAST, 5_000, 1)
        owed = sum(amount for _, amount in lent)
        seconds = timed(lambda: scenes.cashiers(office, lent))
        return _judge(
            "both take the last instalment",
            office,
            (LAST, 2 * LAST, owed, owed),
            seconds,
            misses,
        )


def _same_reference(misses: list[str]) -> list:
    with open_office() as office:
        ((number, _),) = office.ask("lend", 1, 100_000, 12)
        slips = [f"SLIP-{n}" for n in range(SAME)]
        seconds = timed(lambda: office.together("post_the_same", *[(slips, number)] * 8))
        return _judge(
            "eight post the same slip",
            office,
            (SAME, SAME, SAME * Decimal("85.50"), Decimal(0)),
            seconds,
            misses,
        )


def _judge(name: str, office: Office, expected: tuple, seconds: float, misses: list[str]) -> list:
    """Compare what was made of the payments with (rounds, payments, allocated, credited)."""
    rounds, *rest = expected
    made, overpaid = office.ask("payments"), office.ask("overpaid")
    found = [made["count"], made["allocated"], made["credited"]]
    office.ask("prove")
    if found != rest or overpaid:
        misses.append(f"{name}: {found} instead of {rest}, {len(overpaid)} over-paid")
    return [
        name,
        rounds,
        made["count"],
        f"{made['received']:,.2f}",
        f"{made['allocated']:,.2f}",
        f"{made['credited']:,.2f}",
        len(overpaid),
        f"{seconds:.1f}",
    ]


def _without_lock(misses: list[str]) -> None:
    """Take the row lock away and count what goes wrong: the same check must see it."""
    with open_office() as office:
        lent = office.ask("lend", LAST, 5_000, 1)
        scenes.cashiers(office, lent, without_lock="without")
        overpaid = len(office.ask("overpaid"))
    print(f"\nWithout the row lock, {overpaid} components of {LAST} instalments are over-paid.")
    if not overpaid:
        misses.append("The check does not see what happens without the row lock.")


if __name__ == "__main__":
    main()
