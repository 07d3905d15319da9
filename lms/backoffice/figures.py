"""The figures of the office: what waits for somebody, and where the portfolio stands.

Every figure is of the branch of the person who asks; head office sees them all. Each is one
query over sets, whatever the number of loans.
"""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db.models import Case, CharField, Count, DecimalField, F, Q, Value, When

from lms import money
from lms.loans.models import Loan, Repayment
from lms.money import ZERO
from lms.mpesa.models import B2cPayment, Callback, MpesaPayment, Reversal
from lms.notifications.models import Message
from lms.payments.models import Payment, Payout
from lms.reconciliation.models import StatementLine
from lms.referrals.models import ReferralReward
from lms.staff.models import Approval
from lms.tills.models import Banking, DrawerSession, TillTransfer

SECONDS_KEPT = 30
# A badge beyond this says “more”, so that it never counts a whole table.
MOST_COUNTED = 999
CHART_DAYS = 14
PAR_DAYS = 30


def kept(name: str, staff, on: date, make: Callable[[], Any]) -> Any:
    """Return what `make` returns, kept for SECONDS_KEPT for this view; head office shares one."""
    scope = "all" if staff.sees_all_branches else f"staff-{staff.pk}"
    return cache.get_or_set(f"figures:{name}:{scope}:{on}", make, SECONDS_KEPT)


def _bounded(rows) -> int:
    return rows.order_by()[: MOST_COUNTED + 1].count()


def of_branch(rows, staff):
    """Return the rows of the person's own branch; `seen_by` adds money that belongs to nobody."""
    return rows if staff.sees_all_branches else rows.filter(branch_id=staff.branch_id)


def waiting_work(staff, on: date) -> dict[str, int]:
    """Return how much of each kind of work waits, counted up to MOST_COUNTED + 1."""
    decisions = dict(
        Loan.objects.seen_by(staff)
        .filter(status__in=[Loan.Status.SUBMITTED, Loan.Status.APPROVED])
        .order_by()
        .values_list("status")
        .annotate(number=Count("pk"))
    )
    return {
        **_waiting_few(staff, on),
        "submitted": decisions.get(Loan.Status.SUBMITTED, 0),
        "approved": decisions.get(Loan.Status.APPROVED, 0),
        "approvals": _bounded(Approval.objects.seen_by(staff).waiting()),
        "unallocated": _bounded(Payment.objects.seen_by(staff).unallocated()),
        "overdue": _bounded(Repayment.objects.seen_by(staff).overdue(on=on)),
        "pushes": _bounded(MpesaPayment.objects.seen_by(staff).needing_review()),
        "unreconciled": _bounded(
            StatementLine.objects.seen_by(staff).unmatched().filter(repeats=False)
        ),
        "callbacks": _bounded(Callback.objects.seen_by(staff).needing_review()),
        "messages": _bounded(
            Message.objects.seen_by(staff).filter(
                status__in=[Message.Status.FAILED, Message.Status.UNKNOWN]
            )
        ),
    }


def _waiting_few(staff, on: date) -> dict[str, int]:
    """Return how much of what is never much waits for somebody, in one query.

    That is cash in people's hands, rewards for customers who brought others, and money by M-Pesa
    that goes out or back and of which something is wrong.
    """
    drawers = DrawerSession.objects.seen_by(staff)
    waiting = {
        "left_open": drawers.left_open(on=on),
        "differences": drawers.filter(status=DrawerSession.Status.COUNTED),
        "handovers": TillTransfer.objects.seen_by(staff).waiting(),
        "bankings": Banking.objects.seen_by(staff).in_transit(),
        "rewards": ReferralReward.objects.seen_by(staff).waiting(),
        "payouts": Payout.objects.seen_by(staff).needing_review(),
        "b2c": B2cPayment.objects.seen_by(staff).needing_review(),
        "reversals": Reversal.objects.seen_by(staff).needing_review(),
    }
    first, *others = (
        rows.order_by().values_list(Value(name, output_field=CharField()))
        for name, rows in waiting.items()
    )
    found = Counter(name for (name,) in first.union(*others, all=True))
    return {name: found[name] for name in waiting}


