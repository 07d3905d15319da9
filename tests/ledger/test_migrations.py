"""The day of transfers, filled on rows that were posted before it was kept."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from tests.migrating import migrate

BEFORE = ("ledger", "0005_seed_between_branches")
AFTER = ("ledger", "0009_require_the_day_of_transfers")


@pytest.mark.usefixtures("empty_database")
def test_old_transfers_get_the_day_of_their_entry_and_stay_locked():
    old = migrate(BEFORE)
    branch = old.get_model("staff", "Branch").objects.create(code="NRB", name="Nairobi")
    for number, day in enumerate([date(2026, 1, 15), date(2026, 2, 3)]):
        entry = old.get_model("ledger", "JournalEntry").objects.create(
            date=day, kind="test", reference=f"test:{number}", narration="A test"
        )
        old.get_model("ledger", "Transfer").objects.create(
            entry=entry, debit_id="1010", credit_id="2010", amount=Decimal(5), branch=branch
        )

    transfer = migrate(AFTER).get_model("ledger", "Transfer")

    assert list(transfer.objects.order_by("pk").values_list("date", flat=True)) == [
        date(2026, 1, 15),
        date(2026, 2, 3),
    ]
    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        transfer.objects.update(amount=Decimal(6))
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_header FROM ledger_account WHERE code = '1000'")
        assert bool(cursor.fetchone()[0])
