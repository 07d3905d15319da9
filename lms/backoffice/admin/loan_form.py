"""The form of an application, and what is written beside it: fees, guarantors, collateral."""

from django import forms
from django.utils.functional import cached_property
from unfold.decorators import display

from lms import dates
from lms.backoffice.admin.loan_preview import preview_of
from lms.backoffice.base import EditableTabular
from lms.errors import Refused
from lms.loans.models import Collateral, Guarantor, Loan, LoanFee, LoanProduct, Tranche
from lms.loans.models.terms import Method
from lms.loans.operations import security
from lms.money import ZERO, kes
from lms.staff.models import Staff

Status = Loan.Status


class LoanForm(forms.ModelForm):
    """An application. What the product does not leave open is copied from it."""

    # Terms that staff may adjust within the limits of the product.
    TERMS = (
        "rate",
        "number_of_repayments",
        "principal_grace",
        "interest_grace",
        "grace_interest",
    )
    # Everything the schedule follows from.
    PRICED = ("product", "principal", "first_due", *TERMS)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if product := self.fields.get("product"):
            product.queryset = LoanProduct.objects.open_on(dates.today())
        if officer := self.fields.get("loan_officer"):
            known = officer.queryset.filter(is_active=True).values("pk")
            mine = Staff.objects.filter(pk__in=known)
            officer.queryset = mine | Staff.objects.filter(pk=self.instance.loan_officer_id)

    @cached_property
    def fees(self):
        """The fees the loan has, or starts with."""
        holder = self.instance if self.instance.pk else self.instance.version
        return [fee.as_fee() for fee in holder.fees.all()]

    def clean(self):
        """Take over what the product fixes before the limits of the product are asked."""
        cleaned = super().clean()
        product = cleaned.get("product")
        if product and not self.instance.pk:
            self.instance.copy_terms(product.version_on(dates.today()))
        return cleaned

    def _post_clean(self) -> None:
        """Refuse terms that no schedule can be made of."""
        super()._post_clean()
        for name, sentence in self.instance.impossible().items():
            self.add_error(name if name in self.fields else None, sentence)
        if self.errors:
            return
        try:
            preview_of(self.instance, on=dates.today(), fees=self.fees)
        except Refused as refusal:
            field = refusal.field if refusal.field in self.fields else None
            self.add_error(field, refusal.message)


def not_in_future(day, what: str):
    """Return the day. Raises ValidationError for one after today."""
    if day and day > dates.today():
        raise forms.ValidationError(f"{what} cannot lie in the future.")
    return day


class GuarantorForm(forms.ModelForm):
    """What a guarantor consented to is no longer typed over."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and self.instance.status != Guarantor.Status.PROPOSED:
            for field in self.fields.values():
                field.disabled = True


class CollateralForm(forms.ModelForm):
    """A saved value changes by a new valuation, which keeps the old one."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            for name in ("value", "valued_on", "forced_sale_percent"):
                self.fields[name].disabled = True

    def clean_valued_on(self):
        return not_in_future(self.cleaned_data["valued_on"], "The valuation")


class GuarantorFormSet(forms.BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        for guarantor in (form.instance for form in self.deleted_forms):
            if guarantor.pk and guarantor.status != Guarantor.Status.PROPOSED:
                raise forms.ValidationError(
                    f"{guarantor.customer.name} is {guarantor.get_status_display().lower()}: "
                    "what was agreed stays on the record."
                )


class CollateralFormSet(forms.BaseInlineFormSet):
    """A new row is pledged by `staff`, with its first valuation."""

    staff = None

    def save_new(self, form, commit=True):  # noqa: FBT002 (the signature is Django's)
        thing = super().save_new(form, commit=False)
        return security.pledge(thing, by=self.staff, on=dates.today()) if commit else thing


class WhileOpen(EditableTabular):
    """Rows that may be written while the loan is in one of some states."""

    open_in: tuple[str, ...] = (Status.DRAFT, Status.SUBMITTED)

    def _is_open(self, loan: Loan | None) -> bool:
        return loan is None or loan.status in self.open_in

    def has_add_permission(self, request, obj=None):
        return self._is_open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request, obj=None):
        return self._is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return self._is_open(obj) and super().has_delete_permission(request, obj)


class TrancheFormSet(forms.BaseInlineFormSet):
    def clean(self) -> None:
        """Refuse parts that leave nothing to pay out first, or come before the first."""
        super().clean()
        kept = [
            form.cleaned_data
            for form in self.forms
            if getattr(form, "cleaned_data", None) and not form.cleaned_data.get("DELETE")
        ]
        later = sum((part.get("amount") or ZERO for part in kept), ZERO)
        if later and later >= (self.instance.principal or ZERO):
            raise forms.ValidationError(
                f"The tranches come to {kes(later)}: they must leave a first part of the "
                f"{kes(self.instance.principal)} to pay out."
            )
        if any(part["planned_on"] <= dates.today() for part in kept if part.get("planned_on")):
            raise forms.ValidationError("A tranche is planned for a day after today.")
        if kept and self.instance.method == Method.FLAT:
            raise forms.ValidationError(
                "A flat loan bears interest on one principal for the whole term: it cannot be "
                "paid out in tranches."
            )


class TrancheInline(WhileOpen):
    """The later parts of a loan that is paid out bit by bit; none for a loan paid out at once."""

    model = Tranche
    formset = TrancheFormSet
    open_in = (Status.DRAFT,)
    fields = ("planned_on", "amount")
    ordering = ("planned_on",)


class FeeInline(WhileOpen):
    """The price is fixed when it is handed to those who approve."""

    model = LoanFee
    open_in = (Status.DRAFT,)
    fields = ("name", "kind", "value", "when", "excise_rate")
    ordering = ("pk",)


class GuarantorInline(WhileOpen):
    model = Guarantor
    form = GuarantorForm
    formset = GuarantorFormSet
    fields = ("customer", "amount", "relationship", "capacity", "shown_status")
    readonly_fields = ("shown_status",)
    show_change_link = True
    autocomplete_fields = ("customer",)
    ordering = ("pk",)

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("customer", "loan")

    @display(description="Consent")
    def shown_status(self, guarantor):
        if guarantor.pk is None:
            return "-"
        day = guarantor.consented_on
        return f"{guarantor.get_status_display()}{f', {dates.show(day)}' if day else ''}"


class CollateralInline(WhileOpen):
    model = Collateral
    form = CollateralForm
    formset = CollateralFormSet
    fields = (
        "kind",
        "description",
        "serial",
        "owner",
        "owner_name",
        "value",
        "valued_on",
        "forced_sale_percent",
        "location",
    )
    ordering = ("pk",)
    show_change_link = True

    def get_formset(self, request, obj=None, **kwargs):
        made = super().get_formset(request, obj, **kwargs)
        made.staff = request.user
        return made
