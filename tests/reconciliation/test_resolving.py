"""Matching, booking what is missing, and the balances that prove it."""

from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Account, JournalEntry, Transfer
from lms.ledger.operations import Line, post, reverse
from lms.loans.models import Allocation
from lms.loans.operations import lifecycle
from lms.money import ZERO
from lms.payments.models import Payment
from lms.payments.operations import AlreadyPosted, undo_receipt
from lms.reconciliation import proof
from lms.reconciliation.models import Match
from lms.reconciliation.operations import beginning, booking, pairing
from lms.routing import take
from tests import factories
from tests.reconciliation import papers
from tests.reconciliation.papers import (
    FIRST,
    LAST,
    auma,
    baraka,
    begun,
    line_of,
    paid,
    taken,
    verdicts,
)

pytestmark = pytest.mark.django_db


def account(code):
    return Account.objects.get(pk=code)


def moved(code):
    """The debit balance of an account."""
    return sum(t.amount for t in Transfer.objects.filter(debit=code)) - sum(
        t.amount for t in Transfer.objects.filter(credit=code)
    )


def must_prove(reconciliation):
    reconciliation.refresh_from_db()
    found = proof.work_out(reconciliation)
    assert found.unexplained == ZERO
    return found


# --- Matching ------------------------------------------------------------------------------------
def test_receipts_are_matched_by_their_reference():
    reconciliation = begun()
    paid("ukl2 cc0001", "500")
    paid("UKK9ZZ0007", "1200", on=FIRST)
    paid("UKL1AA0001", "450")
    paid("UKL0XX0001", "300")

    taken(reconciliation)

    found = must_prove(reconciliation)
    assert found.counts == {
        "missing_here": 7,
        "missing_there": 1,
        "differs": 1,
        "duplicate": 0,
        "matched": 2,
        "failed": 1,
    }
    assert (found.missing_there, found.differs) == (Decimal("300.00"), Decimal("50.00"))
    assert verdicts(reconciliation)["differs"] == ["UKL1AA0001"]


def test_a_disbursement_is_matched_by_its_receipt_and_its_charge_is_not():
    loan = factories.approved(Decimal(10_000), on=LAST)
    lifecycle.disburse(loan, method="mpesa", reference="UKL3DD0001", by=factories.mutua(), on=LAST)
    reconciliation = begun()

    taken(reconciliation)

    must_prove(reconciliation)
    lines = reconciliation.lines.filter(reference="UKL3DD0001").order_by("amount")
    assert [str(line.verdict) for line in lines] == ["matched", "missing_here"]


def test_a_reversed_receipt_is_matched_with_the_reversal_on_the_statement():
    reconciliation = begun()
    payment = paid("UKL1AA0001", "500")
    undo_receipt(payment, reason="paid to the wrong house", by=auma(), on=LAST)

    taken(
        reconciliation,
        papers.statement(
            "UKL1AA0001|21-11-2026 10:00|500|Pay Bill",
            "UKL6RR0001|21-11-2026 11:00|-500|Pay Bill Reversal||UKL1AA0001",
        ),
    )

    assert verdicts(reconciliation) == {"matched": ["UKL1AA0001", "UKL6RR0001"]}


def test_what_was_typed_wrong_and_reversed_needs_no_line():
    reconciliation = begun()
    payment = paid("UKL1AA00O1", "500")
    reverse(payment.entry, reason="typed wrong", on=LAST, by=auma())

    assert pairing.match_again(reconciliation, by=auma(), on=LAST) == 1
    assert proof.work_out(reconciliation).counts["missing_there"] == 0


def test_matching_again_finds_nothing_new():
    reconciliation = begun()
    paid("UKL2CC0001", "500")
    taken(reconciliation)

    assert pairing.match_again(reconciliation, by=auma(), on=LAST) == 0
    assert Match.objects.count() == 1


def test_a_receipt_booked_after_the_statement_came_is_matched_when_asked():
    reconciliation = begun()
    taken(reconciliation)
    paid("UKL2CC0001", "500")

    assert pairing.match_again(reconciliation, by=auma(), on=LAST) == 1


