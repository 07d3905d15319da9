"""The base of every staff page: read-only, scoped to the branch, with history.

A page opts in to each kind of writing with `opens`; fields that money depends on change through
actions, which ask in a dialog, make one call into a room, and show its refusal as it stands.
"""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import flatten_fieldsets, model_ngettext, unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from import_export.admin import ExportMixin
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.import_export.forms import SelectableFieldsExportForm
from unfold.dataclasses import UnfoldAction
from unfold.forms import BaseDialogForm

from lms import dates
from lms.backoffice.changelist import UNREADABLE, StaffChangeList
from lms.backoffice.exports import FORMATS
from lms.backoffice.paginator import BoundedPaginator
from lms.errors import Refused

# More rows than this are no longer one file, and no longer one decision.
MOST_EXPORTED = 100_000
MOST_AT_ONCE = 1_000
SHOWN_IN_BULK = 20


class Scoped:
    """Shows only rows of the person's branch, also in choices of other models' forms.

    Rows whose queryset has `seen_by` are asked that; for others `branch_path` names the lookup
    that leads to their branch ("branch", "loan__branch"), where they have one.
    """

    branch_path: str | None = None

    def get_queryset(self, request: HttpRequest):
        rows = super().get_queryset(request)
        if hasattr(rows, "seen_by"):
            return rows.seen_by(request.user)
        if self.branch_path and not request.user.sees_all_branches:
            return rows.filter(**{self.branch_path: request.user.branch_id})
        return rows

    def formfield_for_foreignkey(self, field, request: HttpRequest, **kwargs):
        """Offer what the page of the other model would show this person, and accept no more."""
        model = field.remote_field.model
        if "queryset" not in kwargs and self.admin_site.is_registered(model):
            kwargs["queryset"] = self.admin_site.get_model_admin(model).get_queryset(request)
        return super().formfield_for_foreignkey(field, request, **kwargs)


