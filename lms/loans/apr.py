"""The true price of a loan: nominal APR and effective EIR from its cash flows.

Both equations are solved by Newton's steps from a rate of zero. What the flows are worth falls
ever more slowly as the rate grows, so each step stops short of the answer and none passes it:
there is nothing to bracket, and no rate is too high to find.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

ENOUGH = Decimal("1e-18")


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
    _must_pay_back(received, [flow.amount for flow in flows])
    rate = Decimal(0)
    while True:
        growth = 1 + rate
        worth, slope = Decimal(0), Decimal(0)
        for amount, periods, fraction in flows:
            simple = 1 + fraction * rate
            part = amount / (simple * growth**periods)
            worth += part
            slope += part * (fraction / simple + periods / growth)
        step = (worth - received) / slope
        rate += step
        if step <= ENOUGH * growth:
            return rate


def effective(received: Decimal, flows: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """Return the yearly rate X with Σ amount·(1+X)^−years = received.

    `flows` are pairs of KES and years, more than none. Source: Directive 2008/48/EC, Annex I.
    Raises ValueError when the customer pays back less than was received.
    """
    _must_pay_back(received, [amount for amount, _ in flows])
    # On the logarithms of growth and worth the curve is almost straight, so few steps are needed.
    log_growth = Decimal(0)
    while True:
        worth, slope = Decimal(0), Decimal(0)
        for amount, years in flows:
            part = amount * (-years * log_growth).exp()
            worth += part
            slope += part * years
        step = (worth / received).ln() * worth / slope
        log_growth += step
        if step <= ENOUGH * (1 + log_growth):
            return log_growth.exp() - 1


def compounded(rate: Decimal, periods_a_year: Decimal) -> Decimal:
    """Return the yearly rate that a rate a period comes to when it is compounded."""
    return (1 + rate) ** periods_a_year - 1


def _must_pay_back(received: Decimal, amounts: Sequence[Decimal]) -> None:
    if received <= 0 or sum(amounts) < received:
        raise ValueError("The flows do not pay back what was received.")
