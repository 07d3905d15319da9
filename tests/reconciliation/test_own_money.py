"""Own money that is in the books is found by its reference and never booked a second time."""

from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.loans.operations import collection, lifecycle, transfers
from lms.payments.models import Payment
from lms.reconciliation import documents, proof
from lms.reconciliation.models import Match
from lms.reconciliation.operations import arriving, booking, pairing
from lms.tills.models import Place
from lms.tills.operations import banking, funds
from tests import books, factories
from tests.reconciliation.papers import (
    FIRST,
    LAST,
    account,
    auma,
    bank_taken,
    baraka,
    begun,
    line_of,
    paid,
    statement,
    taken,
    verdicts,
)

pytestmark = pytest.mark.django_db
BEFORE = date(2026, 11, 19)


def moved(
    source=Place.PAYBILL, destination=Place.BANK, *, on=LAST, charge=30, reference="UKLFUNDS01"
):
    return funds.transfer(
        source=source, destination=destination, amount=Decimal(1000), charge=Decimal(charge),
        reference=reference, branch=factories.branch(), by=auma(), on=on, today=LAST,
    )  # fmt: skip


def banked(slip_number="SLIP77", *, confirmed_on=FIRST):
    factories.vault(on=FIRST)
    slip = banking.bank(
        amount=Decimal(4000), slip_number=slip_number, branch=factories.branch(),
        by=factories.mutua(), on=FIRST,
    )  # fmt: skip
    if confirmed_on is None:
        return slip
    return banking.confirm(slip, arrived_on=confirmed_on, by=auma(), on=LAST)


def a_cheque(reference="CHQ00001", amount="700"):
    return paid(reference, amount, on=FIRST, method="cheque")


def charges():
    return books.balances()[chart.MPESA_CHARGES]


# --- Transfers between our accounts --------------------------------------------------------------
SETTLED = "UKLFUNDS01|2026-11-21 10:00:00|-1000.00|Organization Settlement"
ITS_CHARGE = "UKLFUNDS01|2026-11-21 10:00:00|-30.00|Organization Settlement Charge"


def test_a_transfer_and_its_charge_are_two_lines_of_one_entry():
    moved()
    reconciliation = begun(opening=Decimal(5000), closing=Decimal(3970))

    taken(reconciliation, statement(SETTLED, ITS_CHARGE))

    assert verdicts(reconciliation) == {"matched": ["UKLFUNDS01", "UKLFUNDS01"]}
    assert booking.book_charges(reconciliation, by=auma(), on=LAST).number == 0
    assert charges() == Decimal("30.00")
    assert proof.work_out(reconciliation).expected == Decimal(3970)


def test_the_charge_of_a_transfer_is_not_booked_beside_it():
    moved(charge=33)
    reconciliation = begun()
    taken(reconciliation, statement(ITS_CHARGE))

    assert booking.book_charges(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match=r"UKLFUNDS01 · KES 1,000\.00 is our own transfer"):
        booking.book_charge(line_of("UKLFUNDS01"), by=auma(), on=LAST)
    assert charges() == Decimal("33.00")


def test_a_charge_that_nobody_typed_is_booked_beside_its_transfer():
    moved(charge=0)
    reconciliation = begun()
    taken(reconciliation, statement(SETTLED, ITS_CHARGE))

    booking.book_charges(reconciliation, by=auma(), on=LAST)

    assert charges() == Decimal("30.00")
    assert list(verdicts(reconciliation)) == ["matched"]


def test_a_charge_of_the_bank_without_a_reference_belongs_to_its_transfer():
    moved(Place.BANK, Place.PAYBILL, reference="FT260001")
    reconciliation = begun(chart.BANK)

    bank_taken(
        reconciliation,
        "21/11/2026|FT260001|TRANSFER TO PAYBILL|-1000.00",
        "21/11/2026||TRANSFER CHARGE|-30.00",
    )

    assert list(verdicts(reconciliation)) == ["matched"]
    assert Match.objects.get().difference == 0


