"""What an account may become, and what the database lets reach one that is no longer in use."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import balances, chart, periods
from lms.ledger.models import Account, JournalEntry, Period, Transfer
from lms.ledger.operations import Line, post, reverse
from tests import factories

D = Decimal
DAY = date(2025, 12, 5)
LATER = date(2026, 1, 10)
OLD_FEES = "4091"


@pytest.fixture
def old_fees(db):
    """Income of the lender's own making, of 1,000 in December 2025."""
    account = Account.objects.create(
        code=OLD_FEES, name="Old fees", kind="income", parent_id="4000"
    )
    book(1000)
    return account


def book(amount, *, debit=chart.BANK, credit=OLD_FEES, branch=None) -> JournalEntry:
    return post(
        kind="test",
        reference=f"test:{JournalEntry.objects.count()}",
        on=DAY,
        narration="A test",
        lines=[Line(debit, credit, D(amount))],
        branch_id=(branch or factories.branch()).pk,
        by=None,
    )


def switch(account: Account, **fields) -> None:
    """Change fields as the page does: checked, then saved."""
    for name, value in fields.items():
        setattr(account, name, value)
    account.full_clean()
    account.save()


def close_2025(by) -> None:
    periods.prepare(on=LATER)
    periods.close_year(Period.objects.get(first=date(2025, 12, 1)), by=by, on=LATER)


def test_an_account_with_a_balance_stays_in_use(old_fees, kamau):
    with pytest.raises(ValidationError, match=r"Its balance is KES 1,000\.00: bring it to zero"):
        switch(old_fees, is_active=False)

    close_2025(kamau)
    switch(Account.objects.get(pk=OLD_FEES), is_active=False)

    assert not Account.objects.get(pk=OLD_FEES).is_active


def test_an_account_no_longer_in_use_can_still_be_renamed(old_fees):
    Account.objects.filter(pk=OLD_FEES).update(is_active=False)

    switch(Account.objects.get(pk=OLD_FEES), name="Fees of the old system")

    assert Account.objects.get(pk=OLD_FEES).name == "Fees of the old system"


def test_a_year_ends_and_entries_are_reversed_on_accounts_no_longer_in_use(old_fees, kamau, mutua):
    wrong = book(200)
    Account.objects.filter(pk=OLD_FEES).update(is_active=False)

    reverse(wrong, reason="Typed twice", on=DAY, by=kamau)
    close_2025(kamau)

    assert balances.balance(OLD_FEES, DAY.replace(day=31)).net == 0
    asked = periods.ask_to_reopen(Period.objects.closed().get(), reason="x", by=kamau, on=LATER)
    periods.reopen(asked, reason="yes", by=mutua, on=LATER)
    assert balances.balance(OLD_FEES, DAY.replace(day=31)).net == -1000
    assert balances.balance(chart.RETAINED_EARNINGS, LATER).net == 0


def test_nothing_else_is_posted_to_accounts_no_longer_in_use_or_to_headers(old_fees):
    Account.objects.filter(pk=OLD_FEES).update(is_active=False)

    for code in (OLD_FEES, "4000"):
        with pytest.raises(Refused, match="a header or no longer in use"), transaction.atomic():
            book(1, credit=code)

    assert Transfer.objects.count() == 1


def test_a_header_is_not_even_reached_by_the_end_of_a_year(db):
    entry = JournalEntry.objects.create(date=DAY, kind="year_end", reference="x", narration="x")

    with pytest.raises(IntegrityError, match="takes_no_postings"), transaction.atomic():
        Transfer.objects.create(
            entry=entry,
            date=DAY,
            debit_id="4000",
            credit_id=chart.RETAINED_EARNINGS,
            amount=D(1),
            branch=factories.branch(),
        )


@pytest.mark.parametrize("code", [chart.LOAN_PRINCIPAL, chart.CASH_IN_TRANSIT, chart.TILL_CASH])
def test_what_the_chart_keeps_in_step_with_rows_takes_no_typed_entries(db, code):
    with pytest.raises(ValidationError, match="a typed entry would part them from the books"):
        switch(Account.objects.get(pk=code), takes_manual_entries=True)


def test_a_common_account_with_others_in_its_place_is_not_opened_to_typed_entries(db):
    factories.profile()
    Account.objects.filter(pk=chart.FEE_INCOME).update(takes_manual_entries=False)

    with pytest.raises(ValidationError, match="4020B Fee income, business stands for it"):
        switch(Account.objects.get(pk=chart.FEE_INCOME), takes_manual_entries=True)


def test_other_accounts_are_opened_and_closed_to_typed_entries(db):
    switch(Account.objects.get(pk=chart.RENT), takes_manual_entries=False)
    switch(Account.objects.get(pk=chart.RENT), takes_manual_entries=True)

    assert Account.objects.get(pk=chart.RENT).takes_manual_entries
