"""The whole story of one loan: facts on top, and tabs that load when they are opened."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import date

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import path, reverse

from lms import dates, phones
from lms.backoffice.admin.loan_actions import due_now
from lms.backoffice.admin.loan_preview import preview_of
from lms.errors import Refused
from lms.ledger.models import Transfer
from lms.loans.allocation import COMPONENTS
from lms.loans.models import (
    Allocation,
    DeathClaim,
    Loan,
    LoanChange,
    LoanProduct,
    Penalty,
    Repayment,
    Waiver,
)
from lms.loans.models.security import cover_ratio
from lms.loans.operations import changes as loan_changes
from lms.loans.operations import collection, defaults, upfront
from lms.money import ZERO, kes
from lms.notifications.models import Message
from lms.payments.models import Payout

STATE_COLOURS = {
    "pending": "info",
    "partial": "warning",
    "overdue": "danger",
    "completed": "success",
    "waived": "primary",
    "cancelled": "",
    "rescheduled": "",
    "written_off": "danger",
}


# --- Facts on top --------------------------------------------------------------------------------
def facts_of(loan: Loan, *, on: date) -> list[tuple[str, str]]:
    """Return what the header says: an application by its terms, a running loan by its balances."""
    position = getattr(loan, "position", None)
    officer = str(loan.loan_officer) if loan.loan_officer_id else "-"
    if position is None:
        return [
            ("Amount", kes(loan.principal)),
            ("Price", loan.rate_label),
            ("Repayments", f"{loan.number_of_repayments}, every {rhythm_of(loan)}"),
            ("Applied", dates.show(loan.applied_on)),
            ("Prepared by", str(loan.created_by)),
            ("Approved", dates.show(loan.approved_on)),
            *_fees_before(loan),
            ("Cover", _cover(loan)),
            ("Officer", officer),
        ]
    due = due_now(loan, on=on)
    coming = loan.repayments.unpaid().filter(due_date__gte=on).order_by("due_date").first()
    return [
        ("Outstanding", kes(position.outstanding)),
        ("Principal", kes(position.principal)),
        ("Interest", kes(position.interest)),
        ("Fees", kes(position.fees)),
        ("Penalties", kes(position.penalties)),
        ("Due by today", kes(due)),
        (
            "Next due",
            f"{kes(coming.outstanding)} on {dates.show(coming.due_date)}" if coming else "-",
        ),
        ("Days late", str(loan.days_late(on=on) or "None")),
        ("Paid out", dates.show(loan.disbursed_on)),
        *([("Still to pay out", kes(loan.undisbursed))] if loan.undisbursed else []),
        *([("Restructured", dates.show(loan.restructured_on))] if loan.restructured_on else []),
        *_written_off(loan),
        ("Price", loan.rate_label),
        ("Cover", _cover(loan)),
        ("Officer", officer),
    ]


def _fees_before(loan: Loan) -> list[tuple[str, str]]:
    """Return how much is paid of the fees that come before the disbursement."""
    asked = loan.fees_before.total
    return [("Fees paid before", f"{kes(upfront.paid(loan))} of {kes(asked)}")] if asked else []


def _cover(loan: Loan) -> str:
    """Return how much of what is owed the held collateral would bring in a forced sale."""
    ratio = cover_ratio(loan)
    return f"{ratio:.0%}" if ratio else "None"


def _written_off(loan: Loan) -> list[tuple[str, str]]:
    """Return what the customer still owes beside the books, where a part was written off."""
    if not loan.changes.filter(kind=LoanChange.Kind.WRITE_OFF, undone_on=None).exists():
        return []
    return [("Written off, still owed", kes(collection.still_owed(loan)))]


def rhythm_of(loan: Loan | LoanProduct) -> str:
    """Return how often it is repaid, to be read after “every”: month, 2 weeks."""
    unit = loan.get_repay_unit_display()
    return unit.removesuffix("s") if loan.repay_every == 1 else f"{loan.repay_every} {unit}"


def linked_to(loan: Loan) -> list[tuple[str, Loan]]:
    """Return the loan that this one pays off, and the one that pays this off."""
    pairs = ("Pays off", loan.refinances), ("Paid off by", getattr(loan, "refinanced_by", None))
    return [(words, other) for words, other in pairs if other]


def warnings_of(loan: Loan) -> list[str]:
    """Return what somebody should see to."""
    position = getattr(loan, "position", None)
    if position is None and (missing := upfront.owing(loan)):
        return [f"{kes(missing)} of fees must be paid before this loan is paid out."]
    if position is None or position.unscheduled <= 0:
        return []
    return [
        f"{kes(position.unscheduled)} of principal stands on no instalment, so nobody is asked "
        "to pay it: add an instalment."
    ]


# --- Tabs ----------------------------------------------------------------------------------------
def schedule(loan: Loan, *, on: date) -> dict:
    rows = list(loan.repayments.order_by("number"))
    for row in rows:
        row.loan = loan
        row.shown_state = row.state(on=on)
        row.colour = STATE_COLOURS[row.shown_state]
        row.days = row.days_late(on=on)
        row.parts = [
            (getattr(row, name), getattr(row, f"{name}_paid"), getattr(row, f"{name}_waived"))
            for name in COMPONENTS
        ]
    standing = [row for row in rows if row.status not in Repayment.GONE]
    sums = [
        tuple(sum((row.parts[index][kind] for row in standing), ZERO) for kind in range(3))
        for index in range(len(COMPONENTS))
    ]
    context = {
        "rows": rows,
        "sums": sums,
        "due": sum((row.amount_due for row in standing), ZERO),
        "paid": sum((row.amount_paid for row in standing), ZERO),
        "waived": sum((row.amount_waived for row in standing), ZERO),
        "owing": sum((row.outstanding for row in standing), ZERO),
    }
    if rows and loan.disbursed_on and rows[-1].version == 1:
        # A loan that was taken over may have a schedule that no terms make.
        with suppress(Refused):
            context["preview"] = preview_of(loan, on=loan.disbursed_on)
    return context


def payments(loan: Loan, *, on: date) -> dict:
    """Return each payment with the instalments and components it went to."""
    placed = (
        Allocation.objects.filter(repayment__loan=loan)
        .select_related("payment", "repayment", "reverses")
        .order_by("-payment_id", "repayment__number", "pk")
    )
    found: dict = {}
    parts: dict = defaultdict(lambda: defaultdict(list))
    for part in placed:
        found[part.payment_id] = part.payment
        parts[part.payment_id][part.repayment].append(part)
    return {
        "payments": [
            (payment, list(parts[key].items()), sum(_amounts(parts[key]), ZERO))
            for key, payment in found.items()
        ],
        "fee_payments": loan.fee_payments.select_related("payment").order_by("-pk"),
    }


def _amounts(by_row: dict):
    return (part.amount for parts in by_row.values() for part in parts)


def changes(loan: Loan, *, on: date) -> dict:
    """Return every change, the last first, with the instalments before and after it."""
    made = loan.changes.select_related("made_by", "undone_by", "payout").order_by("-number")
    return {
        "changes": [(change, loan_changes.sides(change)) for change in made],
        "tranches": loan.tranches.select_related("payout").order_by("planned_on"),
    }


def relief(loan: Loan, *, on: date) -> dict:
    waivers = Waiver.objects.filter(repayment__loan=loan)
    charges = Penalty.objects.filter(repayment__loan=loan)
    return {
        "waivers": waivers.select_related("repayment", "waived_by").order_by("-pk"),
        "charges": charges.select_related("repayment", "charged_by").order_by("-pk"),
        "recoveries": loan.recoveries.select_related("payment").order_by("-pk"),
        "claim": DeathClaim.objects.filter(loan=loan).first(),
        "rule": loan.penalty_rule,
    }


def books(loan: Loan, *, on: date) -> dict:
    transfers = Transfer.objects.filter(subject=loan.number)
    return {
        "payouts": Payout.objects.filter(subject=loan.number).select_related("paid_by"),
        "transfers": transfers.select_related("entry__posted_by", "debit", "credit").order_by(
            "-entry_id", "pk"
        ),
    }


def messages(loan: Loan, *, on: date) -> dict:
    about = Q(about=loan.number) | Q(about__startswith=f"{loan.number} ")
    return {"sent": Message.objects.filter(about, customer_id=loan.customer_id)[:200]}


Part = Callable[..., dict]
PARTS: dict[str, tuple[str, Part]] = {
    "schedule": ("Schedule", schedule),
    "payments": ("Payments", payments),
    "changes": ("Changes", changes),
    "relief": ("Waivers and penalties", relief),
    "books": ("Payouts and journal", books),
    "messages": ("Messages", messages),
}


class Tab:
    """A tab of the page, in the shape of Unfold's datasets, filled when it is opened."""

    tab = True
    model = Loan
    part = ""
    title = ""

    def __init__(self, request: HttpRequest, extra_context: dict) -> None:
        self.loan_id = extra_context["object"]

    @property
    def id(self) -> str:
        return self.part

    @property
    def model_name(self) -> str:
        return self.part

    @property
    def contents(self) -> str:
        url = reverse("admin:loans_loan_part", args=[self.loan_id, self.part])
        return render_to_string("admin/loans/tab.html", {"part": self.part, "url": url})


