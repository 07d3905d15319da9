"""Candidates for money that nobody could place: on its page, in the queue, and many at once."""

import re
from typing import NamedTuple

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates, routing
from lms.backoffice.base import MOST_AT_ONCE
from lms.backoffice.forms import StaffDialog
from lms.errors import Refused
from lms.loans.models import Loan
from lms.matching import operations as matching
from lms.matching.score import LIKELY, Candidate, Suggestion
from lms.money import ZERO, kes
from lms.payments.models import Payment
from lms.words import counted

MOST_JUDGED = 1_000  # payments of the queue that the filter judges, the newest first
LEVELS = {"certain": "Certain", "likely": "Likely", "none": "None"}
PAIR = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")


class Place(NamedTuple):
    """One payment and the loan on which a person is about to place it."""

    payment: Payment
    candidate: Candidate

    @property
    def key(self) -> str:
        return f"{self.payment.pk}:{self.candidate.borrower.loan}"


def seen(suggestion: Suggestion, staff) -> list[Candidate]:
    """Return the candidates on whose loans this person may place money: those of the branch."""
    return [
        one
        for one in suggestion.candidates
        if staff.sees_all_branches or one.borrower.branch == staff.branch_id
    ]


def tone_of(candidate: Candidate, suggestion: Suggestion) -> str:
    """Return the colour of a score: green only for the one that is certain."""
    if suggestion.is_certain and candidate is suggestion.candidates[0]:
        return "success"
    return "warning" if candidate.score >= LIKELY else "default"


def judged(payment: Payment) -> Suggestion:
    """Return whose one payment may be; nothing for one that waits no more."""
    if payment.status != Payment.Status.UNALLOCATED:
        return Suggestion()
    return matching.suggest([payment], on=dates.today())[payment.pk]


def place(payment: Payment, *, by, on, loan: Loan) -> Payment:
    """Place a payment as it was suggested and tell its customer. Raises Refused."""
    placed = matching.accept(payment, loan, by=by, on=on)
    routing.tell(placed, now=dates.now())
    return placed


class PlaceDialog(StaffDialog):
    """Shows the payment, the loan and why it is suggested; asks for nothing but the word."""

    loan = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.payment = Payment.objects.get(pk=self.object_id)
        offered = seen(judged(self.payment), self.request.user)
        asked = self.request.GET.get("loan", "")
        self.candidate = next(
            (one for one in offered if str(one.borrower.loan) == asked),
            offered[0] if offered and not asked else None,
        )
        if self.candidate:
            self.initial.setdefault("loan", self.candidate.borrower.loan)

    @property
    def subject(self) -> str:
        if self.candidate is None:
            return "No loan is suggested for it any more: use “Match to…”."
        borrower = self.candidate.borrower
        return (
            f"{self.payment.number}: {kes(self.payment.amount)} from "
            f"{self.payment.payer_name or 'somebody unnamed'}, account typed "
            f"“{self.payment.account or '-'}”, goes to {borrower.number} of {borrower.name}, where "
            f"{kes(borrower.due)} is due. Score {self.candidate.score}: {self.candidate.reason}."
        )

    def clean_loan(self) -> Loan:
        key = self.cleaned_data["loan"]
        found = Loan.objects.seen_by(self.request.user).filter(pk=key).first()
        if found is None:
            raise forms.ValidationError("There is no such loan.")
        return found


class SuggestionFilter(DropdownFilter):
    """Judges the newest payments of the queue; it is asked for, so it may take a moment."""

    title = "suggestion"
    parameter_name = "suggestion"

    def lookups(self, request, model_admin):
        return list(LEVELS.items())

    def queryset(self, request, queryset):
        if self.value() not in LEVELS:
            return queryset
        waiting = list(queryset.unallocated().order_by("-pk")[:MOST_JUDGED])
        found = matching.suggest(waiting, on=dates.today())
        fits = [key for key, suggestion in found.items() if suggestion.level == self.value()]
        return queryset.filter(pk__in=fits)