class StaffAdmin(Scoped, SimpleHistoryAdmin, ExportMixin, ModelAdmin):
    """A page of the office.

    `opens` names the kinds of direct writing the page allows ("add", "change", "delete") to those
    who hold Django's permission for it; by default none. `offers` says, for a detail action, when
    it makes sense for a record: it only hides buttons, the operation itself refuses.
    """

    opens: frozenset[str] = frozenset()
    offers: dict[str, Callable[[Any], bool]] = {}
    actions = ()
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator
    list_filter_submit = True
    list_fullwidth = True
    warn_unsaved_form = True
    compressed_fields = True
    export_form_class = SelectableFieldsExportForm
    formats = FORMATS

    # --- Who may do what -----------------------------------------------------------------------
    def has_add_permission(self, request: HttpRequest) -> bool:
        return "add" in self.opens and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        if "change" not in self.opens or hasattr(request, "shows_version"):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return "delete" in self.opens and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict:
        actions = super().get_actions(request)
        if "delete" not in self.opens:
            actions.pop("delete_selected", None)
        return actions

    def get_actions_detail(self, request: HttpRequest, object_id: int | str) -> list:
        actions = super().get_actions_detail(request, object_id)
        if not self.offers or not (record := self.get_object(request, str(object_id))):
            return actions
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return [
            action
            for action in actions
            if self.offers.get(action.action_name.removeprefix(prefix), lambda _: True)(record)
        ]

    def get_unfold_action(self, action: str) -> UnfoldAction:
        """Close every action to records that the person's own pages do not show."""
        found = super().get_unfold_action(action)
        method = found.method

        @wraps(method)
        def within_scope(request: HttpRequest, *args, **kwargs):
            object_id = kwargs.get("object_id")
            if object_id is not None and self.get_object(request, str(object_id)) is None:
                raise Http404
            return method(request, *args, **kwargs)

        return replace(found, method=within_scope)

    def record_of(self, request: HttpRequest, obj):
        """Return the record a permission is asked about, given itself or its key from an address.

        None for a key of none, and for a record that the person's own pages do not show.
        """
        return obj if isinstance(obj, self.model) else self.get_object(request, str(obj))

    # --- The list ------------------------------------------------------------------------------
    def get_changelist(self, request: HttpRequest, **kwargs):
        return StaffChangeList

    # --- Export: what the list shows, and no more of it than one file can hold ------------------
    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_valid_export_item_pks(self, request: HttpRequest):
        return self.get_queryset(request).values_list("pk", flat=True)

    def export_action(self, request: HttpRequest) -> HttpResponse:
        """Lead back to the list where the filter in the address is none."""
        try:
            return super().export_action(request)
        except (IncorrectLookupParameters, *UNREADABLE):
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
            return redirect(f"{reverse(name)}?{ERROR_FLAG}=1")

    def get_export_data(self, file_format, request: HttpRequest, queryset, **kwargs):
        """Return the file. Raises ValueError, which the page shows, for too many rows."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        if queryset.order_by()[MOST_EXPORTED:].exists():
            raise ValueError(
                f"More than {MOST_EXPORTED:,} rows are too many for one file: filter them first."
            )
        data = self.get_data_for_export(
            request, queryset, force_native_type=file_format.is_binary(), **kwargs
        )
        content = file_format.export_data(data)
        return content if file_format.is_binary() else content.encode("utf-8-sig")

    # --- History: to be read, never written ----------------------------------------------------
    @property
    def has_history(self) -> bool:
        return hasattr(self.opts, "simple_history_manager_attribute")

    def changeform_view(
        self, request: HttpRequest, object_id=None, form_url="", extra_context=None
    ):
        extra_context = {"show_history": self.has_history, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context=None):
        if not self.has_history or self.get_object(request, unquote(object_id)) is None:
            raise Http404
        return super().history_view(request, object_id, extra_context)

    def history_form_view(self, request: HttpRequest, object_id, version_id, extra_context=None):
        if request.method != "GET":
            raise PermissionDenied
        known = self.has_history and version_id.isascii() and version_id.isdigit()
        if not known or self.get_object(request, unquote(object_id)) is None:
            raise Http404
        request.shows_version = True
        record = self.model.history.filter(history_id=version_id).select_related("history_user")
        return super().history_form_view(
            request,
            object_id,
            version_id,
            {"version": record.first(), "show_history": False, **(extra_context or {})},
        )

    def get_readonly_fields(self, request: HttpRequest, obj=None):
        if hasattr(request, "shows_version"):
            return flatten_fieldsets(self.get_fieldsets(request, obj))
        return super().get_readonly_fields(request, obj)

    def revert_disabled(self, request: HttpRequest, obj=None) -> bool:
        return True

    def render_history_view(self, request: HttpRequest, template, context, **kwargs):
        self._drop_conditions(context.get("adminform"))
        return super().render_history_view(request, template, context, **kwargs)

    # --- The form ------------------------------------------------------------------------------
    def render_change_form(self, request: HttpRequest, context, *args, **kwargs):
        self._drop_conditions(context["adminform"])
        return super().render_change_form(request, context, *args, **kwargs)

    def _drop_conditions(self, adminform) -> None:
        """Show a conditional field always where what decides on it is only text on the page."""
        conditions = getattr(self, "conditional_fields", None)
        if not conditions or adminform is None:
            return
        shown = set(adminform.readonly_fields)
        adminform.model_admin = copy(self)
        adminform.model_admin.conditional_fields = {
            name: condition
            for name, condition in conditions.items()
            if not shown & set(re.findall(r"[a-z_]\w*", condition))
        }

    # --- Actions -------------------------------------------------------------------------------
    def perform(
        self,
        request: HttpRequest,
        object_id: int | str,
        operation: Callable,
        form: forms.Form,
        *,
        done: str | Callable[[Any], str],
        **answers,
    ) -> HttpResponse:
        """Call one operation on one record with the answers of a dialog; show how it went.

        A refusal is shown in the dialog, beside its field where it names one. `done` is the
        message of success, or makes it from what the operation returned.
        """
        record = self.get_object(request, str(object_id))
        if record is None:
            raise Http404
        answered = {k: v for k, v in form.cleaned_data.items() if not k.startswith("_")}
        try:
            made = operation(
                record, by=request.user, **{"on": dates.today(), **answered, **answers}
            )
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        messages.success(request, done(made) if callable(done) else done)
        return HttpResponse(headers={"HX-Redirect": self.back_from(request, object_id)})

    def show_refusal(
        self, request: HttpRequest, form: BaseDialogForm, refusal: Refused
    ) -> HttpResponse:
        """Render the dialog again with the refusal in it."""
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        name = request.resolver_match.url_name.removeprefix(
            f"{self.opts.app_label}_{self.opts.model_name}_"
        )
        dialog = getattr(self, name).dialog
        context = {
            "dialog": dialog,
            "form": form,
            "form_submit_text": dialog.get("form_submit_text", ""),
        }
        return render(request, "unfold/helpers/dialog.html", context)

    def back_from(self, request: HttpRequest, object_id: int | str) -> str:
        """Return the page the dialog was opened on: htmx says which."""
        here = request.headers.get("HX-Current-URL", "")
        if here.startswith(f"{request.scheme}://{request.get_host()}/"):
            return here
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id]
        )

    def perform_bulk(
        self,
        request: HttpRequest,
        rows,
        operation: Callable,
        form_class: type[forms.Form],
        *,
        title: str,
        description: str,
        submit: str,
        done: Callable[[Any], str],
    ) -> HttpResponse | None:
        """Ask once for all selected rows, then call one operation with all of them.

        For Django's list actions: the first POST shows the form with the rows it is about, the
        second carries the answers.
        """
        total = rows.count()
        if total > MOST_AT_ONCE:
            messages.error(request, f"Select at most {MOST_AT_ONCE:,} rows at once.")
            return redirect(request.get_full_path())
        if request.POST.get("answered"):
            form = form_class(data=request.POST, request=request)
            if form.is_valid():
                answered = {k: v for k, v in form.cleaned_data.items() if not k.startswith("_")}
                try:
                    made = operation(rows, by=request.user, on=dates.today(), **answered)
                except Refused as refusal:
                    field = refusal.field if refusal.field in form.fields else None
                    form.add_error(field, refusal.message)
                else:
                    messages.success(request, done(made))
                    return redirect(request.get_full_path())
        else:
            form = form_class(request=request)
        return TemplateResponse(
            request,
            "admin/bulk_dialog.html",
            {
                **self.admin_site.each_context(request),
                "title": title,
                "description": description,
                "submit_text": submit,
                "form": form,
                "opts": self.opts,
                "heading": f"{total:,} {model_ngettext(self.opts, total)}",
                "rows": rows[:SHOWN_IN_BULK],
                "more": max(total - SHOWN_IN_BULK, 0),
                "action": request.POST["action"],
                "selected": request.POST.getlist("_selected_action"),
                "select_across": request.POST.get("select_across", "0"),
            },
        )

    def save_model(self, request: HttpRequest, obj, form, change) -> None:
        """Save with the author; `reason` in the form becomes the reason of the history row."""
        obj._change_reason = (form.cleaned_data.get("reason") or "")[:100] or (
            "Changed in the office" if change else "Created in the office"
        )
        super().save_model(request, obj, form, change)


class OfWholeLender:
    """A page about money that belongs to no branch: only for people who see all of them."""

    def has_view_permission(self, request: HttpRequest, obj=None) -> bool:
        return super().has_view_permission(request, obj) and request.user.sees_all_branches

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and request.user.sees_all_branches


class ReadOnlyInline(Scoped):
    """Rows of another record, to be read."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        return False


class ReadOnlyTabular(ReadOnlyInline, TabularInline):
    tab = True


class EditableTabular(Scoped, TabularInline):
    extra = 0
    tab = True


class EditableStacked(Scoped, StackedInline):
    extra = 0
    tab = True


__all__ = [
    "EditableStacked",
    "EditableTabular",
    "OfWholeLender",
    "ReadOnlyTabular",
    "StaffAdmin",
]