class Portfolio(NamedTuple):
    """The loan book of a branch on a day. Amounts in KES."""

    active: int
    principal: Decimal
    late: int
    at_risk: Decimal

    @property
    def par(self) -> Decimal | None:
        """PAR30 in percent, None while nothing is outstanding.

        Source: outstanding principal of loans with any payment more than 30 days late, divided
        by the gross loan portfolio.
        """
        return self.at_risk * 100 / self.principal if self.principal else None


def portfolio(staff, on: date) -> Portfolio:
    at_risk = Case(
        When(
            position__overdue_since__lt=on - timedelta(days=PAR_DAYS),
            then=F("position__principal"),
        ),
        default=ZERO,
        output_field=DecimalField(max_digits=14, decimal_places=2),
    )
    return Portfolio(
        **Loan.objects.seen_by(staff)
        .active()
        .order_by()
        .aggregate(
            active=Count("pk"),
            principal=money.total("position__principal"),
            late=Count("pk", filter=Q(position__overdue_since__lt=on)),
            at_risk=money.total(at_risk),
        )
    )


class Sum(NamedTuple):
    """How many rows, and their amount in KES."""

    number: int
    amount: Decimal


def still_owing(rows) -> Sum:
    """Return what is owed on these instalments."""
    return Sum(
        **rows.with_totals()
        .order_by()
        .aggregate(number=Count("pk"), amount=money.total("owing_total"))
    )


def due_today(staff, on: date) -> Sum:
    return still_owing(Repayment.objects.seen_by(staff).due_between(on, on))


def overdue(staff, on: date) -> Sum:
    return still_owing(Repayment.objects.seen_by(staff).overdue(on=on))


def _collected(staff):
    """Money that customers brought to the branch, less what was reversed."""
    return of_branch(Payment.objects.standing().of_money(), staff)


def collected_today(staff, on: date) -> Sum:
    rows = _collected(staff).filter(value_date=on).order_by()
    return Sum(**rows.aggregate(number=Count("pk"), amount=money.total("amount")))


def due_and_collected(staff, on: date) -> list[tuple[date, Decimal, Decimal]]:
    """Return day, what fell due and what was collected, for the last CHART_DAYS with `on`."""
    first = on - timedelta(days=CHART_DAYS - 1)
    due = dict(
        Repayment.objects.seen_by(staff)
        .filter(due_date__range=(first, on))
        .exclude(status=Repayment.Status.CANCELLED)
        .with_totals()
        .order_by()
        .values_list("due_date")
        .annotate(sum=money.total(F("due_total") - F("waived_total")))
    )
    collected = dict(
        _collected(staff)
        .filter(value_date__range=(first, on))
        .order_by()
        .values_list("value_date")
        .annotate(sum=money.total("amount"))
    )
    days = [first + timedelta(days=number) for number in range(CHART_DAYS)]
    return [(day, due.get(day, ZERO), collected.get(day, ZERO)) for day in days]


def new_arrears(staff, on: date, *, days: int = 7, most: int = 10) -> list[Loan]:
    """Return the loans that fell behind in the last days, the latest first, with `in_arrears`."""
    loans = list(
        Loan.objects.seen_by(staff)
        .overdue(on=on)
        .filter(position__overdue_since__gte=on - timedelta(days=days))
        .select_related("customer", "position")
        .order_by("-position__overdue_since", "-pk")[:most]
    )
    amounts = {
        row["loan_id"]: row["amount"]
        for row in Repayment.objects.filter(loan__in=[loan.pk for loan in loans])
        .overdue(on=on)
        .with_totals()
        .order_by()
        .values("loan_id")
        .annotate(amount=money.total("owing_total"))
    }
    for loan in loans:
        loan.in_arrears = amounts.get(loan.pk, ZERO)
    return loans