def test_hundreds_of_lines_are_matched_in_a_handful_of_queries(django_assert_max_num_queries):
    reconciliation = begun()
    lines = [f"UKL{n:07d}|20-11-2026 10:00|{n + 1}|Pay Bill" for n in range(300)]
    taken(reconciliation, papers.statement(*lines))
    for number in range(0, 300, 10):
        paid(f"UKL{number:07d}", str(number + 1), on=FIRST)

    with django_assert_max_num_queries(20):
        assert pairing.match_again(reconciliation, by=auma(), on=LAST) == 30


# --- By hand -------------------------------------------------------------------------------------
def test_several_receipts_may_be_one_line():
    reconciliation = begun()
    one, two = paid("TYPED00001", "300"), paid("TYPED00002", "200")
    taken(reconciliation)

    match = pairing.match_by_hand(
        reconciliation,
        lines=[line_of("UKL2CC0001")],
        entries=[one.entry, two.entry],
        reason="deposited together",
        by=auma(),
        on=LAST,
    )

    assert (match.how, match.difference, match.entries.count()) == ("manual", ZERO, 2)
    assert match.history.get().history_change_reason == "deposited together"
    must_prove(reconciliation)


@pytest.mark.parametrize(
    ("amount", "reason", "said"),
    [
        ("499.99", "close enough", r"KES 0\.01 apart"),
        ("500", " ", "Say why"),
    ],
)
def test_a_match_by_hand_has_no_tolerance_and_needs_a_reason(amount, reason, said):
    reconciliation = begun()
    payment = paid("TYPED00001", amount)
    taken(reconciliation)

    with pytest.raises(Refused, match=said):
        pairing.match_by_hand(
            reconciliation,
            lines=[line_of("UKL2CC0001")],
            entries=[payment.entry],
            reason=reason,
            by=auma(),
            on=LAST,
        )

    assert Match.objects.count() == 0


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 11, 19), "Entries before 20 Nov 2026 stand in the balance"),
        (date(2026, 11, 22), "No open period reaches 22 Nov 2026"),
    ],
)
def test_an_entry_outside_every_open_period_is_no_match(day, said):
    reconciliation = begun()
    payment = paid("TYPED00001", "500", on=day)
    taken(reconciliation)

    with pytest.raises(Refused, match=said):
        pairing.match_by_hand(
            reconciliation,
            lines=[line_of("UKL2CC0001")],
            entries=[payment.entry],
            reason="x",
            by=auma(),
            on=day,
        )


def test_a_charge_of_a_closed_month_is_booked_in_the_next_and_matched_there():
    reconciliation = begun()
    taken(reconciliation)
    following = begun(first=date(2026, 11, 22), last=date(2026, 11, 30))

    booking.book_charge(
        line_of("UKL7PB0001"), day=date(2026, 11, 22), by=auma(), on=date(2026, 11, 30)
    )

    assert "UKL7PB0001" in verdicts(reconciliation)["missing_here"]
    assert verdicts(following)["matched"] == ["UKL7PB0001"]
    must_prove(reconciliation)


def test_what_is_matched_is_not_matched_again():
    reconciliation = begun()
    payment = paid("UKL2CC0001", "500")
    taken(reconciliation)

    with pytest.raises(Refused, match="matched already"):
        pairing.match_by_hand(
            reconciliation,
            lines=[line_of("UKL1AA0001")],
            entries=[payment.entry],
            reason="x",
            by=auma(),
            on=LAST,
        )


def test_a_match_taken_apart_stays_apart():
    reconciliation = begun()
    paid("UKL2CC0001", "500")
    taken(reconciliation)
    match = Match.objects.get()

    pairing.unmatch(match, reason="another customer's", by=auma(), on=LAST)

    assert pairing.match_again(reconciliation, by=auma(), on=LAST) == 0
    match.refresh_from_db()
    assert (match.is_live, match.history.latest().history_change_reason) == (
        False,
        "another customer's",
    )
    assert "UKL2CC0001" in verdicts(reconciliation)["missing_here"]
    with pytest.raises(Refused, match="apart already"):
        pairing.unmatch(match, reason="again", by=auma(), on=LAST)


