"""The customer: one page that tells the whole story."""

from django import forms
from django.contrib import admin
from django.db.models import DecimalField, F, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from import_export.fields import Field
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminImageSmallFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from lms import dates, money, phones
from lms.backoffice.admin.deaths import DeathActions
from lms.backoffice.admin.imports import ImportLink
from lms.backoffice.admin.referrals import ReferralActions, referrer_field
from lms.backoffice.admin.refunds import RefundActions
from lms.backoffice.admin.sending import CreditSending
from lms.backoffice.admin.stk import CustomerStkPush
from lms.backoffice.base import EditableTabular, ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, one_customer
from lms.backoffice.reports.links import address
from lms.backoffice.sidebar import page_of
from lms.customers import operations
from lms.customers.models import Customer, CustomerDocument
from lms.errors import Refused
from lms.loans.models import Guarantor, Loan
from lms.money import ZERO, kes
from lms.notifications.models import Message
from lms.payments.models import Payment
from lms.reports.shape import report_target
from lms.staff.models import Staff

KYC_COLOURS = {"Pending": "warning", "Verified": "success", "Rejected": "danger"}


# --- Forms ---------------------------------------------------------------------------------------
class CustomerForm(forms.ModelForm):
    """Takes phones in any spelling; a change of a known customer may say why.

    Who referred a customer is asked when they are registered; later an action sets it.
    """

    staff = None  # set by the page

    phone = forms.CharField(
        max_length=24,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel"}),
        help_text=Customer._meta.get_field("phone").help_text,
    )
    next_of_kin_phone = forms.CharField(
        max_length=24, required=False, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel"})
    )
    referrer = referrer_field()
    photo = forms.ImageField(required=False, widget=UnfoldAdminImageSmallFieldWidget)
    reason = forms.CharField(
        label="Reason of the change",
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Stays in the history, beside your name.",
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name in ("phone", "next_of_kin_phone"):
            if self.initial.get(name):
                self.initial[name] = phones.show(self.initial[name])
        if officer := self.fields.get("loan_officer"):
            wanted = Q(is_active=True, pk__in=officer.queryset.values("pk"))
            officer.queryset = Staff.objects.filter(wanted | Q(pk=self.instance.loan_officer_id))

    def _stored(self, field: str) -> str:
        try:
            return phones.normalise(self.cleaned_data[field])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_referrer(self) -> Customer | None:
        text = self.cleaned_data["referrer"]
        return one_customer(text, self.staff) if text else None

    def _post_clean(self) -> None:
        super()._post_clean()
        referrer = self.cleaned_data.get("referrer")
        if referrer and self.instance.pk is None:
            try:
                self.instance.refer(referrer, by=self.staff)
            except Refused as refusal:
                self.add_error("referrer", refusal.message)

    def clean_phone(self) -> str:
        return self._stored("phone")

    def clean_next_of_kin_phone(self) -> str:
        return self._stored("next_of_kin_phone") if self.cleaned_data["next_of_kin_phone"] else ""


class VerifyDialog(StaffDialog):
    note = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="What was checked, for example the original ID at the branch.",
    )


# --- Tabs ----------------------------------------------------------------------------------------
class DocumentInline(EditableTabular):
    model = CustomerDocument
    fields = ("kind", "file", "number", "expires_on")
    ordering = ("kind", "pk")


def _link(record, text: str) -> str:
    page = f"admin:{record._meta.app_label}_{record._meta.model_name}_change"
    return format_html(
        '<a class="text-link" href="{}">{}</a>', reverse(page, args=[record.pk]), text
    )


class LoanInline(ReadOnlyTabular):
    model = Loan
    hide_title = True
    fields = (
        "shown_number",
        "product",
        "shown_principal",
        "status",
        "disbursed_on",
        "owed",
        "late",
    )
    readonly_fields = fields
    ordering = ("-pk",)
    per_page = 10

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("product", "position")

    @display(description="Loan")
    def shown_number(self, loan):
        return _link(loan, loan.number)

    @display(description="Amount")
    def shown_principal(self, loan):
        return kes(loan.principal)

    @display(description="Outstanding")
    def owed(self, loan):
        return kes(loan.position.outstanding) if hasattr(loan, "position") else "-"

    @display(description="Days late")
    def late(self, loan):
        return loan.days_late(on=dates.today()) or "-"


