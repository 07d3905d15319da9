"""The nightly close: each night step by step, what stopped, and what it left behind."""

from datetime import date, timedelta

from django.contrib import admin, messages
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django_q.tasks import async_task
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display

from lms import dates, money
from lms.backoffice.base import EditableTabular, StaffAdmin
from lms.backoffice.forms import StaffDialog, date_field
from lms.backoffice.totals import Totals
from lms.closing import operations, proofs
from lms.closing.models import CloseFailure, DayClose, Proof
from lms.errors import Refused
from lms.loans.models import Loan, LoanSnapshot, Provision, ProvisionBand, ProvisionTable
from lms.money import kes

JOB = "lms.jobs.close_now"
LABELS = {step.name: step.label for step in operations.STEPS}
COLOURS = {"Running": "info", "Done": "success", "Failed": "danger", "Not for all": "warning"}


def yesterday() -> date:
    return dates.today() - timedelta(days=1)


class CloseForm(StaffDialog):
    """Which day to close. Days before it that were missed are closed first."""

    day = date_field("Day", help_text="Days before it that were missed are closed first.")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["day"].initial = yesterday()


@admin.register(DayClose)
class DayCloseAdmin(StaffAdmin):
    list_display = ("day", "shown_step", "state", "progress", "rows", "failed", "seconds",
                    "finished_at", "shown_by", "short_error")  # fmt: skip
    list_display_links = ("shown_step",)
    list_filter = (("day", RangeDateFilter), ("status", ChoicesDropdownFilter))
    ordering = ("-day", "position")
    fields = (("day", "shown_step"), ("state", "progress"), ("rows", "failed"),
              ("started_at", "finished_at", "seconds"), "shown_by", "error")  # fmt: skip
    readonly_fields = ("shown_step", "state", "progress", "failed", "shown_by")
    list_select_related = ("run_by",)
    actions_list = ("close",)
    actions_detail = ("run_again",)
    offers = {"run_again": lambda step: step.day == operations.latest()}

    def has_run_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("closing.run_dayclose")

    @action(
        description="Close a day now",
        permissions=["run"],
        icon="bedtime",
        dialog={
            "title": "Close a day now",
            "description": "A worker closes it in the background; this list shows how far it is. "
            "A day that is closed already is looked at again: only what is missing is written.",
            "form_class": CloseForm,
            "form_submit_text": "Close",
        },
    )
    def close(self, request: HttpRequest, form) -> HttpResponse:
        try:
            _queue(form.cleaned_data["day"], by=request.user)
        except Refused as refusal:
            return self.show_refusal(request, form, refusal)
        messages.success(request, "It starts shortly: reload to see how far it is.")
        back = reverse("admin:closing_dayclose_changelist")
        return HttpResponse(headers={"HX-Redirect": back})

    @action(
        description="Run again",
        permissions=["run"],
        icon="refresh",
        dialog={
            "title": "Run this night again",
            "description": "Looks at every loan once more and writes only what is missing.",
            "form_class": StaffDialog,
            "form_submit_text": "Run again",
        },
    )
    def run_again(self, request: HttpRequest, form, object_id) -> HttpResponse:
        return self.perform(request, object_id, _run_again, form, done="It starts shortly.")

    @display(description="Step", ordering="position")
    def shown_step(self, step):
        return LABELS.get(step.step, step.step)

    @display(description="Status", label=COLOURS)
    def state(self, step):
        is_partial = step.status == DayClose.Status.DONE and step.failures
        return "Not for all" if is_partial else step.get_status_display()

    @display(description="Progress")
    def progress(self, step):
        if step.status == DayClose.Status.DONE:
            return "100%"
        loans = Loan.objects.filter(disbursed_on__isnull=False)
        whole = loans.count()
        return f"{loans.filter(pk__lte=step.reached).count() * 100 // whole}%" if whole else "0%"

    @display(description="Failed loans", ordering="failures")
    def failed(self, step):
        if not step.failures:
            return "-"
        url = reverse("admin:closing_closefailure_changelist")
        return format_html(
            '<a class="text-link" href="{}?day__exact={}&step__exact={}">{}</a>',
            url, step.day, step.step, step.failures,
        )  # fmt: skip

    @display(description="Run by", ordering="run_by__first_name")
    def shown_by(self, step):
        return str(step.run_by) if step.run_by else "Schedule"

    @display(description="Error")
    def short_error(self, step):
        return step.error[:80] or "-"