# --- Receipts ------------------------------------------------------------------------------------
def test_a_payment_is_made_from_its_line_and_placed_on_its_loan():
    loan = factories.active()
    reconciliation = begun()
    taken(
        reconciliation,
        papers.statement(f"UKL1AA0001|21-11-2026 10:00|500|Pay Bill|{loan.number}"),
    )

    payment = booking.create_payment(line_of("UKL1AA0001"), by=auma(), on=LAST)

    assert (payment.value_date, payment.amount, payment.reference, payment.payer_name) == (
        LAST, Decimal("500.00"), "UKL1AA0001", "ASHA CHEBET",
    )  # fmt: skip
    assert Allocation.objects.filter(payment=payment).exists()
    assert verdicts(reconciliation) == {"matched": ["UKL1AA0001"]}


def test_money_without_a_loan_waits_unallocated():
    reconciliation = begun()
    taken(reconciliation)

    payment = booking.create_payment(line_of("UKL2CC0015"), by=auma(), on=LAST)

    assert (payment.status, payment.account) == (Payment.Status.UNALLOCATED, "WRONG1")
    must_prove(reconciliation)


def test_money_of_a_closed_month_may_count_from_a_later_day():
    taken(begun())
    line, later = line_of("UKL2CC0015"), date(2026, 11, 22)
    with pytest.raises(Refused, match="No open period reaches 22 Nov 2026"):
        booking.create_payment(line, day=later, by=auma(), on=later)
    assert Payment.objects.count() == 0

    begun(first=later, last=later)

    assert booking.create_payment(line, day=later, by=auma(), on=later).value_date == later


def test_a_second_click_receives_nothing_twice():
    reconciliation = begun()
    taken(reconciliation)
    line = line_of("UKL2CC0015")
    booking.create_payment(line, by=auma(), on=LAST)

    with pytest.raises(Refused, match="matched already"):
        booking.create_payment(line, by=auma(), on=LAST)

    assert Payment.objects.count() == 1


def test_a_payment_that_came_meanwhile_is_matched_and_not_made_again():
    reconciliation = begun()
    taken(reconciliation)
    meanwhile = paid("UKL2CC0015", "500")

    assert booking.create_payment(line_of("UKL2CC0015"), by=auma(), on=LAST) == meanwhile
    assert Payment.objects.count() == 1


def test_a_payment_that_says_another_amount_refuses():
    reconciliation = begun()
    taken(reconciliation)
    paid("UKL2CC0015", "450")

    with pytest.raises(AlreadyPosted):
        booking.create_payment(line_of("UKL2CC0015"), by=auma(), on=LAST)


def test_every_missing_payment_is_made_at_once():
    reconciliation = begun()
    paid("UKL2CC0001", "500")
    taken(reconciliation)

    done = booking.create_payments(reconciliation, by=auma(), on=LAST)

    assert done == (4, Decimal("4700.00"), [])
    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0


def test_receipts_are_booked_only_where_their_money_lies():
    reconciliation = begun(chart.MPESA_UTILITY)
    taken(reconciliation)

    done = booking.create_payments(reconciliation, by=auma(), on=LAST)

    assert done.number == 0
    assert "are not booked to 1021" in done.refused[0]
    assert Payment.objects.count() == 0


# --- Charges and own money -----------------------------------------------------------------------
def test_charges_are_booked_on_their_days():
    reconciliation = begun()
    taken(reconciliation)

    done = booking.book_charges(reconciliation, by=auma(), on=LAST)

    assert done == (2, Decimal("47.00"), [])
    assert moved(chart.MPESA_CHARGES) == Decimal("47.00")
    assert {entry.date for entry in JournalEntry.objects.all()} == {LAST}
    assert booking.book_charges(reconciliation, by=auma(), on=LAST).number == 0
    must_prove(reconciliation)


def test_a_charge_of_the_bank_is_booked_apart():
    reconciliation = begun(chart.BANK, first=date(2026, 11, 1), last=date(2026, 11, 30))
    taken(reconciliation, "bank_two_columns.csv", layout=papers.layout())

    booking.book_charge(line_of("", amount=Decimal("-150.00")), by=auma(), on=LAST)

    assert moved(chart.BANK_CHARGES) == Decimal("150.00")