TABS = tuple(
    type(f"{name.capitalize()}Tab", (Tab,), {"part": name, "title": title})
    for name, (title, _) in PARTS.items()
)


class LoanStory:
    """Header and lazily loaded tabs of the loan page."""

    change_form_outer_before_template = "admin/loans/header.html"

    def get_urls(self):
        view = self.admin_site.admin_view(self.part_view)
        proof = self.admin_site.admin_view(self.in_duplum_view)
        return [
            path("<int:pk>/part/<slug:part>/", view, name="loans_loan_part"),
            path("<int:pk>/in-duplum/", proof, name="loans_loan_in_duplum"),
            *super().get_urls(),
        ]

    def get_changeform_datasets(self, request: HttpRequest):
        return TABS if request.resolver_match.kwargs.get("object_id") else ()

    def part_view(self, request: HttpRequest, pk: int, part: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        loan = self.get_object(request, str(pk))
        if loan is None or part not in PARTS:
            raise Http404
        context = {"loan": loan, **PARTS[part][1](loan, on=dates.today())}
        return render(request, f"admin/loans/parts/{part}.html", context)

    def in_duplum_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the figures of the in duplum rule on a loan in default, ready to be printed."""
        loan = self.get_object(request, str(pk))
        default = loan and defaults.standing(loan)
        if not default:
            raise Http404
        if not self.has_view_permission(request, loan):
            raise PermissionDenied
        on = dates.today()
        context = {"loan": loan, "on": on, "proof": defaults.proof(default, on=on)}
        return render(request, "admin/loans/in_duplum.html", context)

    def story(self, loan: Loan) -> dict:
        """Return what the header of a saved loan shows."""
        on = dates.today()
        return {
            "facts": facts_of(loan, on=on),
            "warnings": warnings_of(loan),
            "phone": phones.show(loan.customer.phone),
            "colour": STATUS_COLOURS.get(loan.get_status_display(), ""),
            "late": loan.days_late(on=on),
            "default": defaults.standing(loan),
            "linked": linked_to(loan),
        }


STATUS_COLOURS = {
    "Draft": "default",
    "Submitted": "info",
    "Approved": "primary",
    "Active": "success",
    "Closed": "default",
    "Written off": "danger",
    "Rejected": "danger",
    "Withdrawn": "warning",
}
