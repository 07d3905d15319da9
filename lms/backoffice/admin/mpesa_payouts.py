"""Money sent to customers by M-Pesa: each payment with its story, and the batches of loans."""

from django.contrib import admin
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lms import dates, money, phones
from lms.backoffice.admin.mpesa_asking import Asking, ReceiptDialog
from lms.backoffice.admin.mpesa_story import story_of_b2c
from lms.backoffice.base import ReadOnlyTabular, StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog
from lms.backoffice.totals import Totals
from lms.customers.models import Customer
from lms.loans.models import Loan
from lms.money import kes
from lms.mpesa import operations as mpesa
from lms.mpesa.models import B2cPayment, Inquiry
from lms.payments.models import Payout, normal_reference
from lms.payouts import operations
from lms.payouts.models import BatchLoan, PayoutBatch

Status = B2cPayment.Status
B2C_COLOURS = {
    Status.WAITING.label: "info",
    Status.SENDING.label: "info",
    Status.SENT.label: "info",
    Status.UNKNOWN.label: "warning",
    Status.PAID.label: "success",
    Status.FAILED.label: "danger",
    Status.UNRESOLVED.label: "warning",
}
BATCH_COLOURS = {
    PayoutBatch.Status.SUBMITTED.label: "warning",
    PayoutBatch.Status.APPROVED.label: "info",
    PayoutBatch.Status.DONE.label: "success",
    PayoutBatch.Status.REJECTED.label: "danger",
    PayoutBatch.Status.WITHDRAWN.label: "default",
}
MOST_FOUND = 500


def must_be_asked(part: B2cPayment) -> bool:
    return part.is_undecided and part.sent_at is not None


