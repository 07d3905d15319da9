"""What kill -9 leaves behind: everything that was acknowledged, once."""

import csv
from datetime import timedelta

import pytest

from tests.factories import DAY
from tests.processes import scenes

pytestmark = pytest.mark.processes


def test_killed_web_workers_lose_no_acknowledged_callback(office):
    acknowledged = scenes.killed_while_answering(office, kills=8, seed=3)

    stored = office.ask("callbacks_of", acknowledged)
    assert [receipt for receipt in acknowledged if not stored[receipt]] == []
    office.ask("put_in_order")
    assert office.ask("references") == sorted(acknowledged)
    assert office.ask("payments")["placed"] == len(acknowledged)
    office.ask("prove")


def test_a_killed_cashier_finds_every_acknowledged_payment_posted_once(office):
    acknowledged = scenes.killed_while_posting(office, kills=5, seed=4)

    office.ask("put_in_order")
    posted = {int(reference.removeprefix("SLIP-")) for reference in office.ask("references")}
    # The last process may have posted one more that it had no time to say.
    assert posted in (set(range(acknowledged)), set(range(acknowledged + 1)))
    assert office.ask("payments")["placed"] == len(posted)
    office.ask("prove")


def test_a_killed_process_applies_every_callback_once_after_its_restart(office):
    scenes.killed_while_applying(office, callbacks=60, kills=3, seed=5)

    office.ask("put_in_order")
    assert office.ask("callbacks") == {"applied": 60}
    assert office.ask("references") == [scenes.receipt_of(n) for n in range(60)]
    assert office.ask("payments")["placed"] == 60
    office.ask("prove")


def test_a_killed_import_leaves_nothing_and_can_be_repeated(office, tmp_path):
    loans = office.ask("take_over", 60, 20_000)
    file = tmp_path / "schedule.csv"
    with file.open("w", newline="") as text:
        sheet = csv.writer(text)
        sheet.writerow(["loan", "number", "due_date", "amount_due", "principal", "interest"])
        for loan in loans:
            for week in range(1, 201):
                sheet.writerow([loan, week, DAY + timedelta(weeks=week), "110.00", 100, 10])

    left = scenes.killed_while_importing(office, file, seconds=(0, 0.15, 0.3, 0.45))

    assert left[0] == 0
    assert set(left) <= {0, 12_000}  # the last kill may come too late
    again = office.start("manage.py", "import_schedule", str(file))
    assert again.process.wait(timeout=100) == 0
    assert office.ask("repayments") == 12_000
    office.ask("prove")
