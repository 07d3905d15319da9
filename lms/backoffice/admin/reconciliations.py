"""Reconciliations: begun for a period, worked through by verdict, proved, printed, signed off."""

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import cached_property
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates
from lms.backoffice.base import OfWholeLender, StaffAdmin
from lms.backoffice.by_operation import AddsByForm, OperationForm
from lms.backoffice.forms import ReasonDialog, StaffDialog, reason_field
from lms.money import kes
from lms.reconciliation import ageing, books, proof
from lms.reconciliation.models import Reconciliation, StatementLine, Verdict
from lms.reconciliation.operations import beginning, booking, pairing, signing

ROWS_SHOWN = 100
MOST_PRINTED = 1000
CHARGES_SHOWN = 50
STATE_COLOURS = {"Open": "info", "Signed off": "success"}
VERDICT_COLOURS = {
    Verdict.MISSING_HERE: "danger",
    Verdict.MISSING_THERE: "danger",
    Verdict.DIFFERS: "danger",
    Verdict.DUPLICATE: "warning",
    Verdict.MATCHED: "success",
    Verdict.FAILED: "default",
}
WAITING = (Verdict.MISSING_HERE, Verdict.MISSING_THERE, Verdict.DIFFERS, Verdict.DUPLICATE)


# --- Beginning -----------------------------------------------------------------------------------
class BeginForm(OperationForm):
    """The account and the period."""

    class Meta:
        model = Reconciliation
        fields = ("account", "first", "last", "opening", "closing")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = beginning.accounts()
        for name in ("opening", "closing"):
            self.fields[name].help_text = "Leave empty where the statement itself tells it."

    def carry_out(self, answers: dict) -> Reconciliation:
        return beginning.begin(by=self.staff, on=dates.today(), **answers)


# --- Dialogs -------------------------------------------------------------------------------------
class PaymentsDialog(StaffDialog):
    """Says how many payments would be received, and how much money."""

    @property
    def subject(self) -> str:
        period = Reconciliation.objects.get(pk=self.object_id)
        lines, left = booking.receipts_missing(period), booking.receipts_left(period)
        return (
            f"{len(lines):,} lines of money in are not in the books, together "
            f"{kes(sum((line.amount for line in lines), start=0))}. Each is received as a payment "
            "and placed by the account number that the payer typed."
            + (f" {left:,} more may be own money or cheques: they are done singly." if left else "")
        )


class ChargesDialog(StaffDialog):
    """Shows the charges that would be booked, the largest first, and how much money it is."""

    form_before_template = "admin/reconciliation/charges.html"

    @property
    def period(self) -> Reconciliation:
        return Reconciliation.objects.get(pk=self.object_id)

    @cached_property
    def lines(self) -> list[StatementLine]:
        return sorted(booking.charges_missing(self.period), key=lambda line: line.amount)

    @property
    def subject(self) -> str:
        left = booking.charges_left(self.period)
        amount = -sum((line.amount for line in self.lines), start=0)
        return (
            f"{len(self.lines):,} lines read like charges, together {kes(amount)}. Each is booked "
            f"on its own day to account {booking.charges_account(self.period)}."
            + (f" {left:,} more are booked singly: look what they are." if left else "")
        )

    def get_before_template_context(self, request: HttpRequest, object_id=None) -> dict:
        return {
            **super().get_before_template_context(request, object_id),
            "lines": self.lines[:CHARGES_SHOWN],
            "more": len(self.lines[CHARGES_SHOWN:]),
        }


class BalancesDialog(StaffDialog):
    opening = forms.DecimalField(label="Opening balance (KES)", max_digits=14, decimal_places=2)
    closing = forms.DecimalField(label="Closing balance (KES)", max_digits=14, decimal_places=2)
    reason = reason_field("Where they are from")


class SignDialog(StaffDialog):
    note = forms.CharField(label="Note", max_length=90, required=False)

    @property
    def subject(self) -> str:
        period = Reconciliation.objects.get(pk=self.object_id)
        found = proof.work_out(period)
        if not found.holds:
            return "The balances do not prove: it cannot be signed off yet."
        return (
            f"Statement {kes(found.closing)}, books {kes(found.ledger)}; "
            f"{found.open_lines:,} differences are listed and go over into the next period."
        )


def told(done: booking.Booked, what: str) -> str:
    """Return what became of many lines, with the first reasons of those that were refused."""
    text = f"{done.number:,} {what} booked, {kes(done.amount)}."
    if done.refused:
        text += f" Not booked: {len(done.refused):,}. " + " ".join(done.refused[:3])
    return text