class PaymentInline(ReadOnlyTabular):
    model = Payment
    hide_title = True
    fields = (
        "shown_number",
        "value_date",
        "method",
        "reference",
        "shown_amount",
        "status",
        "account",
    )
    readonly_fields = fields
    ordering = ("-pk",)
    per_page = 10

    @display(description="Receipt")
    def shown_number(self, payment):
        return _link(payment, payment.number)

    @display(description="Amount")
    def shown_amount(self, payment):
        return kes(payment.amount)


class GuaranteeInline(ReadOnlyTabular):
    model = Guarantor
    verbose_name_plural = "guarantees given"
    hide_title = True
    fields = ("shown_loan", "borrower", "shown_amount", "status", "consented_on", "shown_in_force")
    readonly_fields = fields
    ordering = ("-pk",)
    per_page = 10
    show_change_link = False

    def get_queryset(self, request):
        rows = super().get_queryset(request).select_related("loan__customer")
        return rows.with_in_force()

    @display(description="In force")
    def shown_in_force(self, guarantee):
        return kes(guarantee.in_force) if guarantee.is_standing else "-"

    @display(description="Loan")
    def shown_loan(self, guarantee):
        return _link(guarantee.loan, guarantee.loan.number)

    @display(description="For")
    def borrower(self, guarantee):
        return guarantee.loan.customer.name

    @display(description="Guaranteed")
    def shown_amount(self, guarantee):
        return kes(guarantee.amount)


class ReferredInline(ReadOnlyTabular):
    """The customers whom this one brought."""

    model = Customer
    fk_name = "referred_by"
    verbose_name_plural = "referred"
    hide_title = True
    fields = ("shown_name", "shown_phone", "shown_registered", "reward")
    readonly_fields = fields
    ordering = ("-pk",)
    per_page = 10
    show_change_link = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("reward_for_bringing__payment")

    @display(description="Customer")
    def shown_name(self, customer):
        return _link(customer, customer.name)

    @display(description="Phone")
    def shown_phone(self, customer):
        return phones.show(customer.phone)

    @display(description="Registered")
    def shown_registered(self, customer):
        return dates.show(dates.day_of(customer.registered_at))

    @display(description="Reward")
    def reward(self, customer):
        made = getattr(customer, "reward_for_bringing", None)
        return _link(made, f"{kes(made.amount)}, {made.state.lower()}") if made else "-"


class MessageInline(ReadOnlyTabular):
    model = Message
    hide_title = True
    fields = ("created_at", "occasion", "channel", "body", "status", "error")
    readonly_fields = fields
    ordering = ("-pk",)
    per_page = 10


# --- Export --------------------------------------------------------------------------------------
class CustomerResource(ModelResource):
    number = Field(column_name="number", attribute="number", readonly=True)
    branch = Field(column_name="branch", attribute="branch__code")
    loan_officer = Field(column_name="loan_officer", attribute="loan_officer__username")

    class Meta:
        model = Customer
        fields = (
            "number", "kind", "first_name", "other_names", "last_name", "business_name", "phone",
            "email", "id_kind", "id_number", "kra_pin", "date_of_birth", "gender", "town",
            "address", "occupation", "net_income", "score_limit", "next_of_kin",
            "next_of_kin_phone", "branch", "loan_officer", "kyc_status", "registered_at",
        )  # fmt: skip
        export_order = fields


# --- The page ------------------------------------------------------------------------------------
def _money() -> DecimalField:
    return DecimalField(max_digits=14, decimal_places=2)


def _exposure() -> Coalesce:
    """What the customer owes on active loans, as a column."""
    parts = sum(
        (F(f"position__{name}") for name in ("interest", "fees", "penalties")),
        F("position__principal"),
    )
    loans = Loan.objects.active().filter(customer=OuterRef("pk")).order_by()
    owed = loans.values("customer").annotate(sum=money.total(parts)).values("sum")
    return Coalesce(Subquery(owed, output_field=_money()), ZERO, output_field=_money())


def _credit() -> Coalesce:
    """What the customer paid beyond every due, as a column."""
    rows = Payment.objects.with_credit().filter(customer=OuterRef("pk")).order_by()
    held = rows.values("customer").annotate(sum=money.total("credited")).values("sum")
    return Coalesce(Subquery(held, output_field=_money()), ZERO, output_field=_money())


def _late_since() -> Subquery:
    loans = Loan.objects.active().filter(customer=OuterRef("pk")).order_by()
    oldest = loans.values("customer").annotate(day=Min("position__overdue_since"))
    return Subquery(oldest.values("day"))