def test_transfers_of_one_amount_and_day_are_told_apart_by_their_references():
    moved(charge=0)
    moved(charge=0, reference="UKLFUNDS02")
    reconciliation = begun()

    taken(reconciliation, statement(SETTLED, SETTLED.replace("S01", "S02")))

    assert list(verdicts(reconciliation)) == ["matched"]


def test_a_transfer_typed_on_another_day_is_no_payment_of_a_customer():
    moved(Place.BANK, Place.PAYBILL, on=FIRST)
    reconciliation = begun()

    taken(reconciliation, statement("UKLFUNDS01|2026-11-21 10:00:00|1000.00|Business Deposit"))

    assert list(verdicts(reconciliation)) == ["matched"]
    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    assert Payment.objects.count() == 0


def test_a_transfer_that_the_matcher_cannot_reach_is_booked_by_nobody():
    moved(Place.BANK, Place.PAYBILL, on=BEFORE)
    reconciliation = begun()
    taken(reconciliation, statement("UKLFUNDS01|2026-11-21 10:00:00|1000.00|Business Deposit"))
    line = line_of("UKLFUNDS01")

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    for refused in (
        lambda: booking.create_payment(line, by=auma(), on=LAST),
        lambda: booking.create_payment(line, reference="UKLOTHER01", by=auma(), on=LAST),
        lambda: booking.book_transfer(
            line, other=account(chart.BANK), reason="moved", by=auma(), on=LAST
        ),
    ):
        with pytest.raises(Refused, match="is our own transfer, Bank to M-Pesa paybill"):
            refused()
    assert Payment.objects.count() == 0


def test_what_has_the_amount_of_own_money_on_its_way_is_not_received_in_bulk():
    moved(Place.BANK, Place.PAYBILL, on=FIRST, reference="FT260001")
    reconciliation = begun()
    taken(reconciliation, statement("UKLFUNDS01|2026-11-21 10:00:00|1000.00|Business Deposit"))

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0


def test_a_transfer_that_was_undone_matches_its_reversal():
    transfer = moved(charge=0)
    funds.undo_transfer(transfer, reason="it was the utility account", by=auma(), on=LAST)
    reconciliation = begun()

    taken(
        reconciliation,
        statement(SETTLED, "UKLFUNDS01|2026-11-21 11:00:00|1000.00|Settlement Reversal"),
    )

    assert list(verdicts(reconciliation)) == ["matched"]


def test_own_money_booked_from_one_statement_is_found_on_the_other():
    paybill = begun()
    taken(paybill, statement("UKLFUNDS01|2026-11-20 10:00:00|-1000.00|Organization Settlement"))
    bank = begun(chart.BANK)
    bank_taken(bank, "21/11/2026|UKLFUNDS01|MPESA SETTLEMENT|1000.00")
    arrived = line_of("UKLFUNDS01", account=chart.BANK)

    booking.book_transfer(
        line_of("UKLFUNDS01", account=chart.MPESA_PAYBILL),
        other=account(chart.BANK), reason="Settled", by=auma(), on=LAST,
    )  # fmt: skip

    assert booking.create_payments(bank, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match="booked from the statement of 1020"):
        booking.create_payment(arrived, by=auma(), on=LAST)
    assert pairing.match_again(bank, by=auma(), on=LAST) == 1
    assert list(verdicts(bank)) == ["matched"]


def test_what_came_much_later_is_not_taken_for_own_money():
    moved(Place.BANK, Place.PAYBILL, on=date(2026, 11, 10), reference="FT260001")
    reconciliation = begun(first=date(2026, 11, 1))
    taken(reconciliation, statement("UKLFUNDS01|2026-11-21 10:00:00|1000.00|Pay Bill"))

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 1


# --- Slips ---------------------------------------------------------------------------------------
def test_a_slip_confirmed_on_another_day_is_found_by_its_number():
    banked("slip 77")
    reconciliation = begun(chart.BANK)

    bank_taken(reconciliation, "21/11/2026|SLIP77|CASH DEPOSIT|4000.00")

    assert list(verdicts(reconciliation)) == ["matched"]


