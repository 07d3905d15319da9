"""How an amount of money falls on what is owed. Pure: no Django, no clock, no database."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from lms.money import ZERO

COMPONENTS = ("principal", "interest", "fees", "penalties")

# Source: the demand-offset orders in use among Kenyan lenders; `interest_fees_principal` is the
# one of the draft NDTCP Regulations 2025 (interest, fees and charges, principal).
ORDERS = {
    "penalties_fees_interest_principal": ("penalties", "fees", "interest", "principal"),
    "interest_fees_principal": ("interest", "fees", "penalties", "principal"),
    "interest_principal_fees_penalties": ("interest", "principal", "fees", "penalties"),
    "principal_interest_fees_penalties": ("principal", "interest", "fees", "penalties"),
}


@dataclass(frozen=True, slots=True)
class Due:
    """One instalment as the money meets it: what is owed of each component, in KES."""

    key: Hashable
    due_date: date
    owing: Mapping[str, Decimal]


class Part(NamedTuple):
    """So many KES on one component of one instalment."""

    key: Hashable
    component: str
    amount: Decimal


def spread(
    amount: Decimal,
    dues: Sequence[Due],
    *,
    order: str,
    direction: str,
    on: date,
    ahead: bool,
) -> tuple[list[Part], Decimal]:
    """Return how `amount` KES falls on the dues, and what is left of it.

    What is due on or before `on` is paid first, oldest due first: `vertical` finishes one
    instalment before the next, `horizontal` pays one component of all of them before the next.
    With `ahead` the rest pays later instalments, finishing one before the next. The parts and
    what is left sum to `amount`. Raises ValueError for an unknown order or direction.
    """
    if order not in ORDERS or direction not in ("vertical", "horizontal"):
        raise ValueError(f"There is no allocation {order!r}, {direction!r}.")
    in_order = sorted(dues, key=lambda due: due.due_date)
    now = [due for due in in_order if due.due_date <= on]
    later = [due for due in in_order if due.due_date > on] if ahead else []
    parts, left = [], amount
    for due, component in [*_path(now, order, direction), *_path(later, order, "vertical")]:
        taken = min(left, due.owing.get(component, ZERO))
        if taken > 0:
            parts.append(Part(due.key, component, taken))
            left -= taken
        if not left:
            break
    return parts, left


def _path(dues: Sequence[Due], order: str, direction: str) -> Iterator[tuple[Due, str]]:
    """Return every due and component in the order in which money reaches them."""
    if direction == "vertical":
        return ((due, component) for due in dues for component in ORDERS[order])
    return ((due, component) for component in ORDERS[order] for due in dues)
