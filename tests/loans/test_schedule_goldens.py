from lms.loans.terms import CHOICES
from tests import goldens
from tests.loans.terms import terms


def test_every_whole_schedule_is_as_its_file():
    assert goldens.differing() == []


def test_the_files_know_every_choice_of_the_terms():
    cases = [terms(**fields) for fields in goldens.CASES.values()]

    for name, allowed in CHOICES.items():
        assert {getattr(case, name) for case in cases} == set(allowed)
