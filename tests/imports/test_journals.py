"""Manual journals from a file: whole journals, as drafts, once."""

from datetime import date
from decimal import Decimal

import pytest

from lms.imports import operations as imports
from lms.imports.models import ImportJob
from lms.ledger import chart
from lms.ledger.models import ManualJournal
from tests import factories

D = Decimal
DAY = date(2026, 3, 2)
HEADER = "Voucher,Date,Narration,Account,Debit,Credit,Branch,Memo\n"
RENT = '1,28/02/2026,Rent of February,5120,45000,,,Gikomba\n1,,,1030 Bank,,"45,000.00",,\n'
WATER = "2,28/02/2026,Water,5130,800,,,\n2,28/02/2026,Water,1030,,800,,\n"


@pytest.fixture
def wambui(db):
    return factories.staff("wambui", "Accountant")


def checked(by, lines, header=HEADER):
    job = imports.upload(
        kind="journals", content=(header + lines).encode(), filename="journals.csv", by=by
    )
    return imports.check(job, on=DAY)


def wrong_lines(job):
    return [(line["line"], line["column"], line["message"]) for line in job.summary["wrong"]]


def test_each_number_becomes_one_draft(wambui):
    job = checked(wambui, RENT + WATER)
    assert (job.status, job.new, ManualJournal.objects.count()) == ("checked", 4, 0)

    imports.apply(job, by=wambui, on=DAY)

    rent, water = ManualJournal.objects.order_by("pk")
    assert (rent.status, rent.date, rent.narration) == (
        "draft",
        date(2026, 2, 28),
        "Rent of February",
    )
    assert [(line.account_id, line.debit, line.credit, line.memo) for line in rent.lines.all()] == [
        (chart.RENT, D(45000), D(0), "Gikomba"),
        (chart.BANK, D(0), D(45000), ""),
    ]
    assert (rent.branch, rent.created_by, water.narration) == (wambui.branch, wambui, "Water")


def test_without_numbers_a_date_and_narration_are_one_journal(wambui):
    header = "Date,Description,GL code,Dr,Cr\n"
    lines = "2026-02-28,Rent,5120,10,\n2026-02-28,Rent,1030,,10\n2026-02-28,Tea,5130,3,\n"
    lines += "2026-02-28,Tea,1030,,3\n"

    job = checked(wambui, lines, header)
    imports.apply(job, by=wambui, on=DAY)

    assert sorted(ManualJournal.objects.values_list("narration", flat=True)) == ["Rent", "Tea"]


def test_the_same_file_again_brings_nothing(wambui):
    imports.apply(checked(wambui, RENT), by=wambui, on=DAY)

    again = checked(wambui, RENT)

    assert (again.new, again.unchanged) == (0, 2)


@pytest.mark.parametrize(
    ("line", "column", "sentence"),
    [
        ("1,28/02/2026,Rent,9999,5,,,", "Account", "There is no account “9999”."),
        ("1,28/02/2026,Rent,1110,5,,,", "Account", "takes no manual entries"),
        ("1,28/02/2026,Rent,5000,5,,,", "Account", "is a header"),
        ("1,28/02/2026,Rent,5120,5,5,,", "Debit", "either the debit or the credit"),
        ("1,28/02/2026,Rent,5120,,,,", "Debit", "either the debit or the credit"),
        ("1,28/02/2026,Rent,5120,-5,,,", "Debit", "either the debit or the credit"),
        ("1,soon,Rent,5120,5,,,", "Date", "“soon” is not a date"),
        ("1,28/02/1926,Rent,5120,5,,,", "Date", "where the books begin"),
        ("1,28/02/2026,Rent,5120,5,,Kisumu,", "Branch", "Kisumu is not your branch"),
        ("1,28/02/2026,,5120,5,,,", "Narration", "The cell is empty"),
        ("1,28/02/2026,Rent,5120,5,,Mombasa,", "Branch", "There is no branch “Mombasa”"),
    ],
)
def test_a_wrong_line_is_told_with_its_column_and_nothing_comes_in(wambui, line, column, sentence):
    factories.branch("KSM", "Kisumu")

    job = checked(wambui, f"{line}\n1,28/02/2026,Rent,1030,,5,,\n")

    assert [found[:2] for found in wrong_lines(job)] == [(2, column)]
    assert sentence in wrong_lines(job)[0][2]
    assert (job.left_out, job.can_apply, job.can_apply_rest) == (1, False, False)


def test_one_journal_has_one_date_and_narration(wambui):
    first = "1,28/02/2026,Rent,5120,5,,,\n"

    dated = checked(wambui, f"{first}1,27/02/2026,Rent,1030,,5,,\n")
    named = checked(wambui, f"{first}1,28/02/2026,Water,1030,,5,,\n")

    assert "dated 28 Feb 2026: one journal has one date" in wrong_lines(dated)[0][2]
    assert "says “Rent”" in wrong_lines(named)[0][2]


def test_a_journal_that_does_not_balance_stays_out_while_others_may_come(wambui):
    job = checked(wambui, "3,28/02/2026,Tea,5130,7,,,\n3,,,1030,,6,,\n" + WATER)

    assert "they differ by KES 1.00" in wrong_lines(job)[0][2]
    assert (job.new, job.left_out, job.can_apply_rest) == (2, 1, True)


def test_head_office_names_a_branch(db):
    mwangi = factories.staff("mwangi", "Accountant", branch=None)
    factories.branch("KSM", "Kisumu")

    job = checked(mwangi, RENT)
    assert "Name a branch" in wrong_lines(job)[0][2]
    job = checked(mwangi, "1,28/02/2026,Rent,5120,5,,ksm,\n1,,,1030,,5,Kisumu,\n")
    imports.apply(job, by=mwangi, on=DAY)

    assert ManualJournal.objects.get().branch.code == "KSM"


def test_only_those_who_write_journals_bring_them(kamau, wambui):
    assert [kind.code for kind in imports.kinds_for(wambui)][-1] == "journals"
    assert "journals" not in {kind.code for kind in imports.kinds_for(kamau)}
    assert ImportJob.Kind.JOURNALS.label == "Manual journals"
