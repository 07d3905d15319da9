"""What the database itself refuses of posted rows, whoever asks."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from lms.ledger import chart
from lms.ledger.models import JournalEntry, Transfer
from lms.ledger.operations import Line, post
from tests import factories
from tests.replacing import listens_to_replaced_rows, replace, truncate

DAY = date(2026, 1, 15)
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone replaces")
on_postgresql = pytest.mark.skipif(connection.vendor == "sqlite", reason="PostgreSQL truncates")


@pytest.fixture
def posted(db) -> Transfer:
    entry = post(
        kind="test",
        reference="event:1",
        on=DAY,
        narration="A test",
        lines=[Line(chart.BANK, chart.CASH, Decimal(10))],
        branch_id=factories.branch().pk,
        by=None,
    )
    return entry.transfers.get()


@on_sqlite
@pytest.mark.parametrize("listens", [True, False])
def test_no_row_takes_the_place_of_a_posted_one(posted, listens):
    with listens_to_replaced_rows(listens):
        for row, changed in (
            (posted, {"amount": "999999"}),
            (posted.entry, {"narration": "'x'"}),
            (posted.entry, {"id": "id + 1"}),  # the same reference
        ):
            with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
                replace(row, **changed)

    assert Transfer.objects.get().amount == 10
    assert JournalEntry.objects.get().narration == "A test"


def test_every_connection_listens_to_replaced_rows(db):
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers")
            assert cursor.fetchone() == (1,)


@on_postgresql
@pytest.mark.parametrize("model", [Transfer, JournalEntry])
def test_the_tables_are_not_emptied(posted, model):
    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        truncate(model)

    assert Transfer.objects.get() == posted
