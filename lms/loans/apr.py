"""The true price of a loan: nominal APR and effective EIR from its cash flows.

Both equations are solved by Newton's steps from a rate of zero. What the flows are worth falls
ever more slowly as the rate grows, so each step stops short of the answer and none passes it:
there is nothing to bracket, and no rate is too high to find. Advances after the first bend the
curve a little: a step may then pass the answer, and the next comes back.
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


def irr(received: Decimal, flows: Sequence[Flow], advances: Sequence[Flow] = ()) -> Decimal:
    """Return the rate a period at which the flows are worth what was received and the advances.

    Whole periods compound, a fraction of one bears simple interest.
    Source: 12 CFR 1026, Appendix J (b)(8). Raises ValueError when the customer pays back less
    than was received, for then there is no rate.
    """
    flows = [*flows, *(advance._replace(amount=-advance.amount) for advance in advances)]
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
        if abs(step) <= ENOUGH * growth:
            return rate


def effective(
    received: Decimal,
    flows: Sequence[tuple[Decimal, Decimal]],
    advances: Sequence[tuple[Decimal, Decimal]] = (),
) -> Decimal:
    """Return the yearly rate X with Σ amount·(1+X)^−years = received + the same of the advances.

    `flows` are pairs of KES and years, more than none. Source: Directive 2008/48/EC, Annex I.
    Raises ValueError when the customer pays back less than was received.
    """
    lent = sum((amount for amount, _ in advances), received)
    _must_pay_back(lent, [amount for amount, _ in flows])
    advances = [(received, Decimal(0)), *advances]
    # On the logarithms of growth and worth the curve is almost straight, so few steps are needed.
    log_growth = Decimal(0)
    while True:
        repaid, repaid_after = _worth(flows, log_growth)
        lent, lent_after = _worth(advances, log_growth)
        step = (repaid / lent).ln() / (repaid_after - lent_after)
        log_growth += step
        if abs(step) <= ENOUGH * (1 + log_growth):
            return log_growth.exp() - 1


def _worth(
    flows: Sequence[tuple[Decimal, Decimal]], log_growth: Decimal
) -> tuple[Decimal, Decimal]:
    """Return what the flows are worth at the beginning, and after how many years on average."""
    parts = [(amount * (-years * log_growth).exp(), years) for amount, years in flows]
    worth = sum(part for part, _ in parts)
    return worth, sum(part * years for part, years in parts) / worth


def compounded(rate: Decimal, periods_a_year: Decimal) -> Decimal:
    """Return the yearly rate that a rate a period comes to when it is compounded."""
    return (1 + rate) ** periods_a_year - 1


def _must_pay_back(received: Decimal, amounts: Sequence[Decimal]) -> None:
    if received <= 0 or sum(amounts) < received:
        raise ValueError("The flows do not pay back what was received.")
