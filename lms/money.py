"""Shillings: the only file that rounds money.

Amounts are `Decimal` KES with two places. SQLite keeps decimals as binary floats, so every
sum or difference made in SQL passes `exact()` before it is compared, constrained or stored.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from functools import partial

from django.db import models
from django.db.models.functions import Coalesce, Round

ZERO = Decimal("0.00")
CENT = Decimal("0.01")
SHILLING = Decimal(1)
HALF_UP = ROUND_HALF_UP
UP = ROUND_UP

MoneyField = partial(models.DecimalField, max_digits=14, decimal_places=2)


def money(amount: Decimal | int | str, unit: Decimal = CENT, mode: str = HALF_UP) -> Decimal:
    """Return `amount` as KES rounded to a multiple of `unit`, halves away from zero.

    Raises TypeError for a float: binary fractions are not money.
    """
    if isinstance(amount, float):
        raise TypeError("Money is Decimal, never float.")
    return ((Decimal(amount) / unit).quantize(Decimal(1), rounding=mode) * unit).quantize(CENT)


def split(total: Decimal, parts: int, unit: Decimal = CENT) -> list[Decimal]:
    """Return `parts` amounts that sum to `total`; the last one absorbs the rounding."""
    each = money(total / parts, unit)
    return [each] * (parts - 1) + [total - each * (parts - 1)]


def apportion(total: Decimal, weights: Sequence[Decimal], unit: Decimal = CENT) -> list[Decimal]:
    """Return `total` cut in proportion to `weights`, summing to `total` exactly.

    Each cut is made on the running total, so that no part drifts more than one `unit`.
    Raises ValueError when the weights do not sum to more than zero.
    """
    whole = sum(weights, Decimal(0))
    if whole <= 0:
        raise ValueError("The weights must sum to more than zero.")
    parts, seen, given = [], Decimal(0), Decimal(0)
    for weight in weights:
        seen += weight
        reached = money(total * seen / whole, unit) if seen != whole else total
        parts.append(reached - given)
        given = reached
    return parts


def exact(expression: models.expressions.Combinable) -> Round:
    """Return the SQL expression rounded to cents, equal on SQLite and PostgreSQL."""
    return Round(expression, 2, output_field=models.DecimalField(max_digits=14, decimal_places=2))


def total(expression: models.expressions.Combinable | str) -> Round:
    """Return the exact SQL sum of an expression, zero over no rows."""
    zero = models.Value(ZERO, output_field=models.DecimalField(max_digits=14, decimal_places=2))
    return exact(Coalesce(models.Sum(expression), zero))


def kes(amount: Decimal | None) -> str:
    """Return the amount as staff read it: KES 12,345.00 (a dash where there is none)."""
    return "-" if amount is None else f"KES {amount:,.2f}"