def _queue(day: date, *, by) -> None:
    """Let a worker close a day. Raises Refused for one that cannot be closed now."""
    operations.must_be_closable(day, on=dates.today())
    async_task(JOB, day=day.isoformat(), by=by.pk)


def _run_again(step: DayClose, *, by, on: date) -> DayClose:
    _queue(step.day, by=by)
    return step


class OpenFilter(DropdownFilter):
    title = "state"
    parameter_name = "open"

    def lookups(self, request, model_admin):
        return [("yes", "Still failing"), ("no", "Closed since")]

    def queryset(self, request, queryset):
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(resolved_at__isnull=self.value() == "yes")


@admin.register(CloseFailure)
class CloseFailureAdmin(StaffAdmin):
    branch_path = "loan__branch"
    list_display = ("day", "shown_step", "shown_loan", "short_error", "failed_at", "resolved_at")
    list_display_links = ("shown_step",)
    list_select_related = ("loan__customer",)
    list_filter = (OpenFilter, ("day", RangeDateFilter))
    search_fields = ("=loan__id",)
    ordering = ("-pk",)
    fields = (("day", "shown_step"), "shown_loan", "error", ("failed_at", "resolved_at"))
    readonly_fields = ("shown_step", "shown_loan")

    @display(description="Step", ordering="step")
    def shown_step(self, failure):
        return LABELS.get(failure.step, failure.step)

    @display(description="Loan", ordering="loan")
    def shown_loan(self, failure):
        url = reverse("admin:loans_loan_change", args=[failure.loan_id])
        return format_html('<a class="text-link" href="{}">{}</a>', url, failure.loan)

    @display(description="Error")
    def short_error(self, failure):
        return failure.error[:120]


class HoldsFilter(DropdownFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request, model_admin):
        return [("off", "Off"), ("holds", "Holds")]

    def queryset(self, request, queryset):
        if self.value() not in ("off", "holds"):
            return queryset
        return queryset.filter(holds=self.value() == "holds")


class ProofResource(ModelResource):
    class Meta:
        model = Proof
        fields = ("day", "name", "books", "rows", "holds", "detail", "proved_at")
        export_order = fields


@admin.register(Proof)
class ProofAdmin(StaffAdmin):
    resource_classes = (ProofResource,)
    list_display = ("name", "day", "outcome", "shown_books", "shown_rows", "shown_difference",
                    "detail")  # fmt: skip
    list_filter = (HoldsFilter, ("day", RangeDateFilter))
    search_fields = ("name",)
    ordering = ("-day", "position")
    fields = (("day", "name"), ("shown_books", "shown_rows", "shown_difference"),
              ("outcome", "proved_at"), "detail")  # fmt: skip
    readonly_fields = ("outcome", "shown_books", "shown_rows", "shown_difference")
    actions_list = ("prove_now",)

    def has_run_permission(self, request: HttpRequest, obj=None) -> bool:
        return request.user.has_perm("ledger.view_books")

    @action(
        description="Prove now",
        permissions=["run"],
        icon="fact_check",
        dialog={
            "title": "Prove the books now",
            "description": "Holds every control account against its rows, as they stand at this "
            "minute. Nothing is changed. On a large book it takes some seconds.",
            "form_class": StaffDialog,
            "form_submit_text": "Prove",
        },
    )
    def prove_now(self, request: HttpRequest, form) -> HttpResponse:
        found = proofs.prove()
        off = [proved for proved in found if not proved.holds]
        for proved in off:
            messages.error(
                request,
                f"{proved.name}: off by {proved.show(proved.difference)}. {proved.detail}".strip(),
            )
        if not off:
            messages.success(request, f"All {len(found)} proofs hold at this minute.")
        back = reverse("admin:closing_proof_changelist")
        return HttpResponse(headers={"HX-Redirect": back})

    @display(description="Outcome", label={"Holds": "success", "Off": "danger"}, ordering="holds")
    def outcome(self, proof):
        return "Holds" if proof.holds else "Off"

    @display(description="In the books", ordering="books")
    def shown_books(self, proof):
        return proof.show(proof.books)

    @display(description="In the rows", ordering="rows")
    def shown_rows(self, proof):
        return proof.show(proof.rows)

    @display(description="Difference")
    def shown_difference(self, proof):
        return proof.show(proof.difference) if proof.difference else "-"