def test_large_fees_are_booked_singly():
    reconciliation = begun(chart.BANK)
    papers.bank_taken(
        reconciliation,
        "21/11/2026|TT1|RTGS SCHOOL FEES STAFF WELFARE|-50000.00",
        "21/11/2026|TT2|LEGAL FEES|-1000.01",
        "21/11/2026|TT3|RTGS COMMISSION|-1000.00",
    )

    done = booking.book_charges(reconciliation, by=auma(), on=LAST)

    assert done == (1, Decimal("1000.00"), [])
    assert booking.charges_left(reconciliation) == 2
    booking.book_charge(line_of("TT2"), by=auma(), on=LAST)
    assert moved(chart.BANK_CHARGES) == Decimal("2000.01")


def test_what_mpesa_calls_a_charge_is_one_at_any_amount():
    reconciliation = begun()
    taken(
        reconciliation,
        papers.statement("UKL7PB0001|2026-11-21 10:00:00|-1500.00|Pay Bill Utility Charge"),
    )

    assert booking.book_charges(reconciliation, by=auma(), on=LAST).amount == Decimal("1500.00")


def test_money_that_came_in_is_no_charge():
    taken(begun())

    with pytest.raises(Refused, match="it is no charge"):
        booking.book_charge(line_of("UKL2CC0001"), by=auma(), on=LAST)


def test_a_settlement_to_the_bank_is_a_move_of_own_money():
    reconciliation = begun()
    taken(reconciliation)
    line = line_of("UKL8BK0001")

    booking.book_transfer(
        line, other=account(chart.BANK), reason="Settled to the bank", by=auma(), on=LAST
    )

    assert (moved(chart.BANK), moved(chart.MPESA_PAYBILL)) == (
        Decimal("30000.00"),
        Decimal("-30000.00"),
    )
    assert "UKL8BK0001" in verdicts(reconciliation)["matched"]


def test_only_our_own_money_may_stand_on_the_other_side():
    taken(begun())

    with pytest.raises(Refused, match="not another account of our own money"):
        booking.book_transfer(
            line_of("UKL8BK0001"),
            other=account(chart.INTEREST_INCOME),
            reason="x",
            by=auma(),
            on=LAST,
        )


def test_a_booking_is_reversed_and_made_anew_any_number_of_times():
    reconciliation = begun()
    taken(reconciliation)
    line = line_of("UKL7PB0001")

    for _ in range(3):
        booking.book_charge(line, by=auma(), on=LAST)
        mirrors = booking.reverse_booking(line, reason="no charge", by=baraka(), on=LAST)

        assert [mirror.date for mirror in mirrors] == [LAST]
        assert "UKL7PB0001" in verdicts(reconciliation)["missing_here"]
        assert must_prove(reconciliation).counts["missing_there"] == 0
    booking.book_transfer(line, other=account(chart.BANK), reason="moved", by=auma(), on=LAST)

    assert (moved(chart.MPESA_CHARGES), moved(chart.BANK)) == (ZERO, Decimal("34.00"))
    must_prove(reconciliation)


def test_what_was_taken_apart_is_still_booked_and_may_be_reversed():
    reconciliation = begun()
    taken(reconciliation)
    line = line_of("UKL7PB0001")
    booking.book_charges(reconciliation, by=auma(), on=LAST)
    match = Match.objects.get(lines__line=line)
    pairing.unmatch(match, reason="no charge", by=auma(), on=LAST)

    assert booking.book_charges(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match="was booked from this line already"):
        booking.book_charge(line, by=auma(), on=LAST)

    booking.reverse_booking(line, reason="no charge", by=baraka(), on=LAST)
    assert booking.book_charges(reconciliation, by=auma(), on=LAST).number == 1
    must_prove(reconciliation)


def test_what_cannot_be_reversed_stays_as_it_is():
    reconciliation = begun()
    taken(reconciliation)
    charge, receipt = line_of("UKL7PB0001"), line_of("UKL2CC0015")
    booking.book_charge(charge, by=auma(), on=LAST)
    booking.create_payment(receipt, by=auma(), on=LAST)

    for line, by, reason, said in (
        (charge, auma(), "x", "You booked this yourself"),
        (charge, baraka(), " ", "Give the reason"),
        (receipt, baraka(), "x", "A payment is reversed on its own page"),
    ):
        with pytest.raises(Refused, match=said):
            booking.reverse_booking(line, reason=reason, by=by, on=LAST)
    assert moved(chart.MPESA_CHARGES) == Decimal("34.00")
    assert Match.objects.filter(is_live=True).count() == 2