def test_a_slip_is_no_payment_of_a_customer():
    banked()
    reconciliation = begun(chart.BANK)
    bank_taken(reconciliation, "21/11/2026|SLIP77|CASH DEPOSIT|4000.00")
    pairing.unmatch(Match.objects.get(), reason="looking", by=auma(), on=LAST)

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match="is a banking slip of ours: match the line"):
        booking.create_payment(line_of("SLIP77"), by=auma(), on=LAST)
    assert Payment.objects.count() == 0


def test_a_slip_on_its_way_is_confirmed_from_the_line_of_the_bank():
    slip = banked(confirmed_on=None)
    reconciliation = begun(chart.BANK)
    bank_taken(reconciliation, "21/11/2026|FT260001|CASH DEPOSIT SLIP77|4000.00")
    line = line_of("FT260001")

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match=r"SLIP77 .* is a banking slip of ours: confirm"):
        booking.create_payment(line, by=auma(), on=LAST)
    with pytest.raises(Refused, match="You banked this yourself"):
        arriving.confirm_slip(line, by=factories.mutua(), on=LAST)
    arriving.confirm_slip(line, by=auma(), on=LAST)

    slip.refresh_from_db()
    assert (slip.status, slip.ended_on) == ("confirmed", LAST)
    assert books.balances()[chart.BANK] == 4000
    assert books.balances()[chart.CASH_IN_TRANSIT] == 0
    assert list(verdicts(reconciliation)) == ["matched"]


def test_a_slip_of_another_amount_is_not_confirmed():
    slip = banked(confirmed_on=None)
    reconciliation = begun(chart.BANK)
    bank_taken(reconciliation, "21/11/2026|SLIP77|CASH DEPOSIT|3900.00")

    with pytest.raises(Refused, match=r"Slip SLIP77 is of KES 4,000\.00, but the bank says"):
        arriving.confirm_slip(line_of("SLIP77"), by=auma(), on=LAST)

    slip.refresh_from_db()
    assert slip.status == "in_transit"


def test_cash_in_transit_moves_by_its_slip_alone():
    banked(confirmed_on=None)
    reconciliation = begun(chart.BANK)
    bank_taken(reconciliation, "21/11/2026|FT9|DEPOSIT|4000.00")

    with pytest.raises(Refused, match="not another account of our own money"):
        booking.book_transfer(
            line_of("FT9"), other=account(chart.CASH_IN_TRANSIT), reason="x", by=auma(), on=LAST
        )


# --- Cheques -------------------------------------------------------------------------------------
def test_cheques_clear_from_the_line_of_their_deposit():
    one, two = a_cheque(), a_cheque("CHQ00002", "300")
    reconciliation = begun(chart.BANK)
    bank_taken(reconciliation, "21/11/2026|FT9|CHEQUE DEPOSIT|1000.00")
    line = line_of("FT9")

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match=r"these cheques are KES 700\.00"):
        arriving.clear_cheques(line, cheques=[one], by=auma(), on=LAST)
    arriving.clear_cheques(line, cheques=[one, two], by=auma(), on=LAST)

    assert books.balances()[chart.BANK] == 1000
    assert books.balances()[chart.CHEQUES] == 0
    assert list(verdicts(reconciliation)) == ["matched"]
    assert not documents.waiting_cheques().exists()


def test_a_cheque_clears_in_the_books_of_the_branch_that_took_it():
    kisumu = factories.branch("KSM", "Kisumu")
    loan = factories.active(Decimal(10_000), on=date(2026, 10, 1))
    transfers.transfer(
        [loan], branch=kisumu, officer=None, reason="Moved", by=factories.kamau(), on=FIRST
    )
    cheque = a_cheque()
    collection.allocate(cheque, loan, by=auma(), on=LAST)
    bank_taken(begun(chart.BANK), "21/11/2026|FT9|CHEQUE DEPOSIT|700.00")

    arriving.clear_cheques(line_of("FT9"), cheques=[cheque], by=auma(), on=LAST)

    for branch in (factories.branch(), kisumu):
        assert books.balances(branch=branch)[chart.CHEQUES] == 0


