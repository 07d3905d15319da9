"""The first page: what today asks for, each number a link to the rows behind it."""

import json
from datetime import date, time, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django_q.models import Failure, OrmQ, Schedule, Success

from lms import dates, phones
from lms.backoffice import figures, mpesa_float
from lms.backoffice.figures import MOST_COUNTED
from lms.backoffice.reports.catalogue import may_ask
from lms.backoffice.sidebar import list_url, may_see, waiting_work
from lms.closing import operations as closing
from lms.money import kes
from lms.reports.cash import held
from lms.reports.sheets import profit_of
from lms.reports.spans import Scope, Span, month_of

# A schedule that is this late has no worker to run it.
WORKER_GRACE = timedelta(minutes=3)
NIGHT_IS_OVER = time(2)
# Side by side and with a legend, in greys that both themes bear.
CHART_OPTIONS = json.dumps(
    {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "plugins": {
            "legend": {"align": "end", "labels": {"color": "#9ca3af", "boxWidth": 10}},
        },
        "datasets": {"bar": {"borderRadius": 3, "maxBarThickness": 14}},
        "scales": {
            "x": {"grid": {"display": False}, "ticks": {"color": "#9ca3af"}},
            "y": {"beginAtZero": True, "grid": {}, "ticks": {"color": "#9ca3af"}},
        },
    }
)


class Card(NamedTuple):
    """One number. `model` names the page behind it; without permission it is left out."""

    title: str
    value: str
    note: str
    model: str
    query: str = ""
    icon: str = ""
    tone: str = ""

    @property
    def link(self) -> str:
        return list_url(self.model, self.query)


class ReportCard(NamedTuple):
    """One figure of the books, with the report behind it."""

    title: str
    value: str
    note: str
    report: str
    icon: str
    tone: str = ""

    @property
    def link(self) -> str:
        return reverse("report", args=[self.report])


def figures_of_today(request: HttpRequest, context: dict) -> dict:
    """Fill the context of the index page."""
    on, staff = dates.today(), request.user
    made = figures.kept("dashboard", staff, on, lambda: _gather(staff, on))
    groups = [*made["cards"], ("Waiting for somebody", _work_cards(waiting_work(request)))]
    known = None
    if may_see(request, "mpesa.mpesabalance"):
        known = figures.kept("mpesa", staff, on, lambda: mpesa_float.latest(staff))
        groups.insert(-1, ("At M-Pesa", _mpesa_cards(known)))
    visible = [
        (title, [card for card in cards if may_see(request, card.model)]) for title, cards in groups
    ]
    if may_ask(staff, "cash-flow"):
        books = figures.kept("books", staff, on, lambda: _books_cards(staff, on))
        visible.insert(-1, ("Books", books))
    return {
        **context,
        "title": f"{on:%A} {dates.show(on)}",
        "branch": staff.branch or "All branches",
        "as_of": made["as_of"],
        "card_groups": [(title, cards) for title, cards in visible if cards],
        "chart": made["chart"],
        "chart_options": CHART_OPTIONS,
        "arrears": made["arrears"] if may_see(request, "loans.loan") else None,
        "worker": worker_heartbeat(),
        "night": night_of(on) if may_see(request, "closing.dayclose") else None,
        "mpesa_warnings": [] if known is None else mpesa_float.warnings(known, on=on),
        "proofs": closing.broken_proofs() if may_see(request, "closing.proof") else None,
    }


def night_of(on: date) -> dict | None:
    """Return what somebody should know of last night; None when it was closed for every loan.

    Until two in the morning the worker may still be at the last one. An office that never closed a
    day has nothing to miss yet.
    """
    latest, night = closing.latest(), on - timedelta(days=1)
    if latest is None or (latest >= night and closing.is_closed(latest)):
        return None
    failures = closing.failures(latest)
    is_at_it = latest == night or closing.is_closed(night - timedelta(days=1))
    if is_at_it and not failures and dates.now() < dates.instant(on, NIGHT_IS_OVER):
        return None
    return {"day": night, "latest": latest, "failures": failures}


