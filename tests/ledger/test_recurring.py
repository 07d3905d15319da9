from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from lms import jobs
from lms.ledger import chart, journals, recurring
from lms.ledger.models import JournalTemplate, JournalTemplateLine, ManualJournal
from tests import factories

D = Decimal


def template(name="Rent", *, first_on=date(2026, 1, 31), **fields):
    made = JournalTemplate.objects.create(
        name=name, narration=name, branch=factories.branch(), first_on=first_on, **fields
    )
    for account, debit, credit in ((chart.RENT, 45000, 0), (chart.BANK, 0, 45000)):
        JournalTemplateLine.objects.create(
            template=made, account_id=account, debit=debit, credit=credit
        )
    return made


def drafted(until):
    made = recurring.draft_due(JournalTemplate.objects.all(), until=until)
    return [(journal.date, journal.narration) for journal in made]


def test_a_template_is_drafted_once_a_month_on_its_day(db):
    template()

    assert drafted(date(2026, 1, 30)) == []
    assert drafted(date(2026, 1, 31)) == [(date(2026, 1, 31), "Rent, January 2026")]
    assert drafted(date(2026, 1, 31)) == []
    assert drafted(date(2026, 3, 31)) == [
        (date(2026, 2, 28), "Rent, February 2026"),
        (date(2026, 3, 31), "Rent, March 2026"),
    ]


def test_a_draft_has_the_lines_and_the_reversal_of_its_template(db):
    made = template(reverses_next_period=True)

    (journal,) = recurring.draft_due(JournalTemplate.objects.all(), until=date(2026, 1, 31))

    assert (journal.status, journal.created_by) == (ManualJournal.Status.DRAFT, None)
    assert (journal.template, journal.reverses_next_period) == (made, True)
    assert [(line.account_id, line.debit, line.credit) for line in journal.lines.all()] == [
        (chart.RENT, D(45000), D(0)),
        (chart.BANK, D(0), D(45000)),
    ]


def test_a_template_begins_with_the_books(db, settings):
    old = template(first_on=date(1926, 1, 31))

    with pytest.raises(ValidationError, match="31 Jan 1926 is before 1 Jan 2015") as refusal:
        old.full_clean()

    assert set(refusal.value.message_dict) == {"first_on"}
    settings.BOOKS_BEGIN = date(2026, 1, 1)
    assert drafted(date(2026, 1, 31)) == [(date(2026, 1, 31), "Rent, January 2026")]


@pytest.mark.parametrize(
    ("every", "days"),
    [
        (3, [date(2026, 1, 31), date(2026, 4, 30), date(2026, 7, 31), date(2026, 10, 31)]),
        (12, [date(2026, 1, 31)]),
    ],
)
def test_quarters_and_years(every, days):
    made = JournalTemplate(every=every, first_on=date(2026, 1, 31))

    assert made.days(until=date(2026, 12, 31)) == days


def test_a_template_ends_and_rests(db):
    template(last_on=date(2026, 2, 28))
    template("Water", is_active=False)

    assert [day for day, _ in drafted(date(2026, 5, 31))] == [
        date(2026, 1, 31),
        date(2026, 2, 28),
    ]


def test_what_was_withdrawn_does_not_come_again(kamau):
    template()
    (journal,) = recurring.draft_due(JournalTemplate.objects.all(), until=date(2026, 1, 31))
    journals.withdraw(journal, reason="Paid by the owner", by=kamau, on=date(2026, 1, 31))

    assert drafted(date(2026, 1, 31)) == []


def test_the_nightly_job_drafts_what_is_due(db):
    template()

    assert jobs.draft_journals(on="2026-02-28T00:15:00+03:00") == 2
    assert jobs.draft_journals(on="2026-02-28T00:15:00+03:00") == 0
