"""Closing and reopening months and years, and what the books do with days in closed ones."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import balances, books, chart, periods
from lms.ledger.balances import Balance
from lms.ledger.models import JournalEntry, Period, PeriodBalance, Transfer
from lms.ledger.operations import Line, Posting, post, post_many, reverse
from lms.staff.operations import reject
from tests import factories

D = Decimal
ZERO = D("0.00")
LATER = date(2027, 2, 1)


def sell(day: date, amount, *, by, debit=chart.CASH, credit=chart.FEE_INCOME, branch=None):
    return post(
        kind="test",
        reference=f"test:{JournalEntry.objects.count()}",
        on=day,
        narration="A test",
        lines=[Line(debit, credit, D(amount))],
        branch_id=(branch or factories.branch()).pk,
        by=by,
    )


def month(number: int, year: int = 2026) -> Period:
    return Period.objects.get(first=date(year, number, 1))


def close(*numbers: int, by) -> None:
    for number in numbers:
        periods.close_period(month(number), by=by, on=LATER)


@pytest.fixture
def sold(kamau):
    """100 in January and 50 in February 2026, and a row for every month up to January 2027."""
    sell(date(2026, 1, 15), 100, by=kamau)
    sell(date(2026, 2, 15), 50, by=kamau)
    periods.prepare(on=date(2027, 1, 5))


def test_every_month_since_the_first_posting_has_one_row(sold):
    periods.prepare(on=date(2027, 1, 31))

    assert Period.objects.count() == 13
    assert (month(2).first, month(2).last) == (date(2026, 2, 1), date(2026, 2, 28))
    assert str(month(2)) == "February 2026"


def test_a_closed_month_carries_the_sums_of_all_accounts(sold, kamau):
    close(1, 2, by=kamau)

    carried = PeriodBalance.objects.filter(period=month(2))
    assert set(carried.values_list("account_id", "debit", "credit")) == {
        (chart.CASH, D(150), D(0)),
        (chart.FEE_INCOME, D(0), D(150)),
    }
    assert month(2).closed_by == kamau
    assert month(2).history.latest().history_user == kamau


def test_months_are_closed_in_order_and_when_they_are_over(sold, kamau):
    with pytest.raises(Refused, match=r"January 2026 is open: months are closed in order\."):
        close(2, by=kamau)
    with pytest.raises(Refused, match=r"January 2026 is not over: it ends on 31 Jan 2026\."):
        periods.close_period(month(1), by=kamau, on=date(2026, 1, 31))
    close(1, by=kamau)
    with pytest.raises(Refused, match=r"January 2026 is closed already\."):
        close(1, by=kamau)

    assert list(Period.objects.closed()) == [month(1)]
    assert periods.next_to_close() == month(2)


def test_what_happened_in_a_closed_month_stands_in_the_books_on_the_first_open_day(sold, kamau):
    close(1, by=kamau)

    one = sell(date(2026, 1, 20), 7, by=kamau)
    (other,) = post_many(
        [
            Posting(
                "many:1", "A test", [Line(chart.CASH, chart.BANK, D(1))], factories.branch().pk, ""
            )
        ],
        kind="test",
        on=date(2025, 12, 31),
        by=kamau,
    )
    mirror = reverse(JournalEntry.objects.first(), reason="x", on=date(2026, 1, 30), by=kamau)

    for entry in (one, other, mirror):
        assert entry.date == date(2026, 2, 1)
        assert entry.transfers.get().date == date(2026, 2, 1)


def test_a_day_a_person_chose_is_refused(sold, kamau):
    close(1, by=kamau)

    books.must_be_open(date(2026, 2, 1))
    with pytest.raises(Refused, match=r"January 2026 is closed: take a day from 1 Feb 2026") as no:
        books.must_be_open(date(2026, 1, 31))
    assert no.value.field == "on"


def test_the_database_refuses_a_closed_month_whoever_posts(sold, kamau):
    entry = JournalEntry.objects.first()
    close(1, by=kamau)

    with pytest.raises(IntegrityError, match="ledger_period_closed"), transaction.atomic():
        JournalEntry.objects.create(date=date(2026, 1, 31), kind="x", reference="x", narration="x")
    with pytest.raises(IntegrityError, match="ledger_period_closed"), transaction.atomic():
        Transfer.objects.create(
            entry=entry,
            date=date(2026, 1, 31),
            debit_id=chart.CASH,
            credit_id=chart.BANK,
            amount=D(1),
            branch=factories.branch(),
        )
    with (
        pytest.raises(Refused, match="January 2026 is closed"),
        transaction.atomic(),
        books.refusing(date(2026, 1, 31)),
    ):
        JournalEntry.objects.create(date=date(2026, 1, 31), kind="x", reference="x", narration="x")

    assert JournalEntry.objects.count() == 2


def test_reopening_takes_a_second_person(sold, kamau, mutua):
    close(1, by=kamau)
    asked = periods.ask_to_reopen(month(1), reason="A bill came", by=kamau, on=LATER)
    with pytest.raises(Refused, match="yourself"):
        periods.reopen(asked, reason="", by=kamau, on=LATER)
    assert month(1).is_closed

    periods.reopen(asked, reason="seen", by=mutua, on=LATER)

    assert not month(1).is_closed
    assert not PeriodBalance.objects.exists()
    assert sell(date(2026, 1, 20), 7, by=kamau).date == date(2026, 1, 20)
    close(1, by=kamau)
    assert balances.balance(chart.CASH, date(2026, 1, 31)) == Balance(D(107), ZERO)


def test_a_rejected_reopening_leaves_the_month_closed(sold, kamau, mutua):
    close(1, by=kamau)
    asked = periods.ask_to_reopen(month(1), reason="A bill came", by=kamau, on=LATER)

    reject(asked, reason="too late", by=mutua, on=LATER)

    assert month(1).is_closed
    with pytest.raises(Refused, match="rejected already"):
        periods.reopen(asked, reason="", by=mutua, on=LATER)


def test_only_the_last_closed_month_is_reopened(sold, kamau):
    with pytest.raises(Refused, match="January 2026 is open"):
        periods.ask_to_reopen(month(1), reason="x", by=kamau, on=LATER)
    close(1, 2, by=kamau)

    with pytest.raises(Refused, match=r"February 2026 is closed too: reopen that first\."):
        periods.ask_to_reopen(month(1), reason="x", by=kamau, on=LATER)


def test_a_year_ends_in_retained_earnings_by_branch_and_reopening_undoes_it(sold, kamau, mutua):
    far = factories.branch("MSA", "Mombasa")
    sell(date(2026, 5, 1), 30, by=kamau, debit=chart.RENT, credit=chart.CASH, branch=far)
    last = date(2026, 12, 31)
    with pytest.raises(Refused, match="ends the year"):
        close(12, by=kamau)
    with pytest.raises(Refused, match="closed as a month"):
        periods.close_year(month(1), by=kamau, on=LATER)
    close(*range(1, 12), by=kamau)

    periods.close_year(month(12), by=kamau, on=LATER)

    after = balances.by_branch(last)
    assert after[chart.RETAINED_EARNINGS, factories.branch().pk].net == D(-150)
    assert after[chart.RETAINED_EARNINGS, far.pk].net == D(30)
    assert balances.balance(chart.FEE_INCOME, last).net == 0
    year = date(2026, 1, 1), last
    assert balances.movements(*year)[chart.FEE_INCOME].net == D(-150)
    assert chart.RETAINED_EARNINGS not in balances.movements(*year)
    moved = balances.movements(*year, with_year_end=True)
    assert moved[chart.RETAINED_EARNINGS].net == D(-120)

    asked = periods.ask_to_reopen(month(12), reason="The audit", by=kamau, on=LATER)
    assert "is reversed" in asked.diff
    periods.reopen(asked, reason="yes", by=mutua, on=LATER)

    assert balances.balance(chart.RETAINED_EARNINGS, last).net == 0
    assert balances.balance(chart.FEE_INCOME, last).net == D(-150)
    assert balances.movements(*year)[chart.FEE_INCOME] == Balance(ZERO, D(150))
    periods.close_year(month(12), by=kamau, on=LATER)
    assert balances.balance(chart.RETAINED_EARNINGS, last).net == D(-120)


def test_balances_are_the_same_with_and_without_closed_months(sold, kamau):
    days = [date(2025, 12, 31), date(2026, 1, 15), date(2026, 1, 31), date(2026, 2, 20), LATER]
    far = factories.branch("MSA", "Mombasa")
    sell(date(2026, 2, 16), 5, by=kamau, branch=far)

    def answers():
        return [
            (
                balances.balances(day),
                balances.balances(day, branch_ids=[far.pk]),
                balances.balance(chart.CASH, day),
            )
            for day in days
        ]

    before = answers()
    close(1, by=kamau)
    assert answers() == before
    close(2, 3, by=kamau)
    assert answers() == before
    assert before[3][0][chart.CASH] == Balance(D(155), ZERO)
    assert before[3][1] == {
        chart.CASH: Balance(D(5), ZERO),
        chart.FEE_INCOME: Balance(ZERO, D(5)),
    }


def test_a_statement_opens_with_what_came_before_and_lists_the_rest(sold, kamau):
    close(1, by=kamau)
    last = sell(date(2026, 2, 20), 20, by=kamau, debit=chart.BANK, credit=chart.CASH)

    found = balances.statement(chart.CASH, date(2026, 2, 16), date(2026, 2, 28))

    assert found.opening == Balance(D(150), ZERO)
    assert [row.entry for row in found.transfers] == [last]
