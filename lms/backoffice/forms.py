"""The form of every dialog: refusals on top, a field for the reason, money as money."""

from django import forms
from django.http import HttpRequest
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminTextareaWidget,
)

from lms.customers.models import Customer
from lms.money import CENT


class StaffDialog(BaseDialogForm):
    """A dialog that shows what it is about, and why an answer was refused.

    `subject` is a sentence or two of facts about the record, shown above the fields.
    """

    form_before_template = "admin/dialog_before.html"
    subject = ""

    def get_before_template_context(self, request: HttpRequest, object_id=None) -> dict:
        return {"refusals": self.non_field_errors(), "subject": self.subject}


def money_field(label: str, **options) -> forms.DecimalField:
    """Return a field for an amount of KES, at least one cent."""
    return forms.DecimalField(
        label=label,
        max_digits=14,
        decimal_places=2,
        min_value=CENT,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"}),
        **options,
    )


def date_field(label: str, **options) -> forms.DateField:
    """Return a field for a business day."""
    return forms.DateField(label=label, widget=UnfoldAdminDateWidget, **options)


def reason_field(label: str = "Reason", **options) -> forms.CharField:
    """Return the field for a reason, which is mandatory and stays on the record."""
    return forms.CharField(
        label=label, max_length=200, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), **options
    )


def one_customer(text: str, staff) -> Customer:
    """Return the one customer of the person's pages whom a number, phone, ID or name means.

    Raises ValidationError, in words for the field, for none and for more than one.
    """
    found = list(Customer.objects.seen_by(staff).matching(text)[:2])
    if len(found) != 1:
        what = "No customer is" if not found else "More than one customer is"
        raise forms.ValidationError(f"{what} known by “{text}”: give the phone or the ID.")
    return found[0]


class ReasonDialog(StaffDialog):
    """A dialog that asks for nothing but the reason."""

    reason = reason_field()
