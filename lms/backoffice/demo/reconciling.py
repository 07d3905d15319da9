"""The paybill's statement of last month, brought by the accountant and worked through by half."""

import csv
import io
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from lms import dates
from lms.backoffice.demo.story import Story
from lms.ledger import chart
from lms.ledger.models import Account
from lms.payments.models import Payment
from lms.reconciliation import books
from lms.reconciliation.books import Entry
from lms.reconciliation.operations import beginning, booking, importing

HEADER = (
    "Receipt No.", "Completion Time", "Initiation Time", "Details", "Transaction Status",
    "Paid In", "Withdrawn", "Balance", "Balance Confirmed", "Reason Type", "Other Party Info",
    "Linked Transaction ID", "A/C No.",
)  # fmt: skip
RECEIVED, PAID, CHARGE = (
    "Pay Bill Online",
    "Business Payment to Customer via API",
    "Business Payment to Customer via API Charge",
)
SETTLED = "Withdraw Funds to Bank"
OPENING = Decimal("2400000.00")
TARIFF = Decimal("13.00")
# What becomes of some of the month's entries on the statement, by their place among them.
LEFT_OUT, OTHER_AMOUNT, SAID_TWICE = 3, 5, 8
STRANGERS = ((6, "1500.00", "LN-00O12"), (13, "800.00", "SHOP"), (21, "2350.00", ""))
# Charges before this day of the month are booked; the others wait for somebody.
BOOKED_UNTIL = 15


def plan(story: Story) -> None:
    """Plan the accountant's afternoon, two days before today."""
    story.plan(story.today - timedelta(days=2), 15, partial(reconcile, story))


def reconcile(story: Story, on: date) -> None:
    """Bring last month's statement, let it be matched, and book the charges of its first half."""
    last = on.replace(day=1) - timedelta(days=1)
    accountant = story.office.accountant
    period = beginning.begin(
        account=Account.objects.get(pk=chart.MPESA_PAYBILL),
        first=last.replace(day=1),
        last=last,
        by=accountant,
        on=on,
    )
    entries = list(
        books.entries(
            books.moved(period.account_id)
            .filter(date__range=(period.first, period.last))
            .order_by("date", "entry_id")
        )
    )
    file = importing.bring(
        period,
        content=_statement(story, entries, period.first),
        filename=f"Paybill {last:%B %Y}.csv",
        by=accountant,
    )
    importing.take_in(file, by=accountant, on=on)
    for line in booking.charges_missing(period):
        if line.day.day < BOOKED_UNTIL:
            booking.book_charge(line, by=accountant, on=on)


def _statement(story: Story, entries: list[Entry], first: date) -> bytes:
    """Return the month as M-Pesa would export it, newest first, not quite as the books have it."""
    rows: list[tuple] = []
    accounts = dict(
        Payment.objects.filter(entry__in=[entry.pk for entry in entries]).values_list(
            "entry_id", "account"
        )
    )
    for place, entry in enumerate(entries):
        if place == LEFT_OUT or not entry.reference:
            continue
        amount = entry.amount + (50 if place == OTHER_AMOUNT else 0)
        kind = RECEIVED if amount > 0 else PAID
        row = (entry.day, entry.reference, kind, amount, accounts.get(entry.pk, ""))
        rows += [row, row] if place == SAID_TWICE else [row]
        if amount < 0:
            rows.append((entry.day, entry.reference, CHARGE, -TARIFF, ""))
    for day, amount, account in STRANGERS:
        on = first.replace(day=day)
        rows.append((on, story.till.receipt(on), RECEIVED, Decimal(amount), account))
    settled = first.replace(day=20)
    rows.append((settled, story.till.receipt(settled), SETTLED, Decimal("-150000.00"), ""))
    return _written(sorted(rows, key=lambda row: row[0]))


def _written(rows: list[tuple]) -> bytes:
    text, balance, told = io.StringIO(), OPENING, []
    for minute, (day, receipt, kind, amount, account) in enumerate(rows):
        balance += amount
        at = f"{dates.instant(day) + timedelta(hours=8, seconds=minute * 10):%d-%m-%Y %H:%M:%S}"
        paid, withdrawn = (f"{amount:,.2f}", "") if amount > 0 else ("", f"{amount:,.2f}")
        details = f"{kind} Acc. {account}" if account else kind
        told.append(
            (receipt, at, at, details, "Completed", paid, withdrawn, f"{balance:,.2f}", "true",
             kind, "2547****011 - CUSTOMER", "", account)
        )  # fmt: skip
    sheet = csv.writer(text)
    sheet.writerow(("Organization Name", "DEMO LENDER LTD"))
    sheet.writerow(HEADER)
    sheet.writerows(reversed(told))
    return text.getvalue().encode()
