"""In duplum: interest on a loan that does not perform stops where it equals the principal.

Pure: no Django, no clock, no database. Source: Banking Act (Cap. 488), s. 44A: recoverable are the
principal owing when the loan became non-performing, contractual interest not exceeding that
principal, and the expenses of recovery. Here all unpaid interest and penalties count against the
cap, whenever they were earned: the strict reading.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from lms.money import ZERO


@dataclass(frozen=True, slots=True)
class Default:
    """The day a loan became non-performing and the principal (KES) then owing, both frozen."""

    npl_on: date
    principal: Decimal


def freeze(
    default: Default | None, *, non_performing: bool, arrears: Decimal, principal: Decimal, on: date
) -> Default | None:
    """Return the default that stands after a day; None while the loan performs.

    A default stays, with its principal, until no arrears are left and the loan performs again. The
    one after that starts anew with the principal of its own day.
    """
    if default is None:
        return Default(on, principal) if non_performing else None
    return default if non_performing or arrears > 0 else None


def allowance(*, principal_at_npl: Decimal, unpaid_charges: Decimal) -> Decimal:
    """Return how much interest and penalty (KES) may still be charged; `unpaid_charges` is both."""
    return max(principal_at_npl - unpaid_charges, ZERO)


class Limited(NamedTuple):
    """A charge as the rule lets it through (KES): what is posted and what is suspended."""

    posted: Decimal
    suspended: Decimal


def limit(charge: Decimal, *, principal_at_npl: Decimal | None, unpaid_charges: Decimal) -> Limited:
    """Return the charge cut at the cap; the whole of it while `principal_at_npl` is None."""
    if principal_at_npl is None:
        return Limited(charge, ZERO)
    posted = min(
        charge, allowance(principal_at_npl=principal_at_npl, unpaid_charges=unpaid_charges)
    )
    return Limited(posted, charge - posted)


@dataclass(frozen=True, slots=True)
class Proof:
    """The figures that show how much of a loan in default may be recovered (KES)."""

    npl_on: date
    principal_at_npl: Decimal
    principal: Decimal
    interest: Decimal
    penalties: Decimal
    costs: Decimal
    already_suspended: Decimal

    @property
    def cap(self) -> Decimal:
        """The most that interest and penalties may come to."""
        return self.principal_at_npl

    @property
    def charges(self) -> Decimal:
        """All interest and penalties earned and unpaid, with what is suspended."""
        return self.interest + self.penalties + self.already_suspended

    @property
    def charges_recoverable(self) -> Decimal:
        return min(self.interest + self.penalties, self.cap)

    @property
    def suspended(self) -> Decimal:
        """What is earned and not recoverable: kept and shown, never deleted."""
        return self.charges - self.charges_recoverable

    @property
    def recoverable(self) -> Decimal:
        return self.principal + self.charges_recoverable + self.costs


def proof(
    default: Default,
    *,
    interest: Decimal,
    penalties: Decimal,
    principal: Decimal | None = None,
    costs: Decimal = ZERO,
    already_suspended: Decimal = ZERO,
) -> Proof:
    """Return the proof for what is unpaid today.

    `principal` is what is still owed of it (all of the frozen principal when None), `costs` the
    itemised expenses of recovery, `already_suspended` what `limit` has kept back so far.
    """
    return Proof(
        npl_on=default.npl_on,
        principal_at_npl=default.principal,
        principal=default.principal if principal is None else principal,
        interest=interest,
        penalties=penalties,
        costs=costs,
        already_suspended=already_suspended,
    )
