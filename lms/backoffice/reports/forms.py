"""What a person answers to get a report: days, branch, and what else it needs."""

from collections.abc import Mapping
from datetime import date, timedelta

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from lms import dates
from lms.customers.models import Customer
from lms.ledger.models import Account
from lms.reports import spans
from lms.reports.spans import Scope, Span
from lms.staff.models import Branch

EARLIEST, LATEST = date(1990, 1, 1), date(2100, 12, 31)
MOST_FOUND = 5
COMPARED, BRANCHES = "compared", "branches"


def day_field(label: str) -> forms.DateField:
    """Return a field for a day, with the calendar of the browser: it works on phones too."""
    widget = UnfoldAdminTextInputWidget(attrs={"type": "date"})
    return forms.DateField(label=label, widget=widget)


class ReportForm(forms.Form):
    """The filters of a report, read from the address. Answers left out of it are the usual ones."""

    branch = forms.ModelChoiceField(
        Branch.objects.all(),
        required=False,
        empty_label=spans.ALL_BRANCHES,
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, answers: Mapping[str, str], *, staff, on: date) -> None:
        self.staff, self.on = staff, on
        given = {name: answers[name] for name in self.base_fields if name in answers}
        super().__init__({**self.usual(on), **given})
        if not staff.sees_all_branches:
            del self.fields["branch"]

    def usual(self, on: date) -> dict[str, object]:
        """Return the answers of a person who gave none."""
        return {}

    def presets(self, on: date) -> list[tuple[str, dict[str, object]]]:
        """Return days that people ask for often, and the answers that mean them."""
        return []

    @property
    def scope(self) -> Scope:
        """Return whose books these answers ask for: never more than the person may see."""
        own = self.staff.branch if not self.staff.sees_all_branches else None
        branch = own or self.cleaned_data.get("branch")
        return Scope((branch.pk,), branch.name) if branch else Scope()

    def clean(self) -> dict:
        answers = super().clean()
        for name, day in list(answers.items()):
            if isinstance(day, date) and not EARLIEST <= day <= LATEST:
                self.add_error(name, f"Choose a year from {EARLIEST.year} to {LATEST.year}.")
        first, last = answers.get("first"), answers.get("last")
        if first and last and first > last:
            self.add_error("last", "This is before the first day.")
        return answers

    def branches(self) -> list[tuple[int, str]]:
        """Return the branches that stand in columns: those of the books the person sees."""
        rows = Branch.objects.order_by("name")
        if self.scope.branch_ids:
            rows = rows.filter(pk__in=self.scope.branch_ids)
        return [(branch.pk, branch.name) for branch in rows]


class DaysForm(ReportForm):
    """Some days, both included; this month so far unless told."""

    first = day_field("From")
    last = day_field("To")
    field_order = ("first", "last", "branch")

    def usual(self, on: date) -> dict[str, object]:
        return {"first": on.replace(day=1), "last": on}

    def presets(self, on: date) -> list[tuple[str, dict[str, object]]]:
        eve = on.replace(day=1) - timedelta(days=1)
        ranges = (
            ("This month", spans.month_of(on)),
            ("Last month", spans.month_of(eve)),
            ("This year", spans.year_to(on)),
            ("Last year", (date(on.year - 1, 1, 1), date(on.year - 1, 12, 31))),
        )
        return [(title, {"first": first, "last": last}) for title, (first, last) in ranges]


class TrialBalanceForm(DaysForm):
    """As of a day; with a first day also what moved since."""

    field_order = ("last", "first", "branch")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["first"].required = False
        self.fields["first"].label = "Movements since"
        self.fields["last"].label = "As of"

    def usual(self, on: date) -> dict[str, object]:
        return {"last": on}


