from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.tills.models import Banking
from lms.tills.operations import banking
from tests import books, factories

D = Decimal

DAY = factories.DAY
LATER = date(2026, 1, 17)


def bank(by, amount="4000.00", slip=" bk-17 ", **answers):
    return banking.bank(
        amount=D(amount), slip_number=slip, branch=factories.branch(), by=by, on=DAY, **answers
    )


def test_cash_of_a_drawer_is_on_its_way_until_the_bank_has_it(mutua, kamau):
    drawer = factories.open_drawer(mutua)

    slip = bank(mutua, session=drawer)

    assert (slip.slip_number, drawer.holds()) == ("BK-17", 1000)
    assert books.balances()[chart.CASH_IN_TRANSIT] == 4000
    books.prove()

    confirmed = banking.confirm(slip, arrived_on=LATER, by=kamau, on=LATER)

    assert (confirmed.status, confirmed.ended_on, confirmed.ended_by) == ("confirmed", LATER, kamau)
    assert (books.balances()[chart.BANK], books.balances()[chart.CASH_IN_TRANSIT]) == (4000, 0)
    assert confirmed.arrived_entry.date == LATER
    books.prove()


def test_cash_of_the_vault_that_the_bank_refuses_comes_back(mutua, kamau):
    factories.vault(amount=D("4000.00"))
    slip = bank(mutua)
    assert books.balances()[chart.CASH] == 0

    banking.bring_back(slip, reason="The bank was closed", by=mutua, on=DAY)

    assert books.balances()[chart.CASH] == 4000
    with pytest.raises(Refused, match="back in the vault already"):
        banking.confirm(slip, arrived_on=DAY, by=kamau, on=DAY)


def test_more_than_lies_in_the_vault_is_not_banked(mutua):
    factories.vault(amount=D("3999.99"))

    with pytest.raises(Refused, match=r"more than the KES 3,999\.99 in the vault of Nairobi"):
        bank(mutua)

    assert not Banking.objects.exists()


def test_a_slip_is_banked_once_and_confirmed_by_another(mutua, kamau):
    factories.vault()
    slip = bank(mutua)

    with pytest.raises(Refused, match="Slip BK-17 was banked before"):
        bank(mutua, slip="BK-17")
    with pytest.raises(Refused, match="You banked this yourself"):
        banking.confirm(slip, arrived_on=DAY, by=mutua, on=DAY)
    for day in (date(2026, 1, 14), date(2026, 1, 18)):
        with pytest.raises(Refused, match="It left on 15 Jan 2026"):
            banking.confirm(slip, arrived_on=day, by=kamau, on=LATER)

    books.prove()


def test_a_slip_that_came_back_is_banked_again_and_then_no_more(mutua, kamau):
    factories.vault()
    first = bank(mutua)
    banking.bring_back(first, reason="The bank was closed", by=mutua, on=DAY)

    again = bank(mutua)

    assert (again.slip_number, again.status) == ("BK-17", "in_transit")
    with pytest.raises(Refused, match="Slip BK-17 was banked before"):
        bank(mutua)
    banking.confirm(again, arrived_on=DAY, by=kamau, on=DAY)
    books.prove()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"slip": " "}, "Type the number"),
        ({"amount": "0"}, "more than KES"),
        ({"amount": "5000.01"}, "There is less than"),
    ],
)
def test_impossible_banking_is_refused(mutua, answers, message):
    drawer = factories.open_drawer(mutua)

    with pytest.raises(Refused, match=message):
        bank(mutua, session=drawer, **answers)

    assert drawer.holds() == 5000


def test_nobody_banks_out_of_the_drawer_of_another(mutua, kamau):
    with pytest.raises(Refused, match="Only Mutua banks"):
        bank(kamau, session=factories.open_drawer(mutua))
