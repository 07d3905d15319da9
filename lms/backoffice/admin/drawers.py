"""Cashiers' drawers: opened and counted by note and coin, their differences decided by another."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from lms import dates
from lms.backoffice.admin.counting import FIELDS, CountFields
from lms.backoffice.admin.drawer_sheet import COLOURS, sheet_of
from lms.backoffice.base import StaffAdmin
from lms.backoffice.by_operation import AddsByOperation, BranchForm
from lms.backoffice.forms import ReasonDialog, StaffDialog, money_field, reason_field
from lms.money import kes
from lms.staff.models import Staff
from lms.tills.models import DrawerSession
from lms.tills.operations import banking, drawers, handovers

Status = DrawerSession.Status


# --- What is asked -------------------------------------------------------------------------------
class OpenForm(CountFields, BranchForm):
    """The opening count; people of head office say in which branch they sit today."""

    class Meta:
        model = DrawerSession
        fields = ("branch",)

    def carry_out(self, answers: dict) -> DrawerSession:
        return drawers.open_drawer(
            self.staff,
            pieces=answers["pieces"],
            branch=self.branch_of(answers),
            by=self.staff,
            on=dates.today(),
        )


class CountDialog(CountFields, StaffDialog):
    form_after_template = "admin/tills/counted.html"

    note = reason_field("Note", required=False)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "note"])


class FloatDialog(StaffDialog):
    """An amount of cash. The key makes a second click the same movement."""

    amount = money_field("Amount (KES)")
    key = forms.CharField(max_length=64, widget=forms.HiddenInput, initial=lambda: uuid4().hex)


class SendDialog(FloatDialog):
    recipient = forms.ModelChoiceField(
        Staff.objects.none(), label="To", widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        drawer = DrawerSession.objects.get(pk=self.object_id)
        self.fields["recipient"].queryset = colleagues(drawer)


class BankDialog(StaffDialog):
    amount = money_field("Amount (KES)")
    slip_number = forms.CharField(
        label="Banking slip",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


class DecideDialog(StaffDialog):
    """Approves the difference. What was counted stands above the field."""

    reason = reason_field("Note", required=False)

    @property
    def subject(self) -> str:
        drawer = DrawerSession.objects.get(pk=self.object_id)
        return (
            f"{drawer}: {kes(drawer.expected)} expected, {kes(drawer.counted)} counted, "
            f"{drawers.shown(drawer)}."
        )


def colleagues(drawer: DrawerSession):
    """Return those to whom cash of this drawer may go: they run drawers in the same branch."""
    with_drawers = Staff.objects.with_perm(
        "tills.use_drawersession",
        backend="django.contrib.auth.backends.ModelBackend",
        include_superusers=False,
    )
    there = with_drawers.filter(branch=drawer.branch) | with_drawers.filter(branch=None)
    return there.exclude(pk=drawer.cashier_id)


def send(drawer: DrawerSession, *, recipient, amount: Decimal, key: str, by, on: date):
    return handovers.send(drawer, recipient=recipient, amount=amount, key=key, by=by, on=on)


def bank(drawer: DrawerSession, *, amount: Decimal, slip_number: str, by, on: date):
    """Send cash of a drawer to the bank. Raises Refused."""
    return banking.bank(
        session=drawer,
        branch=drawer.branch,
        amount=amount,
        slip_number=slip_number,
        by=by,
        on=on,
    )


# --- Lists ---------------------------------------------------------------------------------------
class StateFilter(DropdownFilter):
    title = "what stands out"
    parameter_name = "state"

    def lookups(self, request, model_admin):
        return [("left-open", "Open since yesterday"), ("difference", "Over or short")]

    def queryset(self, request, queryset):
        if self.value() == "left-open":
            return queryset.left_open(on=dates.today())
        return queryset.with_difference() if self.value() == "difference" else queryset


class DrawerResource(ModelResource):
    number = Field(column_name="drawer", attribute="number", readonly=True)
    cashier = Field(column_name="cashier", attribute="cashier__username")
    branch = Field(column_name="branch", attribute="branch__code")
    difference = Field(column_name="difference", attribute="difference", readonly=True)

    class Meta:
        model = DrawerSession
        fields = ("number", "cashier", "branch", "opened_on", "closed_on", "status", "expected",
                  "counted", "difference")  # fmt: skip
        export_order = fields


class DrawerActions:
    """What may be done with a drawer: by its cashier while it is open, by another once counted."""

    actions_detail = (
        "count", "add_float", "return_cash", "send_cash", "bank_cash", "approve", "reopen",
        "print_sheet",
    )  # fmt: skip
    offers = {
        **dict.fromkeys(
            ("count", "add_float", "return_cash", "send_cash", "bank_cash"),
            lambda drawer: drawer.is_open,
        ),
        "approve": lambda drawer: drawer.status == Status.COUNTED,
        "reopen": lambda drawer: drawer.status == Status.COUNTED,
    }

    def has_use_permission(self, request, obj=None):
        return request.user.has_perm("tills.use_drawersession")

    def has_decide_permission(self, request, obj=None):
        return request.user.has_perms(["staff.decide_approval", "tills.approve_difference"])

    @action(
        description="Count and close",
        permissions=["use"],
        icon="calculate",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Count what is in the drawer",
            "description": "The count ends the drawer. A difference waits for a second person, "
            "otherwise the cash goes back to the vault.",
            "form_class": CountDialog,
            "form_submit_text": "Close the drawer",
        },
    )
    def count(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            drawers.count,
            form,
            done=lambda drawer: f"{drawer.number} is counted: {drawers.shown(drawer)}.",
        )

    @action(
        description="More float",
        permissions=["use"],
        icon="add",
        dialog={
            "title": "Bring more cash from the vault",
            "form_class": FloatDialog,
            "form_submit_text": "Put into the drawer",
        },
    )
    def add_float(self, request, form, object_id):
        return self.perform(
            request, object_id, drawers.add_float, form, done="It is in the drawer."
        )

    @action(
        description="To the vault",
        permissions=["use"],
        icon="lock",
        dialog={
            "title": "Take cash to the vault",
            "description": "Large sums do not stay in a drawer.",
            "form_class": FloatDialog,
            "form_submit_text": "Put into the vault",
        },
    )
    def return_cash(self, request, form, object_id):
        return self.perform(
            request, object_id, drawers.return_cash, form, done="It is in the vault."
        )

    @action(
        description="To a colleague",
        permissions=["use"],
        icon="send",
        dialog={
            "title": "Send cash to a colleague's drawer",
            "description": "It leaves this drawer now and reaches theirs when they accept it.",
            "form_class": SendDialog,
            "form_submit_text": "Send",
        },
    )
    def send_cash(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            send,
            form,
            done=lambda sent: f"{kes(sent.amount)} waits for {sent.recipient} to accept it.",
        )

    @action(
        description="To the bank",
        permissions=["use"],
        icon="account_balance",
        dialog={
            "title": "Take cash to the bank",
            "description": "It is on its way until somebody else confirms that the bank has it.",
            "form_class": BankDialog,
            "form_submit_text": "Book the slip",
        },
    )
    def bank_cash(self, request, form, object_id):
        return self.perform(
            request, object_id, bank, form, done=lambda slip: f"{slip} is on its way."
        )

    @action(
        description="Approve difference",
        permissions=["decide"],
        icon="verified_user",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Approve the difference",
            "description": "It is booked as cash over or short, and the cash goes to the vault.",
            "form_class": DecideDialog,
            "form_submit_text": "Approve",
        },
    )
    def approve(self, request, form, object_id):
        return self.perform(
            request, object_id, drawers.approve_difference, form, done="The difference is booked."
        )

    @action(
        description="Open again",
        permissions=["use"],
        icon="undo",
        dialog={
            "title": "Reject the difference and open the drawer again",
            "description": "For a receipt that was not typed or a count gone wrong. Both counts "
            "stay on the record.",
            "form_class": ReasonDialog,
            "form_submit_text": "Open again",
        },
    )
    def reopen(self, request, form, object_id):
        return self.perform(
            request, object_id, drawers.reopen, form, done="The drawer is open again."
        )

    @action(
        description="Print sheet", permissions=["view"], icon="print", attrs={"target": "_blank"}
    )
    def print_sheet(self, request, object_id):
        return HttpResponseRedirect(reverse("admin:tills_drawersession_sheet", args=[object_id]))


@admin.register(DrawerSession)
class DrawerSessionAdmin(DrawerActions, AddsByOperation, StaffAdmin):
    """A cashier sees their own drawers; of an open one of theirs not what the books expect."""

    add_form = OpenForm
    resource_classes = (DrawerResource,)
    list_display = ("shown_number", "cashier", "branch", "opened_on", "closed_on", "state",
                    "shown_expected", "shown_counted", "shown_difference")  # fmt: skip
    list_select_related = ("cashier", "branch", "approval")
    list_filter = (
        StateFilter,
        ("status", ChoicesDropdownFilter),
        ("opened_on", RangeDateFilter),
        ("branch", RelatedDropdownFilter),
    )
    search_fields = ("cashier__username", "cashier__first_name", "cashier__last_name")
    search_help_text = "Name of the cashier"
    ordering = ("-pk",)
    sortable_by = ()
    add_form_template = "admin/tills/open_form.html"
    change_form_outer_before_template = "admin/tills/drawer.html"
    add_fieldsets = (
        ("Float from the vault", {"fields": tuple(zip(FIELDS[::2], FIELDS[1::2], strict=True))}),
    )
    fieldsets = (
        (
            "Details",
            {"fields": (("cashier", "branch"), ("opened_at", "closed_on"), "approval")},
        ),
    )
    readonly_fields = ("opened_at",)

    def get_queryset(self, request):
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return rows.filter(cashier=request.user) if only_own(request.user) else rows

    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path("mine/", view(self.mine_view), name="tills_drawersession_mine"),
            path("<int:pk>/sheet/", view(self.sheet_view), name="tills_drawersession_sheet"),
            *super().get_urls(),
        ]

    def mine_view(self, request: HttpRequest) -> HttpResponse:
        """Lead a cashier to their drawer, or to the opening count."""
        if not self.has_use_permission(request):
            raise PermissionDenied
        drawer = DrawerSession.objects.unclosed().filter(cashier=request.user).first()
        name = "admin:tills_drawersession_" + ("change" if drawer else "add")
        return HttpResponseRedirect(reverse(name, args=[drawer.pk] if drawer else []))

    def has_add_permission(self, request):
        return super().has_add_permission(request) and self.has_use_permission(request)

    # --- The sheet -----------------------------------------------------------------------------
    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        drawer = self.get_object(request, object_id) if object_id else None
        sheet = sheet_of(drawer, reader=request.user) if drawer else None
        return super().changeform_view(
            request, object_id, form_url, {"sheet": sheet, **(extra_context or {})}
        )

    def sheet_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The sheet of a drawer for the file: X while it is open, Z once it is counted."""
        drawer = self.get_object(request, str(pk))
        if drawer is None:
            raise Http404
        if not self.has_view_permission(request, drawer):
            raise PermissionDenied
        sheet = sheet_of(drawer, reader=request.user)
        return render(request, "admin/tills/sheet.html", {"sheet": sheet})

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Drawer")
    def shown_number(self, drawer):
        return drawer.number

    @display(description="State", label=COLOURS)
    def state(self, drawer):
        return drawer.get_status_display()

    @display(description="Expected")
    def shown_expected(self, drawer):
        return kes(drawer.expected)

    @display(description="Counted")
    def shown_counted(self, drawer):
        return kes(drawer.counted)

    @display(description="Difference")
    def shown_difference(self, drawer):
        return "-" if drawer.counted is None else drawers.shown(drawer)


def only_own(staff) -> bool:
    """Tell whether this person sees no drawers but their own: a cashier who oversees none."""
    return staff.has_perm("tills.use_drawersession") and not staff.has_perm(
        "tills.oversee_drawersession"
    )