class ReconciliationActions:
    """What may be done with a whole period."""

    actions_list = ("ageing",)
    actions_detail = ("create_payments", "book_charges", "match_again", "set_balances",
                      "sign_off", "ask_to_reopen", "remove")  # fmt: skip
    offers = {
        **dict.fromkeys(actions_detail, lambda period: period.is_open),
        "ask_to_reopen": lambda period: not period.is_open,
        "remove": lambda period: period.is_open and not period.files.exists(),
    }

    def has_resolve_permission(self, request, obj=None):
        return request.user.has_perm("reconciliation.resolve_reconciliation")

    def has_receive_permission(self, request, obj=None):
        return self.has_resolve_permission(request) and request.user.has_perm(
            "payments.add_payment"
        )

    def has_sign_permission(self, request, obj=None):
        return request.user.has_perm("reconciliation.sign_off_reconciliation")

    def has_reopen_permission(self, request, obj=None):
        return request.user.has_perm("reconciliation.reopen_reconciliation")

    @action(description="Ageing of waiting money", permissions=["view"], icon="hourglass_empty")
    def ageing(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:reconciliation_reconciliation_ageing"))

    @action(
        description="Create the missing payments",
        permissions=["receive"],
        icon="payments",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Create the missing payments",
            "description": "A reference that is here already is not received twice.",
            "form_class": PaymentsDialog,
            "form_submit_text": "Create payments",
        },
    )
    def create_payments(self, request, form, object_id):
        return self.perform(
            request, object_id, booking.create_payments, form, done=lambda d: told(d, "payments")
        )

    @action(
        description="Book the charges",
        permissions=["resolve"],
        icon="receipt_long",
        dialog={
            "title": "Book the charges",
            "description": "A mistake is put right on its line: “Reverse and take apart”.",
            "form_class": ChargesDialog,
            "form_submit_text": "Book charges",
        },
    )
    def book_charges(self, request, form, object_id):
        return self.perform(
            request, object_id, booking.book_charges, form, done=lambda d: told(d, "charges")
        )

    @action(
        description="Match again",
        permissions=["resolve"],
        icon="join_inner",
        dialog={
            "title": "Match again",
            "description": "Looks for what was booked since. What was taken apart stays apart.",
            "form_class": StaffDialog,
            "form_submit_text": "Match",
        },
    )
    def match_again(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            pairing.match_again,
            form,
            done=lambda number: f"{number:,} new matches found.",
        )

    @action(
        description="Set balances",
        permissions=["resolve"],
        icon="edit",
        dialog={
            "title": "Balances of the statement",
            "description": "For a statement whose lines do not tell them.",
            "form_class": BalancesDialog,
            "form_submit_text": "Save",
        },
    )
    def set_balances(self, request, form, object_id):
        return self.perform(
            request, object_id, beginning.set_balances, form, done="The balances are written down."
        )

    @action(
        description="Sign off",
        permissions=["sign"],
        icon="verified",
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": "Sign off",
            "description": "Freezes the period. Reopening it takes two people.",
            "form_class": SignDialog,
            "form_submit_text": "Sign off",
        },
    )
    def sign_off(self, request, form, object_id):
        return self.perform(request, object_id, signing.sign_off, form, done="Signed off.")

    @action(
        description="Ask to reopen",
        permissions=["reopen"],
        icon="lock_open",
        variant=ActionVariant.WARNING,
        dialog={
            "title": "Ask to reopen",
            "description": "Somebody else decides it, under Approvals.",
            "form_class": ReasonDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_to_reopen(self, request, form, object_id):
        return self.perform(
            request, object_id, signing.ask_to_reopen, form, done="Waits for a second person."
        )

    @action(
        description="Take back",
        permissions=["resolve"],
        icon="delete",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Take this reconciliation back",
            "description": "For one begun by mistake, before a statement was brought.",
            "form_class": ReasonDialog,
            "form_submit_text": "Take back",
        },
    )
    def remove(self, request, form, object_id):
        answer = self.perform(request, object_id, beginning.remove, form, done="Taken back.")
        if "HX-Redirect" in answer:
            answer["HX-Redirect"] = reverse("admin:reconciliation_reconciliation_changelist")
        return answer


# --- The page ------------------------------------------------------------------------------------
class ReconciliationResource(ModelResource):
    class Meta:
        model = Reconciliation
        fields = ("id", "account", "first", "last", "opening", "closing", "status",
                  "made_by__username", "signed_by__username", "signed_at")  # fmt: skip
        export_order = fields


@admin.register(Reconciliation)
class ReconciliationAdmin(OfWholeLender, ReconciliationActions, AddsByForm, StaffAdmin):
    add_form = BeginForm
    resource_classes = (ReconciliationResource,)
    list_display = ("number", "account", "first", "last", "shown_closing", "state", "waiting",
                    "made_by", "signed_by")  # fmt: skip
    list_display_links = ("number", "account")
    list_select_related = ("account", "made_by", "signed_by")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("account", RelatedDropdownFilter),
        ("last", RangeDateFilter),
    )
    search_fields = ("account__name", "=account__code")
    search_help_text = "Code or name of the account"
    ordering = ("-last", "account")
    sortable_by = ()
    add_fieldsets = ((None, {"fields": ("account", ("first", "last"), ("opening", "closing"))}),)
    fieldsets = (
        (
            "Details",
            {"fields": (("made_by", "made_at"), ("signed_by", "signed_at"))},
        ),
    )
    change_form_outer_before_template = "admin/reconciliation/period.html"

    def get_queryset(self, request):
        own = (
            StatementLine.objects.unmatched()
            .filter(reconciliation=OuterRef("pk"))
            .order_by()
            .values("reconciliation")
            .annotate(number=Count("pk"))
            .values("number")
        )
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return rows.annotate(lines_waiting=Coalesce(Subquery(own), 0))

    # --- One period ----------------------------------------------------------------------------
    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path("ageing/", view(self.ageing_view), name="reconciliation_reconciliation_ageing"),
            path(
                "<int:pk>/print/", view(self.print_view), name="reconciliation_reconciliation_print"
            ),
            *super().get_urls(),
        ]

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        period = self.get_object(request, object_id) if object_id else None
        found = self.found_in(request, period) if period else {}
        return super().changeform_view(
            request, object_id, form_url, {**found, **(extra_context or {})}
        )

    def found_in(self, request: HttpRequest, period: Reconciliation) -> dict:
        """Return what the page shows: the proof, a tab for each verdict, and the rows of one."""
        balances = proof.of(period)
        asked = request.GET.get("verdict", "")
        waiting = [verdict for verdict in WAITING if balances.counts[verdict]]
        verdict = Verdict(asked) if asked in Verdict.values else [*waiting, Verdict.MATCHED][0]
        return {
            "period": period,
            "balances": balances,
            "late": proof.late_postings(period),
            "state_colour": STATE_COLOURS[period.get_status_display()],
            "tabs": [(each, balances.counts[each], each == verdict) for each in Verdict],
            "verdict": verdict,
            "entries": entries_of(period, ROWS_SHOWN) if verdict == "missing_there" else None,
            "lines": lines_of(period, verdict, ROWS_SHOWN) if verdict != "missing_there" else None,
            "total": balances.counts[verdict],
            "shown": ROWS_SHOWN,
            "files": period.files.select_related("brought_by"),
            "may_bring": period.is_open
            and request.user.has_perm("reconciliation.add_statementfile"),
        }

    def print_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The reconciliation statement on paper: the two balances and everything between them."""
        period = self.get_object(request, str(pk))
        if period is None:
            raise Http404
        if not self.has_view_permission(request, period):
            raise PermissionDenied
        parts = [
            (verdict, lines_of(period, verdict, MOST_PRINTED))
            for verdict in (Verdict.MISSING_HERE, Verdict.DUPLICATE, Verdict.DIFFERS)
        ]
        return render(
            request,
            "admin/reconciliation/printed.html",
            {
                "period": period,
                "balances": proof.of(period),
                "parts": [(verdict, lines) for verdict, lines in parts if lines],
                "entries": entries_of(period, MOST_PRINTED),
                "printed_by": request.user,
                "on": dates.today(),
            },
        )

    def ageing_view(self, request: HttpRequest) -> HttpResponse:
        """Money that waits, by how long it has."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        on = dates.today()
        return TemplateResponse(
            request,
            "admin/reconciliation/ageing.html",
            {
                **self.admin_site.each_context(request),
                "title": f"Waiting money by age, {dates.show(on)}",
                "opts": self.opts,
                "titles": ageing.TITLES,
                "rows": ageing.waiting(on=on),
            },
        )

    # --- Columns -------------------------------------------------------------------------------
    @display(description="No.", ordering="pk")
    def number(self, period):
        return period.number

    @display(description="Closing balance")
    def shown_closing(self, period):
        return kes(period.closing)

    @display(description="Status", label=STATE_COLOURS)
    def state(self, period):
        return period.get_status_display()

    @display(description="Lines without an entry")
    def waiting(self, period):
        return f"{period.lines_waiting:,}"


def lines_of(period: Reconciliation, verdict: Verdict, most: int) -> list[StatementLine]:
    return list(period.lines.standing(verdict).order_by("day", "pk")[:most])


def entries_of(period: Reconciliation, most: int) -> list[books.Entry]:
    return list(books.entries(books.unmatched(period)[:most]))
