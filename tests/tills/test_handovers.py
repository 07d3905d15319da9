from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.tills.operations import drawers, handovers
from tests import books, factories

D = Decimal

DAY = factories.DAY


@pytest.fixture
def otieno(db):
    return factories.staff("otieno", "Cashier")


@pytest.fixture
def drawer(mutua):
    return factories.open_drawer(mutua)


def send(drawer, recipient, amount="1000.00", key="a"):
    return handovers.send(
        drawer, recipient=recipient, amount=D(amount), key=key, by=drawer.cashier, on=DAY
    )


def test_cash_sent_is_in_nobodys_drawer_until_it_is_accepted(drawer, otieno):
    sent = send(drawer, otieno)
    assert (drawer.holds(), books.balances()[chart.CASH_IN_TRANSIT]) == (4000, 1000)
    books.prove()
    theirs = factories.open_drawer(otieno, of_1000=0)

    accepted = handovers.accept(sent, by=otieno, on=DAY)

    assert (accepted.status, accepted.receiver) == ("accepted", theirs)
    assert (drawer.holds(), theirs.holds()) == (4000, 1000)
    books.prove()


@pytest.mark.parametrize("who", ["sender", "recipient"])
def test_cash_not_accepted_goes_back_where_it_came_from(drawer, mutua, otieno, who):
    sent = send(drawer, otieno)

    by = mutua if who == "sender" else otieno
    ended = handovers.take_back(sent, reason="950 was in the envelope", by=by, on=DAY)

    assert (ended.status, drawer.holds()) == ("taken_back", 5000)
    with pytest.raises(Refused, match="taken back already"):
        handovers.accept(sent, by=otieno, on=DAY)
    books.prove()


def test_a_drawer_is_not_counted_while_its_cash_is_on_the_way(drawer, mutua, otieno):
    send(drawer, otieno)

    with pytest.raises(Refused, match=r"KES 1,000\.00 sent to Otieno is not accepted"):
        drawers.count(drawer, pieces={1000: 4}, by=mutua, on=DAY)


def test_who_may_not_send_or_accept(drawer, mutua, otieno, kamau):
    stranger = factories.staff("awuor", "Cashier", branch=factories.branch("KSM", "Kisumu"))
    for recipient, message in ((mutua, "your own drawer"), (stranger, "Awuor is not of Nairobi")):
        with pytest.raises(Refused, match=message):
            send(drawer, recipient)
    with pytest.raises(Refused, match="Only Mutua sends"):
        handovers.send(drawer, recipient=otieno, amount=D(1), key="a", by=kamau, on=DAY)
    sent = send(drawer, otieno)
    with pytest.raises(Refused, match="only they accept it"):
        handovers.accept(sent, by=kamau, on=DAY)
    with pytest.raises(Refused, match="Only the two cashiers"):
        handovers.take_back(sent, reason="no", by=kamau, on=DAY)
    with pytest.raises(Refused, match="Open your drawer in Nairobi first"):
        handovers.accept(sent, by=otieno, on=DAY)

    assert drawer.holds() == 4000


def test_more_than_there_is_and_a_second_click_are_refused(drawer, otieno):
    with pytest.raises(Refused, match="There is less than"):
        send(drawer, otieno, "5000.01")
    send(drawer, otieno)
    with pytest.raises(Refused, match="sent already"):
        send(drawer, otieno)

    assert drawer.holds() == 4000
