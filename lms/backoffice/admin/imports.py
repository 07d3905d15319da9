"""Files staff bring: chosen, checked line by line, previewed, imported whole or set aside."""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import format_html
from django_q.tasks import async_task
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminFileFieldWidget

from lms import dates
from lms.backoffice.base import StaffAdmin
from lms.backoffice.by_operation import AddsByForm, OperationForm
from lms.backoffice.forms import StaffDialog
from lms.errors import Refused
from lms.imports import operations as imports
from lms.imports import verdicts
from lms.imports.kind import Kind
from lms.imports.models import ImportJob

Status = ImportJob.Status
COLOURS = {
    Status.UPLOADED.label: "info",
    Status.CHECKING.label: "info",
    Status.CHECKED.label: "primary",
    Status.CONFIRMED.label: "info",
    Status.APPLYING.label: "info",
    Status.DONE.label: "success",
    Status.REFUSED.label: "danger",
    Status.FAILED.label: "danger",
    Status.DISCARDED.label: "default",
}
DECIDED = (Status.CONFIRMED, Status.APPLYING)
JOB = "lms.jobs.run_import"
SPELLINGS_SHOWN = 6


# --- Who may bring what --------------------------------------------------------------------------
def may_bring(staff, kind: str) -> bool:
    """Tell whether this person may start an import of a kind."""
    allowed = {chosen.code for chosen in imports.kinds_for(staff)}
    return staff.has_perm("imports.add_importjob") and kind in allowed


class ImportLink:
    """Leads from a list to the import of its kind of file, for those who may bring one."""

    import_kind = ""
    actions_list = ("import_file",)

    def has_bring_permission(self, request: HttpRequest, obj=None) -> bool:
        return may_bring(request.user, self.import_kind)

    @action(description="Import…", permissions=["bring"], icon="upload_file")
    def import_file(self, request: HttpRequest) -> HttpResponse:
        add = reverse("admin:imports_importjob_add")
        return HttpResponseRedirect(f"{add}?kind={self.import_kind}")


# --- Bringing a file -----------------------------------------------------------------------------
class ImportForm(OperationForm):
    """What it is and the file. Only reading it tells what is in it."""

    file = forms.FileField(
        label="File",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.txt,.xlsx"}),
        help_text="CSV or Excel (.xlsx). Nothing is imported before you have seen what it changes.",
    )

    class Meta:
        model = ImportJob
        fields = ("kind", "file")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].label = "What is in it"
        self.fields["kind"].choices = [
            (kind.code, kind.label) for kind in imports.kinds_for(self.staff)
        ]

    def carry_out(self, answers: dict) -> ImportJob:
        file = answers["file"]
        return imports.upload(
            kind=answers["kind"], content=file.read(), filename=file.name, by=self.staff
        )


class Column(NamedTuple):
    """One column of a file, for those who prepare it."""

    name: str
    is_required: bool
    example: str
    also: str


def columns_of(kind: Kind) -> list[Column]:
    """Return the columns a kind of file may have, the required ones first."""
    examples = dict(zip(kind.template, kind.examples[0], strict=True))
    names = sorted(kind.columns, key=lambda name: name not in kind.required)
    return [
        Column(
            name,
            name in kind.required,
            examples.get(name, ""),
            ", ".join(kind.columns[name][:SPELLINGS_SHOWN]),
        )
        for name in names
    ]


# --- What is done with a file --------------------------------------------------------------------
def import_now(job: ImportJob, *, by, on: date, leave_out_bad: bool) -> ImportJob:
    """Confirm a checked file; apply it at once, or give it to the worker when it is large.

    The order to the worker is committed together with the decision. A small file whose import
    was cut off goes on where it was decided. Raises Refused.
    """
    if imports.is_large(job):
        with transaction.atomic():
            job = imports.confirm(job, leave_out_bad=leave_out_bad, by=by)
            async_task(JOB, job.pk)
        return job
    if job.status not in DECIDED:
        job = imports.confirm(job, leave_out_bad=leave_out_bad, by=by)
    return imports.apply(job, by=by, on=on)


def check_again(job: ImportJob, *, by, on: date) -> ImportJob:
    """Check a file at once, or let the worker do it when it is large. Raises Refused."""
    if not imports.is_large(job):
        return imports.check(job, on=on)
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=job.pk)
        job.move_to(Status.CHECKING, by=by, reason="Check asked for")
        async_task(JOB, job.pk)
    return job


def may_check(job: ImportJob) -> bool:
    """Tell whether a check makes sense: also for a small file whose check was cut off."""
    if job.status in (Status.UPLOADED, Status.CHECKING):
        return not imports.is_large(job)
    return job.status in (Status.CHECKED, Status.REFUSED, Status.FAILED)


