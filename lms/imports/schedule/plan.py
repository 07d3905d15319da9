"""What the lines of one loan mean against what stands here. Pure: no database, no clock.

Each step looks at every line; the first step that finds a wrong one ends the plan, and the good
lines of the loan are left out with it.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from lms.imports.schedule.lines import Item
from lms.imports.verdicts import CHANGED, NEW, UNCHANGED, WRONG
from lms.loans.allocation import COMPONENTS, Due, spread
from lms.money import ZERO, apportion, kes

SETTLED_HERE = "something was paid, waived or charged on it here"


class LoanFacts(NamedTuple):
    """What the plan has to know of a loan."""

    pk: int
    principal: Decimal
    status: str
    branch_id: int
    customer_id: int
    disbursed_on: date | None
    allocation_order: str
    posting_profile_id: int | None

    @property
    def number(self) -> str:
        return f"LN{self.pk:06d}"


class Standing(NamedTuple):
    """An instalment that exists. `opening` was paid on it before the takeover, `before` charged."""

    pk: int
    loan_id: int
    number: int
    due_date: date
    principal: Decimal
    interest: Decimal
    fees: Decimal
    penalties: Decimal
    principal_paid: Decimal
    interest_paid: Decimal
    fees_paid: Decimal
    penalties_paid: Decimal
    principal_waived: Decimal
    interest_waived: Decimal
    fees_waived: Decimal
    penalties_waived: Decimal
    status: str
    paid_on: date | None
    opening: Decimal = ZERO
    before: Decimal = ZERO

    @property
    def due(self) -> Decimal:
        return self.principal + self.interest + self.fees + self.penalties

    @property
    def paid(self) -> Decimal:
        return self.principal_paid + self.interest_paid + self.fees_paid + self.penalties_paid

    @property
    def waived(self) -> Decimal:
        return (
            self.principal_waived + self.interest_waived + self.fees_waived + self.penalties_waived
        )

    @property
    def is_cancelled(self) -> bool:
        return self.status == "cancelled"

    @property
    def is_untouched(self) -> bool:
        return self.status == "pending" and not (self.paid or self.waived or self.penalties)

    @property
    def owing(self) -> dict[str, Decimal]:
        return {
            name: getattr(self, name)
            - getattr(self, f"{name}_paid")
            - getattr(self, f"{name}_waived")
            for name in COMPONENTS
        }


class LoanPlan:
    """The lines of one loan, decided together. After `decide` each line has its state."""

    def __init__(
        self, loan: LoanFacts, items: list[Item], standing: dict[int, Standing], *, on: date
    ) -> None:
        self.loan = loan
        self.items = items
        self.standing = standing
        self.on = on

    def decide(self) -> "LoanPlan":
        """Give every line its state, and what is paid and waived by it."""
        steps = (self._admit, self._split, self._compare, self._settle, self._fit)
        for step in steps:
            if not self._is_wrong():
                step()
        if self._is_wrong():
            bad = min(item.line for item in self.items if item.state == WRONG)
            for item in self.items:
                item.leave_out(
                    f"Line {bad} of {self.loan.number} is wrong, and a loan is imported whole."
                )
        return self

    @property
    def changes(self) -> list[Item]:
        """The lines to write; none of them when any line is wrong."""
        return [item for item in self.items if item.state in (NEW, CHANGED)]

    def release(self) -> None:
        """Forget what was only needed to decide and write: a file may have a million lines."""
        self.standing = {}
        for item in self.items:
            item.old = None

    def _is_wrong(self) -> bool:
        return any(item.state == WRONG for item in self.items)

    def _all_wrong(self, column: str, message: str) -> None:
        for item in self.items:
            item.refuse(column, message)

    # Is it an instalment that may be imported?

    def _admit(self) -> None:
        if self.loan.status not in ("active", "closed"):
            self._all_wrong("loan", self._why_not_running())
            return
        first: dict[int, int] = {}
        for item in self.items:
            item.old = self.standing.get(item.number)
            other = first.setdefault(item.number, item.line)
            if other != item.line:
                item.refuse(
                    "number",
                    f"Instalment {item.number} of {self.loan.number} is on line {other} already: "
                    "delete one of the two.",
                )
            elif item.old and item.old.is_cancelled and not item.is_cancelled:
                item.refuse(
                    "number",
                    f"Instalment {item.number} of {self.loan.number} was cancelled here: "
                    "delete the line, or give the instalment another number.",
                )

    def _why_not_running(self) -> str:
        if self.loan.status in ("rejected", "withdrawn"):
            return f"{self.loan.number} was {self.loan.status}: it has no schedule."
        return f"{self.loan.number} is not disbursed yet: its schedule is made when it is paid out."

    # Of what is the amount made?

    def _split(self) -> None:
        without = [item for item in self.items if not item.has_split]
        if not without:
            for item in self.items:
                self._complete(item)
        elif len(without) == len(self.items):
            self._share_out()
        else:
            for item in without:
                item.refuse(
                    "principal",
                    f"Other lines of {self.loan.number} say what is principal and what is "
                    "interest: say it here too, or on none of its lines.",
                )

    def _complete(self, item: Item) -> None:
        """Fill in the parts that the line does not give, and see that they make the amount."""
        item.interest = item.interest or ZERO
        item.fees = item.fees or ZERO
        item.penalty = item.penalty or ZERO
        charges = item.interest + item.fees + item.penalty
        if item.principal is None:
            item.principal = max(item.amount_due - charges, ZERO)
        if item.principal + charges != item.amount_due:
            item.refuse(
                "amount_due",
                f"Principal, interest, fees and penalty sum to {kes(item.principal + charges)}, "
                f"but the amount due is {kes(item.amount_due)}: correct one of them.",
            )

    def _share_out(self) -> None:
        """Split lines that give amounts only: what exceeds the principal lent is interest.

        A line with the amount that stands here says nothing new, so it keeps the split it has.
        """
        left, mute = self.loan.principal - self._principal_elsewhere(), []
        for item in self.items:
            old = item.old
            item.interest = item.fees = item.penalty = ZERO
            if old and item.amount_due in (old.due, old.due - old.penalties + old.before):
                item.principal, item.interest, item.fees = old.principal, old.interest, old.fees
                item.penalty = item.amount_due - old.due + old.penalties
                left -= ZERO if item.is_cancelled else item.principal
            elif item.is_cancelled:
                item.principal = item.amount_due
            else:
                mute.append(item)
        total = sum((item.amount_due for item in mute), ZERO)
        if mute and total < left:
            self._all_wrong(
                "amount_due",
                f"The instalments of {self.loan.number} sum to "
                f"{kes(self.loan.principal - left + total)}, less than the "
                f"{kes(self.loan.principal)} that was lent: correct the amounts or add the "
                "instalments that are missing.",
            )
        elif mute:
            shares = apportion(max(left, ZERO), [item.amount_due for item in mute])
            for item, share in zip(mute, shares, strict=True):
                item.principal, item.interest = share, item.amount_due - share

    def _principal_elsewhere(self) -> Decimal:
        """Return the principal on instalments that stand and are not in the file."""
        return sum((old.principal for old in self._kept()), ZERO)

    def _kept(self) -> Iterator[Standing]:
        numbers = {item.number for item in self.items}
        return (
            old
            for number, old in self.standing.items()
            if number not in numbers and not old.is_cancelled
        )

    # Does it differ from what stands here?

    def _compare(self) -> None:
        for item in self.items:
            old = item.old
            if old is None:
                item.state = NEW
                continue
            item.state = UNCHANGED
            differences = list(_differences(item, old))
            if not differences:
                continue
            column, before, after = differences[0]
            if not old.is_untouched:
                item.refuse(
                    column,
                    f"Instalment {item.number} of {self.loan.number} can no longer change from "
                    f"{before} to {after}: {SETTLED_HERE}. Write what stands here, or delete "
                    "the line.",
                )
            else:
                item.state = CHANGED
                item.message = "; ".join(
                    f"{name} {before} → {after}" for name, before, after in differences
                )

    # What was paid and waived before the takeover?

    def _settle(self) -> None:
        for item in self.items:
            paid = item.amount_paid
            if not item.status and not paid and item.old is None:
                continue  # Nothing is said about payment: the most frequent line.
            problem = self._contradiction(item)
            if problem:
                item.refuse(*problem)
                continue
            if item.status == "unpaid":
                paid = ZERO
            elif item.status == "completed" and paid is None:
                paid = _completed(item)
            self._pay(item, paid)
            if item.status == "waived" and item.state != WRONG:
                self._waive(item)

    def _contradiction(self, item: Item) -> tuple[str, str] | None:
        """Return the column and sentence where status and amount paid do not go together."""
        paid, status, old = item.amount_paid or ZERO, item.status, item.old
        due = max(item.amount_due, old.due) if old else item.amount_due
        if paid > due:
            return "amount_paid", (
                f"{kes(paid)} was paid but only {kes(due)} was due: "
                "put what was overpaid on the next instalment, or take it as a payment."
            )
        if old and paid == old.paid and item.state == UNCHANGED and not any(old.owing.values()):
            return None  # It is settled here, with money or a waiver, whatever the word for it.
        if status in ("unpaid", "cancelled") and paid:
            return "status", (
                f"{kes(paid)} was paid on it, so it is not {_WORDS[status]}: "
                "correct the status or the amount paid."
            )
        if status == "completed" and item.amount_paid is not None and paid < due:
            return "status", (
                f"It is called completed but {kes(paid)} of {kes(due)} was paid: "
                "write partial, or correct the amount paid."
            )
        if status == "partial" and not ZERO < paid < due:
            return "amount_paid", (
                "It is called partial: write how much was paid, "
                f"more than KES 0.00 and less than {kes(due)}."
            )
        if status in ("overdue", "due", "waived") and paid == due:
            return "status", f"All of it was paid, so it is not {_WORDS[status]}: write completed."
        if status == "overdue" and item.due_date >= self.on:
            return "status", (
                f"It falls due on {item.due_date:%d %b %Y}, so it is not overdue yet: "
                "correct the date or the status."
            )
        return None

    def _pay(self, item: Item, paid: Decimal | None) -> None:
        """Decide how much of `paid` is not known here yet, and what it falls on."""
        old = item.old
        if paid is None or (old and paid in (old.opening, old.paid)):
            return
        opening = old.opening if old else ZERO
        if paid < opening:
            item.refuse(
                "amount_paid",
                f"It was taken over as paid {kes(opening)}: record a reversal instead of "
                f"importing {kes(paid)}.",
            )
            return
        parts, left = spread(
            paid - opening,
            [Due(key=0, due_date=item.due_date, owing=_owing(item))],
            order=self.loan.allocation_order,
            direction="vertical",
            on=item.due_date,
            ahead=False,
        )
        if left:
            item.refuse(
                "amount_paid",
                f"The file says {kes(paid)} was paid before the takeover, {kes(opening)} of it is "
                f"known, and only {kes(paid - opening - left)} is still owed here: "
                "correct the amount paid.",
            )
            return
        if parts:
            item.pay = {part.component: part.amount for part in parts}
            self._mark_changed(item, f"paid {kes(opening)} → {kes(paid)}")

    def _waive(self, item: Item) -> None:
        """Give up what is owed after the payment, where nothing happened to it here."""
        old, owing = item.old, _owing(item)
        rest = {name: owing[name] - (item.pay or {}).get(name, ZERO) for name in COMPONENTS}
        if not any(rest.values()):
            return
        if old and (old.paid != old.opening or old.waived):
            item.refuse(
                "status",
                f"It cannot be taken over as waived: {SETTLED_HERE}. Waive the rest here.",
            )
            return
        item.waive = {name: amount for name, amount in rest.items() if amount}
        self._mark_changed(item, f"waived KES 0.00 → {kes(sum(rest.values(), ZERO))}")

    @staticmethod
    def _mark_changed(item: Item, text: str) -> None:
        if item.state != NEW:
            item.state = CHANGED
            item.message = f"{item.message}; {text}" if item.message else text

    # Does the whole schedule hold together?

    def _fit(self) -> None:
        changes = self.changes
        if not changes:
            return
        if self.loan.status == "closed":
            for item in changes:
                item.refuse("loan", f"{self.loan.number} is closed: its schedule stays as it is.")
            return
        self._check_days(changes)
        principal = self._principal_elsewhere() + sum(
            (item.principal for item in self.items if not item.is_cancelled), ZERO
        )
        moves = any(_moves_principal(item) for item in changes)
        if moves and principal != self.loan.principal and not self._is_wrong():
            self._all_wrong(
                "principal",
                f"The principal of {self.loan.number} sums to {kes(principal)} but "
                f"{kes(self.loan.principal)} was lent: correct the principal column.",
            )

    def _check_days(self, changes: list[Item]) -> None:
        for item in changes:
            if item.due_date <= self.loan.disbursed_on:
                item.refuse(
                    "due_date",
                    f"{self.loan.number} was disbursed on {self.loan.disbursed_on:%d %b %Y}: "
                    "an instalment falls due after that.",
                )
        rows = [(item.number, item.due_date, item) for item in self.items if not item.is_cancelled]
        rows += [(old.number, old.due_date, None) for old in self._kept()]
        rows.sort(key=lambda row: row[0])
        for (number, day, before), (later, next_day, after) in pairwise(rows):
            moved = [item for item in (after, before) if item and item.state != UNCHANGED]
            if next_day <= day and moved:
                moved[0].refuse(
                    "due_date",
                    f"Instalment {later} is due on {next_day:%d %b %Y}, not after instalment "
                    f"{number} on {day:%d %b %Y}: due dates follow the numbers.",
                )


_WORDS = {
    "unpaid": "unpaid",
    "cancelled": "cancelled",
    "overdue": "overdue",
    "due": "due",
    "waived": "waived",
}


def _differences(item: Item, old: Standing) -> Iterator[tuple[str, str, str]]:
    """Yield column, before and after for what the line would change of the schedule."""
    if item.due_date != old.due_date:
        yield "due_date", f"{old.due_date:%d %b %Y}", f"{item.due_date:%d %b %Y}"
    for name in ("principal", "interest", "fees"):
        before, after = getattr(old, name), getattr(item, name)
        if before != after:
            yield name, kes(before), kes(after)
    if item.penalty not in (old.before, old.penalties):
        yield "penalty", kes(old.before), kes(item.penalty)
    if item.is_cancelled and not old.is_cancelled:
        yield "status", old.status, "cancelled"


def _completed(item: Item) -> Decimal | None:
    """Return what "completed" without an amount says was paid; None where it is settled here."""
    if item.old and not any(item.old.owing.values()):
        return None
    return item.amount_due


def _owing(item: Item) -> dict[str, Decimal]:
    """Return what is owed of each component, with the amounts that the line brings."""
    if item.old and not item.old.is_untouched:
        return item.old.owing
    return {
        "principal": item.principal,
        "interest": item.interest,
        "fees": item.fees,
        "penalties": item.penalty,
    }


def _moves_principal(item: Item) -> bool:
    old = item.old
    return old is None or item.principal != old.principal or item.is_cancelled != old.is_cancelled
