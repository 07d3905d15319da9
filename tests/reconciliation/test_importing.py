from datetime import date
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.reconciliation.models import Match, MatchedEntry, StatementFile, StatementLine
from lms.reconciliation.operations import importing, pairing
from tests.reconciliation import papers
from tests.reconciliation.papers import FIRST, LAST, begun, brought, line_of, paid, taken

pytestmark = pytest.mark.django_db
Status = StatementFile.Status


def test_bringing_a_statement_writes_no_line():
    file = brought(begun())

    assert (file.status, file.new, file.known, file.failed, file.wrong) == (
        Status.READ, 11, 0, 1, 0,
    )  # fmt: skip
    assert StatementLine.objects.count() == 0
    assert file.summary["new"][0]["reference"] == "UKK9ZZ0007"


def test_taking_it_in_writes_every_line_and_the_balances():
    reconciliation = begun()

    taken(reconciliation)

    reconciliation.refresh_from_db()
    assert (reconciliation.opening, reconciliation.closing) == (
        Decimal("150000.00"),
        Decimal("114653.00"),
    )
    assert StatementLine.objects.count() == 11
    assert line_of("UKL2MS0001").account_no == "ln 0001"


@pytest.mark.parametrize("again", ["mpesa.csv", "mpesa_variant.csv"])
def test_the_same_statement_adds_nothing_twice(again):
    reconciliation = begun()
    taken(reconciliation)

    file = brought(reconciliation, again)
    with pytest.raises(Refused, match="Every line of this period is here already"):
        importing.take_in(file, by=papers.auma(), on=LAST)

    assert (file.new, file.known) == (0, 11)
    assert StatementLine.objects.count() == 11


def test_a_statement_of_overlapping_days_adds_only_what_is_new():
    reconciliation = begun()
    first = papers.statement(
        "UKL1AA0001|20-11-2026 10:00|500|Pay Bill|LN1",
        "UKL1AA0002|20-11-2026 11:00|500|Pay Bill|LN1",
    )
    second = papers.statement(
        "UKL1AA0002|2026-11-20 11:00:00|500.00|Pay Bill|LN1",
        "UKL1AA0003|2026-11-21 09:00:00|700|Pay Bill|LN2",
    )

    taken(reconciliation, first)
    file = taken(reconciliation, second)

    assert (file.new, file.known) == (1, 1)
    assert list(StatementLine.objects.values_list("reference", flat=True)) == [
        "UKL1AA0001",
        "UKL1AA0002",
        "UKL1AA0003",
    ]


def test_lines_outside_the_period_stay_out():
    file = taken(begun(first=LAST))

    assert (file.new, file.outside) == (10, 1)
    assert not StatementLine.objects.filter(day=FIRST).exists()


def test_a_line_that_cannot_be_read_keeps_the_whole_file_out():
    content = papers.statement(
        "UKL1AA0001|20-11-2026 10:00|500|Pay Bill", "UKL1AA0002|20-11-2026 11:00|5oo|Pay Bill"
    )
    file = brought(begun(), content)

    with pytest.raises(Refused, match="1 line cannot be read"):
        importing.take_in(file, by=papers.auma(), on=LAST)

    assert (file.wrong, file.summary["wrong"][0][:2]) == (1, (3, "in"))
    assert StatementLine.objects.count() == 0
    assert papers.status_of(file) == Status.READ


def test_a_receipt_said_twice_is_a_duplicate():
    reconciliation = begun()
    paid("UKL1AA0001", "500")

    taken(
        reconciliation,
        papers.statement(
            "UKL1AA0001|21-11-2026 10:00|500|Pay Bill", "UKL1AA0001|21-11-2026 10:00|500|Pay Bill"
        ),
    )

    assert papers.verdicts(reconciliation) == {
        "matched": ["UKL1AA0001"],
        "duplicate": ["UKL1AA0001"],
    }


def test_a_receipt_said_again_in_another_file_with_another_amount_is_a_duplicate():
    reconciliation = begun()
    taken(reconciliation, papers.statement("UKL1AA0001|21-11-2026 10:00|500|Pay Bill"))

    taken(reconciliation, papers.statement("UKL1AA0001|21-11-2026 10:00|550|Pay Bill"))

    assert papers.verdicts(reconciliation) == {
        "missing_here": ["UKL1AA0001"],
        "duplicate": ["UKL1AA0001"],
    }


# --- Banks ---------------------------------------------------------------------------------------
def test_a_bank_statement_is_read_by_its_layout():
    reconciliation = begun(chart.BANK, first=date(2026, 11, 1), last=date(2026, 11, 30))
    paid("FT26306AB1", "5000", method="bank", on=date(2026, 11, 2))

    taken(reconciliation, "bank_two_columns.csv", layout=papers.layout())

    reconciliation.refresh_from_db()
    assert (reconciliation.opening, reconciliation.closing) == (
        Decimal("500000.00"),
        Decimal("577350.50"),
    )
    assert papers.verdicts(reconciliation) == {
        "matched": ["FT26306AB1"],
        "missing_here": ["CHQDEP", "", "FT26309ZZ9"],
        "duplicate": ["FT26309ZZ9"],
    }


def test_the_layout_has_to_fit_the_account():
    with pytest.raises(Refused, match="Choose the bank"):
        brought(begun(chart.BANK))
    with pytest.raises(Refused, match="need no bank"):
        brought(begun(), layout=papers.layout())


# --- Setting aside, taking out -------------------------------------------------------------------
def test_a_statement_set_aside_is_not_taken_in_any_more():
    file = importing.discard(brought(begun()), by=papers.auma(), on=LAST)

    with pytest.raises(Refused, match="is set aside"):
        importing.take_in(file, by=papers.auma(), on=LAST)


def test_a_statement_taken_out_leaves_nothing_but_its_history():
    reconciliation = begun()
    paid("UKL2CC0001", "500")
    file = taken(reconciliation)

    importing.withdraw(file, reason="utility account", by=papers.auma(), on=LAST)

    assert (StatementLine.objects.count(), Match.objects.count()) == (0, 0)
    assert MatchedEntry.objects.count() == 0
    assert file.history.latest().history_change_reason == "utility account"
    assert taken(reconciliation).new == 11


def test_a_statement_with_a_line_matched_by_hand_stays():
    reconciliation = begun()
    file = taken(reconciliation)
    payment = paid("TYPED0001", "500")
    pairing.match_by_hand(
        reconciliation,
        lines=[line_of("UKL1AA0001")],
        entries=[payment.entry],
        reason="mistyped",
        by=papers.auma(),
        on=LAST,
    )

    with pytest.raises(Refused, match="matched or booked by hand"):
        importing.withdraw(file, reason="x", by=papers.auma(), on=LAST)

    assert StatementLine.objects.count() == 11


def test_what_a_statement_says_is_never_changed():
    taken(begun())

    with pytest.raises(DatabaseError), transaction.atomic():
        StatementLine.objects.update(amount=Decimal("1.00"))


def test_a_receipt_told_on_another_day_before_is_not_told_again():
    told = begun(first=FIRST, last=FIRST)
    taken(told, papers.statement("UKL2CC0001|2026-11-20 23:59:58|500|Pay Bill"))
    following = begun(first=LAST, last=LAST)

    file = taken(
        following,
        papers.statement(
            "UKL2CC0001|2026-11-21 00:00:10|500|Pay Bill",
            "UKL2CC0009|2026-11-21 00:00:20|50|Pay Bill",
        ),
    )

    assert (file.new, file.known) == (1, 1)
    assert [line.reference for line in following.own_lines.all()] == ["UKL2CC0009"]