class ColumnsForm(DaysForm):
    """Days, and what stands beside them in further columns."""

    columns = forms.ChoiceField(
        choices=[
            ("", "These days alone"),
            (COMPARED, "Compared with before"),
            (BRANCHES, "By branch"),
        ],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ("first", "last", "columns", "branch")

    def usual(self, on: date) -> dict[str, object]:
        return {**super().usual(on), "columns": COMPARED}

    def spans(self) -> list[Span]:
        first, last = self.cleaned_data["first"], self.cleaned_data["last"]
        if self.cleaned_data["columns"] == BRANCHES:
            return spans.by_branch(first, last, self.scope, self.branches())
        ranges = [(spans.between(first, last), (first, last))]
        if self.cleaned_data["columns"] == COMPARED:
            before, earlier = spans.before(first, last), spans.year_before(first, last)
            ranges += [
                (spans.between(*before), before),
                (spans.between(*earlier), earlier),
                ("Year to date", spans.year_to(last)),
            ]
        return [Span(title, *days, self.scope) for title, days in ranges]


class BalanceSheetForm(ColumnsForm):
    """A day, and what stands beside it in further columns."""

    first = None
    field_order = ("last", "columns", "branch")

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["last"].label = "As of"
        self.fields["columns"].choices = [
            ("", "This day alone"),
            (COMPARED, "Compared with before"),
            (BRANCHES, "By branch"),
        ]

    def usual(self, on: date) -> dict[str, object]:
        return {"last": on, "columns": COMPARED}

    def presets(self, on: date) -> list[tuple[str, dict[str, object]]]:
        eve = on.replace(day=1) - timedelta(days=1)
        days = (
            ("Today", on),
            ("End of last month", eve),
            ("End of last year", date(on.year - 1, 12, 31)),
        )
        return [(title, {"last": day}) for title, day in days]

    def spans(self) -> list[Span]:
        """Return a column a day; what leads on from a figure starts with the year of its day."""
        last, columns = self.cleaned_data["last"], self.cleaned_data["columns"]
        if columns == BRANCHES:
            return spans.by_branch(*spans.year_to(last), self.scope, self.branches())
        days = [last]
        if columns == COMPARED:
            days.append(last.replace(day=1) - timedelta(days=1))
            days.append(spans.year_before(last, last)[1])
        return [Span(dates.show(day), *spans.year_to(day), self.scope) for day in days]


class AccountForm(DaysForm):
    """One account and some days."""

    account = forms.ModelChoiceField(
        Account.objects.filter(is_header=False),
        empty_label="Choose an account",
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ("account", "first", "last", "branch")


class CashBookForm(DaysForm):
    """Some days, and one account on the other side where told."""

    counter = forms.ModelChoiceField(
        Account.objects.filter(is_header=False),
        label="Against",
        required=False,
        empty_label="Any account",
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ("first", "last", "counter", "branch")


class JournalForm(DaysForm):
    """Some days, and one kind of event where told."""

    event = forms.CharField(
        required=False,
        max_length=24,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "receipt, write off …"}),
    )
    field_order = ("first", "last", "event", "branch")

    def clean_event(self) -> str:
        """Return the event as entries name it, however it was typed."""
        return "_".join(self.cleaned_data["event"].lower().split())


class CustomerForm(DaysForm):
    """One customer, by whatever a person has in hand, and some days; this year unless told."""

    customer = forms.CharField(
        max_length=120,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Number, phone, ID or name"}),
    )
    field_order = ("customer", "first", "last", "branch")

    def usual(self, on: date) -> dict[str, object]:
        first, last = spans.year_to(on)
        return {"first": first, "last": last}

    def clean_customer(self) -> Customer:
        seen = Customer.objects.seen_by(self.staff).matching(self.cleaned_data["customer"])
        found = list(seen.order_by("name")[: MOST_FOUND + 1])
        if len(found) == 1:
            return found[0]
        if not found:
            raise forms.ValidationError("There is no such customer in your branch.")
        names = ", ".join(str(customer) for customer in found[:MOST_FOUND])
        more = " and more" if len(found) > MOST_FOUND else ""
        raise forms.ValidationError(f"Several fit: {names}{more}. Type the number of one.")