def _gather(staff, on: date) -> dict:
    return {
        "as_of": dates.now(),
        "cards": [
            ("Collections", _collection_cards(staff, on)),
            ("Portfolio", _portfolio_cards(staff, on)),
        ],
        "chart": _chart(staff, on),
        "arrears": _arrears(staff, on),
    }


def _collection_cards(staff, on: date) -> list[Card]:
    due = figures.due_today(staff, on)
    collected = figures.collected_today(staff, on)
    overdue = figures.overdue(staff, on)
    own = "" if staff.sees_all_branches else f"&branch__id__exact={staff.branch_id}"
    return [
        Card(
            "Due today",
            kes(due.amount),
            _several(due.number, "instalment"),
            "loans.repayment",
            "due=today",
            "event",
        ),
        Card(
            "Collected today",
            kes(collected.amount),
            _several(collected.number, "payment"),
            "payments.payment",
            f"value_date__exact={on}&reversed_on__isnull=True"
            f"&method__in=cash,mpesa,bank,cheque{own}",
            "savings",
        ),
        Card(
            "Overdue",
            kes(overdue.amount),
            _several(overdue.number, "instalment"),
            "loans.repayment",
            "state=overdue",
            "running_with_errors",
            "danger" if overdue.number else "",
        ),
    ]


def _portfolio_cards(staff, on: date) -> list[Card]:
    book = figures.portfolio(staff, on)
    par = "-" if book.par is None else f"{book.par:.1f}%"
    return [
        Card(
            "Outstanding principal",
            kes(book.principal),
            _several(book.active, "active loan"),
            "loans.loan",
            "status=active",
            "account_balance",
        ),
        Card(
            "Loans in arrears",
            f"{book.late:,}",
            f"of {_several(book.active, 'active loan')}",
            "loans.loan",
            "late=any",
            "trending_down",
            "danger" if book.late else "",
        ),
        Card(
            "PAR30",
            par,
            f"{kes(book.at_risk)} more than 30 days late",
            "loans.loan",
            "late=over-30",
            "crisis_alert",
            "danger" if book.at_risk else "",
        ),
    ]


def _books_cards(staff, on: date) -> list[ReportCard]:
    own = () if staff.sees_all_branches else (staff.branch_id,)
    scope = Scope(own or None)
    money, profit = held(on, scope), profit_of(Span("", *month_of(on), scope))
    return [
        ReportCard(
            "Cash, M-Pesa and bank",
            kes(money),
            "held, by the books",
            "cash-flow",
            "account_balance_wallet",
            "danger" if money < 0 else "",
        ),
        ReportCard(
            "Profit of this month",
            kes(profit),
            "income less expenses, before the month is closed",
            "income-statement",
            "trending_up",
            "danger" if profit < 0 else "",
        ),
    ]


def _mpesa_cards(known: list[mpesa_float.Standing]) -> list[Card]:
    """Return a card an account that holds something, or that the books have a name for."""
    several = len({each.balance.shortcode for each in known}) > 1
    return [
        Card(
            f"{each.balance.account}, {each.balance.shortcode}"
            if several
            else each.balance.account,
            kes(each.balance.current),
            _beside_books(each),
            "mpesa.mpesabalance",
            urlencode({"is_latest__exact": 1, "account": each.balance.account}),
            "account_balance_wallet",
            "warning" if each.is_low or each.is_old else "",
        )
        for each in known
        if each.balance.current or each.codes
    ]


def _beside_books(each: mpesa_float.Standing) -> str:
    age = mpesa_float.age_of(each)
    if each.booked is None:
        return age
    if not each.difference:
        return f"{age}; the books say the same"
    return f"{age}; {kes(each.booked)} in the books, {each.difference:+,.2f}"


class Work(NamedTuple):
    """Work that waits for somebody; `key` is its name in `waiting_work`."""

    title: str
    key: str
    note: str
    model: str
    query: str
    icon: str


