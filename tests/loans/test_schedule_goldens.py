import pytest

from lms.loans.terms import CHOICES
from tests import goldens
from tests.loans.terms import terms


def test_every_whole_schedule_is_as_its_file():
    assert goldens.differing() == []


def test_a_file_that_differs_is_named_and_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(goldens, "FOLDER", tmp_path)
    goldens.write()
    (tmp_path / "flat_monthly.csv").write_text("typed over")
    (tmp_path / "case_of_yesterday.csv").write_text("left behind")

    with pytest.raises(SystemExit, match="True"):
        goldens.main(["--check"])

    assert goldens.differing() == ["case_of_yesterday.csv", "flat_monthly.csv"]
    goldens.write()
    assert goldens.differing() == []


def test_the_files_know_every_choice_of_the_terms():
    cases = [terms(**fields) for fields in goldens.CASES.values()]

    for name, allowed in CHOICES.items():
        assert {getattr(case, name) for case in cases} == set(allowed)
