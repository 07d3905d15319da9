"""What one customer was lent, charged and forgiven, and what they paid, over all their loans."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q, QuerySet

from lms import dates, money
from lms.customers.models import Customer
from lms.ledger import chart, profiles
from lms.ledger.models import Transfer
from lms.loans.models import Loan
from lms.money import ZERO
from lms.payments.models import Payment
from lms.reports.shape import (
    Column,
    Kind,
    Look,
    Report,
    Row,
    money_columns,
    row,
    total,
)
from lms.reports.sources import entry_cell, papers_of, source_of
from lms.reports.spans import Scope

# A customer's account with the lender: what they owe, less what is held of theirs.
OWED = {
    chart.LOAN_PRINCIPAL: "Principal",
    chart.INTEREST_RECEIVABLE: "Interest",
    chart.FEES_RECEIVABLE: "Fees",
    chart.PENALTIES_RECEIVABLE: "Penalties",
}
HELD = {chart.CUSTOMER_CREDIT: "Credit", chart.UNALLOCATED: "Not yet allocated"}
OWN = {**OWED, **HELD}
# Events that give up what is owed, whatever account bears it; and the accounts that bear losses.
RELIEF = ("waiver", "write_off", "rebate", "cancellation")
LOSSES = (chart.WAIVERS, chart.LOANS_WRITTEN_OFF, chart.ALLOWANCE, chart.RECOVERIES)
EARNED = (
    chart.UNEARNED_INTEREST,
    chart.CAPITALISED_INTEREST,
    chart.SUSPENDED_INTEREST,
    chart.INTEREST_INCOME,
    chart.FEE_INCOME,
    chart.PENALTY_INCOME,
    chart.EXCISE_PAYABLE,
)
COLUMNS = ("Disbursed", "Charged", "Paid", "Given up", "Paid back")
DISBURSED, CHARGED, PAID, GIVEN_UP, PAID_BACK = COLUMNS


class Moved(NamedTuple):
    """One movement of a customer's account: KES, positive where it adds to what they owe."""

    own: str
    other: str
    kind: str
    amount: Decimal


def column_of(moved: Moved) -> str:
    """Return the column of the statement that a movement belongs to."""
    if moved.other in LOSSES or moved.kind.startswith(RELIEF):
        return GIVEN_UP
    if moved.own == chart.CUSTOMER_CREDIT:
        return PAID_BACK
    if moved.own == chart.UNALLOCATED:
        return PAID
    is_lent = moved.own == chart.LOAN_PRINCIPAL and moved.other not in EARNED
    return DISBURSED if is_lent else CHARGED


def transfers_of(customer: Customer, scope: Scope) -> QuerySet[Transfer]:
    """Return the transfers about a customer: their loans, their payments and themselves."""
    loans = Loan.objects.filter(customer=customer).only("pk")
    payments = Payment.objects.filter(customer=customer).only("pk")
    subjects = [customer.number]
    subjects += [loan.number for loan in loans] + [payment.number for payment in payments]
    found = Transfer.objects.filter(subject__in=subjects)
    return found if scope.branch_ids is None else found.filter(branch__in=scope.branch_ids)


def standing(transfers: QuerySet[Transfer], on: date) -> dict[str, Decimal]:
    """Return what stood on each account of a customer at the end of a day (KES owed to us)."""
    found: dict[str, Decimal] = dict.fromkeys(OWN, ZERO)
    commons = profiles.common()
    sums = (
        transfers.filter(date__lte=on)
        .order_by()
        .values_list("debit", "credit")
        .annotate(sum=money.total("amount"))
    )
    for debit, credit, amount in sums:
        for code, signed in ((debit, amount), (credit, -amount)):
            place = commons.get(code, code)
            if place in found:
                found[place] += money.money(signed)
    return found


def customer_statement(*, customer: Customer, first: date, last: date, scope: Scope) -> Report:
    """Return every event that changed what a customer owes, net of what is held of theirs.

    What only moves between their own accounts (a payment placed on a loan) changes nothing.
    """
    transfers = transfers_of(customer, scope)
    before = standing(transfers, first - timedelta(days=1))
    after = standing(transfers, last)
    opening = total(before.values())
    rows = [row(None, "", "Opening balance", "", *[None] * len(COLUMNS), opening, look=Look.SUM)]
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    running = opening
    events = _events(transfers.filter(date__range=(first, last)))
    papers = papers_of(event[0].entry_id for event in events)
    for transfer, amounts in events:
        running += total(amounts.values())
        for name, amount in amounts.items():
            sums[name] += amount
        rows.append(
            row(
                transfer.date,
                entry_cell(transfer.entry_id),
                transfer.entry.narration,
                source_of(transfer, papers),
                *(amounts.get(name) for name in COLUMNS),
                running,
            )
        )
    sums_shown = [sums[name] for name in COLUMNS]
    rows.append(row(None, "", "Closing balance", "", *sums_shown, running, look=Look.TOTAL))
    rows += _parts(after)
    return Report(
        title=f"Statement of {customer.name}",
        about=(customer.number, f"{dates.show(first)} to {dates.show(last)}", scope.name),
        columns=(
            Column("Day", Kind.DAY),
            *(Column(title) for title in ("Entry", "What", "Source")),
            *money_columns([*COLUMNS, "Balance"]),
        ),
        rows=tuple(rows),
        notes=(
            "The balance is what the customer owes; in brackets, what is held for the customer.",
            "What was written off is no longer part of it, though it is still asked for.",
        ),
    )


def _events(transfers: QuerySet[Transfer]) -> list[tuple[Transfer, dict[str, Decimal]]]:
    """Return each entry that changes the account, with its amount in each column."""
    commons = profiles.common()
    own = {*OWN, *(code for code, common in commons.items() if common in OWN)}
    ours = Q(debit__in=own) ^ Q(credit__in=own)
    found: dict[tuple, tuple[Transfer, dict[str, Decimal]]] = {}
    for transfer in transfers.filter(ours).select_related("entry").order_by("date", "pk"):
        debit, credit = (
            commons.get(code, code) for code in (transfer.debit_id, transfer.credit_id)
        )
        moved = (
            Moved(debit, credit, transfer.entry.kind, transfer.amount)
            if debit in OWN
            else Moved(credit, debit, transfer.entry.kind, -transfer.amount)
        )
        key = (transfer.entry_id, transfer.subject)
        _, amounts = found.setdefault(key, (transfer, {}))
        column = column_of(moved)
        amounts[column] = amounts.get(column, ZERO) + moved.amount
    return [event for event in found.values() if any(event[1].values())]


def _parts(after: dict[str, Decimal]) -> Iterable[Row]:
    """Return what the closing balance is made of."""
    for code, name in OWN.items():
        if after[code]:
            yield row(None, "", f"of which {name.lower()}", "", *[None] * 5, after[code], level=1)
