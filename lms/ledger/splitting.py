"""From lines that debit or credit to transfers that do both. Pure: no Django, no database."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from lms.errors import Refused
from lms.money import ZERO, kes


class Side(NamedTuple):
    """One line of a journal: an account of a branch, debited or credited (KES)."""

    account: str
    branch_id: int
    debit: Decimal
    credit: Decimal


class Move(NamedTuple):
    """One transfer of a branch: `amount` KES from the credited account to the debited one."""

    debit: str
    credit: str
    amount: Decimal
    branch_id: int


def totals(sides: Iterable[Side]) -> tuple[Decimal, Decimal]:
    """Return the sums of debits and of credits (KES)."""
    sides = list(sides)
    return sum((side.debit for side in sides), ZERO), sum((side.credit for side in sides), ZERO)


def split(sides: Iterable[Side], *, between: str) -> list[Move]:
    """Return few transfers that move what balanced lines say, always the same for the same lines.

    Lines of one account, branch and side are taken together. Each branch balances by itself:
    where its own lines do not, the account `between` takes the difference; over all branches
    `between` is zero. Equal amounts are paired first, then the largest with the largest, so a
    branch never takes more transfers than it has sums, less one.

    Raises Refused for lines that do not balance, and for an account on both sides of a branch.
    """
    sides = list(sides)
    debit, credit = totals(sides)
    if debit != credit:
        raise Refused(
            f"The debits are {kes(debit)} and the credits {kes(credit)}: "
            f"they differ by {kes(abs(debit - credit))}."
        )
    debits, credits = _sums(sides)
    moves = []
    for branch_id in sorted(debits.keys() | credits.keys()):
        ours, theirs = debits[branch_id], credits[branch_id]
        surplus = sum(ours.values(), ZERO) - sum(theirs.values(), ZERO)
        if surplus > 0:
            theirs[between] += surplus
        elif surplus < 0:
            ours[between] -= surplus
        if twice := sorted(ours.keys() & theirs.keys()):
            raise Refused(
                f"Account {twice[0]} is both debited and credited in one branch: "
                "enter the difference on one line."
            )
        moves += [Move(*pair, branch_id) for pair in _pairs(ours, theirs)]
    return moves


Sums = dict[int, dict[str, Decimal]]


def _sums(sides: Iterable[Side]) -> tuple[Sums, Sums]:
    """Return debits and credits by branch and account, without those of zero."""
    debits: Sums = defaultdict(lambda: defaultdict(lambda: ZERO))
    credits: Sums = defaultdict(lambda: defaultdict(lambda: ZERO))
    for side in sides:
        if side.debit:
            debits[side.branch_id][side.account] += side.debit
        if side.credit:
            credits[side.branch_id][side.account] += side.credit
    return debits, credits


def _pairs(
    debits: dict[str, Decimal], credits: dict[str, Decimal]
) -> list[tuple[str, str, Decimal]]:
    """Return debited account, credited account and amount until nothing is left of either side."""
    debits, credits, pairs = dict(debits), dict(credits), []
    while debits:
        account, amount = _largest(debits)
        other = next((code for code in sorted(credits) if credits[code] == amount), None)
        if other is None:
            other = _largest(credits)[0]
        moved = min(amount, credits[other])
        pairs.append((account, other, moved))
        for left, code in ((debits, account), (credits, other)):
            left[code] -= moved
            if not left[code]:
                del left[code]
    return pairs


def _largest(sums: dict[str, Decimal]) -> tuple[str, Decimal]:
    """Return the account with the largest sum; of equal ones the lowest code."""
    return min(sums.items(), key=lambda item: (-item[1], item[0]))
