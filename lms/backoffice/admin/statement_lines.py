"""The lines of statements: each with its verdict, and what may be done about it."""

from collections.abc import Callable, Iterable
from functools import partial

from django import forms
from django.contrib import admin
from django.db.models import Case, F, When
from django.db.models.functions import Abs
from import_export.resources import ModelResource
from unfold.contrib.filters.admin import (
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from lms import dates, money
from lms.backoffice.admin.reconciliations import VERDICT_COLOURS
from lms.backoffice.base import SHOWN_IN_BULK, OfWholeLender, StaffAdmin
from lms.backoffice.forms import ReasonDialog, StaffDialog, date_field, reason_field
from lms.backoffice.totals import Totals
from lms.errors import Refused
from lms.ledger.models import Account, JournalEntry
from lms.money import kes
from lms.payments.models import Payment
from lms.reconciliation import books, documents
from lms.reconciliation.models import (
    MPESA_ACCOUNTS,
    Match,
    StatementLine,
    Verdict,
)
from lms.reconciliation.operations import arriving, booking, pairing

CANDIDATES = 40


class LineDialog(StaffDialog):
    """A dialog about one line of a statement."""

    @property
    def line(self) -> StatementLine:
        return StatementLine.objects.get(pk=self.object_id)

    @property
    def subject(self) -> str:
        line = self.line
        way = "came in" if line.amount > 0 else "left"
        return (
            f"{dates.show(line.day)}: {kes(abs(line.amount))} {way}. "
            f"{line.reference} {line.narration}"
        )


class ReceiveDialog(LineDialog):
    reference = forms.CharField(label="Reference", max_length=40, widget=UnfoldAdminTextInputWidget)
    account = forms.CharField(
        label="Loan number",
        max_length=40,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="As the payer typed it. Money for a number that no loan has waits unallocated.",
    )
    day = date_field(
        "Counts from", required=False, help_text="Empty: the day of the line. For a closed month."
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.object_id:
            self.fields["reference"].initial = self.line.reference
            self.fields["account"].initial = self.line.account_no


class ChargeDialog(LineDialog):
    day = date_field(
        "Book on", required=False, help_text="Empty: the day of the line. For a closed month."
    )


class TransferDialog(LineDialog):
    other = forms.ModelChoiceField(
        label="The other account", queryset=Account.objects.none(), widget=UnfoldAdminSelectWidget
    )
    day = date_field(
        "Book on", required=False, help_text="Empty: the day of the line. For a closed month."
    )
    reason = reason_field("What moved")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["other"].queryset = Account.objects.filter(code__in=booking.OWN_MONEY)


class ChequesField(forms.ModelMultipleChoiceField):
    """Cheques to choose from, each with who paid with it."""

    def label_from_instance(self, cheque: Payment) -> str:
        payer = cheque.payer_name or cheque.customer
        told = (
            cheque.reference,
            cheque.number,
            kes(cheque.amount),
            *([str(payer)] if payer else []),
        )
        return " · ".join(told)


class ChequesDialog(LineDialog):
    """Chooses the cheques that a deposit consists of."""

    cheques = ChequesField(
        queryset=Payment.objects.none(),
        widget=UnfoldAdminSelectMultipleWidget(attrs={"size": 8}),
        help_text="Hold Ctrl to choose several; they have to add up to the line.",
    )
    day = date_field(
        "Book on", required=False, help_text="Empty: the day of the line. For a closed month."
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.object_id:
            line, field = self.line, self.fields["cheques"]
            waiting = documents.waiting_cheques().filter(amount__lte=max(line.amount, money.ZERO))
            field.queryset = waiting.select_related("customer").order_by("-amount", "-pk")
            field.initial = [
                cheque.pk for cheque in field.queryset if documents.names(line, cheque.reference)
            ]


class ReturnDialog(LineDialog):
    """Chooses the cheque that came back."""

    cheque = forms.ModelChoiceField(queryset=Payment.objects.none(), widget=UnfoldAdminSelectWidget)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.object_id:
            line, field = self.line, self.fields["cheque"]
            cleared = arriving.returnable(line).values("payment")
            field.queryset = Payment.objects.filter(pk__in=cleared)
            field.label_from_instance = lambda cheque: f"{cheque.reference} · {cheque}"
            named = (c.pk for c in field.queryset if documents.names(line, c.reference))
            field.initial = next(named, None)


class SlipDialog(LineDialog):
    """Says which slip would be confirmed."""

    @property
    def subject(self) -> str:
        slip = documents.slip_of(self.line)
        return super().subject + (
            f" Slip {slip}, left on {dates.show(slip.banked_on)}." if slip else ""
        )


class ReversalDialog(LineDialog):
    """Says what would be reversed."""

    reason = reason_field()

    @property
    def subject(self) -> str:
        booked = (f"Booked as {entry}." for entry in booking.booked_from(self.line))
        return " ".join([f"{super().subject.strip()}.", *booked])


class EntriesField(forms.MultipleChoiceField):
    """Entries to choose from; whether they are still free, the operation says."""

    def __init__(self, **options) -> None:
        super().__init__(
            label="Entries",
            required=False,
            widget=UnfoldAdminSelectMultipleWidget(attrs={"size": 8}),
            help_text="The closest by amount. Hold Ctrl to choose several; they have to add up.",
            **options,
        )

    def clean(self, value) -> list[JournalEntry]:
        return list(JournalEntry.objects.filter(pk__in=super().clean(value)))


class MatchDialog(LineDialog):
    entries = EntriesField()
    reason = reason_field("Why they belong together")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.object_id:
            line = self.line
            self.fields["entries"].choices = candidates(line.account_id, line.amount)


def candidates(account_id: str, amount) -> list[tuple[int, str]]:
    """Return free entries of the account to choose from, the closest in amount first."""
    rows = books.free(account_id)
    closest = rows.annotate(apart=Abs(F("moved") - amount)).order_by("apart", "-date", "-entry_id")
    return [
        (
            entry.pk,
            f"{entry.number} · {dates.show(entry.day)} · {kes(entry.amount)} · {entry.narration}",
        )
        for entry in books.entries(closest[:CANDIDATES])
    ]


def match_line(line: StatementLine, *, entries: Iterable[JournalEntry], reason, by, on) -> Match:
    """Match one line by hand in the first open period that sees it. Raises Refused."""
    return match_lines([line], entries=entries, reason=reason, by=by, on=on)


def match_lines(
    rows: Iterable[StatementLine], *, reason, by, on, entries: Iterable[JournalEntry] = ()
) -> Match:
    """Match several lines by hand, all of one account. Raises Refused."""
    lines = list(rows)
    return pairing.match_by_hand(
        booking.period_of(max(lines, key=lambda line: line.day)),
        lines=lines,
        entries=entries,
        reason=reason,
        by=by,
        on=on,
    )


def unmatch_line(line: StatementLine, *, reason, by, on) -> Match:
    """Take the match of a line apart. Raises Refused where it has none."""
    match = Match.objects.filter(lines__line=line, lines__is_live=True).first()
    if match is None:
        raise Refused("This line is in no match.")
    return pairing.unmatch(match, reason=reason, by=by, on=on)


class LinesDialog(StaffDialog):
    """Chooses the entries for several lines together."""

    entries = EntriesField()
    reason = reason_field("Why they belong together")

    def __init__(self, *args, rows=None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        lines = list(rows if rows is not None else ())
        if lines:
            amount = sum((line.amount for line in lines), money.ZERO)
            self.fields["entries"].choices = candidates(lines[0].account_id, amount)


def _is(*verdicts: Verdict) -> Callable[[StatementLine], bool]:
    return lambda line: line.verdict in verdicts


FREE = (Verdict.MISSING_HERE, Verdict.DUPLICATE)


def _is_free_at_bank(line: StatementLine) -> bool:
    return line.verdict in FREE and line.account_id not in MPESA_ACCOUNTS


class LineActions:
    """What may be done with one line."""

    actions = ("match_selected",)
    actions_detail = ("create_payment", "confirm_slip", "clear_cheques", "book_charge",
                      "return_cheque", "book_transfer", "match_by_hand", "unmatch",
                      "reverse_booking")  # fmt: skip
    actions_row = ("create_payment", "book_charge", "book_transfer", "match_by_hand", "unmatch")
    offers = {
        "create_payment": lambda line: (
            line.amount > 0 and line.verdict in FREE and not documents.of_lines([line])
        ),
        "confirm_slip": lambda line: line.verdict in FREE and bool(documents.slip_of(line)),
        "clear_cheques": lambda line: (
            line.amount > 0 and _is_free_at_bank(line) and documents.waiting_cheques().exists()
        ),
        "book_charge": lambda line: line.amount < 0 and line.verdict in FREE,
        "return_cheque": lambda line: _is_free_at_bank(line) and arriving.returnable(line).exists(),
        "book_transfer": _is(*FREE),
        "match_by_hand": _is(*FREE),
        "unmatch": _is(Verdict.MATCHED, Verdict.DIFFERS),
        "reverse_booking": lambda line: bool(booking.booked_from(line)),
    }

    def has_resolve_permission(self, request, obj=None):
        return request.user.has_perm("reconciliation.resolve_reconciliation")

    def has_receive_permission(self, request, obj=None):
        return self.has_resolve_permission(request) and request.user.has_perm(
            "payments.add_payment"
        )

    def has_confirm_permission(self, request, obj=None):
        return self.has_resolve_permission(request) and request.user.has_perm(
            "tills.confirm_banking"
        )

    @action(
        description="Create the payment",
        permissions=["receive"],
        icon="payments",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Create the payment of this line",
            "description": "Received on the day of the line and placed by its account number.",
            "form_class": ReceiveDialog,
            "form_submit_text": "Create payment",
        },
    )
    def create_payment(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            booking.create_payment,
            form,
            done=lambda payment: f"{payment.number} is received and matched.",
        )

    @action(
        description="Confirm the slip",
        permissions=["confirm"],
        icon="local_atm",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Confirm that the cash of this slip arrived",
            "description": "On the day of the line. Whoever banked it does not confirm it.",
            "form_class": SlipDialog,
            "form_submit_text": "Confirm",
        },
    )
    def confirm_slip(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            arriving.confirm_slip,
            form,
            done=lambda slip: f"Slip {slip.slip_number} is in the bank.",
        )

    @action(
        description="Clear cheques",
        permissions=["resolve"],
        icon="price_check",
        dialog={
            "title": "Clear the cheques of this deposit",
            "description": "Their money moves from clearing to the bank.",
            "form_class": ChequesDialog,
            "form_submit_text": "Clear",
        },
    )
    def clear_cheques(self, request, form, object_id):
        return self.perform(
            request, object_id, arriving.clear_cheques, form, done="The cheques are cleared."
        )

    @action(
        description="Returned cheque",
        permissions=["resolve"],
        icon="money_off",
        dialog={
            "title": "Book a cheque that came back unpaid",
            "description": "Its payment is reversed first, on the page of the payment.",
            "form_class": ReturnDialog,
            "form_submit_text": "Book",
        },
    )
    def return_cheque(self, request, form, object_id):
        return self.perform(
            request, object_id, arriving.return_cheque, form, done="The cheque is taken back."
        )

    @action(
        description="Book as charge",
        permissions=["resolve"],
        icon="receipt_long",
        dialog={
            "title": "Book as a charge",
            "description": "Of M-Pesa or the bank, as the account says.",
            "form_class": ChargeDialog,
            "form_submit_text": "Book",
        },
    )
    def book_charge(self, request, form, object_id):
        return self.perform(
            request, object_id, booking.book_charge, form, done="The charge is booked."
        )

    @action(
        description="Book as transfer",
        permissions=["resolve"],
        icon="swap_horiz",
        dialog={
            "title": "Book as own money moved",
            "description": "Between this account and another of ours, or to suspense.",
            "form_class": TransferDialog,
            "form_submit_text": "Book",
        },
    )
    def book_transfer(self, request, form, object_id):
        return self.perform(
            request, object_id, booking.book_transfer, form, done="The transfer is booked."
        )

    @action(
        description="Match by hand",
        permissions=["resolve"],
        icon="join",
        dialog={
            "title": "Match by hand",
            "description": "To the cent: there is no tolerance.",
            "form_class": MatchDialog,
            "form_submit_text": "Match",
        },
    )
    def match_by_hand(self, request, form, object_id):
        return self.perform(request, object_id, match_line, form, done="Matched.")

    @action(
        description="Take apart",
        permissions=["resolve"],
        icon="link_off",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Take this match apart",
            "description": "What was booked stays booked: to undo that too, reverse it.",
            "form_class": ReasonDialog,
            "form_submit_text": "Take apart",
        },
    )
    def unmatch(self, request, form, object_id):
        return self.perform(request, object_id, unmatch_line, form, done="Taken apart.")

    @action(
        description="Reverse and take apart",
        permissions=["resolve"],
        icon="undo",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Reverse what was booked from this line",
            "description": "The line may be booked anew. Whoever booked it does not reverse it.",
            "form_class": ReversalDialog,
            "form_submit_text": "Reverse",
        },
    )
    def reverse_booking(self, request, form, object_id):
        return self.perform(
            request,
            object_id,
            booking.reverse_booking,
            form,
            done="Reversed: the line is missing here again.",
        )

    @admin.action(description="Match together by hand", permissions=["resolve"])
    def match_selected(self, request, queryset):
        return self.perform_bulk(
            request,
            queryset,
            match_lines,
            partial(LinesDialog, rows=queryset[:SHOWN_IN_BULK]),
            title="Match these lines by hand",
            description="With each other, where they cancel out, or with entries of the books.",
            submit="Match",
            done=lambda match: f"{match.lines.count()} lines are matched.",
        )


