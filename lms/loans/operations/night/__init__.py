"""The nightly close of the loans: one small module a step, each a few statements over many loans.

Most steps take a range of keys, `first` to `last`, and the business day `on` that ends; they write
what is missing by then, so that run twice they do nothing. They run inside the transaction of the
caller and return how many rows they wrote. `close_day` of the room `closing` calls them in order.
"""

from collections.abc import Callable
from typing import NamedTuple

from lms.loans.operations.night import (
    accrual,
    charges,
    credit,
    provisions,
    recalculated,
    snapshots,
    standing,
)


class Step(NamedTuple):
    """One step of the night: its name, how staff call it, and what it runs."""

    name: str
    label: str
    run: Callable[..., int]
    by_loan: bool = True


STEPS = (
    Step("credit", "Dues paid from credit", credit.use),
    Step("penalties", "Late penalties", charges.charge),
    Step("recalculation", "Interest by the actual balance", recalculated.recalculate),
    Step("positions", "Arrears, classes and defaults", standing.classify),
    Step("interest", "Interest earned", accrual.accrue),
    Step("snapshots", "Snapshots", snapshots.take),
    Step("provisions", "Provisions", provisions.provide, by_loan=False),
)
