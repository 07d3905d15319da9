"""Signing off, which freezes in the database too, and reopening, which takes two."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from lms.errors import Refused
from lms.ledger import chart, periods
from lms.ledger.operations import Line, post
from lms.money import ZERO
from lms.reconciliation import ageing, books, proof
from lms.reconciliation.models import (
    Match,
    MatchedEntry,
    MatchedLine,
    Reconciliation,
    StatementLine,
)
from lms.reconciliation.operations import beginning, booking, importing, pairing, signing
from tests import factories
from tests.reconciliation import papers
from tests.reconciliation.papers import LAST, auma, baraka, begun, brought, line_of, paid, taken
from tests.replacing import listens_to_replaced_rows, replace, truncate

pytestmark = pytest.mark.django_db


@pytest.fixture
def reconciliation():
    """The paybill with one receipt matched and the rest of the statement missing here."""
    made = begun()
    paid("UKL2CC0001", "500")
    taken(made)
    return made


@pytest.fixture
def signed(reconciliation):
    return signing.sign_off(reconciliation, by=baraka(), on=LAST)


def test_another_person_signs_and_the_proof_is_kept(signed):
    assert (signed.status, signed.signed_by) == (Reconciliation.Status.SIGNED_OFF, baraka())
    assert proof.of(signed) == proof.work_out(signed)
    assert signed.history.latest().history_user == baraka()


def test_whoever_prepared_it_does_not_sign(reconciliation):
    with pytest.raises(Refused, match="You prepared this"):
        signing.sign_off(reconciliation, by=auma(), on=LAST)

    booking.book_charge(line_of("UKL7PB0001"), by=baraka(), on=LAST)
    with pytest.raises(Refused, match="You prepared this"):
        signing.sign_off(reconciliation, by=baraka(), on=LAST)


def _states_balances(reconciliation):
    beginning.set_balances(
        reconciliation, opening=Decimal(1), closing=Decimal("-35346"), reason="paper",
        by=baraka(), on=LAST,
    )  # fmt: skip


def _takes_in(reconciliation):
    more = papers.statement("UKL9ZZ0009|2026-11-21 23:00:00|1|Pay Bill")
    importing.take_in(brought(reconciliation, more), by=baraka(), on=LAST)


def _sets_aside(reconciliation):
    importing.discard(brought(reconciliation), by=baraka(), on=LAST)


def _takes_out(reconciliation):
    importing.withdraw(reconciliation.files.get(), reason="wrong", by=baraka(), on=LAST)


def _takes_apart(reconciliation):
    pairing.unmatch(Match.objects.get(), reason="wrong", by=baraka(), on=LAST)


def _receives(reconciliation):
    booking.create_payments(reconciliation, by=baraka(), on=LAST)


def _reverses(reconciliation):
    line = line_of("UKL7PB0001")
    booking.book_charge(line, by=auma(), on=LAST)
    pairing.unmatch(Match.objects.get(lines__line=line), reason="x", by=auma(), on=LAST)
    booking.reverse_booking(line, reason="x", by=baraka(), on=LAST)


@pytest.mark.parametrize(
    "does",
    [
        _states_balances,
        _takes_in,
        _sets_aside,
        _takes_out,
        _takes_apart,
        _receives,
        _reverses,
    ],
)
def test_whoever_had_a_hand_in_it_does_not_sign(reconciliation, does):
    does(reconciliation)

    with pytest.raises(Refused, match="You prepared this"):
        signing.sign_off(reconciliation, by=baraka(), on=LAST)


def test_whoever_let_the_program_match_may_sign(reconciliation):
    paid("UKL1AA0001", "500")
    pairing.match_again(reconciliation, by=baraka(), on=LAST)

    assert signing.sign_off(reconciliation, by=baraka(), on=LAST).signed_by == baraka()


def test_whoever_signed_before_it_was_reopened_may_sign_again(signed):
    approval = signing.ask_to_reopen(signed, reason="a line is wrong", by=auma(), on=LAST)
    signing.reopen(approval, reason="", by=baraka(), on=LAST)

    assert signing.sign_off(signed, by=baraka(), on=LAST).signed_by == baraka()


def test_what_is_not_ready_is_not_signed(reconciliation):
    beginning.set_balances(
        reconciliation,
        opening=Decimal(150_000),
        closing=Decimal("114653.01"),
        reason="typed",
        by=auma(),
        on=LAST,
    )
    with pytest.raises(Refused, match=r"KES 0\.01 are unexplained"):
        signing.sign_off(reconciliation, by=baraka(), on=LAST)

    empty = begun("1021")
    with pytest.raises(Refused, match="balances of the statement are not here"):
        signing.sign_off(empty, by=baraka(), on=LAST)

    brought(empty)
    beginning.set_balances(empty, opening=ZERO, closing=ZERO, reason="none", by=auma(), on=LAST)
    with pytest.raises(Refused, match="read but not taken in"):
        signing.sign_off(empty, by=baraka(), on=LAST)


def test_periods_are_signed_in_their_order(reconciliation):
    later = begun(first=LAST + timedelta(1), last=LAST + timedelta(2), closing=Decimal("114653"))

    with pytest.raises(Refused, match="is still open"):
        signing.sign_off(later, by=baraka(), on=later.last)


def test_the_operations_refuse_what_is_signed(signed):
    paid("UKL1AA0001", "500")

    for refused in (
        lambda: pairing.match_again(signed, by=auma(), on=LAST),
        lambda: brought(signed),
        lambda: booking.book_charges(signed, by=auma(), on=LAST),
        lambda: booking.book_charge(line_of("UKL7PB0001"), by=auma(), on=LAST),
        lambda: booking.create_payment(line_of("UKL2CC0015"), by=auma(), on=LAST),
        lambda: pairing.unmatch(Match.objects.get(), reason="x", by=auma(), on=LAST),
        lambda: importing.withdraw(signed.files.get(), reason="x", by=auma(), on=LAST),
        lambda: signing.sign_off(signed, by=baraka(), on=LAST),
        lambda: beginning.remove(signed, reason="x", by=auma(), on=LAST),
    ):
        with pytest.raises(Refused, match="signed off"):
            refused()


def _line(signed):
    return StatementLine(
        reconciliation=signed, file=signed.files.get(), account=signed.account, number=99,
        key="other", day=LAST, amount=Decimal(1),
    )  # fmt: skip


@pytest.mark.parametrize(
    "write",
    [
        lambda signed: Reconciliation.objects.filter(pk=signed.pk).update(closing=ZERO),
        lambda signed: Reconciliation.objects.filter(pk=signed.pk)._raw_delete("default"),
        lambda signed: _line(signed).save(),
        lambda signed: StatementLine.objects.filter(matches=None)[:1].get().delete(),
        lambda signed: Match(reconciliation=signed, how="manual").save(),
        lambda signed: Match.objects.update(difference=Decimal(1)),
        lambda signed: MatchedLine.objects.update(is_live=False),
        lambda signed: MatchedLine.objects.all()._raw_delete("default"),
        lambda signed: MatchedEntry.objects.update(amount=Decimal(1)),
        lambda signed: MatchedEntry.objects.all()._raw_delete("default"),
        lambda signed: MatchedLine(match=Match.objects.get(), line=line_of("UKL1AA0001")).save(),
    ],
)
def test_the_database_refuses_what_is_signed(signed, write):
    with pytest.raises(DatabaseError), transaction.atomic():
        write(signed)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone replaces")
@pytest.mark.parametrize("listens", [True, False])
def test_no_row_takes_the_place_of_what_is_signed(signed, listens):
    line = StatementLine.objects.first()
    with listens_to_replaced_rows(listens):
        for row, changed in (
            (signed, {"closing": "0"}),
            (line, {"amount": "999999"}),
            (line, {"id": "id + 100"}),  # the same key
            (Match.objects.get(), {"difference": "1"}),
            (MatchedLine.objects.first(), {"is_live": "0"}),
            (MatchedEntry.objects.first(), {"amount": "1"}),
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                replace(row, **changed)

    line.refresh_from_db()
    assert line.amount != 999_999


@pytest.mark.skipif(connection.vendor == "sqlite", reason="PostgreSQL alone truncates")
@pytest.mark.parametrize("model", [Reconciliation, StatementLine, Match, MatchedLine, MatchedEntry])
def test_what_is_signed_is_not_emptied(signed, model):
    with pytest.raises(DatabaseError, match="is not changed"), transaction.atomic():
        truncate(model)


def test_what_is_posted_late_into_a_signed_period_goes_to_the_next(signed):
    before = proof.of(signed)

    paid("UKL1AA0001", "500")
    following = begun(first=LAST + timedelta(1), last=LAST + timedelta(2))
    found = pairing.match_again(following, by=auma(), on=following.last)

    assert found == 1
    assert proof.of(signed) == before
    assert proof.late_postings(signed) == Decimal("500.00")
    assert "UKL1AA0001" in papers.verdicts(signed)["missing_here"]
    assert papers.verdicts(following)["matched"] == ["UKL1AA0001"]
    assert following.opening == Decimal("114653.00")
    assert proof.work_out(following).expected == Decimal("114653.00")


# --- The start -----------------------------------------------------------------------------------
def _ghost(day=papers.FIRST - timedelta(5)):
    """KES 9,000 that nobody has, dated before the first day of the first reconciliation."""
    return post(
        kind="manual_journal", reference="ghost", on=day, narration="Ghost", by=auma(),
        lines=[Line(chart.MPESA_PAYBILL, chart.OTHER_INCOME, Decimal(9000))],
        branch_id=factories.branch().pk,
    )  # fmt: skip


def test_what_is_dated_before_the_start_after_the_first_signing_is_listed(signed):
    ghost = _ghost()
    following = begun(first=LAST + timedelta(1), last=LAST + timedelta(2), closing=signed.closing)

    found = proof.work_out(following)

    assert (found.holds, found.missing_there) == (True, Decimal(9000))
    assert found.brought_forward == proof.of(signed).brought_forward
    assert proof.late_postings(signed) == Decimal(9000)
    assert [entry.pk for entry in books.entries(books.unmatched(following))] == [ghost.pk]


def test_what_is_booked_after_the_month_was_closed_belongs_to_the_next_period():
    opened = date(2026, 2, 10)
    january = begun(
        chart.BANK, first=date(2026, 1, 1), last=date(2026, 1, 31), opening=ZERO,
        closing=Decimal(470),
    )  # fmt: skip
    paid("RTGS77", "500", on=date(2026, 1, 9), method="bank")
    papers.bank_taken(january, "09/01/2026|RTGS77|Loan|500", "30/01/2026||LEDGER FEE|-30")
    periods.prepare(on=opened)
    periods.close_period(periods.next_to_close(), by=baraka(), on=opened)
    fee = january.lines.get(amount=-30)
    with pytest.raises(Refused, match="No open period reaches 1 Feb 2026: begin the next one"):
        booking.book_charge(fee, by=auma(), on=opened)
    february = begun(
        chart.BANK, first=date(2026, 2, 1), last=date(2026, 2, 28), closing=Decimal(470)
    )

    booking.book_charge(fee, by=auma(), on=opened)

    found = proof.work_out(january)
    assert (found.ledger, found.missing_here, found.unexplained) == (500, -30, 0)
    found = proof.work_out(february)
    assert (found.ledger, found.missing_here, found.missing_there) == (470, 0, 0)
    assert found.unexplained == 0
    signing.sign_off(january, by=baraka(), on=opened)


def test_reopening_does_not_let_it_into_the_start(signed):
    approval = signing.ask_to_reopen(signed, reason="a line is wrong", by=auma(), on=LAST)
    signing.reopen(approval, reason="", by=baraka(), on=LAST)
    _ghost()

    again = signing.sign_off(signed, by=baraka(), on=LAST)

    assert proof.of(again).missing_there == Decimal(9000)


def test_it_is_matched_with_its_line_when_one_comes(signed):
    ghost = _ghost()
    following = begun(
        first=LAST + timedelta(1), last=LAST + timedelta(2), closing=signed.closing + 9000
    )
    taken(following, papers.statement("UKL9ZZ0009|2026-11-22 09:00:00|9000|Deposit"))

    pairing.match_by_hand(
        following, lines=[line_of("UKL9ZZ0009")], entries=[ghost], reason="late", by=auma(),
        on=following.last,
    )  # fmt: skip

    assert proof.work_out(following).counts["missing_there"] == 0


def test_what_was_signed_off_once_is_not_taken_back():
    empty = begun("1021", opening=ZERO, closing=ZERO)
    signing.sign_off(empty, by=baraka(), on=LAST)
    approval = signing.ask_to_reopen(empty, reason="wrong account", by=auma(), on=LAST)
    signing.reopen(approval, reason="", by=baraka(), on=LAST)

    with pytest.raises(Refused, match="signed off once"):
        beginning.remove(empty, reason="x", by=auma(), on=LAST)


# --- Reopening -----------------------------------------------------------------------------------
def test_reopening_takes_two_people(signed):
    approval = signing.ask_to_reopen(signed, reason="a line is wrong", by=auma(), on=LAST)
    with pytest.raises(Refused, match="asked for this yourself"):
        signing.reopen(approval, reason="", by=auma(), on=LAST)
    signed.refresh_from_db()
    assert not signed.is_open

    signing.reopen(approval, reason="so be it", by=baraka(), on=LAST)

    signed.refresh_from_db()
    assert (signed.is_open, signed.proof, signed.signed_by) == (True, None, None)
    booking.book_charge(line_of("UKL7PB0001"), by=auma(), on=LAST)


def test_only_the_last_signed_period_is_reopened(signed):
    following = begun(first=LAST + timedelta(1), last=LAST + timedelta(2), closing=signed.closing)
    signing.sign_off(following, by=baraka(), on=following.last)

    with pytest.raises(Refused, match="on top of this one"):
        signing.ask_to_reopen(signed, reason="x", by=auma(), on=following.last)


# --- Ageing --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("days", "band"), [(0, 0), (1, 0), (2, 1), (7, 1), (8, 2), (30, 2), (31, 3), (400, 3)]
)
def test_an_age_belongs_to_one_band(days, band):
    assert ageing.band_of(days) == band


def test_clearing_takes_the_oldest_first():
    days = [date(2026, 11, day) for day in (1, 5, 9, 12)]
    amounts = [Decimal(100), Decimal(50), Decimal(-120), Decimal(-40)]

    assert ageing.remaining(zip(days, amounts, strict=True)) == [(days[3], Decimal(-10))]
    assert ageing.remaining(zip(days[:3], amounts[:3], strict=True)) == [(days[1], Decimal(30))]


def test_waiting_money_is_shown_by_age(reconciliation):
    paid("UKA0AA0001", "1000", on=date(2026, 10, 5))
    booking.book_transfer(
        line_of("UKL8BK0001"),
        other=papers.account("1050"),
        reason="whose bank?",
        by=auma(),
        on=LAST,
    )

    receipts, suspense, money_in, money_out = ageing.waiting(on=date(2026, 11, 23))

    assert [band.amount for band in receipts.bands] == [ZERO, Decimal(500), ZERO, Decimal(1000)]
    assert [band.amount for band in suspense.bands] == [ZERO, Decimal(30000), ZERO, ZERO]
    assert money_in.total == (4, Decimal("4700.00"))
    assert money_out.total == (4, Decimal("-10547.00"))