WORK = (
    Work(
        "To approve", "submitted", "applications",
        "loans.loan", "status=submitted", "approval",
    ),
    Work(
        "To disburse", "approved", "approved loans",
        "loans.loan", "status=approved", "send_money",
    ),
    Work(
        "Unallocated payments", "unallocated", "money without an owner",
        "payments.payment", "status__exact=unallocated", "help_center",
    ),
    Work(
        "M-Pesa payouts", "b2c", "whose fate nobody knows",
        "mpesa.b2cpayment", "status__exact=unresolved", "send_to_mobile",
    ),
    Work(
        "Lines to reconcile", "unreconciled", "on a statement, not in the books",
        "reconciliation.statementline", "verdict=missing_here", "balance",
    ),
    Work(
        "M-Pesa requests to review", "pushes", "no receipt or no answer",
        "mpesa.mpesapayment", "status__in=confirmed,unresolved", "phone_iphone",
    ),
    Work(
        "Approvals", "approvals", "wait for a second person",
        "staff.approval", "status__exact=waiting", "verified_user",
    ),
    Work(
        "Referral rewards", "rewards", "wait for a second person",
        "referrals.referralreward", "state=proposed", "redeem",
    ),
    Work(
        "M-Pesa inbox to review", "callbacks", "could not be applied",
        "mpesa.callback", "status__in=review,failed", "inbox",
    ),
    Work(
        "M-Pesa reversals to review", "reversals", "did the money go back?",
        "mpesa.reversal", "status__exact=unresolved", "undo",
    ),
    Work(
        "Drawers left open", "left_open", "open since yesterday or before",
        "tills.drawersession", "state=left-open", "point_of_sale",
    ),
    Work(
        "Drawer differences", "differences", "wait for a second person",
        "tills.drawersession", "status__exact=counted", "balance",
    ),
    Work(
        "Messages not sent", "messages", "failed or unknown",
        "notifications.message", "status__in=failed,unknown", "sms_failed",
    ),
)  # fmt: skip


def _work_cards(work: dict[str, int]) -> list[Card]:
    return [
        Card(
            each.title,
            _counted(work[each.key]),
            each.note,
            each.model,
            each.query,
            each.icon,
            "warning" if work[each.key] else "",
        )
        for each in WORK
    ]


def _chart(staff, on: date) -> str:
    """Return the bars as Chart.js takes them: whole shillings, for the eye only."""
    days = figures.due_and_collected(staff, on)
    return json.dumps(
        {
            "labels": [f"{day.day} {day:%b}" for day, _, _ in days],
            "datasets": [
                {
                    "label": "Due",
                    "data": [int(due) for _, due, _ in days],
                    "backgroundColor": "var(--color-base-300)",
                },
                {
                    "label": "Collected",
                    "data": [int(collected) for _, _, collected in days],
                    "backgroundColor": "var(--color-primary-600)",
                },
            ],
        }
    )


def _arrears(staff, on: date) -> list[dict]:
    return [
        {
            "customer": loan.customer.name,
            "customer_key": loan.customer_id,
            "phone": phones.show(loan.customer.phone),
            "loan": loan.number,
            "loan_key": loan.pk,
            "days": loan.days_late(on=on),
            "amount": kes(loan.in_arrears),
        }
        for loan in figures.new_arrears(staff, on)
    ]


def worker_heartbeat() -> dict:
    """Return whether somebody works off the queue: without a worker no reminder goes out."""
    now = dates.now()
    late = Schedule.objects.filter(next_run__lt=now - WORKER_GRACE).exclude(repeats=0).exists()
    last = Success.objects.order_by("-stopped").values_list("stopped", flat=True).first()
    return {
        "is_working": not late,
        "last": last,
        "waiting": OrmQ.objects.count(),
        "failed": Failure.objects.filter(stopped__gte=now - timedelta(days=1)).count(),
    }


def _several(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _counted(number: int) -> str:
    return f"{MOST_COUNTED}+" if number > MOST_COUNTED else str(number)