def may_import(job: ImportJob) -> bool:
    """Tell whether all of it may go in: also a small file whose import was cut off."""
    return job.can_apply or (job.status in DECIDED and not imports.is_large(job))


def outcome_of(job: ImportJob) -> tuple[int, str]:
    """Return what to tell the person who asked, and how loudly."""
    if job.status == Status.DONE:
        return messages.SUCCESS, f"Imported: {job.new:,} new and {job.changed:,} changed lines."
    if job.status == Status.CHECKED:
        return messages.SUCCESS, "The file is checked. Nothing is imported yet."
    if job.is_under_way:
        return messages.INFO, "A worker has it now. This page follows by itself."
    return messages.ERROR, job.error


class ImportDialog(StaffDialog):
    """Says what the file would do, as a last look before it is done."""

    @property
    def subject(self) -> str:
        job = ImportJob.objects.get(pk=self.object_id)
        sentences = [
            f"“{job.filename}” brings {job.new:,} new and {job.changed:,} changed lines; "
            f"{job.unchanged:,} are here already."
        ]
        if job.wrong or job.left_out:
            sentences.append(
                f"Left out: {job.wrong:,} wrong and {job.left_out:,} good that belong to them."
            )
        return " ".join(sentences)


class ImportActions:
    """What may be done with a file that was brought."""

    actions_detail = ("import_all", "import_rest", "check_again", "discard")
    offers = {
        "import_all": may_import,
        "import_rest": lambda job: job.can_apply_rest,
        "check_again": may_check,
        "discard": lambda job: Status.DISCARDED in ImportJob.NEXT.get(job.status, ()),
    }

    def has_bring_permission(self, request: HttpRequest, obj=None) -> bool:
        """Whoever decides on a file must be allowed what it writes."""
        if not request.user.has_perm("imports.change_importjob"):
            return False
        job = self.get_object(request, str(obj)) if obj else None
        return job is None or request.user.has_perms(imports.KINDS[job.kind].permissions)

    def _run(
        self, request: HttpRequest, form: StaffDialog, object_id, operation: Callable, **answers
    ) -> HttpResponse:
        """Call one operation and tell how the file stands now: not every end is a success."""
        job = self.get_object(request, str(object_id))
        if job is None:
            raise Http404
        try:
            job = operation(job, by=request.user, on=dates.today(), **answers)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        messages.add_message(request, *outcome_of(job))
        return HttpResponse(headers={"HX-Redirect": self.back_from(request, object_id)})

    @action(
        description="Import now",
        permissions=["bring"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Import this file",
            "description": "All of it or nothing. What is imported stays.",
            "form_class": ImportDialog,
            "form_submit_text": "Import",
        },
    )
    def import_all(self, request, form, object_id):
        return self._run(request, form, object_id, import_now, leave_out_bad=False)

    @action(
        description="Import without the wrong lines",
        permissions=["bring"],
        icon="play_arrow",
        variant=ActionVariant.WARNING,
        dialog={
            "title": "Import what is right",
            "description": "What a wrong line belongs to stays out whole. What is imported stays.",
            "form_class": ImportDialog,
            "form_submit_text": "Import the rest",
        },
    )
    def import_rest(self, request, form, object_id):
        return self._run(request, form, object_id, import_now, leave_out_bad=True)

    @action(
        description="Check again",
        permissions=["bring"],
        icon="sync",
        dialog={
            "title": "Check this file again",
            "description": "After something it needs was added, like a customer or a loan.",
            "form_class": StaffDialog,
            "form_submit_text": "Check",
        },
    )
    def check_again(self, request, form, object_id):
        return self._run(request, form, object_id, check_again)

    @action(
        description="Discard",
        permissions=["bring"],
        icon="delete",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Set this file aside",
            "description": "Nothing of it is imported. To import it later, bring it again.",
            "form_class": StaffDialog,
            "form_submit_text": "Discard",
        },
    )
    def discard(self, request, form, object_id):
        return self.perform(request, object_id, set_aside, form, done="The file is set aside.")


def set_aside(job: ImportJob, *, by, on: date) -> ImportJob:
    """Discard a file; the day does not matter to it. Raises Refused."""
    return imports.discard(job, by=by)


# --- The page ------------------------------------------------------------------------------------
class ImportJobResource(ModelResource):
    class Meta:
        model = ImportJob
        fields = (
            "filename", "kind", "status", "rows", "new", "changed", "unchanged", "wrong",
            "left_out", "created_by__username", "created_at", "checked_at", "applied_at", "error",
        )  # fmt: skip
        export_order = fields


