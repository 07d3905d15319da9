"""What lateness costs: the penalties that a loan's rule charges, day by day.

What an instalment owes stands still between two events, so its lateness is charged in segments:
each begins on `penalties_since`, the day after which nothing changed, and what the rule wants for
it less what was charged in it is due. Whoever changes what is owed first brings the loan up to
the eve of that day; the nightly close does the same for every loan (`operations.night`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

from django.db.models import Max

from lms import history, money
from lms.ledger import chart
from lms.ledger.operations import Line as LedgerLine
from lms.ledger.operations import Posting, post_many
from lms.loans import duplum, penalties
from lms.loans.models import Loan, NonPerforming, Penalty, Repayment
from lms.loans.operations import rows
from lms.money import SHILLING, ZERO

EVE = timedelta(days=1)


@dataclass
class Charged:
    """What a rule charged one instalment: sums a day, in KES."""

    by_day: list[tuple[date, Decimal]] = field(default_factory=list)

    def total(self) -> Decimal:
        return sum((amount for _, amount in self.by_day), ZERO)

    def after(self, day: date | None) -> Decimal:
        return sum((amount for on, amount in self.by_day if day is None or on > day), ZERO)


@dataclass(frozen=True)
class Charge:
    """A penalty to write: what is charged and what the in duplum rule suspends, in KES."""

    row: Repayment
    on: date
    amount: Decimal
    suspended: Decimal


class Lateness:
    """The rule of one loan, and what it needs to know to charge an instalment."""

    def __init__(self, loan: Loan) -> None:
        self.loan, self.rule = loan, loan.penalty_rule
        self.words = penalties.describe(self.rule)
        self.most = penalties.most(self.rule, loan_principal=loan.principal)

    @cached_property
    def maturity(self) -> date | None:
        if self.rule.stops_at != "maturity":
            return None
        standing = self.loan.repayments.exclude(status__in=Repayment.GONE)
        return standing.aggregate(day=Max("due_date"))["day"]

    @cached_property
    def default(self) -> NonPerforming | None:
        """The spell in which the loan is non-performing, if it is."""
        return NonPerforming.objects.filter(loan=self.loan, ended_on=None).first()

    def due(self, row: Repayment, charged: Charged, *, outstanding: Decimal, on: date) -> Decimal:
        """Return what the rule charges an instalment on a day beyond what it has (KES).

        Sums are rounded to whole shillings, not differences, so that missed nights add up to the
        same. `outstanding` is the principal of the loan.
        """
        until = min(on, self.loan.interest_stops_on or on)

        def owed(day: date | None) -> Decimal:
            if day is None:
                return ZERO
            return money.money(
                penalties.owed(
                    self.rule,
                    due_date=row.due_date,
                    on=min(day, until),
                    principal=row.owing_of("principal"),
                    interest=row.owing_of("interest"),
                    outstanding_principal=outstanding,
                    loan_principal=self.loan.principal,
                    maturity=self.maturity,
                ),
                SHILLING,
            )

        since = row.penalties_since
        added = owed(until) - owed(since) - charged.after(since)
        if self.most is not None:
            added = min(added, money.money(self.most, SHILLING) - charged.total())
        return max(added, ZERO)

    def cut(self, amount: Decimal, instalments: Iterable[Repayment], *, on: date) -> duplum.Limited:
        """Return a charge of the day as the in duplum rule lets it through."""
        if self.default is None or on < self.default.since:
            return duplum.Limited(amount, ZERO)
        unpaid = sum(
            (
                row.owing_of("penalties") + (row.owing_of("interest") if row.due_date <= on else 0)
                for row in instalments
            ),
            ZERO,
        )
        return duplum.limit(amount, principal_at_npl=self.default.principal, unpaid_charges=unpaid)


def charged_on(instalments: Iterable[Repayment]) -> dict[int, Charged]:
    """Return what rules charged each of these instalments, and still stands."""
    found: dict[int, Charged] = defaultdict(Charged)
    charges = Penalty.objects.automatic().filter(repayment__in=[row.pk for row in instalments])
    for pk, day, amount, suspended in charges.order_by("charged_on").values_list(
        "repayment_id", "charged_on", "amount", "suspended"
    ):
        found[pk].by_day.append((day, amount + suspended))
    return found


def work_out(
    lateness: Lateness,
    instalments: Sequence[Repayment],
    charged: dict[int, Charged],
    *,
    outstanding: Decimal,
    on: date,
) -> list[Charge]:
    """Charge the overdue among these instalments by a day, in memory; return the charges.

    `instalments` are all open ones that the in duplum rule looks at. Each charge is added to its
    instalment and to `charged`.
    """
    made = []
    for row in instalments:
        if not row.is_overdue(on=on):
            continue
        amount = lateness.due(row, charged[row.pk], outstanding=outstanding, on=on)
        if amount > 0:
            posted, suspended = lateness.cut(amount, instalments, on=on)
            row.penalties += posted
            charged[row.pk].by_day.append((on, amount))
            made.append(Charge(row, on, posted, suspended))
    return made


def bring_up_to(
    loan: Loan, *, on: date, by=None, instalments: Sequence[Repayment] | None = None
) -> list[Penalty]:
    """Charge a locked loan what its lateness cost until the eve of `on`; return the penalties.

    Every verb that changes what is owed calls this first. `instalments` are the caller's own open
    instalments, of which at least all overdue ones, to be charged in place; their rows are saved.
    """
    if loan.penalty_base == "none" or loan.status != Loan.Status.ACTIVE:
        return []
    eve = on - EVE
    if instalments is None:
        instalments = list(loan.repayments.unpaid().order_by("due_date", "number"))
    late = [row for row in instalments if row.is_overdue(on=eve)]
    if not late:
        return []
    lateness = Lateness(loan)
    made = work_out(
        lateness,
        instalments,
        charged_on(late),
        outstanding=loan.position.principal,
        on=eve,
    )
    if not made:
        return []
    rows.save_repayments(
        list({charge.row.pk: charge.row for charge in made}.values()),
        by=by,
        reason=f"Penalty: {lateness.words}",
        changed_on=None,
    )
    written = write(made, lateness, by=by)
    loan.position.penalties += sum((charge.amount for charge in made), ZERO)
    loan.position.last_event_on = max(loan.position.last_event_on or eve, eve)
    loan.position.save(update_fields=["penalties", "last_event_on"])
    return written


def foresee(loan: Loan, instalments: Sequence[Repayment], *, on: date) -> None:
    """Charge open instalments in memory what `bring_up_to` would; nothing once it has."""
    if loan.penalty_base != "none":
        late = [row for row in instalments if row.is_overdue(on=on - EVE)]
        work_out(
            Lateness(loan),
            instalments,
            charged_on(late),
            outstanding=loan.position.principal,
            on=on - EVE,
        )


def write(charges: Sequence[Charge], lateness: Lateness, *, by) -> list[Penalty]:
    """Write charges down and book them; the instalments are the caller's to save."""
    made = history.create(
        [
            Penalty(
                repayment=charge.row,
                amount=charge.amount,
                suspended=charge.suspended,
                charged_on=charge.on,
                rule=lateness.words,
            )
            for charge in charges
        ],
        by=by,
        reason=lateness.words,
    )
    for day in sorted({charge.on for charge in charges}):
        post_many(
            [
                Posting(
                    reference=f"penalty:{penalty.pk}",
                    narration=f"Penalty on {penalty.repayment}: {lateness.words}",
                    lines=[
                        LedgerLine(chart.PENALTIES_RECEIVABLE, chart.PENALTY_INCOME, penalty.amount)
                    ],
                    branch_id=lateness.loan.branch_id,
                    subject=lateness.loan.number,
                    accounts=lateness.loan.accounts,
                )
                for penalty in made
                if penalty.charged_on == day and penalty.amount
            ],
            kind="penalty",
            on=day,
            by=by,
        )
    return made


def cancel(charges: Sequence[Penalty], loan: Loan, *, reason: str, by, on: date) -> None:
    """Take automatic penalties back, with mirrored entries; the instalments are the caller's."""
    for penalty in charges:
        penalty.cancelled_on = on
        penalty._history_user, penalty._change_reason = by, reason[:100]
        penalty.save(update_fields=["cancelled_on"])
    post_many(
        [
            Posting(
                reference=f"penalty_cancelled:{penalty.pk}",
                narration=f"Penalty of {penalty.charged_on:%d %b %Y} taken back: {reason}",
                lines=[
                    LedgerLine(chart.PENALTY_INCOME, chart.PENALTIES_RECEIVABLE, penalty.amount)
                ],
                branch_id=loan.branch_id,
                subject=loan.number,
                accounts=loan.accounts,
            )
            for penalty in charges
            if penalty.amount
        ],
        kind="penalty_reversal",
        on=on,
        by=by,
    )
