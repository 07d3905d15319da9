"""What a loan would cost, worked out from what is typed before anything is saved."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.core.exceptions import PermissionDenied
from django.forms import BaseForm, inlineformset_factory
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.text import capfirst

from lms import dates
from lms.errors import Refused
from lms.loans.calculator import Fee, RepaymentCalculator, Row
from lms.loans.models import Loan, LoanFee, LoanProduct
from lms.loans.operations.eligibility import assess
from lms.money import ZERO

FEE_FIELDS = ("name", "kind", "value", "when", "excise_rate")
# What the calculator calls otherwise than the form.
FORM_FIELDS = {"annual_rate": "rate", "unit": "repay_unit"}


class Preview(NamedTuple):
    """A schedule and its price. Amounts in KES, rates in percent a year."""

    loan: Loan
    rows: Sequence[Row]
    net: Decimal
    deducted: Decimal
    added: Decimal
    before: Decimal
    capitalised: Decimal
    warning: str | None
    principal: Decimal
    interest: Decimal
    fees: Decimal
    total: Decimal
    cost: Decimal
    apr: Decimal
    eir: Decimal


def preview_of(loan: Loan, *, on: date, fees: Sequence[Fee] | None = None) -> Preview:
    """Return what the loan costs when it is paid out on a day, with its saved fees unless told.

    Raises Refused, naming the field of the form, for terms that cannot work.
    """
    try:
        calculator = loan.calculator(disbursed_on=on, fees=fees)
        rows = calculator.schedule()
    except Refused as refusal:
        field = FORM_FIELDS.get(refusal.field, refusal.field)
        raise Refused(refusal.message, field=field) from refusal
    apr, eir = price_of(calculator)
    return Preview(
        loan=loan,
        rows=rows,
        net=calculator.net_disbursed(),
        deducted=calculator.fees_deducted().total,
        added=calculator.fees_added().total,
        before=calculator.fees_before().total,
        capitalised=calculator.capitalised_interest(),
        warning=calculator.warning(),
        principal=sum((row.principal for row in rows), ZERO),
        interest=sum((row.interest for row in rows), ZERO),
        fees=sum((row.fees for row in rows), ZERO),
        total=calculator.total_payable(),
        cost=calculator.total_cost_of_credit(),
        apr=apr,
        eir=eir,
    )


def price_of(calculator: RepaymentCalculator) -> tuple[Decimal, Decimal]:
    """Return APR and EIR. Raises Refused where the fees leave nothing to pay out."""
    if calculator.net_disbursed() <= 0:
        raise Refused(
            "The fees take the whole amount: nothing would be paid out.", field="principal"
        )
    return calculator.apr(), calculator.eir()


def typed_fees(request: HttpRequest, parent, model) -> list[Fee] | None:
    """Return the fees as they stand in the posted form, or None where they are not all good."""
    formset = inlineformset_factory(type(parent), model, fields=FEE_FIELDS)(
        request.POST, instance=parent, prefix="fees"
    )
    if not formset.is_valid():
        return None
    return [
        form.instance.as_fee()
        for form in formset.forms
        if form.cleaned_data.get("name") and not form.cleaned_data.get("DELETE")
    ]


def sentences(form: BaseForm, fields: Sequence[str]) -> list[str]:
    """Return what is wrong with some fields of a form, each named by its label."""
    named = [
        f"{capfirst(form[name].label)}: {error}"
        for name in fields
        for error in form.errors.get(name, ())
    ]
    return [*form.non_field_errors(), *named]


class LoanPreview:
    """The live preview of the loan page, and the terms of a product when it is chosen."""

    change_form_after_template = "admin/loans/preview_slot.html"

    def get_urls(self):
        wrap = self.admin_site.admin_view
        return [
            path("preview/", wrap(self.preview_view), name="loans_loan_preview"),
            path("terms/", wrap(self.terms_view), name="loans_loan_terms"),
            path("<int:pk>/preview/", wrap(self.preview_view), name="loans_loan_preview_of"),
            *super().get_urls(),
        ]

    def preview_slot(self, request: HttpRequest, loan: Loan | None) -> dict:
        """Return what the template needs to ask for the preview of this page."""
        if loan is None:
            return {"url": reverse("admin:loans_loan_preview"), "follows": True}
        if loan.disbursed_on or loan.status in (Loan.Status.REJECTED, Loan.Status.WITHDRAWN):
            return {}
        return {
            "url": reverse("admin:loans_loan_preview_of", args=[loan.pk]),
            "follows": self.is_draft(request, loan),
        }

    def is_draft(self, request: HttpRequest, loan: Loan) -> bool:
        return loan.status == Loan.Status.DRAFT and self.has_change_permission(request, loan)

    def preview_view(self, request: HttpRequest, pk: int | None = None) -> HttpResponse:
        loan = None
        if pk is not None and (loan := self.get_object(request, str(pk))) is None:
            raise Http404
        allowed = self.has_view_permission(request) if loan else self.has_add_permission(request)
        if not allowed:
            raise PermissionDenied
        if request.method == "POST" and (loan is None or self.is_draft(request, loan)):
            context = self._preview_typed(request, loan)
        elif loan is not None:
            context = _preview(loan, fees=None)
        else:
            context = {}
        return render(request, "admin/loans/preview.html", context)

    def _preview_typed(self, request: HttpRequest, loan: Loan | None) -> dict:
        """Return the preview of a form as it stands; what is not filled in yet is no error."""
        form = self.get_form(request, loan, change=loan is not None)(request.POST, instance=loan)
        form.is_valid()
        if not (form.instance.product_id and form.cleaned_data.get("principal")):
            return {
                "wrong": sentences(form, ["principal"]) if request.POST.get("principal") else []
            }
        if wrong := sentences(form, form.PRICED):
            return {"wrong": wrong}
        fees = form.fees if loan is None else typed_fees(request, loan, LoanFee)
        return _preview(form.instance, fees=fees)

    def terms_view(self, request: HttpRequest) -> HttpResponse:
        """Return the fields of the form filled with the terms of the chosen product."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        chosen = request.GET.get("product", "")
        product = LoanProduct.objects.filter(pk=chosen if chosen.isdigit() else None).first()
        version = product and product.version_on(dates.today())
        if version is None:
            return HttpResponse(status=204)
        form_class = self.get_form(request, None, change=False)
        form = form_class(initial={name: getattr(version, name) for name in form_class.TERMS})
        widgets = [form[name].as_widget(attrs={"hx-swap-oob": "true"}) for name in form.TERMS]
        response = render(request, "admin/loans/terms.html", {"widgets": widgets})
        response["HX-Trigger-After-Settle"] = "terms"
        return response


def _preview(loan: Loan, *, fees: Sequence[Fee] | None) -> dict:
    try:
        preview = preview_of(loan, on=dates.today(), fees=fees)
    except Refused as refusal:
        return {"wrong": [refusal.message]}
    return {"preview": preview, **verdicts_on(loan)}


def verdicts_on(loan: Loan) -> dict:
    """Return the context of the table of eligibility: nothing before the customer is chosen."""
    return {"verdicts": assess(loan, on=dates.today()) if loan.customer_id else []}
