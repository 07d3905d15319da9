from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.loans.models import IssuedDocument
from lms.loans.operations import documents, settling, writing_off
from tests.loans.test_settling import money

D = Decimal
DAY = date(2026, 1, 25)


def write(document, facts):
    return f"{document.number} {facts.get('quote') and facts['quote'].total}"


def test_a_payoff_quote_is_kept_as_it_was_issued(loan, kamau):
    quote = documents.issue_payoff_quote(loan, write=write, by=kamau, on=DAY)

    assert quote.body == f"PQ{quote.pk:06d} 100658.00"
    assert (quote.kind, quote.issued_by, quote.issued_on) == ("payoff", kamau, DAY)


def test_a_clearance_letter_wants_a_loan_on_which_nothing_is_owed(loan, kamau):
    with pytest.raises(Refused, match=r"KES 113,470\.00 is still owed"):
        documents.issue_clearance(loan, write=write, by=kamau, on=DAY)
    settling.settle_early(loan, payment=money(loan, 100_658, on=DAY), by=kamau, on=DAY)

    assert documents.issue_clearance(loan, write=write, by=kamau, on=DAY).kind == "clearance"


def test_a_loan_written_off_is_not_cleared(loan, kamau):
    writing_off.write_off(loan, reason="Gone", by=kamau, on=DAY)

    with pytest.raises(Refused, match=r"KES 113,470\.00 is still owed"):
        documents.issue_clearance(loan, write=write, by=kamau, on=DAY)
    assert not IssuedDocument.objects.exists()


def test_every_print_is_counted(loan, kamau):
    quote = documents.issue_payoff_quote(loan, write=write, by=kamau, on=DAY)

    assert [documents.print_out(quote).prints for _ in range(2)] == [1, 2]
