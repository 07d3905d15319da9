"""Loan numbers as people type them: read where they are certain, and never guessed."""

import pytest

from lms.errors import Refused
from lms.loans.models import Loan
from lms.routing import knows_account, loan_for
from tests import factories


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("LN000123", 123),
        ("ln 000 123", 123),
        ("LN-OOO123", 123),
        ("LN 000-123", 123),
        ("l n000123", 123),
        ("L123", 123),
        ("LN0001O3", 103),
        ("LN00I23", 123),
        ("LN.000123.", 123),
        ("LN – 000123", 123),
        ("LN000 1 2 3", 123),
        ("LN 001 234", 1234),
        ("LN 012-345", 12345),
        # Two loans could be meant, or none.
        ("LN 12 34", None),
        ("LN 123 456", None),
        ("LN 001/234", None),
        ("LN 0001 234", None),
        ("LN000123 LN000124", None),
        ("LN 123 & 456", None),
        ("LN0", None),
        ("LN", None),
        ("LNO", None),
        ("LOAN", None),
        ("123", None),
        ("OOO123", None),
        ("LN00S123", None),
        ("", None),
        ("LN1234567890123", None),
    ],
)
def test_a_loan_number_is_read_in_any_spelling_that_is_certain(typed, key):
    assert Loan.key_of(typed) == key


@pytest.mark.parametrize(
    "typed", ["KE/0045-12", "ke 0045 12", "KE0045-12", "ke-oo45/12", " ke/0o45-12 "]
)
def test_an_old_number_is_known_in_other_spellings(loan, typed):
    Loan.objects.filter(pk=loan.pk).update(legacy_number="KE/0045-12")

    assert loan_for(typed) == loan
    assert knows_account(typed)


@pytest.mark.parametrize("typed", ["KE/004512", "0045-12", "KE/45-12", "KE"])
def test_an_old_number_is_not_guessed(loan, typed):
    Loan.objects.filter(pk=loan.pk).update(legacy_number="KE/0045-12")

    assert loan_for(typed) is None


def test_what_may_mean_two_loans_means_none(loan):
    other = factories.active(customer=factories.otieno())
    Loan.objects.filter(pk=loan.pk).update(legacy_number="KE-45")
    Loan.objects.filter(pk=other.pk).update(legacy_number="KE/45")

    assert loan_for("ke 45") is None
    assert not knows_account("KE 45")


def test_an_old_number_that_reads_like_ours_is_refused(db):
    with pytest.raises(Refused, match="reads like a loan number of ours"):
        factories.draft(legacy_number="LN 001 234")
