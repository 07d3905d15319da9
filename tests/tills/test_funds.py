from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.tills.models import FundsTransfer, Place
from lms.tills.operations import banking, funds
from tests import books, factories

D = Decimal

DAY = factories.DAY


def move(by, **answers):
    return funds.transfer(
        **{
            "source": Place.PAYBILL,
            "destination": Place.BANK,
            "amount": D("50000.00"),
            "charge": D("108.00"),
            "reference": "ukl7ab12cd",
            "branch": factories.branch(),
            "by": by,
            "on": DAY,
            "today": DAY,
            **answers,
        }
    )


@pytest.mark.parametrize(
    ("source", "destination", "charged"),
    [
        (Place.PAYBILL, Place.BANK, chart.MPESA_CHARGES),
        (Place.UTILITY, Place.WORKING, chart.MPESA_CHARGES),
        (Place.BANK, Place.WORKING, chart.BANK_CHARGES),
        (Place.BANK, Place.VAULT, chart.BANK_CHARGES),
    ],
)
def test_the_amount_arrives_and_the_source_pays_the_charge(kamau, source, destination, charged):
    moved = move(kamau, source=source, destination=destination)

    assert books.balances() == {
        destination.value: D("50000.00"),
        source.value: D("-50108.00"),
        charged: D("108.00"),
    }
    assert moved.reference == "UKL7AB12CD"


def test_a_transfer_reversed_brings_everything_back(kamau):
    moved = move(kamau)

    funds.undo_transfer(moved, reason="Wrong account", by=kamau, on=DAY)

    assert not any(books.balances().values())
    with pytest.raises(Refused, match="was reversed on 15 Jan 2026 already"):
        funds.undo_transfer(moved, reason="Again", by=kamau, on=DAY)


def test_cash_that_left_the_vault_since_is_not_taken_back_to_the_bank(kamau, mutua):
    moved = move(kamau, source=Place.BANK, destination=Place.VAULT)
    banking.bank(amount=D("1.00"), slip_number="BK-17", branch=moved.branch, by=mutua, on=DAY)

    with pytest.raises(Refused, match=r"more than the KES 49,999\.00 in the vault of Nairobi"):
        funds.undo_transfer(moved, reason="Wrong account", by=kamau, on=DAY)

    moved.refresh_from_db()
    assert moved.reversed_on is None


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"destination": Place.PAYBILL}, "Choose another account"),
        ({"destination": Place.VAULT}, "cannot be moved to cash in the vault directly"),
        ({"source": Place.VAULT}, "with a banking slip"),
        ({"amount": D(0)}, "more than KES"),
        ({"charge": D(-1)}, "not less than nothing"),
        ({"reference": " "}, "Type the M-Pesa receipt"),
        ({"on": date(2026, 1, 16)}, "in the future"),
        ({"on": date(206, 1, 15)}, "where the books begin"),
    ],
)
def test_impossible_transfers_are_refused(kamau, answers, message):
    with pytest.raises(Refused, match=message):
        move(kamau, **answers)

    assert not FundsTransfer.objects.exists()


def test_a_reference_is_booked_once(kamau):
    move(kamau)

    with pytest.raises(Refused, match="UKL7AB12CD was booked before"):
        move(kamau, amount=D(1))

    assert books.balances()[chart.BANK] == 50_000


def test_a_reference_booked_from_the_wrong_place_is_booked_again_from_the_right_one(kamau):
    wrong = move(kamau, source=Place.UTILITY)
    funds.undo_transfer(wrong, reason="It was the paybill", by=kamau, on=DAY)

    right = move(kamau)

    assert right.reference == wrong.reference
    assert books.balances()[chart.MPESA_UTILITY] == 0
    with pytest.raises(Refused, match="was booked before"):
        move(kamau)
