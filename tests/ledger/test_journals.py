"""Manual journals: one person writes, another posts, and the books hear of it once."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart, journals, periods
from lms.ledger.journals import Wanted
from lms.ledger.models import (
    Account,
    JournalEntry,
    ManualJournal,
    ManualLine,
    Period,
    Transfer,
)
from lms.staff.models import Approval
from tests import factories
from tests.books import balances

D = Decimal
DAY = date(2026, 1, 31)
NEXT = date(2026, 2, 1)
Status = ManualJournal.Status


@pytest.fixture
def wambui(db):
    return factories.staff("wambui", "Accountant")


def draft(by, *lines, on=DAY, **fields):
    lines = lines or (
        Wanted(chart.RENT, debit=D("45000.00"), memo="Gikomba"),
        Wanted(chart.BANK, credit=D("45000.00")),
    )
    return journals.write(
        date=on, narration="Rent", branch=factories.branch(), lines=lines, by=by, **fields
    )


def submitted(by, *lines, **fields):
    return journals.submit(draft(by, *lines, **fields), by=by, on=DAY)


def posted(by, second, *lines, **fields):
    return journals.approve(submitted(by, *lines, **fields), by=second, on=DAY)


def test_nothing_is_in_the_books_until_a_second_person_approves(wambui, kamau):
    journal = submitted(wambui)

    assert (journal.status, JournalEntry.objects.count()) == (Status.SUBMITTED, 0)
    assert journal.approval.asked_by == wambui
    assert journal.approval.diff.splitlines() == [
        "1030 Bank, Nairobi: 0.00 -45,000.00 = -45,000.00",
        "5120 Rent, Nairobi: 0.00 +45,000.00 = 45,000.00",
    ]

    journal = journals.approve(journal, by=kamau, on=DAY)

    assert (journal.status, journal.approval.decided_by) == (Status.APPROVED, kamau)
    assert journal.entry.reference == f"journal:{journal.pk}"
    assert (journal.entry.date, journal.entry.posted_by) == (DAY, kamau)
    (transfer,) = journal.entry.transfers.all()
    assert (transfer.debit_id, transfer.credit_id) == (chart.RENT, chart.BANK)
    assert (transfer.amount, transfer.subject) == (D("45000.00"), journal.number)


def test_ones_own_journal_is_not_posted_by_oneself(wambui, kamau):
    own = submitted(kamau)
    with pytest.raises(Refused, match="a second person decides"):
        journals.approve(own, by=kamau, on=DAY)

    helped = draft(wambui)
    line = helped.lines.first()
    line.memo, line._history_user = "Kondele", kamau
    line.save()
    journals.submit(helped, by=wambui, on=DAY)
    with pytest.raises(Refused, match="a second person decides"):
        journals.approve(helped, by=kamau, on=DAY)
    with pytest.raises(Refused, match="a second person decides"):
        journals.reject(helped, reason="No", by=kamau, on=DAY)

    assert JournalEntry.objects.count() == 0
    assert Approval.objects.waiting().count() == 2


def test_a_journal_is_posted_once(wambui, kamau):
    journal = posted(wambui, kamau)

    with pytest.raises(Refused, match="is posted: there is nothing to decide"):
        journals.approve(journal, by=kamau, on=DAY)

    assert Transfer.objects.count() == 1


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([Wanted(chart.RENT, debit=D(5)), Wanted(chart.BANK, credit=D(4))], r"differ by KES 1\.00"),
        ([Wanted(chart.RENT, debit=D(5))], r"differ by KES 5\.00"),
        (
            [Wanted(chart.LOAN_PRINCIPAL, debit=D(5)), Wanted(chart.BANK, credit=D(5))],
            "1110 Loan principal is kept in step with loans",
        ),
        ([Wanted("5000", debit=D(5)), Wanted(chart.BANK, credit=D(5))], "is a header"),
    ],
)
def test_what_the_books_would_not_take_is_not_submitted(wambui, lines, sentence):
    journal = draft(wambui, *lines)

    with pytest.raises(Refused, match=sentence):
        journals.submit(journal, by=wambui, on=DAY)

    journal.refresh_from_db()
    assert journal.status == Status.DRAFT


def test_a_journal_without_lines_is_not_submitted(wambui):
    empty = journals.write(
        date=DAY, narration="Rent", branch=factories.branch(), lines=[], by=wambui
    )

    with pytest.raises(Refused, match="has no lines"):
        journals.submit(empty, by=wambui, on=DAY)


def test_an_account_closed_after_the_submission_stops_the_posting(wambui, kamau):
    journal = submitted(wambui)
    Account.objects.filter(pk=chart.RENT).update(is_active=False)

    with pytest.raises(Refused, match="5120 Rent is no longer used"):
        journals.approve(journal, by=kamau, on=DAY)

    assert JournalEntry.objects.count() == 0
    assert Approval.objects.waiting().count() == 1


def test_a_date_after_this_month_is_refused(wambui):
    journal = draft(wambui, on=date(2027, 1, 31))

    with pytest.raises(Refused, match="31 Jan 2027 is too far ahead: choose a day up to 31 Jan"):
        journals.submit(journal, by=wambui, on=DAY)


def test_a_mistyped_year_is_not_even_drafted(wambui):
    with pytest.raises(Refused, match="where the books begin") as refusal:
        draft(wambui, on=date(206, 1, 31))

    assert (refusal.value.field, ManualJournal.objects.count()) == ("date", 0)


def test_a_line_has_one_side(wambui):
    journal = draft(wambui)

    for debit, credit in ((0, 0), (5, 5), (-5, 0)):
        with pytest.raises(IntegrityError), transaction.atomic():
            ManualLine.objects.create(
                journal=journal, account_id=chart.RENT, debit=debit, credit=credit
            )


# --- Branches ---
def over_two_branches():
    kisumu = factories.branch("KSM", "Kisumu")
    return (
        Wanted(chart.RENT, debit=D(300), branch=kisumu),
        Wanted(chart.BANK, credit=D(300)),
    )


def test_each_branch_balances_by_itself(kamau):
    head = factories.staff("mwangi", "Accountant", branch=None)
    second = factories.staff("zuri", "Manager", branch=None)

    journal = posted(head, second, *over_two_branches())

    nairobi, kisumu = factories.branch().pk, factories.branch("KSM").pk
    assert dict(balances(branch_id=nairobi)) == {
        chart.BANK: D(-300),
        chart.BETWEEN_BRANCHES: D(300),
    }
    assert dict(balances(branch_id=kisumu)) == {
        chart.RENT: D(300),
        chart.BETWEEN_BRANCHES: D(-300),
    }
    reversal = journals.ask_to_reverse(
        journal, reversal_date=DAY, reason="Paid twice", by=head, on=DAY
    )
    journals.approve(reversal, by=second, on=DAY)
    assert set(balances(branch_id=kisumu).values()) == {D(0)}


def test_another_branch_is_for_head_office(wambui):
    journal = draft(wambui, *over_two_branches())

    with pytest.raises(Refused, match="touches Kisumu: somebody of head office"):
        journals.submit(journal, by=wambui, on=DAY)


def test_what_touches_two_branches_is_shown_to_head_office_alone(kamau):
    head = factories.staff("mwangi", "Accountant", branch=None)

    asked = submitted(head, *over_two_branches()).approval

    assert "Kisumu" in asked.diff
    assert list(Approval.objects.seen_by(head)) == [asked]
    assert not Approval.objects.seen_by(kamau).exists()


# --- Decisions ---
STEPS = {
    "submit": lambda journal, wambui, kamau: journals.submit(journal, by=wambui, on=DAY),
    "approve": lambda journal, wambui, kamau: journals.approve(journal, by=kamau, on=DAY),
    "reject": lambda journal, wambui, kamau: journals.reject(
        journal, reason="No invoice", by=kamau, on=DAY
    ),
    "withdraw": lambda journal, wambui, kamau: journals.withdraw(
        journal, reason="Mistyped", by=wambui, on=DAY
    ),
}
ALLOWED = {
    "draft": {"submit": "submitted", "withdraw": "withdrawn"},
    "submitted": {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"},
    "approved": {},
    "rejected": {},
    "withdrawn": {},
}
WAYS = {
    "draft": (),
    "submitted": ("submit",),
    "approved": ("submit", "approve"),
    "rejected": ("submit", "reject"),
    "withdrawn": ("withdraw",),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", WAYS)
def test_every_step_from_every_status(wambui, kamau, status, step):
    journal = draft(wambui)
    for way in WAYS[status]:
        journal = STEPS[way](journal, wambui, kamau)

    if step in ALLOWED[status]:
        assert STEPS[step](journal, wambui, kamau).status == ALLOWED[status][step]
        return
    with pytest.raises(Refused):
        STEPS[step](journal, wambui, kamau)
    journal.refresh_from_db()
    assert journal.status == status


def test_a_rejection_needs_a_reason_and_keeps_it(wambui, kamau):
    journal = submitted(wambui)
    with pytest.raises(Refused, match="Say why"):
        journals.reject(journal, reason=" ", by=kamau, on=DAY)

    journal = journals.reject(journal, reason="No invoice", by=kamau, on=DAY)

    assert journal.approval.decision == "No invoice"
    last = journal.history.first()
    assert (last.history_user, last.history_change_reason) == (kamau, "No invoice")
    assert JournalEntry.objects.count() == 0


def test_a_copy_is_a_new_draft_of_the_day(wambui, kamau):
    journal = journals.reject(submitted(wambui), reason="Wrong month", by=kamau, on=DAY)

    made = journals.copy(journal, by=wambui, on=NEXT)

    assert (made.status, made.date, made.narration) == (Status.DRAFT, NEXT, "Rent")
    assert made.sides() == journal.sides()
    assert made.created_by == wambui


def test_the_page_of_approvals_decides_the_journal_as_well(wambui, kamau):
    first, second, third = (submitted(wambui) for _ in range(3))

    journals.carry_out(first.approval, reason="", by=kamau, on=DAY)
    journals.turn_down(second.approval, reason="No invoice", by=kamau, on=DAY)
    journals.call_back(third.approval, reason="Mistyped", by=wambui, on=DAY)

    found = ManualJournal.objects.order_by("pk").values_list("status", flat=True)
    assert list(found) == ["approved", "rejected", "withdrawn"]
    assert Approval.objects.waiting().count() == 0


# --- Reversals ---
def test_an_accrual_is_reversed_on_the_first_of_the_next_month(wambui, kamau):
    accrual = (
        Wanted(chart.SALARIES, debit=D(500)),
        Wanted(chart.ACCRUALS, credit=D(500)),
    )

    journal = posted(wambui, kamau, *accrual, reverses_next_period=True)

    reversal = journal.reversals.get()
    assert (reversal.status, reversal.date) == (Status.APPROVED, NEXT)
    assert reversal.entry.reverses == journal.entry
    assert balances(date__lte=DAY)[chart.SALARIES] == D(500)
    assert set(balances().values()) == {D(0)}
    assert Approval.objects.waiting().count() == 0


def test_a_reversal_waits_for_a_second_person_and_happens_once(wambui, kamau):
    journal = posted(wambui, kamau)

    reversal = journals.ask_to_reverse(
        journal, reversal_date=NEXT, reason="Paid twice", by=wambui, on=DAY
    )

    assert (reversal.status, balances()[chart.RENT]) == (Status.SUBMITTED, D("45000.00"))
    with pytest.raises(Refused, match="a second person decides"):
        journals.approve(reversal, by=wambui, on=DAY)
    with pytest.raises(Refused, match=rf"reversed by {reversal.number} already"):
        journals.ask_to_reverse(journal, reversal_date=NEXT, reason="Again", by=wambui, on=DAY)
    reversal = journals.approve(reversal, by=kamau, on=DAY)
    assert (reversal.entry.date, reversal.entry.reverses) == (NEXT, journal.entry)
    assert set(balances().values()) == {D(0)}
    with pytest.raises(Refused, match="is itself a reversal"):
        journals.ask_to_reverse(reversal, reversal_date=NEXT, reason="Back", by=wambui, on=DAY)


def test_a_rejected_reversal_may_be_asked_for_again(wambui, kamau):
    journal = posted(wambui, kamau)
    asked = {"reversal_date": NEXT, "reason": "Paid twice", "by": wambui, "on": DAY}
    journals.reject(
        journals.ask_to_reverse(journal, **asked), reason="It was not", by=kamau, on=DAY
    )

    again = journals.ask_to_reverse(journal, **asked)

    assert again.status == Status.SUBMITTED


@pytest.mark.parametrize(
    ("day", "sentence"),
    [(date(2026, 1, 30), "cannot come before it"), (date(2026, 3, 1), "too far ahead")],
)
def test_a_reversal_has_its_days(wambui, kamau, day, sentence):
    journal = posted(wambui, kamau)

    with pytest.raises(Refused, match=sentence):
        journals.ask_to_reverse(journal, reversal_date=day, reason="Twice", by=wambui, on=DAY)


def test_a_reversal_is_for_those_whose_branches_it_touches(kamau):
    head = factories.staff("mwangi", "Accountant", branch=None)
    zuri = factories.staff("zuri", "Manager", branch=None)
    journal = posted(head, zuri, *over_two_branches())
    asked = {"reversal_date": NEXT, "reason": "Paid twice", "on": DAY}

    with pytest.raises(Refused, match="touches Kisumu: somebody of head office"):
        journals.ask_to_reverse(journal, by=kamau, **asked)
    reversal = journals.ask_to_reverse(journal, by=head, **asked)
    with pytest.raises(Refused, match="touches Kisumu: somebody of head office"):
        journals.approve(reversal, by=kamau, on=DAY)

    assert journals.approve(reversal, by=zuri, on=DAY).status == Status.APPROVED


def test_a_reversal_stands_on_the_day_its_paper_says_or_nowhere(wambui, kamau):
    journal = posted(wambui, kamau)
    asked = {"reversal_date": DAY, "reason": "Paid twice", "by": wambui, "on": NEXT}
    reversal = journals.ask_to_reverse(journal, **asked)
    periods.prepare(on=NEXT)
    periods.close_period(Period.objects.get(first=date(2026, 1, 1)), by=kamau, on=NEXT)

    with pytest.raises(Refused, match="January 2026 is closed: take a day from 1 Feb"):
        journals.approve(reversal, by=kamau, on=NEXT)
    journals.reject(reversal, reason="The month is closed", by=kamau, on=NEXT)
    with pytest.raises(Refused, match="January 2026 is closed") as refusal:
        journals.ask_to_reverse(journal, **asked)

    assert refusal.value.field == "reversal_date"
    assert balances()[chart.RENT] == D("45000.00")


def test_what_was_posted_to_an_account_since_closed_can_be_taken_back(wambui, kamau):
    journal = posted(wambui, kamau)
    Account.objects.filter(pk=chart.RENT).update(is_active=False, takes_manual_entries=False)

    reversal = journals.ask_to_reverse(
        journal, reversal_date=NEXT, reason="Paid twice", by=wambui, on=DAY
    )
    journals.approve(reversal, by=kamau, on=DAY)

    assert set(balances().values()) == {D(0)}


def test_only_what_is_posted_is_reversed(wambui):
    with pytest.raises(Refused, match="is not posted"):
        journals.ask_to_reverse(
            submitted(wambui), reversal_date=NEXT, reason="Twice", by=wambui, on=DAY
        )


# --- What it would do ---
def test_the_effect_is_told_on_the_normal_side_as_of_the_date(wambui, kamau):
    posted(wambui, kamau)
    later = draft(
        wambui,
        Wanted(chart.ACCRUALS, debit=D(10)),
        Wanted(chart.RENT, debit=D(5)),
        Wanted(chart.BANK, credit=D(15)),
    )

    found = {row.account.pk: (row.before, row.change, row.after) for row in journals.effect(later)}

    assert found == {
        chart.BANK: (D(-45000), D(-15), D(-45015)),
        chart.ACCRUALS: (D(0), D(-10), D(-10)),
        chart.RENT: (D(45000), D(5), D(45005)),
    }
