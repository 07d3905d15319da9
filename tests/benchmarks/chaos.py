"""Payments while almost everything goes wrong: `python -m tests.benchmarks.chaos [PAYMENTS]`.

On the engine that DATABASE_URL names. Exits with 1 when a customer is not credited exactly what
Safaricom took, or the books do not agree.
"""

import sys
from time import perf_counter

from tests.benchmarks.common import engine, finish, table
from tests.processes.chaos import RATES, Chaos, chaos
from tests.processes.office import open_office

PAYMENTS, A_SECOND, SEED = 2000, 25, 7


def main() -> None:
    payments = int(sys.argv[1]) if len(sys.argv) > 1 else PAYMENTS
    with open_office() as office:
        started = perf_counter()
        found = chaos(
            office,
            payments=payments,
            customers=max(payments // 8, 10),
            seconds=payments / A_SECOND,
            seed=SEED,
            payouts=payments // 20,
        )
        seconds = perf_counter() - started
        office.ask("prove")
    misses = _judge(found)
    table(
        f"{engine()}: {payments} payments, {', '.join(f'{v:.0%} {k}' for k, v in RATES.items())}",
        ["", "taken", "credited", "lost", "twice or wrong", "books", "s"],
        [
            [
                "payments",
                len(found.took),
                len(found.credited),
                len(found.took.keys() - found.credited.keys()),
                len(_wrong(found)),
                "agree",
                f"{seconds:.0f}",
            ]
        ],
    )
    table(
        "Payouts",
        ["asked for", "left Safaricom", "paid in the books", "most often for one"],
        [[payments // 20, len(found.left), len(found.paid_out), found.most_times]],
    )
    table("Killed by -9", list(found.kills), [list(found.kills.values())])
    table("Went wrong", list(found.faults), [list(found.faults.values())])
    table("Found by recovery", list(found.recovered), [list(found.recovered.values())])
    finish(misses)


def _wrong(found: Chaos) -> list[str]:
    return [
        receipt
        for receipt, credited in found.credited.items()
        if found.took.get(receipt) != credited
    ]


def _judge(found: Chaos) -> list[str]:
    return (
        [
            f"{receipt} was taken and not credited"
            for receipt in found.took.keys() - found.credited.keys()
        ]
        + _judge_payouts(found)
        + [
            f"{receipt}: {found.credited[receipt]} instead of {found.took.get(receipt)}"
            for receipt in _wrong(found)
        ]
    )


def _judge_payouts(found: Chaos) -> list[str]:
    misses = [f"A payout left {found.most_times} times"] if found.most_times > 1 else []
    if found.left != found.paid_out:
        misses.append(
            f"{len(found.left)} payouts left, {len(found.paid_out)} are paid in the books"
        )
    if set(found.loans) - {"active"}:
        misses.append(f"Loans to pay out: {found.loans}")
    return misses


if __name__ == "__main__":
    main()
