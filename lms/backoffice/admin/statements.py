"""Statements: the files staff bring, and how each bank writes its own."""

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
)

from lms.backoffice.base import OfWholeLender, StaffAdmin
from lms.backoffice.by_operation import AddsByForm, OperationForm
from lms.backoffice.forms import ReasonDialog, StaffDialog
from lms.ledger.models import Account
from lms.reconciliation.models import (
    BankLayout,
    Reconciliation,
    StatementFile,
)
from lms.reconciliation.operations import importing

FILE_COLOURS = {
    "Read, not taken in": "info",
    "Taken in": "success",
    "Set aside": "default",
    "Taken out again": "warning",
}


# --- Files ---------------------------------------------------------------------------------------
class BringForm(OperationForm):
    """The period and the file. Only reading tells what is in it."""

    file = forms.FileField(
        label="File",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,.xlsx"}),
        help_text="CSV or Excel (.xlsx). No line is taken in before you have seen what it says.",
    )

    class Meta:
        model = StatementFile
        fields = ("reconciliation", "layout", "file")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        periods = Reconciliation.objects.open().select_related("account")
        self.fields["reconciliation"].queryset = periods
        self.fields["layout"].help_text = "Only for statements of a bank."

    def carry_out(self, answers: dict) -> StatementFile:
        return importing.bring(
            answers["reconciliation"],
            content=answers["file"].read(),
            filename=answers["file"].name,
            layout=answers["layout"],
            by=self.staff,
        )


class TakeDialog(StaffDialog):
    """Says once more what the file brings."""

    @property
    def subject(self) -> str:
        file = StatementFile.objects.get(pk=self.object_id)
        return (
            f"“{file.filename}” brings {file.new:,} new lines; {file.known:,} are here already "
            f"and {file.outside:,} are outside the period."
        )


class FileActions:
    """What may be done with a file that was brought."""

    actions_detail = ("take_in", "discard", "withdraw")
    offers = {
        "take_in": lambda file: file.can_be_taken,
        "discard": lambda file: file.status == StatementFile.Status.READ,
        "withdraw": lambda file: file.status == StatementFile.Status.TAKEN,
    }

    def has_bring_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("reconciliation.add_statementfile")

    @action(
        description="Take in",
        permissions=["bring"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Take this statement in",
            "description": "All of it or nothing; what is here already is not added again.",
            "form_class": TakeDialog,
            "form_submit_text": "Take in",
        },
    )
    def take_in(self, request, form, object_id):
        answer = self.perform(
            request,
            object_id,
            importing.take_in,
            form,
            done=lambda file: f"{file.new:,} lines are taken in and matched.",
        )
        if "HX-Redirect" in answer:
            period = StatementFile.objects.values_list("reconciliation", flat=True)
            answer["HX-Redirect"] = reverse(
                "admin:reconciliation_reconciliation_change", args=[period.get(pk=object_id)]
            )
        return answer

    @action(
        description="Set aside",
        permissions=["bring"],
        icon="delete",
        dialog={
            "title": "Set this file aside",
            "description": "Nothing of it is taken in.",
            "form_class": StaffDialog,
            "form_submit_text": "Set aside",
        },
    )
    def discard(self, request, form, object_id):
        return self.perform(
            request, object_id, importing.discard, form, done="The file is set aside."
        )

    @action(
        description="Take out again",
        permissions=["bring"],
        icon="undo",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Take the lines of this statement out again",
            "description": "For a statement of another account. Lines somebody booked stay.",
            "form_class": ReasonDialog,
            "form_submit_text": "Take out",
        },
    )
    def withdraw(self, request, form, object_id):
        return self.perform(
            request, object_id, importing.withdraw, form, done="Its lines are taken out."
        )


class StatementFileResource(ModelResource):
    class Meta:
        model = StatementFile
        fields = ("filename", "reconciliation", "status", "new", "known", "outside", "failed",
                  "wrong", "brought_by__username", "brought_at")  # fmt: skip
        export_order = fields


@admin.register(StatementFile)
class StatementFileAdmin(OfWholeLender, FileActions, AddsByForm, StaffAdmin):
    add_form = BringForm
    resource_classes = (StatementFileResource,)
    list_display = ("filename", "reconciliation", "state", "new", "known", "outside", "failed",
                    "wrong", "brought_by", "brought_at")  # fmt: skip
    list_select_related = ("reconciliation__account", "brought_by")
    list_filter = (("status", ChoicesDropdownFilter),)
    search_fields = ("filename",)
    search_help_text = "Name of the file"
    ordering = ("-pk",)
    sortable_by = ()
    add_fieldsets = ((None, {"fields": ("reconciliation", "layout", "file")}),)
    fieldsets = (
        ("Details", {"fields": (("reconciliation", "layout"), ("brought_by", "brought_at"))}),
    )
    add_form_template = "admin/reconciliation/add_file.html"
    change_form_outer_before_template = "admin/reconciliation/file.html"

    def get_changeform_initial_data(self, request):
        return {"reconciliation": request.GET.get("reconciliation", "")}

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        file = self.get_object(request, object_id) if object_id else None
        found = {"brought": file, "colour": FILE_COLOURS[file.get_status_display()]} if file else {}
        return super().changeform_view(
            request, object_id, form_url, {**found, **(extra_context or {})}
        )

    @display(description="Status", label=FILE_COLOURS)
    def state(self, file):
        return file.get_status_display()


# --- Banks ---------------------------------------------------------------------------------------
class BankLayoutResource(ModelResource):
    class Meta:
        model = BankLayout
        fields = ("name", "account", "day", "value_date", "reference", "narration", "debit",
                  "credit", "amount", "balance", "date_format")  # fmt: skip
        export_order = fields


@admin.register(BankLayout)
class BankLayoutAdmin(StaffAdmin):
    """The titles of a bank's columns, so that its statements are understood."""

    opens = frozenset({"add", "change"})
    resource_classes = (BankLayoutResource,)
    list_display = ("name", "account", "day", "narration", "date_format")
    list_select_related = ("account",)
    search_fields = ("name",)
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "account")}),
        (
            "Titles of its columns",
            {
                "fields": (
                    ("day", "value_date"),
                    ("reference", "narration"),
                    ("debit", "credit"),
                    ("amount", "out_is_positive"),
                    "balance",
                    "date_format",
                )
            },
        ),
    )

    def formfield_for_foreignkey(self, field, request, **kwargs):
        """Offer the accounts that money of our own can lie on."""
        found = super().formfield_for_foreignkey(field, request, **kwargs)
        if field.name == "account":
            found.queryset = Account.objects.postable().filter(kind=Account.Kind.ASSET)
        return found