# --- One payment ---------------------------------------------------------------------------------
@admin.register(B2cPayment)
class B2cPaymentAdmin(Asking, Totals, StaffAdmin):
    """Payments to customers' phones. Made from a loan, a batch or a customer; followed here."""

    list_display = ("shown_number", "requested_at", "shown_phone", "customer_name", "subject",
                    "shown_amount", "shown_status", "receipt", "requested_by")  # fmt: skip
    list_select_related = ("payout__customer", "requested_by")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("is_adrift", BooleanRadioFilter),
        ("payout__branch", RelatedDropdownFilter),
        ("requested_at", RangeDateTimeFilter),
    )
    search_fields = ("receipt",)
    search_help_text = "MB000012, PO000012, phone, loan number, receipt, or the customer's name"
    ordering = ("-pk",)
    sortable_by = ()
    change_form_outer_before_template = "admin/mpesa/b2c_slot.html"
    fieldsets = (
        (
            "Payment",
            {
                "fields": (
                    ("shown_phone", "payout"),
                    ("shown_amount", "receipt"),
                    ("requested_by", "requested_at"),
                    ("receiver", "paid_at"),
                    ("queries", "queried_at"),
                    ("originator_id", "conversation_id"),
                    ("result_code", "result_desc"),
                    ("response_code", "response_description"),
                )
            },
        ),
    )
    readonly_fields = ("shown_phone", "shown_amount")
    actions_detail = ("ask_now", "ask_receipt", "send_same", "settle", "take_up", "let_go")
    offers = {
        "ask_now": must_be_asked,
        "ask_receipt": must_be_asked,
        "send_same": lambda part: part.may_be_sent_again,
        "settle": lambda part: part.status == Status.UNRESOLVED,
        "take_up": lambda part: part.is_adrift,
        "let_go": lambda part: part.is_adrift,
    }

    def get_urls(self):
        view = self.admin_site.admin_view(self.fate_view)
        return [path("<int:pk>/fate/", view, name="mpesa_b2cpayment_fate"), *super().get_urls()]

    def fate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that follows a payment until its fate is known."""
        part = self.get_object(request, str(pk))
        if part is None or not self.has_view_permission(request, part):
            raise Http404
        asked = part.inquiries.filter(status__in=Inquiry.OPEN).exists()
        return render(
            request,
            "admin/mpesa/b2c_fate.html",
            {
                "part": part,
                "colour": B2C_COLOURS[part.get_status_display()],
                "story": story_of_b2c(part, request.user),
                "follows": asked or part.status in (Status.WAITING, Status.SENDING, Status.SENT),
            },
        )

    def has_disburse_permission(self, request, obj=None):
        return request.user.has_perm("loans.disburse_loan")

    def has_settle_permission(self, request, obj=None):
        return request.user.has_perm("mpesa.settle_b2cpayment")

    @action(
        description="Ask Safaricom now",
        permissions=["ask"],
        icon="sync",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Ask Safaricom what became of it",
            "description": "Nothing is paid twice by asking. The answer appears by itself.",
            "form_class": StaffDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_now(self, request, form, object_id):
        def ask(part, *, by, on):
            return mpesa.query_payout(part, now=dates.now(), by=by)

        return self.perform(
            request, object_id, ask, form, done=lambda part: f"Safaricom was asked about {part}."
        )

    @action(
        description="Ask about a receipt",
        permissions=["ask"],
        icon="travel_explore",
        dialog={
            "title": "Ask Safaricom about the receipt of this payment",
            "description": "As the portal or the customer's message from M-Pesa shows it. If "
            "Safaricom confirms it, the payment is booked as paid.",
            "form_class": ReceiptDialog,
            "form_submit_text": "Ask",
        },
    )
    def ask_receipt(self, request, form, object_id):
        def ask(part, *, by, on, receipt):
            return mpesa.ask_payout(part, by=by, at=dates.now(), receipt=receipt)

        return self.perform(
            request,
            object_id,
            ask,
            form,
            done=lambda inquiry: f"{inquiry.number}: {inquiry.get_status_display().lower()}.",
        )

    @action(
        description="Send the same again",
        permissions=["disburse"],
        icon="replay",
        dialog={
            "title": "Send this payment again under the same ID",
            "description": "Safaricom says that it never had it. It pays one ID once, so nothing "
            "is paid twice.",
            "form_class": StaffDialog,
            "form_submit_text": "Send",
        },
    )
    def send_same(self, request, form, object_id):
        def send(part, *, by, on):
            return mpesa.send_same(part, by=by, at=dates.now())

        return self.perform(
            request,
            object_id,
            send,
            form,
            done=lambda part: f"{part}: {part.get_status_display().lower()}.",
        )

    @action(
        description="It did not arrive",
        permissions=["settle"],
        icon="money_off",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Count this payment as failed",
            "description": "For what you found out from Safaricom's portal or the customer. A "
            "second person decides; then the loan is approved again and can be paid once more.",
            "form_class": ReasonDialog,
            "form_submit_text": "Ask for approval",
        },
    )
    def settle(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            operations.ask_to_settle,
            form,
            done="A second person must approve it.",
        )

    @action(
        description="Take up from suspense",
        permissions=["disburse"],
        icon="move_up",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Let this money pay what it was sent for",
            "description": "It left after the payout had been taken back. The loan runs again, or "
            "the credit is paid back, with this money.",
            "form_class": StaffDialog,
            "form_submit_text": "Take up",
        },
    )
    def take_up(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            operations.take_up,
            form,
            done=lambda payout: f"{payout} is paid by it.",
        )

    @action(
        description="It is settled",
        permissions=["settle"],
        icon="task_alt",
        dialog={
            "title": "This money came back, or was settled otherwise",
            "description": "A second person decides. Then the loan or credit can be paid again, in "
            "any way; the money stays on 1050 until the accountant books it from there.",
            "form_class": ReasonDialog,
            "form_submit_text": "Ask for approval",
        },
    )
    def let_go(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            operations.ask_to_let_go,
            form,
            done="A second person must approve it.",
        )

    def get_queryset(self, request):
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_search_results(self, request, queryset, search_term):
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.upper().startswith("MB") and (found := queryset.numbered(term)).exists():
            return found, False
        payouts = Payout.objects.numbered(term)
        if payouts.exists():
            return queryset.filter(payout__in=payouts), False
        if phone := phones.parse(term):
            return queryset.filter(phone=phone), False
        if key := Loan.key_of(term):
            return queryset.filter(payout__subject=f"LN{key:06d}"), False
        if (found := queryset.filter(receipt=normal_reference(term))).exists():
            return found, False
        customers = Customer.objects.matching(term).values_list("pk", flat=True)[:MOST_FOUND]
        return queryset.filter(payout__customer_id__in=list(customers)), False

    def totals_of(self, rows):
        sums = rows.select_related(None).aggregate(count=Count("pk"), amount=money.total("amount"))
        paid = rows.filter(status=Status.PAID).select_related(None)
        return [
            ("Payments", f"{sums['count']:,}"),
            ("Asked for", kes(sums["amount"])),
            ("Paid", kes(paid.aggregate(sum=money.total("amount"))["sum"])),
        ]

    @display(description="Payment")
    def shown_number(self, part):
        return part.number

    @display(description="Phone")
    def shown_phone(self, part):
        return phones.show(part.phone)

    @display(description="Customer")
    def customer_name(self, part):
        return part.payout.customer.name

    @display(description="Paid for")
    def subject(self, part):
        return part.payout.subject

    @display(description="Amount")
    def shown_amount(self, part):
        return kes(part.amount)

    @display(description="Status", label=B2C_COLOURS)
    def shown_status(self, part):
        return part.get_status_display()


# --- Batches -------------------------------------------------------------------------------------
class BatchLoanInline(ReadOnlyTabular):
    model = BatchLoan
    fields = ("loan", "amount", "phone", "status", "refusal", "payout", "arrived")
    readonly_fields = fields
    show_change_link = False
    verbose_name_plural = "loans"

    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows.select_related("loan__customer", "loan__product", "payout")

    @display(description="What became of it")
    def arrived(self, item):
        return item.payout.get_status_display() if item.payout else "-"


@admin.register(PayoutBatch)
class PayoutBatchAdmin(Totals, StaffAdmin):
    """Batches of loans to pay out. Prepared on the list of loans, decided under Approvals."""

    list_display = ("shown_number", "prepared_at", "branch", "number_of_loans", "shown_total",
                    "shown_status", "prepared_by", "approved_by", "note")  # fmt: skip
    list_select_related = ("branch", "prepared_by", "approved_by")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("branch", RelatedDropdownFilter),
        ("prepared_at", RangeDateTimeFilter),
    )
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Batch",
            {
                "fields": (
                    ("shown_status", "branch"),
                    ("number_of_loans", "shown_total"),
                    ("prepared_by", "prepared_at"),
                    ("approved_by", "approved_at"),
                    "note",
                )
            },
        ),
    )
    readonly_fields = ("shown_status", "shown_total")
    inlines = (BatchLoanInline,)

    def totals_of(self, rows):
        sums = rows.aggregate(count=Count("pk"), amount=money.total("total"))
        return [("Batches", f"{sums['count']:,}"), ("In all", kes(sums["amount"]))]

    @display(description="Batch")
    def shown_number(self, batch):
        return batch.number

    @display(description="Total")
    def shown_total(self, batch):
        return kes(batch.total)

    @display(description="Status", label=BATCH_COLOURS)
    def shown_status(self, batch):
        return batch.get_status_display()