@admin.register(Customer)
class CustomerAdmin(
    ImportLink,
    CustomerStkPush,
    DeathActions,
    CreditSending,
    RefundActions,
    ReferralActions,
    StaffAdmin,
):
    import_kind = "customers"
    opens = frozenset({"add", "change"})
    form = CustomerForm
    resource_classes = (CustomerResource,)
    change_form_outer_before_template = "admin/customers/header.html"
    list_display = ("shown_name", "shown_phone", "id_number", "shown_kyc", "exposure", "branch",
                    "loan_officer", "registered")  # fmt: skip
    list_select_related = ("branch", "loan_officer")
    list_filter = (
        ("kyc_status", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("branch", RelatedDropdownFilter),
        ("registered_at", RangeDateFilter),
    )
    search_fields = ("id_number",)
    search_help_text = "Phone in any spelling, ID, KRA PIN, name, CU000012 or LN000123"
    ordering = ("-pk",)
    readonly_fields = ("kyc_status", "registered_at")
    readonly_preprocess_fields = {"phone": phones.show, "next_of_kin_phone": phones.show}
    radio_fields = {"kind": admin.HORIZONTAL}
    conditional_fields = {
        "first_name": "kind == 'individual'",
        "other_names": "kind == 'individual'",
        "last_name": "kind == 'individual'",
        "date_of_birth": "kind == 'individual'",
        "gender": "kind == 'individual'",
        "business_name": "kind == 'business'",
    }
    fieldsets = (
        (
            "Identity",
            {
                "classes": ["tab"],
                "fields": (
                    "kind",
                    ("first_name", "other_names"),
                    "last_name",
                    "business_name",
                    ("id_kind", "id_number"),
                    "kra_pin",
                    ("date_of_birth", "gender"),
                    "photo",
                    "kyc_status",
                ),
            },
        ),
        (
            "Contact",
            {
                "classes": ["tab"],
                "fields": ("phone", "email", ("town", "address"), "takes_messages"),
            },
        ),
        (
            "Work",
            {
                "classes": ["tab"],
                "fields": (
                    "occupation",
                    ("net_income", "score_limit"),
                    "branch",
                    "loan_officer",
                    "notes",
                ),
            },
        ),
        (
            "Next of kin",
            {"classes": ["tab"], "fields": (("next_of_kin", "next_of_kin_phone"),)},
        ),
    )
    # Registering takes one screen: what must be known first, the rest folded away.
    add_fieldsets = (
        (
            "Who they are",
            {
                "fields": (
                    "kind",
                    ("first_name", "other_names"),
                    "last_name",
                    "business_name",
                    ("phone", "email"),
                    ("id_kind", "id_number"),
                    ("date_of_birth", "gender"),
                    ("branch", "loan_officer"),
                    "referrer",
                ),
            },
        ),
        (
            "More about them",
            {
                "classes": ["collapse"],
                "fields": (
                    ("kra_pin", "occupation"),
                    ("net_income", "score_limit"),
                    ("town", "address"),
                    ("next_of_kin", "next_of_kin_phone"),
                    ("takes_messages", "photo"),
                    "notes",
                ),
            },
        ),
    )
    inlines = (DocumentInline, LoanInline, PaymentInline, GuaranteeInline, ReferredInline,
               MessageInline)  # fmt: skip
    actions = ("verify_selected",)
    actions_detail = (
        "stk_push",
        "verify",
        "reject",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": ["set_referrer", "refund_credit", "send_credit", "record_death", "undo_death"],
        },
    )
    actions_row = ("verify", "reject")
    offers = {
        "stk_push": lambda customer: bool(customer.owing),
        "set_referrer": lambda customer: (
            not customer.loans.filter(disbursed_on__isnull=False).exists()
        ),
        "refund_credit": lambda customer: bool(customer.credit),
        "send_credit": lambda customer: bool(customer.credit),
        "record_death": lambda customer: (
            customer.kind == Customer.Kind.INDIVIDUAL and not customer.died_on
        ),
        "undo_death": lambda customer: bool(customer.died_on),
        "verify": lambda customer: customer.kyc_status != Customer.Kyc.VERIFIED,
        "reject": lambda customer: customer.kyc_status != Customer.Kyc.REJECTED,
    }

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .annotate(owing=_exposure(), credit=_credit(), late_since=_late_since())
        )

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        if search_term.strip().upper().startswith("LN") and (pk := Loan.key_of(search_term)):
            return queryset.filter(pk__in=Loan.objects.filter(pk=pk).values("customer")), False
        return queryset.matching(search_term), False

    def get_fieldsets(self, request, obj=None):
        found = super().get_fieldsets(request, obj)
        if obj and self.has_change_permission(request, obj):
            return (*found, ("Reason", {"classes": ["tab"], "fields": ("reason",)}))
        return found

    def get_readonly_fields(self, request, obj=None):
        """What a customer may borrow up to is set by those who answer for it."""
        found = super().get_readonly_fields(request, obj)
        if request.user.has_perm("customers.set_score_limit"):
            return found
        return (*found, "score_limit")

    def get_inlines(self, request, obj):
        return self.inlines if obj else (DocumentInline,)

    def get_form(self, request, obj=None, change=False, **kwargs):  # noqa: FBT002  Django's own
        form = super().get_form(request, obj, change=change, **kwargs)
        form.staff = request.user
        return form

    def get_changeform_initial_data(self, request):
        return {"branch": request.user.branch_id, **super().get_changeform_initial_data(request)}

    def change_view(self, request, object_id, form_url="", extra_context=None):
        extra_context = {
            "facts": self._facts(request, object_id),
            "new_loan": self._new_loan(request, object_id),
            "statement": address(request, report_target("customer", customer=f"CU{object_id}")),
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, extra_context)

    def _new_loan(self, request, object_id) -> str | None:
        """Return where an application of this customer is written, to those who may."""
        page = page_of("loans.loan")
        if page is None or not page.has_add_permission(request):
            return None
        return f"{reverse('admin:loans_loan_add')}?{urlencode({'customer': object_id})}"

    def _facts(self, request, object_id) -> list[tuple[str, str]]:
        """Return what the header says about the customer."""
        customer = self.get_object(request, object_id)
        if customer is None:
            return []
        on = dates.today()
        late, brought = customer.late_since, customer.referred_by
        facts = [
            ("Phone", phones.show(customer.phone)),
            (customer.get_id_kind_display(), customer.id_number),
            ("Exposure", kes(customer.owing)),
            ("As guarantor", kes(Guarantor.objects.exposure(customer))),
            ("Credit balance", kes(customer.credit)),
            ("Days late", str((on - late).days) if late and late < on else "None"),
            ("Registered", dates.show(dates.day_of(customer.registered_at))),
            *([("Died", dates.show(customer.died_on))] if customer.died_on else []),
            *([("Referred by", _link(brought, brought.name))] if brought else []),
        ]
        age = customer.age(on=on)
        return facts if age is None else [*facts, ("Age", str(age))]

    # --- Columns -------------------------------------------------------------------------------
    @display(description="Customer", header=True)
    def shown_name(self, customer):
        initials = "".join(word[0] for word in customer.name.split()[:2]).upper()
        return [customer.name, customer.number, initials]

    @display(description="Phone")
    def shown_phone(self, customer):
        return phones.show(customer.phone)

    @display(description="KYC", label=KYC_COLOURS)
    def shown_kyc(self, customer):
        return customer.get_kyc_status_display()

    @display(description="Exposure")
    def exposure(self, customer):
        return kes(customer.owing) if customer.owing else "-"

    @display(description="Registered", ordering="pk")
    def registered(self, customer):
        return dates.day_of(customer.registered_at)

    # --- Actions -------------------------------------------------------------------------------
    def has_verify_permission(self, request, obj=None):
        return request.user.has_perm("customers.verify_customer")

    @action(
        description="Verify KYC",
        permissions=["verify"],
        icon="verified_user",
        dialog={
            "title": "Verify this customer",
            "description": "The person, the ID and the phone were checked. A loan may be approved.",
            "form_class": VerifyDialog,
            "form_submit_text": "Verify",
        },
    )
    def verify(self, request, form, object_id):
        return self.perform(request, object_id, operations.verify, form, done="KYC verified.")

    @action(
        description="Reject KYC",
        permissions=["verify"],
        icon="gpp_bad",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reject the KYC of this customer",
            "description": "No loan can be approved until the papers are in order.",
            "form_class": ReasonDialog,
            "form_submit_text": "Reject",
        },
    )
    def reject(self, request, form, object_id):
        return self.perform(request, object_id, operations.reject, form, done="KYC rejected.")

    @admin.action(description="Verify KYC", permissions=["verify"])
    def verify_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            operations.verify_all,
            VerifyDialog,
            title="Verify these customers",
            description="The person, the ID and the phone of each were checked.",
            submit="Verify",
            done=lambda made: f"{len(made)} verified.",
        )