class Suggesting:
    """Gives the page of payments its suggestions."""

    actions = ("accept_certain",)

    # --- One payment ---------------------------------------------------------------------------
    @action(
        description="Place here",
        permissions=["match"],
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Place this payment as suggested",
            "description": "The money pays the oldest dues of that loan first. History keeps the "
            "score and the reason.",
            "form_class": PlaceDialog,
            "form_submit_text": "Place here",
        },
    )
    def place_here(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            place,
            form,
            done=lambda payment: (
                f"{payment.number} is placed on {form.cleaned_data['loan'].number}."
            ),
        )

    def candidates_of(self, request: HttpRequest, payment: Payment) -> dict:
        """Return what the page of a payment shows of its candidates."""
        if payment.status != Payment.Status.UNALLOCATED:
            return {}
        suggestion = judged(payment)
        offered = seen(suggestion, request.user)
        return {
            "candidates": [(one, tone_of(one, suggestion)) for one in offered],
            "elsewhere": len(suggestion.candidates) - len(offered),
            "is_certain": suggestion.is_certain,
            "may_place": self.has_match_permission(request),
        }

    # --- The queue -----------------------------------------------------------------------------
    def shows_suggestions(self, request: HttpRequest) -> bool:
        """Tell whether the list is the queue: elsewhere there is nothing to suggest."""
        asked = request.GET.get("status__exact") == Payment.Status.UNALLOCATED
        return asked or SuggestionFilter.parameter_name in request.GET

    def get_list_display(self, request: HttpRequest):
        every = super().get_list_display(request)
        if not self.shows_suggestions(request):
            return every
        kept = [name for name in every if name not in ("shown_status", "credit")]
        return [*kept, "suggested"]

    def get_changelist_instance(self, request: HttpRequest):
        found = super().get_changelist_instance(request)
        is_list = request.resolver_match.url_name.endswith("_changelist")
        if is_list and self.shows_suggestions(request):
            rows = list(found.result_list)
            waiting = [row for row in rows if row.status == Payment.Status.UNALLOCATED]
            suggestions = matching.suggest(waiting, on=dates.today())
            for row in rows:
                suggestion = suggestions.get(row.pk, Suggestion())
                offered = seen(suggestion, request.user)[:1]
                best = offered[0] if offered and suggestion.best else None
                row.suggestion = best and (best, tone_of(best, suggestion))
            found.result_list = rows
        return found

    @display(description="Suggestion")
    def suggested(self, payment):
        if not (found := getattr(payment, "suggestion", None)):
            return "-"
        candidate, tone = found
        return render_to_string(
            "admin/payments/suggested.html", {"candidate": candidate, "tone": tone}
        )

    # --- Many at once --------------------------------------------------------------------------
    @admin.action(description="Accept the certain ones", permissions=["match"])
    def accept_certain(self, request: HttpRequest, queryset):
        """Show every pair first; then place those that were shown, each by itself."""
        rows = queryset.unallocated()
        if request.POST.get("answered"):
            return self._accept(request)
        if rows.order_by()[MOST_AT_ONCE:].exists():
            messages.error(request, f"Select at most {MOST_AT_ONCE:,} rows at once.")
            return redirect(request.get_full_path())
        payments = list(rows)
        found = matching.suggest(payments, on=dates.today())
        places = [
            Place(payment, offered[0])
            for payment in payments
            if found[payment.pk].is_certain
            and (offered := seen(found[payment.pk], request.user))
            and offered[0] is found[payment.pk].best
        ]
        if not places:
            messages.info(request, "None of these payments has a suggestion that is certain.")
            return redirect(request.get_full_path())
        total = sum((place.payment.amount for place in places), ZERO)
        return TemplateResponse(
            request,
            "admin/payments/accept.html",
            {
                **self.admin_site.each_context(request),
                "title": "Accept the certain ones",
                "opts": self.opts,
                "heading": f"{counted(len(places), 'payment')}, {kes(total)}",
                "places": places,
                "others": len(payments) - len(places),
                "selected": request.POST.getlist("_selected_action"),
                "select_across": request.POST.get("select_across", "0"),
            },
        )

    def _accept(self, request: HttpRequest):
        """Place what was shown and is still certain; say what was not placed and why."""
        placed, refused = [], []
        for payment, loan in self._shown(request):
            try:
                done = matching.accept(
                    payment, loan, by=request.user, on=dates.today(), only_certain=True
                )
            except Refused as refusal:
                refused.append(f"{payment.number}: {refusal.message}")
            else:
                routing.tell(done, now=dates.now())
                placed.append(done)
        total = kes(sum((payment.amount for payment in placed), ZERO))
        if placed:
            messages.success(request, f"{counted(len(placed), 'payment')} placed: {total}.")
        for sentence in refused:
            messages.warning(request, sentence)
        return redirect(request.get_full_path())

    def _shown(self, request: HttpRequest) -> list[tuple[Payment, Loan]]:
        """Return the pairs that the confirmation showed, of what this person may see."""
        shown = map(PAIR.fullmatch, request.POST.getlist("place")[:MOST_AT_ONCE])
        pairs = [(int(found[1]), int(found[2])) for found in shown if found]
        payments = self.get_queryset(request).in_bulk([payment for payment, _ in pairs])
        loans = Loan.objects.seen_by(request.user).in_bulk([loan for _, loan in pairs])
        return [
            (payments[payment], loans[loan])
            for payment, loan in pairs
            if payment in payments and loan in loans
        ]