def test_a_move_that_the_other_statement_tells_too_is_not_reversed():
    paybill = begun()
    taken(paybill)
    line = line_of("UKL8BK0001")
    booking.book_transfer(line, other=account(chart.BANK), reason="x", by=auma(), on=LAST)
    bank = begun(chart.BANK)
    papers.bank_taken(bank, f"{line.day:%d/%m/%Y}|UKL8BK0001|MPESA|30000.00")

    with pytest.raises(Refused, match="matched on 1030 Bank too"):
        booking.reverse_booking(line, reason="x", by=baraka(), on=LAST)


# --- The proof -----------------------------------------------------------------------------------
def test_the_proof_lists_every_difference():
    paid("UKA0AA0001", "1000", on=date(2026, 10, 5))
    reconciliation = begun()
    paid("UKL2CC0001", "500")
    taken(reconciliation)

    found = must_prove(reconciliation)

    assert (found.ledger, found.brought_forward) == (Decimal("1500.00"), Decimal("149000.00"))
    assert found.missing_here == Decimal("-35847.00")
    assert found.expected == Decimal("114653.00")


def test_a_gap_in_the_statement_is_unexplained():
    reconciliation = begun(opening=Decimal("100.00"), closing=Decimal("700.00"))
    taken(reconciliation, papers.statement("UKL1AA0001|20-11-2026 10:00|500|Pay Bill"))

    assert proof.work_out(reconciliation).unexplained == Decimal("100.00")


def test_what_is_missing_goes_over_into_the_next_period():
    october = begun(first=date(2026, 10, 1), last=date(2026, 10, 31), opening=ZERO, closing=ZERO)
    paid("UKJ1AA0001", "500", on=date(2026, 10, 31))
    november = begun(first=date(2026, 11, 1), last=date(2026, 11, 30))
    taken(november, papers.statement("UKJ1AA0001|01-11-2026 00:01|500|Pay Bill"))
    beginning.set_balances(
        november, opening=ZERO, closing=Decimal(500), reason="portal", by=auma(), on=LAST
    )

    assert must_prove(october).counts["missing_there"] == 1
    found = must_prove(november)
    assert (found.counts["missing_there"], found.counts["matched"]) == (0, 1)


def test_a_period_follows_on_the_one_before():
    begun(first=date(2026, 10, 1), last=date(2026, 10, 31))

    with pytest.raises(Refused, match="begin on 1 Nov 2026"):
        begun(first=date(2026, 11, 5), last=date(2026, 11, 30))
    with pytest.raises(Refused, match="at the latest"):
        beginning.begin(account=account(chart.BANK), first=FIRST, last=LAST, by=auma(), on=FIRST)


def test_a_reconciliation_begun_by_mistake_is_taken_back():
    reconciliation = begun()

    beginning.remove(reconciliation, reason="wrong account", by=auma(), on=LAST)

    begun()
    other = begun(chart.MPESA_UTILITY)
    taken(other)
    with pytest.raises(Refused, match="stays on the record"):
        beginning.remove(other, reason="wrong", by=auma(), on=LAST)


def test_a_manual_entry_without_reference_is_known_by_amount_and_day():
    reconciliation = begun()
    post(
        kind="manual",
        reference="manual:1",
        on=LAST,
        narration="Settled to the bank",
        lines=[Line(chart.BANK, chart.MPESA_PAYBILL, Decimal(30_000))],
        branch_id=factories.branch().pk,
        by=auma(),
    )

    taken(reconciliation)

    assert verdicts(reconciliation)["matched"] == ["UKL8BK0001"]


def test_a_payment_taken_by_the_callback_is_matched(loan):
    reconciliation = begun()
    take(
        method="mpesa", amount=Decimal(500), reference="UKL2CC0001", value_date=LAST,
        account=loan.number, by=None, on=LAST,
    )  # fmt: skip

    taken(reconciliation)

    assert verdicts(reconciliation)["matched"] == ["UKL2CC0001"]
