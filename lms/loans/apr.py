"""The true price of a loan: nominal APR and effective EIR from its cash flows."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

ENOUGH = Decimal("1e-16")
HIGHEST = Decimal(10) ** 9


class Flow(NamedTuple):
    """`amount` paid by the customer after `periods` whole periods and a `fraction` of one."""

    amount: Decimal
    periods: int
    fraction: Decimal = Decimal(0)


def irr(received: Decimal, flows: Sequence[Flow]) -> Decimal:
    """Return the rate a period at which the flows are worth what was received.

    Whole periods compound, a fraction of one bears simple interest.
    Source: 12 CFR 1026, Appendix J (b)(8). Raises ValueError when the customer pays back less
    than was received, for then there is no rate.
    """
    if received <= 0 or sum(flow.amount for flow in flows) < received:
        raise ValueError("The flows do not pay back what was received.")

    def worth(rate: Decimal) -> Decimal:
        growth = 1 + rate
        return sum(
            flow.amount / ((1 + flow.fraction * rate) * growth**flow.periods) for flow in flows
        )

    return _root(lambda rate: worth(rate) - received)


def effective(received: Decimal, flows: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """Return the yearly rate X with Σ amount·(1+X)^−years = received.

    `flows` are pairs of KES and years. Source: Directive 2008/48/EC, Annex I.
    """
    if received <= 0 or sum(amount for amount, _ in flows) < received:
        raise ValueError("The flows do not pay back what was received.")
    return _root(lambda rate: sum(a / (1 + rate) ** t for a, t in flows) - received)


def _root(excess: Callable[[Decimal], Decimal]) -> Decimal:
    """Return where a falling function crosses zero: secant steps kept inside a bracket."""
    low, high = Decimal(0), Decimal(1)
    at_low, at_high = excess(low), excess(high)
    while at_high > 0 and high < HIGHEST:
        low, at_low, high = high, at_high, high * 4
        at_high = excess(high)
    while high - low > ENOUGH * (1 + high):
        guess = low + (high - low) * at_low / (at_low - at_high) if at_low != at_high else low
        middle = (low + high) / 2
        for rate in (guess, middle):
            if low < rate < high:
                value = excess(rate)
                if value > 0:
                    low, at_low = rate, value
                else:
                    high, at_high = rate, value
        if at_low == 0 or at_high == 0:
            return low if at_low == 0 else high
    return (low + high) / 2