class VerdictFilter(DropdownFilter):
    title = "verdict"
    parameter_name = "verdict"

    def lookups(self, request, model_admin):
        return [(v.value, v.label) for v in Verdict if v != Verdict.MISSING_THERE]

    def queryset(self, request, queryset):
        known = self.value() in Verdict.values and self.value() != Verdict.MISSING_THERE
        return queryset.standing(self.value()) if known else queryset


class StatementLineResource(ModelResource):
    class Meta:
        model = StatementLine
        fields = ("account", "day", "at", "value_date", "reference", "kind", "narration", "party",
                  "account_no", "linked", "amount", "balance", "happened")  # fmt: skip
        export_order = fields


@admin.register(StatementLine)
class StatementLineAdmin(OfWholeLender, LineActions, Totals, StaffAdmin):
    resource_classes = (StatementLineResource,)
    list_display = ("day", "reference", "kind", "shown_narration", "account_no", "shown_amount",
                    "shown_verdict")  # fmt: skip
    list_display_links = ("day", "reference")
    list_filter = (
        VerdictFilter,
        ("account", RelatedDropdownFilter),
        ("reconciliation", RelatedDropdownFilter),
        ("day", RangeDateFilter),
    )
    search_fields = ("=reference", "=linked", "narration", "party")
    search_help_text = "Receipt or reference, linked transaction, name in the narration"
    ordering = ("-day", "-pk")
    sortable_by = ()
    readonly_fields = ("shown_amount", "shown_balance")
    fieldsets = (
        (
            "As the statement says",
            {
                "fields": (
                    ("reference", "shown_amount", "shown_balance"),
                    ("day", "at", "value_date"),
                    ("kind", "account_no", "linked"),
                    "narration",
                    "party",
                    ("account", "reconciliation"),
                    ("file", "number"),
                )
            },
        ),
    )
    change_form_outer_before_template = "admin/reconciliation/line.html"

    def get_queryset(self, request):
        return super().get_queryset(request).with_match()

    def totals_of(self, rows):
        found = rows.aggregate(
            into=money.total(Case(When(amount__gt=0, then="amount"), default=money.ZERO)),
            out=money.total(Case(When(amount__lt=0, then="amount"), default=money.ZERO)),
        )
        return [("Money in", kes(found["into"])), ("Money out", kes(-found["out"]))]

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        line = self.get_object(request, object_id) if object_id else None
        found = {"told": line, **matches_of(line)} if line else {}
        return super().changeform_view(
            request, object_id, form_url, {**found, **(extra_context or {})}
        )

    @display(description="Narration")
    def shown_narration(self, line):
        return line.narration[:60]

    @display(description="Amount", ordering="amount")
    def shown_amount(self, line):
        return kes(line.amount)

    @display(description="Balance")
    def shown_balance(self, line):
        return kes(line.balance)

    @display(
        description="Verdict", label={v.label: colour for v, colour in VERDICT_COLOURS.items()}
    )
    def shown_verdict(self, line):
        return line.verdict.label


def matches_of(line: StatementLine) -> dict:
    """Return what the page of a line shows of its matches, those that were taken apart too."""
    matches = (
        Match.objects.filter(lines__line=line)
        .select_related("made_by", "reconciliation__account")
        .prefetch_related("entries__entry", "lines__line")
        .order_by("-is_live", "-pk")
    )
    document = documents.of_lines([line]).get(line.pk) if line.verdict in FREE else None
    return {"matches": matches, "colour": VERDICT_COLOURS[line.verdict], "document": document}
