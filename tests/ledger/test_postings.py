"""The table of postings: it names accounts of the chart, and every verb that posts is in it.

That nothing else is posted is asserted wherever a test proves its books (`tests.books.prove`).
"""

from pathlib import Path

from django.conf import settings

from lms.ledger import chart
from tests.postings import ANY, events, is_listed, rules


def test_the_table_is_read_whole():
    assert ("disbursement", chart.LOAN_PRINCIPAL, chart.MPESA_PAYBILL) in rules()
    assert len(events()) > 30


def test_its_accounts_are_in_the_chart():
    named = {code for _, *sides in rules() for code in sides} - {ANY}
    assert named <= chart.POSTED_TO


def test_a_reversal_has_its_sides_swapped():
    assert is_listed("penalty", chart.PENALTIES_RECEIVABLE, chart.PENALTY_INCOME)
    assert not is_listed("penalty", chart.PENALTY_INCOME, chart.PENALTIES_RECEIVABLE)
    assert is_listed("penalty_reversal", chart.PENALTY_INCOME, chart.PENALTIES_RECEIVABLE)
    assert not is_listed("penalty", chart.CASH, chart.PENALTY_INCOME)
    assert not is_listed("theft", chart.CASH, chart.PENALTY_INCOME)


def test_every_event_of_the_table_is_posted_by_some_operation():
    """Each name stands in the code that posts it: a row of an event that is gone falls here."""
    room = Path(settings.BASE_DIR) / "lms"
    files = [
        file
        for file in room.rglob("*.py")
        if file.name != "postings.py" and "migrations" not in file.parts
    ]
    code = "\n".join(file.read_text() for file in files)
    assert [event for event in sorted(events()) if f'"{event}' not in code] == []