def test_a_cheque_is_not_received_a_second_time():
    cheque = a_cheque()
    reconciliation = begun(chart.BANK)
    bank_taken(
        reconciliation,
        "21/11/2026|CHQ00001|CHEQUE DEPOSIT|700.00",
        "21/11/2026|FT9|INWARD CLEARING|700.00",
    )

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match="is cheque CHQ00001: clear it"):
        booking.create_payment(line_of("CHQ00001"), by=auma(), on=LAST)
    assert list(Payment.objects.all()) == [cheque]


def test_a_cheque_cleared_on_the_wrong_line_may_clear_again():
    cheque = a_cheque()
    reconciliation = begun(chart.BANK)
    bank_taken(
        reconciliation,
        "20/11/2026|FT8|CHEQUE DEPOSIT|700.00",
        "21/11/2026|FT9|CHEQUE DEPOSIT|700.00",
    )
    arriving.clear_cheques(line_of("FT8"), cheques=[cheque], by=auma(), on=LAST)
    with pytest.raises(Refused, match="cleared or was reversed meanwhile"):
        arriving.clear_cheques(line_of("FT9"), cheques=[cheque], by=auma(), on=LAST)

    booking.reverse_booking(line_of("FT8"), reason="another cheque", by=baraka(), on=LAST)
    arriving.clear_cheques(line_of("FT9"), cheques=[cheque], by=auma(), on=LAST)

    assert verdicts(reconciliation) == {"missing_here": ["FT8"], "matched": ["FT9"]}
    assert books.balances()[chart.BANK] == 700


def test_a_cheque_that_came_back_takes_its_payment_with_it():
    cheque = a_cheque()
    reconciliation = begun(chart.BANK)
    bank_taken(
        reconciliation,
        "20/11/2026|CHQ00001|CHEQUE DEPOSIT|700.00",
        "21/11/2026|FT9|UNPAID CHQ00001|-700.00",
    )
    arriving.clear_cheques(line_of("CHQ00001"), cheques=[cheque], by=auma(), on=LAST)
    line = line_of("FT9")

    for refused in (
        lambda: booking.book_charge(line, by=auma(), on=LAST),
        lambda: arriving.return_cheque(line, cheque=cheque, by=auma(), on=LAST),
    ):
        with pytest.raises(Refused, match=f"everse {cheque.number}"):
            refused()
    collection.reverse_payment(cheque, reason="unpaid", by=auma(), on=LAST)
    cheque.refresh_from_db()
    arriving.return_cheque(line, cheque=cheque, by=auma(), on=LAST)

    assert not any(books.balances().values())
    assert list(verdicts(reconciliation)) == ["matched"]


# --- Payouts -------------------------------------------------------------------------------------
def test_the_reference_of_a_payout_is_no_receipt_and_its_charge_is_a_charge():
    loan = factories.approved(Decimal(10_000), on=LAST)
    lifecycle.disburse(loan, method="mpesa", reference="UKL3DD0001", by=factories.mutua(), on=LAST)
    reconciliation = begun()
    taken(
        reconciliation,
        statement(
            "UKL3DD0001|2026-11-21 10:00:00|-10000.00|Business Payment",
            "UKL3DD0001|2026-11-21 10:00:00|-13.00|Business Payment Charge",
            "UKL3DD0001|2026-11-21 12:00:00|10000.00|Business Payment",
        ),
    )

    assert booking.create_payments(reconciliation, by=auma(), on=LAST).number == 0
    with pytest.raises(Refused, match="was paid out under this reference"):
        booking.create_payment(line_of("UKL3DD0001", amount=10_000), by=auma(), on=LAST)
    assert booking.book_charges(reconciliation, by=auma(), on=LAST).amount == Decimal("13.00")