class BandInline(EditableTabular):
    model = ProvisionBand
    fields = ("valid_from", "name", "from_days", "rate")
    ordering = ("-valid_from", "from_days")
    tab = False


@admin.register(ProvisionTable)
class ProvisionTableAdmin(StaffAdmin):
    opens = frozenset({"add", "change"})
    list_display = ("name", "code", "shown_booked", "shown_bands", "source")
    fields = (("name", "code"), "source", "is_booked")
    inlines = (BandInline,)
    ordering = ("pk",)

    @display(description="Goes to the books", boolean=True)
    def shown_booked(self, table):
        return table.is_booked

    @display(description="Classes in force")
    def shown_bands(self, table):
        return ", ".join(str(band) for band in table.bands_on(dates.today())) or "-"


class ProvisionResource(ModelResource):
    class Meta:
        model = Provision
        fields = ("day", "table__code", "branch__code", "classification", "loans", "principal",
                  "required")  # fmt: skip
        export_order = fields


@admin.register(Provision)
class ProvisionAdmin(Totals, StaffAdmin):
    branch_path = "branch"
    resource_classes = (ProvisionResource,)
    list_display = ("day", "table", "branch", "classification", "loans", "shown_principal",
                    "shown_required")  # fmt: skip
    list_select_related = ("table", "branch")
    list_filter = (
        ("day", RangeDateFilter),
        ("table", RelatedDropdownFilter),
        ("branch", RelatedDropdownFilter),
    )
    ordering = ("-day", "table", "branch", "-required")
    fields = (("day", "table"), ("branch", "classification"), ("loans", "shown_principal"),
              "shown_required")  # fmt: skip
    readonly_fields = ("shown_principal", "shown_required")

    def totals_of(self, rows):
        sums = rows.aggregate(
            loans=Sum("loans"),
            principal=money.total("principal"),
            required=money.total("required"),
        )
        return [
            ("Loans", f"{sums['loans'] or 0:,}"),
            ("Principal", kes(sums["principal"])),
            ("Provision", kes(sums["required"])),
        ]

    @display(description="Principal", ordering="principal")
    def shown_principal(self, row):
        return kes(row.principal)

    @display(description="Provision", ordering="required")
    def shown_required(self, row):
        return kes(row.required)


class SnapshotResource(ModelResource):
    class Meta:
        model = LoanSnapshot
        fields = ("day", "loan", "branch__code", "product__code", "principal", "interest", "fees",
                  "penalties", "arrears", "days_past_due", "classification", "is_restructured",
                  "is_non_performing")  # fmt: skip
        export_order = fields


@admin.register(LoanSnapshot)
class LoanSnapshotAdmin(Totals, StaffAdmin):
    branch_path = "branch"
    resource_classes = (SnapshotResource,)
    list_display = ("day", "shown_loan", "branch", "product", "shown_principal", "shown_arrears",
                    "days_past_due", "classification", "is_non_performing")  # fmt: skip
    list_select_related = ("loan__customer", "branch", "product")
    list_filter = (
        ("day", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
        ("product", RelatedDropdownFilter),
    )
    search_fields = ("=loan__id",)
    ordering = ("-day", "loan")
    fields = (
        ("day", "shown_loan"), ("branch", "product", "loan_officer"),
        ("principal", "interest", "fees", "penalties"), ("shown_arrears", "days_past_due"),
        ("classification", "is_restructured", "is_non_performing"),
    )  # fmt: skip
    readonly_fields = ("shown_loan", "shown_arrears")

    def get_search_results(self, request, queryset, search_term):
        key = Loan.key_of(search_term)
        return (queryset.filter(loan=key) if key else queryset), False

    def totals_of(self, rows):
        sums = rows.aggregate(
            number=Count("pk"), principal=money.total("principal"), arrears=money.total("arrears")
        )
        return [
            ("Snapshots", f"{sums['number']:,}"),
            ("Principal", kes(sums["principal"])),
            ("Past due", kes(sums["arrears"])),
        ]

    @display(description="Loan", ordering="loan")
    def shown_loan(self, row):
        return str(row.loan)

    @display(description="Principal", ordering="principal")
    def shown_principal(self, row):
        return kes(row.principal)

    @display(description="Past due", ordering="arrears")
    def shown_arrears(self, row):
        return kes(row.arrears)
