"""`manage.py import_schedule`: the same import from a terminal."""

import pytest
from django.core.management import CommandError, call_command

from lms import dates
from lms.imports.models import ImportJob
from lms.loans.models import Repayment
from tests import factories
from tests.imports.papers import HEADER, ON, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(db, monkeypatch):
    """The administrator as whom the command imports, on 20 March 2026."""
    monkeypatch.setattr(dates, "today", lambda: ON)
    return factories.staff("boss", branch=None, is_superuser=True)


@pytest.fixture
def bring(tmp_path, capsys):
    """Run the command on a text; return its exit code, output and errors."""

    def run(text, *options):
        path = tmp_path / "book.csv"
        path.write_text(HEADER + text)
        code = 0
        try:
            call_command("import_schedule", str(path), *options)
        except SystemExit as end:
            code = end.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def line(loan, amount="11000", day="2026-02-05"):
    return f"{loan.number},1,{day},{amount},,,,,,\n"


def test_a_good_file_is_imported_and_counted(boss, bring):
    loan = running()

    code, out, err = bring(line(loan))

    assert (code, err) == (0, "")
    assert out == (
        "book.csv: 1 lines: 1 new, 0 changed, 0 unchanged, 0 wrong, 0 left out with them.\n"
        "Imported: 1 new and 0 changed instalments.\n"
    )
    assert ImportJob.objects.get().created_by == boss
    assert loan.repayments.count() == 1


def test_the_same_file_again_imports_nothing(boss, bring):
    loan = running()
    bring(line(loan))

    code, out, _ = bring(line(loan))

    assert code == 0
    assert out.endswith("Nothing to import: every line is here already.\n")


def test_a_wrong_line_is_told_and_nothing_is_imported(boss, bring):
    good, bad = running(), running()

    code, out, err = bring(line(good) + line(bad, day="31/02/2026"))

    assert code == 1
    assert out.endswith("Nothing was imported.\n")
    assert err == (
        "line 3, column due_date: “31/02/2026” is not a day of the calendar. "
        "Write it like 2026-01-31 or 31/01/2026.\n"
    )
    assert Repayment.objects.count() == 0


def test_what_is_bad_can_be_left_out(boss, bring):
    good, bad = running(), running()

    code, out, _ = bring(line(good) + line(bad, amount="5"), "--leave-out-bad")

    assert code == 0
    assert out.endswith("Imported: 1 new and 0 changed instalments.\n")
    assert (good.repayments.count(), bad.repayments.count()) == (1, 0)


def test_a_dry_run_only_tells(boss, bring):
    loan = running()

    code, out, _ = bring(line(loan), "--dry-run")

    assert code == 0
    assert out.endswith("Nothing was imported: this was a dry run.\n")
    assert Repayment.objects.count() == 0


def test_it_imports_as_the_user_who_is_named(boss, bring):
    bring(line(running()), "--user", "kamau")

    assert ImportJob.objects.get().created_by == factories.kamau()


def test_an_unknown_user_and_an_unreadable_file_are_told(boss, bring):
    with pytest.raises(CommandError, match="There is no active member of staff “ghost”"):
        bring("", "--user", "ghost")
    with pytest.raises(CommandError, match="has a header but no lines"):
        bring("")
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("import_schedule", "/nowhere.csv")
