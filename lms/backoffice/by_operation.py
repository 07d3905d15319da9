"""Pages whose form carries an operation out instead of saving a row."""

from collections.abc import Callable

from django import forms
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from lms.errors import Refused
from lms.staff.models import Branch


class OperationForm(forms.ModelForm):
    """Carries its operation out while it is validated: a refusal is an error of the form.

    Each form says how: `carry_out` makes the record of the answers and returns it, or raises
    Refused.
    """

    staff = None  # set by the page
    carry_out: Callable[[dict], models.Model]

    def _post_clean(self) -> None:
        if self.errors:
            return
        try:
            self.instance = self.carry_out(dict(self.cleaned_data))
        except Refused as refusal:
            self.add_error(refusal.field if refusal.field in self.fields else None, refusal.message)


class BranchForm(OperationForm):
    """Asks people of head office for the branch; for everybody else it is their own."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if "branch" in self.fields:
            self.fields["branch"].queryset = Branch.objects.filter(is_active=True)

    def branch_of(self, answers: dict) -> Branch:
        """Take the branch out of the answers."""
        return answers.pop("branch", None) or self.staff.branch


class SavedByItsForm:
    """A page that has nothing left to save once its form is valid."""

    def save_form(self, request: HttpRequest, form, change):
        return form.instance

    def save_model(self, request: HttpRequest, obj, form, change) -> None:
        """Nothing is left to save: the form carried the operation out."""

    def save_related(self, request: HttpRequest, form, formsets, change) -> None:
        """Nor is there anything beside it."""


class AddsByForm(SavedByItsForm):
    """A page that adds with an OperationForm and shows what was made."""

    add_form: type[OperationForm]
    opens = frozenset({"add"})

    def get_form(self, request: HttpRequest, obj=None, **kwargs):
        if obj is not None:
            return super().get_form(request, obj, **kwargs)
        form = super().get_form(request, obj, form=self.add_form, **kwargs)
        form.staff = request.user
        return form

    def response_post_save_add(self, request: HttpRequest, obj) -> HttpResponse:
        """Show what was made."""
        opts = self.opts
        return HttpResponseRedirect(
            reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[obj.pk])
        )


class AddsByOperation(AddsByForm):
    """A page that adds with a BranchForm; nothing is typed over."""

    add_form: type[BranchForm]
    add_fieldsets: tuple

    def get_fieldsets(self, request: HttpRequest, obj=None):
        if obj is not None:
            return super().get_fieldsets(request, obj)
        if request.user.branch_id is None:
            return (("Where", {"fields": ("branch",)}), *self.add_fieldsets)
        return self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj=None):
        return super().get_readonly_fields(request, obj) if obj else ()

    def render_change_form(self, request: HttpRequest, context, *args, **kwargs):
        """Offer one button: what was made is shown next, and is not changed there."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)
