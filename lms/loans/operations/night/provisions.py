"""What each table asks for against the loans of a day, and the allowance that is booked."""

from collections import defaultdict
from datetime import date
from decimal import Decimal

from django.db.models import Count, Sum

from lms import money
from lms.ledger import chart
from lms.ledger.models import JournalEntry, Transfer
from lms.ledger.operations import Line, post
from lms.loans.models import LoanSnapshot, Provision, ProvisionTable
from lms.money import ZERO
from lms.staff.models import Branch


def provide(*, on: date) -> int:
    """Write the provisions of a day for all tables, book the change of one; return the rows."""
    written = 0
    for table in ProvisionTable.objects.all():
        wanted = _wanted(table, on=on)
        written += _write(table, wanted, on=on)
        if table.is_booked:
            written += _book(wanted, on=on)
    return written


Wanted = dict[tuple[int, str], tuple[int, Decimal, Decimal]]


def _wanted(table: ProvisionTable, *, on: date) -> Wanted:
    """Return loans, principal and provision (KES) by branch and class.

    The table of the books goes by the class of the loan, the others by its days past due alone.
    """
    bands = table.bands_on(on)
    rates = {band.name: band.rate for band in bands}
    found: Wanted = {}
    if not bands:
        return found
    sums = LoanSnapshot.objects.filter(day=on).order_by()
    key = "classification" if table.is_booked else "days_past_due"
    by_class: dict[tuple[int, str], list] = defaultdict(lambda: [0, ZERO])
    for branch, value, loans, principal in sums.values_list("branch", key).annotate(
        loans=Count("pk"), sum=Sum("principal")
    ):
        name = value if table.is_booked and value in rates else _name(bands, value)
        entry = by_class[branch, name]
        entry[0] += loans
        entry[1] += money.money(principal)
    for (branch, name), (loans, principal) in by_class.items():
        found[branch, name] = (loans, principal, money.money(principal * rates[name] / 100))
    return found


def _name(bands, days) -> str:
    reached = days if isinstance(days, int) else 0
    return next(band.name for band in reversed(bands) if band.from_days <= reached)


def _write(table: ProvisionTable, wanted: Wanted, *, on: date) -> int:
    """Write what differs from the rows there are."""
    rows = Provision.objects.filter(day=on, table=table)
    there = {
        (row.branch_id, row.classification): (row.loans, row.principal, row.required)
        for row in rows
    }
    gone = there.keys() - wanted.keys()
    for branch, name in gone:
        rows.filter(branch=branch, classification=name).delete()
    made = Provision.objects.bulk_create(
        (
            Provision(
                day=on,
                table=table,
                branch_id=branch,
                classification=name,
                loans=loans,
                principal=principal,
                required=required,
            )
            for (branch, name), (loans, principal, required) in sorted(wanted.items())
            if there.get((branch, name)) != (loans, principal, required)
        ),
        update_conflicts=True,
        unique_fields=["day", "table", "branch", "classification"],
        update_fields=["loans", "principal", "required"],
    )
    return len(made) + len(gone)


def _book(wanted: Wanted, *, on: date) -> int:
    """Bring the allowance of every branch to what is required; return how many entries."""
    required: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for (branch, _), (_, _, amount) in wanted.items():
        required[branch] += amount
    booked = _allowances()
    entries = 0
    for branch in sorted(required.keys() | booked.keys()):
        Branch.objects.select_for_update(no_key=True).get(pk=branch)
        more = required[branch] - booked.get(branch, ZERO)
        if more:
            accounts = chart.PROVISION_EXPENSE, chart.ALLOWANCE
            debit, credit = accounts if more > 0 else accounts[::-1]
            post(
                kind="provision",
                reference=_reference(branch, on=on),
                on=on,
                narration=f"Provision for loan losses of {on:%d %b %Y}",
                lines=[Line(debit, credit, abs(more))],
                branch_id=branch,
                by=None,
            )
            entries += 1
    return entries


def _allowances() -> dict[int, Decimal]:
    """Return the booked allowance of each branch (KES)."""
    found: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for side, sign in (("credit", 1), ("debit", -1)):
        rows = Transfer.objects.filter(**{side: chart.ALLOWANCE}).order_by()
        for branch, amount in rows.values_list("branch").annotate(sum=money.total("amount")):
            found[branch] += sign * money.money(amount)
    return found


def _reference(branch: int, *, on: date) -> str:
    reference = f"provision:{on}:{branch}"
    again = JournalEntry.objects.keyed(f"{reference}.").count()
    first = not JournalEntry.objects.filter(reference=reference).exists()
    return reference if first else f"{reference}.{again + 2}"