@admin.register(ImportJob)
class ImportJobAdmin(ImportActions, AddsByForm, StaffAdmin):
    add_form = ImportForm
    resource_classes = (ImportJobResource,)
    list_display = ("filename", "kind", "shown_status", "rows", "new", "changed", "unchanged",
                    "wrong", "left_out", "created_by", "created_at")  # fmt: skip
    list_select_related = ("created_by",)
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("filename",)
    search_help_text = "Name of the file"
    ordering = ("-pk",)
    sortable_by = ()
    readonly_fields = ("digest",)
    add_form_template = "admin/imports/add_form.html"
    change_form_outer_before_template = "admin/imports/job_slot.html"
    add_fieldsets = ((None, {"fields": ("kind", "file")}),)
    fieldsets = (
        (
            "Details",
            {
                "fields": (
                    ("created_by", "created_at"),
                    ("checked_at", "applied_at"),
                    ("confirmed_by", "digest"),
                )
            },
        ),
    )

    # --- Who may do what -----------------------------------------------------------------------
    def has_add_permission(self, request):
        return super().has_add_permission(request) and bool(imports.kinds_for(request.user))

    def _kind_asked_for(self, request: HttpRequest, code: str) -> Kind:
        """Return a kind of file. Raises Http404 for none, PermissionDenied for others' work."""
        if code not in imports.KINDS:
            raise Http404
        if not may_bring(request.user, code):
            raise PermissionDenied
        return imports.KINDS[code]

    # --- Bringing a file -----------------------------------------------------------------------
    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path("columns/", view(self.columns_view), name="imports_importjob_columns"),
            path(
                "template/<str:kind>/", view(self.template_view), name="imports_importjob_template"
            ),
            path("<int:pk>/progress/", view(self.progress_view), name="imports_importjob_progress"),
            *super().get_urls(),
        ]

    def add_view(self, request, form_url="", extra_context=None):
        """Take the file in; then, outside that transaction, check it if it is small."""
        asked = (request.POST.get("kind"), request.GET.get("kind"))
        if any(code in imports.KINDS and not may_bring(request.user, code) for code in asked):
            raise PermissionDenied
        response = super().add_view(request, form_url, extra_context)
        job = getattr(request, "job_brought", None)
        if job and not imports.is_large(job):
            imports.check(job, on=dates.today())
        return response

    def get_changeform_initial_data(self, request):
        return {"kind": request.GET.get("kind", "")}

    def response_add(self, request, obj, post_url_continue=None):
        """Show how the file stands. The worker's order is committed together with the file."""
        request.job_brought = obj
        if imports.is_large(obj):
            async_task(JOB, obj.pk)
        return HttpResponseRedirect(reverse("admin:imports_importjob_change", args=[obj.pk]))

    def columns_view(self, request: HttpRequest) -> HttpResponse:
        """Tell which columns the chosen kind of file has."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kind = self._kind_asked_for(request, request.GET.get("kind", ""))
        return render(
            request, "admin/imports/columns.html", {"kind": kind, "columns": columns_of(kind)}
        )

    def template_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """Send a file with the right header and two example lines."""
        chosen = self._kind_asked_for(request, kind)
        return HttpResponse(
            imports.template(chosen.code),
            content_type="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{chosen.code}-template.csv"'},
        )

    # --- One file ------------------------------------------------------------------------------
    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        job = self.get_object(request, object_id) if object_id else None
        found = found_in(job) if job else {}
        return super().changeform_view(
            request, object_id, form_url, {**found, **(extra_context or {})}
        )

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that asks again until the worker is done; then all of it anew."""
        job = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        if not job.is_under_way:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return render(request, "admin/imports/progress.html", {"job": job})

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Status", label=COLOURS)
    def shown_status(self, job):
        return job.get_status_display()

    @display(description="SHA-256 of the file")
    def digest(self, job):
        return format_html('<span class="office-raw">{}</span>', job.sha256)


def found_in(job: ImportJob) -> dict:
    """Return what the page shows of a file: counts, and the first lines of each kind."""
    is_done = job.status == Status.DONE
    parts = (
        (verdicts.WRONG, "Wrong", "Column", "What to do"),
        (verdicts.LEFT_OUT, "Left out", "", "Why"),
        (verdicts.CHANGED, "Changed", "", "Before → after"),
        (verdicts.NEW, "New", "", "What it is" if is_done else "What it will be"),
    )
    return {
        "job": job,
        "colour": COLOURS[job.get_status_display()],
        "counts": [
            ("Lines", job.rows),
            ("New", job.new),
            ("Changed", job.changed),
            ("Unchanged", job.unchanged),
            ("Wrong", job.wrong),
            ("Left out with them", job.left_out),
        ],
        "ignored": job.summary.get("ignored", ()),
        "parts": [
            {
                "title": title,
                "lines": lines,
                "total": getattr(job, state),
                "column": column,
                "message": message,
            }
            for state, title, column, message in parts
            if (lines := job.summary.get(state))
        ],
    }
