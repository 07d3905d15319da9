from datetime import date
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry, Transfer
from lms.ledger.operations import Line, Posting, post, post_many, reverse
from tests import factories
from tests.books import balances

DAY = date(2026, 1, 15)
D = Decimal
TWO_HUNDRED = D("200.00")


def an_entry(*, by, reference="event:1", amount=TWO_HUNDRED, on=DAY):
    return post(
        kind="test",
        reference=reference,
        on=on,
        narration="A test",
        lines=[Line(chart.CASH, chart.UNALLOCATED, amount), Line(chart.BANK, chart.CASH, D(0))],
        branch_id=factories.branch().pk,
        by=by,
        subject="LN000001",
    )


def test_entries_are_found_by_the_beginning_of_their_key(kamau):
    for reference in (
        "allocate:4:1",
        "allocate:4:2",
        "allocate:41:1",
        "allocate:4",
        "Allocate:4:3",
    ):
        an_entry(by=kamau, reference=reference)

    found = JournalEntry.objects.keyed("allocate:4:").order_by("pk")

    assert [entry.reference for entry in found] == ["allocate:4:1", "allocate:4:2"]


def test_posting_writes_one_transfer_a_line_and_leaves_zero_out(kamau):
    entry = an_entry(by=kamau)

    (transfer,) = entry.transfers.all()
    assert (transfer.debit_id, transfer.credit_id) == (chart.CASH, chart.UNALLOCATED)
    assert transfer.amount == D("200.00")
    assert entry.date == DAY
    assert entry.posted_by == kamau


def test_an_event_is_posted_once(kamau):
    an_entry(by=kamau)

    with pytest.raises(Refused, match=r"posted already \(event:1\)"), transaction.atomic():
        an_entry(by=kamau)

    assert Transfer.objects.count() == 1


def test_an_entry_of_nothing_is_refused(kamau):
    with pytest.raises(Refused, match="nothing to post"):
        an_entry(by=kamau, amount=D(0))

    assert JournalEntry.objects.count() == 0


def test_a_day_before_the_books_begin_is_a_mistyped_year(kamau):
    posting = Posting(
        "event:1",
        "A test",
        [Line(chart.CASH, chart.UNALLOCATED, TWO_HUNDRED)],
        factories.branch().pk,
        "",
    )
    for wrong in (date(206, 1, 15), date(2014, 12, 31)):
        with pytest.raises(Refused, match=r"is before 1 Jan 2015, where the books begin"):
            an_entry(by=kamau, on=wrong)
        with pytest.raises(Refused, match="is the year right"):
            post_many([posting], kind="test", on=wrong, by=kamau)

    assert JournalEntry.objects.count() == 0
    assert an_entry(by=kamau, on=date(2015, 1, 1)).date == date(2015, 1, 1)


def test_a_reversal_mirrors_the_entry_and_happens_once(kamau):
    entry = an_entry(by=kamau)

    mirror = reverse(entry, reason="typed twice", on=date(2026, 1, 16), by=kamau)

    assert mirror.reverses == entry
    assert all(value == 0 for value in balances().values())
    with pytest.raises(Refused), transaction.atomic():
        reverse(entry, reason="again", on=DAY, by=kamau)
    with pytest.raises(Refused, match="itself a reversal"):
        reverse(mirror, reason="again", on=DAY, by=kamau)


def test_python_refuses_to_edit_or_delete_what_is_posted(kamau):
    transfer = an_entry(by=kamau).transfers.get()

    with pytest.raises(Refused, match="reverse it"):
        transfer.save()
    with pytest.raises(Refused, match="reverse it"):
        transfer.delete()


@pytest.mark.parametrize("model", [Transfer, JournalEntry])
def test_the_database_refuses_it_too(kamau, model):
    an_entry(by=kamau)

    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        model.objects.update(**({"amount": D(1)} if model is Transfer else {"narration": "x"}))
    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        model.objects.all()._raw_delete(using="default")

    assert Transfer.objects.get().amount == D("200.00")


def test_the_database_refuses_amounts_of_nothing_and_transfers_to_itself(kamau):
    entry = an_entry(by=kamau)
    same = {"entry": entry, "date": DAY, "branch": factories.branch()}

    for wrong in (
        {"debit_id": chart.CASH, "credit_id": chart.BANK, "amount": D(0)},
        {"debit_id": chart.CASH, "credit_id": chart.CASH, "amount": D(1)},
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            Transfer.objects.bulk_create([Transfer(**same, **wrong)])
