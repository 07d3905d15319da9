"""Replaying a loan: what counts from an earlier day goes before what came later.

Money that counts from the past, or is taken away, changes what later payments had to pay and what
lateness cost. The loan is worked out again in value-date order from that day on, in memory; then
only what came out differently is taken back by mirrored entries and written anew. Interest that
follows the balance is worked out again with it, on each due date. A change of the
schedule (`Position.schedule_set_on`) is a wall: nothing before it is worked out again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db.models import Max

from lms.errors import Refused
from lms.ledger.models import JournalEntry
from lms.loans.allocation import Due, spread
from lms.loans.models import Allocation, Loan, Penalty, Repayment, Waiver
from lms.loans.models.terms import Surplus
from lms.loans.operations import actual, booking, lateness, rows, transfers
from lms.loans.operations.lateness import EVE, Charge, Charged, Lateness
from lms.money import ZERO
from lms.payments.models import Payment

Parts = dict[tuple[int, str], Decimal]
# What a later decision of the schedule gave up; the others follow from the money.
DECIDED = (Waiver.Kind.REBATE, Waiver.Kind.RESTRUCTURE, Waiver.Kind.WRITE_OFF)


@dataclass
class Money:
    """Money that met a loan on a day: a payment, or a part of one that was held as credit."""

    payment: Payment
    amount: Decimal
    day: date
    from_credit: bool
    entry: JournalEntry | None = None
    parts: Parts = field(default_factory=dict)
    replayed: Parts = field(default_factory=dict)


def counts_from(loan: Loan, day: date) -> date:
    """Return the day money counts from on a locked loan: not before its schedule was last set.

    Money that came before the disbursement counts from that day.
    """
    known = (loan.disbursed_on, loan.position.schedule_set_on)
    return max(day, *(limit for limit in known if limit))


def is_needed(loan: Loan, *, day: date, on: date) -> bool:
    """Tell whether something on a locked loan counts from a later day, or was charged on this.

    So does interest that follows the balance, of instalments that fell due after the day by `on`.
    """
    return bool(needed_on([(loan, day)], on=on))


def needed_on(days: Iterable[tuple[Loan, date]], *, on: date) -> set[int]:
    """Return the keys of the locked loans for whose day `is_needed`, asking for all together."""
    found: set[int] = set()
    asked: dict[date, list[Loan]] = defaultdict(list)
    for loan, day in days:
        last = loan.position.last_event_on
        fell_due = {"due_date__gt": day, "due_date__lte": on}
        if loan.recalculates and loan.repayments.filter(**fell_due).exists():
            found.add(loan.pk)
        elif last is not None and day <= last:
            asked[day].append(loan)
    for day, loans in asked.items():
        found |= _happened_after(day, loans)
    return found


def _happened_after(day: date, loans: Sequence[Loan]) -> set[int]:
    """Return the keys of the locked loans on which something counts from later than a day."""
    here = {"repayment__loan__in": [loan.pk for loan in loans]}
    found: set[int] = set()
    for events in (
        Allocation.objects.filter(counts_on__gt=day, amount__gt=0, reversed_by=None),
        Penalty.objects.automatic().filter(charged_on__gte=day),
        Waiver.objects.standing().filter(waived_on__gt=day),
    ):
        found |= set(events.filter(**here).order_by().values_list("repayment__loan", flat=True))
    credit = Payment.objects.with_credit().filter(
        customer_id__in={loan.customer_id for loan in loans}, value_date__gt=day
    )
    holders = set(credit.order_by().values_list("customer_id", flat=True))
    return found | {loan.pk for loan in loans if loan.customer_id in holders}


def placed(loan: Loan) -> list[Money]:
    """Lock and return all money that stands on a locked loan, also what is credit as a whole.

    Other loans of the customer, and refunds, use the credit of the same payments.
    """
    entries = {
        entry.pk: entry
        for entry in JournalEntry.objects.filter(
            kind="allocation", reversed_by=None, transfers__subject=loan.number
        ).distinct()
    }
    keys = {pk: int(entry.reference.split(":")[1]) for pk, entry in entries.items()}
    payments = Payment.objects.select_for_update().order_by("pk").in_bulk(set(keys.values()))
    found = {
        pk: Money(
            payment=payments[keys[pk]],
            amount=payments[keys[pk]].amount,
            day=counts_from(loan, payments[keys[pk]].value_date),
            from_credit=False,
            entry=entry,
        )
        for pk, entry in entries.items()
    }
    for part in Allocation.objects.filter(
        repayment__loan=loan, amount__gt=0, reversed_by=None, entry__in=entries
    ):
        money = found[part.entry_id]
        money.parts[part.repayment_id, part.component] = part.amount
        money.day, money.from_credit = part.counts_on, part.from_credit
    for money in found.values():
        if money.from_credit:
            money.amount = sum(money.parts.values(), ZERO)
    return sorted(found.values(), key=_order)


def _order(money: Money) -> tuple:
    return money.day, money.from_credit, money.payment.pk


def replay(
    loan: Loan,
    *,
    bring: Sequence[Money] = (),
    drop: Sequence[Money] = (),
    drop_waivers: Sequence[Waiver] = (),
    since: date | None = None,
    reason: str,
    by,
    on: date,
) -> date:
    """Work a locked loan out again with money brought to it or dropped from it, and book that.

    So it does without waivers that the caller has just taken back in the books, or from the day
    `since` on for something else that the caller wrote. Returns the day of the last event.

    The payments of `bring` and `drop` are locked by the caller, who also saves what becomes of a
    dropped payment; the others are updated here. A small remainder is the caller's to give up.
    Raises Refused where the dropped money paid instalments that a later change took off the
    schedule.
    """
    run = _Replay(loan, bring=bring, drop=drop, drop_waivers=drop_waivers, since=since, on=on)
    run.go_back()
    run.go_on()
    return run.write(reason=reason, by=by)


class _Replay:
    """One loan taken back to a day, and worked out again from there."""

    def __init__(self, loan, *, bring, drop, drop_waivers, since, on) -> None:
        self.loan, self.on = loan, on
        self.lateness = Lateness(loan)
        dropped = {money.entry.pk for money in drop}
        standing = [money for money in placed(loan) if money.entry.pk not in dropped]
        # The caller's payments are the ones it locked and will save.
        self.payments = {money.payment.pk: money.payment for money in (*bring, *drop)}
        for money in standing:
            money.payment = self.payments.setdefault(money.payment.pk, money.payment)
        self.drop, self.drop_waivers = drop, drop_waivers
        days = [money.day for money in (*bring, *drop)]
        days += [waiver.waived_on for waiver in drop_waivers]
        self.start = min([*days, since] if since else days)
        if wall := self._wall():
            self.start = max(self.start, wall + EVE)
        self.later = [money for money in standing if money.day >= self.start]
        self.fixed = [money for money in standing if money.day < self.start]
        self.bring = list(bring)
        self.before = {row.pk: row for row in loan.repayments.order_by("due_date", "number")}
        self.rows = {pk: copy(row) for pk, row in self.before.items()}
        self.elsewhere = self._paid_elsewhere((*standing, *drop))

    def _wall(self) -> date | None:
        decided = (
            Waiver.objects.standing()
            .filter(repayment__loan=self.loan, kind__in=DECIDED)
            .aggregate(day=Max("waived_on"))["day"]
        )
        days = [day for day in (decided, self.loan.position.schedule_set_on) if day]
        return max(days, default=None)

    def _paid_elsewhere(self, here: Iterable[Money]) -> dict[int, Decimal]:
        """Return what each payment has paid on other loans, or given back: it stays there."""
        fresh = {money.payment.pk for money in self.bring if not money.from_credit}
        used = {
            pk: payment.amount - payment.credited if pk not in fresh else ZERO
            for pk, payment in self.payments.items()
        }
        self.used_before = dict.fromkeys(used, ZERO)
        for money in here:
            self.used_before[money.payment.pk] += sum(money.parts.values(), ZERO)
        return {pk: used[pk] - self.used_before[pk] for pk in used}

    # Back.

    def go_back(self) -> None:
        for money in self.drop:
            self._must_stand(money)
        for money in (*self.drop, *self.later):
            for (pk, name), amount in money.parts.items():
                self._add(pk, f"{name}_paid", -amount)
        of_loan = {"repayment__loan": self.loan}
        self.waivers = list(
            Waiver.objects.standing()
            .filter(**of_loan, waived_on__gte=self.start)
            .exclude(kind__in=DECIDED)
            .order_by("waived_on", "pk")
        )
        for waiver in (*self.waivers, *self.drop_waivers):
            self._add(waiver.repayment_id, f"{waiver.component}_waived", -waiver.amount)
        later = Penalty.objects.standing().filter(**of_loan, charged_on__gte=self.start)
        self.charges = [charge for charge in later if charge.charged_by_id is None]
        self.by_hand = [charge for charge in later if charge.charged_by_id is not None]
        for charge in later:
            self._add(charge.repayment_id, "penalties", -charge.amount)
        gone = {charge.pk for charge in self.charges}
        self.charged: dict[int, Charged] = defaultdict(Charged)
        for charge in Penalty.objects.automatic().filter(**of_loan).order_by("charged_on"):
            if charge.pk not in gone:
                self.charged[charge.repayment_id].by_day.append(
                    (charge.charged_on, charge.amount + charge.suspended)
                )
        self._segments_as_they_were()
        self._interest_as_planned()
        for row in self.rows.values():
            row.settle(on=self.start)

    def _interest_as_planned(self) -> None:
        """Give instalments that fell due since their planned interest, where it was moved."""
        self.fell_due: list[Repayment] = []
        if not self.loan.recalculates:
            return
        self.fell_due = [
            row
            for row in self.rows.values()
            if self.start <= row.due_date <= self.on
            and row.status not in Repayment.GONE
            and row.version != Repayment.BETWEEN
        ]
        moved = actual.moved(self.loan)
        for row in self.fell_due:
            row.interest -= sum((more for day, more in moved[row.pk] if day >= row.due_date), ZERO)
        standing = [row for row in self.rows.values() if row.status not in Repayment.GONE]
        paid = actual.paid(self.loan, before=self.start)
        for money in self.drop:
            if money.day < self.start:
                paid.append((money.day, -_principal(money.parts)))
        self.actual = actual.Actual(self.loan, standing, paid)

    def _must_stand(self, money: Money) -> None:
        for pk, _ in money.parts:
            row = self.rows[pk]
            if row.status in (*Repayment.GONE, Repayment.Status.WRITTEN_OFF):
                raise Refused(
                    f"{money.payment.number} paid on {row}, which was "
                    f"{row.get_status_display().lower()} since: undo that first."
                )

    def _add(self, pk: int, name: str, amount: Decimal) -> None:
        row = self.rows[pk]
        setattr(row, name, getattr(row, name) + amount)

    def _segments_as_they_were(self) -> None:
        """Say since when each instalment had stood unchanged when the replay begins."""
        earlier = [money.day for money in self.fixed]
        waived = (
            Waiver.objects.standing()
            .filter(repayment__loan=self.loan, waived_on__lt=self.start)
            .aggregate(day=Max("waived_on"))["day"]
        )
        days = [day for day in (*earlier, waived, self.loan.position.schedule_set_on) if day]
        last = max((day for day in days if day < self.start), default=None)
        takeover = JournalEntry.objects.filter(reference=f"takeover:{self.loan.pk}").first()
        for row in self.rows.values():
            since = None
            if takeover and row.due_date < takeover.date:
                since = takeover.date
            if last and row.due_date < last:
                since = max(since or last - EVE, last - EVE)
            row.penalties_since = since

    # And on again.

    def go_on(self) -> None:
        events = [(charge.charged_on, 0, charge.pk, charge) for charge in self.by_hand]
        events += [(waiver.waived_on, 1, waiver.pk, waiver) for waiver in self.waivers]
        for money in (*self.later, *self.bring):
            events.append((money.day, 2 + money.from_credit, money.payment.pk, money))
        # In the morning of its due date an instalment gets the interest of the days before.
        events += [(row.due_date, -1, row.pk, row) for row in self.fell_due]
        self.new_charges: list[Charge] = []
        self.nights = sorted({charge.charged_on for charge in self.charges})
        self.reached = self.start - 2 * EVE
        self.waived: dict[int, Decimal] = {}
        self.used = {
            pk: sum(
                (sum(money.parts.values(), ZERO) for money in self.fixed if money.payment.pk == pk),
                ZERO,
            )
            for pk in self.payments
        }
        self.last_day = None
        for day, _, _, event in sorted(events, key=lambda item: item[:3]):
            self._charge_to(day - EVE)
            if isinstance(event, Repayment):
                self.actual.set(event, on=day)
                continue
            self.last_day = day
            if isinstance(event, Penalty):
                self._add(event.repayment_id, "penalties", event.amount)
                self.rows[event.repayment_id].settle(on=day)
            elif isinstance(event, Waiver):
                self._waive(event, day)
            else:
                self._pay(event)
        tail = [self.on - EVE, *(charge.charged_on for charge in self.charges)]
        self._charge_to(max(tail))

    def _open(self) -> list[Repayment]:
        return [row for row in self.rows.values() if row.is_open]

    def _charge_to(self, day: date) -> None:
        """Charge what lateness cost until a day, on the nights that charged something before.

        A cap lets different nights add up to the same; only night by night is it the same.
        """
        if day <= self.reached or self.lateness.rule.base == "none":
            return
        for night in [*(night for night in self.nights if self.reached < night < day), day]:
            owed = self.loan.lent - sum(
                (row.principal_paid + row.principal_waived for row in self.rows.values()), ZERO
            )
            self.new_charges += lateness.work_out(
                self.lateness, self._open(), self.charged, outstanding=owed, on=night
            )
        self.reached = day

    def _touched(self, touched: Iterable[Repayment], day: date) -> None:
        if self.lateness.rule.base == "outstanding_principal":
            touched = self._open()
        for row in touched:
            if row.due_date < day:
                row.penalties_since = max(row.penalties_since or day - EVE, day - EVE)

    def _lower_balance(self, day: date, principal: Decimal) -> None:
        if self.loan.recalculates:
            self.actual.paid.append((day, principal))

    def _waive(self, waiver: Waiver, day: date) -> None:
        row = self.rows[waiver.repayment_id]
        amount = ZERO
        if waiver.kind == Waiver.Kind.RELIEF:  # The others follow from what is left in the end.
            amount = min(waiver.asked or waiver.amount, row.owing_of(waiver.component))
        self.waived[waiver.pk] = amount
        if amount:
            self._add(row.pk, f"{waiver.component}_waived", amount)
            if waiver.component == "principal":
                self._lower_balance(day, amount)
            self._touched([row], day)
            row.settle(on=day)

    def _pay(self, money: Money) -> None:
        key = money.payment.pk
        left = money.payment.amount - self.used[key] - self.elsewhere[key]
        if money.from_credit:
            left = min(money.amount, left)
        ahead = not money.from_credit and self.loan.surplus == Surplus.ADVANCE
        parts, _ = spread(
            left,
            [Due(row.pk, row.due_date, row.owing) for row in self._open()],
            order=self.loan.allocation_order,
            direction=self.loan.allocation_direction,
            on=money.day,
            ahead=ahead,
        )
        money.replayed = {(part.key, part.component): part.amount for part in parts}
        for (pk, name), amount in money.replayed.items():
            self._add(pk, f"{name}_paid", amount)
        self.used[key] += sum(money.replayed.values(), ZERO)
        self._lower_balance(money.day, _principal(money.replayed))
        touched = [self.rows[pk] for pk in {part.key for part in parts}]
        self._touched(touched, money.day)
        for row in touched:
            row.settle(on=money.day)

    # What came out differently is written.

    def write(self, *, reason: str, by) -> date:
        self._write_charges(reason=reason, by=by)
        self._write_waivers(reason=reason, by=by)
        self._save_rows(reason=reason, by=by)
        for money in self.drop:
            booking.take_back(money.entry, self.loan, reason=reason, by=by, on=self.on)
        for money in self.later:
            if money.parts == money.replayed:
                continue
            booking.take_back(money.entry, self.loan, reason=reason, by=by, on=self.on)
            if money.replayed or not money.from_credit:
                self._book(money, by=by, on=self.on)
        for money in self.bring:
            if money.replayed or not money.from_credit:
                self._book(money, by=by, on=money.payment.value_date)
        self._save_payments(reason=reason, by=by)
        last_day = self.last_day or self.on
        rows.refresh(self.loan, by=by, on=last_day)
        if self.new_charges:  # What counts from before one of them is to be replayed as well.
            rows.happened(self.loan, on=max(charge.on for charge in self.new_charges))
        transfers.gather(self.loan, by=by, on=self.on)
        return last_day

    def _book(self, money: Money, *, by, on: date) -> None:
        booking.book(
            money.payment,
            self.loan,
            money.replayed,
            counts_on=money.day,
            from_credit=money.from_credit,
            by=by,
            on=on,
        )

    def _write_charges(self, *, reason: str, by) -> None:
        """Cancel the penalties of each night that now come to another sum; charge that."""
        old: dict[tuple, list[Penalty]] = defaultdict(list)
        for charge in self.charges:
            old[charge.repayment_id, charge.charged_on].append(charge)
        new: dict[tuple, list[Charge]] = defaultdict(list)
        for charge in self.new_charges:
            new[charge.row.pk, charge.on].append(charge)
        cancelled, charged = [], []
        for key in {**old, **new}:
            if _sums(old[key]) != _sums(new[key]):
                cancelled += old[key]
                charged += new[key]
        lateness.cancel(cancelled, self.loan, reason=reason, by=by, on=self.on)
        if charged:
            # Charged in memory on copies; written on the instalments they stand for.
            lateness.write(charged, self.lateness, by=by)

    def _write_waivers(self, *, reason: str, by) -> None:
        for waiver in self.waivers:
            amount = self.waived.get(waiver.pk, ZERO)
            if amount != waiver.amount:
                booking.unwaive(waiver, self.loan, reason=reason, by=by, on=self.on)
                if amount or waiver.kind == Waiver.Kind.RELIEF:
                    booking.waive(waiver, self.loan, amount, reason=reason, by=by, on=self.on)

    def _save_rows(self, *, reason: str, by) -> None:
        changed = [row for pk, row in self.rows.items() if _differs(row, self.before[pk])]
        rows.save_repayments(changed, by=by, reason=reason, changed_on=None)
        for row in self.fell_due:
            if more := row.interest - self.before[row.pk].interest:
                actual.book(row, self.loan, more, by=by, on=self.on)

    def _save_payments(self, *, reason: str, by) -> None:
        dropped = {money.payment.pk for money in self.drop}
        brought = {money.payment.pk for money in self.bring}
        for pk, payment in self.payments.items():
            allocated = payment.allocated + self.used[pk] - self.used_before[pk]
            if pk in dropped:
                payment.allocated = allocated  # The caller ends what is left of it.
                continue
            credited = payment.amount - self.elsewhere[pk] - self.used[pk]
            if pk in brought or (allocated, credited) != (payment.allocated, payment.credited):
                payment.allocated, payment.credited = allocated, credited
                booking.save_payment(payment, by=by, reason=reason)


def _principal(parts: Parts) -> Decimal:
    return sum((amount for (_, name), amount in parts.items() if name == "principal"), ZERO)


def _sums(charges: Iterable) -> tuple[Decimal, Decimal]:
    charges = list(charges)
    return (
        sum((charge.amount for charge in charges), ZERO),
        sum((charge.suspended for charge in charges), ZERO),
    )


COMPARED = (*rows.MONEY_FIELDS, "status", "paid_on", "penalties_since")


def _differs(row: Repayment, before: Repayment) -> bool:
    return any(getattr(row, name) != getattr(before, name) for name in COMPARED)
