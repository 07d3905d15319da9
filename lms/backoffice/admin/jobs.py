"""The queue of background jobs: what is planned, what was done, what failed."""

import ast
import inspect

from django import forms
from django.contrib import admin
from django.template.defaultfilters import truncatechars
from django.utils.module_loading import import_string
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from lms import dates
from lms.backoffice.base import StaffAdmin
from lms.backoffice.forms import StaffDialog

for model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class ScheduleForm(forms.ModelForm):
    """When a job runs and with which answers; what it runs is the code's to say."""

    def clean_kwargs(self) -> str:
        """Take only answers that the job asks for: the queue reads other names as orders."""
        written = (self.cleaned_data["kwargs"] or "").strip()
        if not written or written == self.initial.get("kwargs"):
            return written
        known = set(inspect.signature(import_string(self.instance.func)).parameters) - {"on"}
        try:
            call = ast.parse(f"job({written})", mode="eval").body
            names = {keyword.arg for keyword in call.keywords}
            for keyword in call.keywords:
                ast.literal_eval(keyword.value)
            is_plain = isinstance(call, ast.Call) and not call.args
        except (SyntaxError, ValueError, AttributeError):
            is_plain, names = False, set()
        if not is_plain or not names <= known:
            raise forms.ValidationError(
                "Write answers of this job like "
                + (", ".join(f"{name}=…" for name in sorted(known)) or "(it takes none)")
                + "."
            )
        return written


@admin.register(Schedule)
class ScheduleAdmin(StaffAdmin):
    """A job that repeats. Its times and answers may change, the function it runs may not."""

    opens = frozenset({"change"})
    form = ScheduleForm
    list_display = ("name", "schedule_type", "cron", "next_run", "remaining")
    search_fields = ("name", "func")
    ordering = ("next_run",)
    readonly_fields = ("func",)
    fields = ("name", "func", "schedule_type", "cron", "minutes", "next_run", "repeats", "kwargs")
    conditional_fields = {"cron": "schedule_type == 'C'", "minutes": "schedule_type == 'I'"}
    actions_detail = ("run_now",)
    actions_row = ("run_now",)

    @display(description="Left", label={"Switched off": "warning"})
    def remaining(self, schedule):
        if schedule.repeats < 0:
            return "For ever"
        return f"{schedule.repeats} times" if schedule.repeats else "Switched off"

    def has_run_now_permission(self, request, obj=None):
        return self.has_change_permission(request)

    @action(
        description="Run now",
        permissions=["run_now"],
        dialog={
            "title": "Run this job now",
            "description": "A worker starts it within half a minute, for this moment.",
            "form_class": StaffDialog,
            "form_submit_text": "Run now",
        },
    )
    def run_now(self, request, form, object_id):
        return self.perform(request, object_id, _bring_forward, form, done="It starts shortly.")


def _bring_forward(schedule: Schedule, *, by, on) -> Schedule:
    """Let the next run of a schedule be now."""
    schedule.next_run = dates.now()
    schedule.save(update_fields=["next_run"])
    return schedule


class TaskAdmin(StaffAdmin):
    """One run of a job, to be read."""

    list_display = ("name", "shown_job", "started", "seconds", "outcome")
    list_filter = (("started", RangeDateTimeFilter),)
    search_fields = ("name", "func")
    ordering = ("-stopped",)
    fields = ("name", "func", "args", "kwargs", "started", "stopped", "result", "attempt_count")

    def has_export_permission(self, request):
        return False

    @display(description="Job", ordering="func")
    def shown_job(self, task):
        return task.func.rpartition(".")[2].replace("_", " ")

    @display(description="Took")
    def seconds(self, task):
        return f"{task.time_taken():.1f} s"

    @display(description="Result")
    def outcome(self, task):
        return truncatechars(str(task.result), 80)


admin.site.register(Success, TaskAdmin)
admin.site.register(Failure, TaskAdmin)
