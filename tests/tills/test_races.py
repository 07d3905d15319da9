"""Two people at one drawer in the same moment: the row of the drawer lets one go first."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connections

from lms.errors import Refused
from lms.ledger import chart
from lms.payments.models import Payment
from lms.payments.operations import receive
from lms.tills.models import DrawerSession
from lms.tills.operations import drawers, handovers
from tests import books, factories

D = Decimal
DAY = factories.DAY
ROUNDS = 3


def at_once(*deeds) -> list[str]:
    """Do each deed in a thread of its own at the same moment; return "done" or the refusal."""
    start = Barrier(len(deeds))

    def one(deed) -> str:
        try:
            start.wait(timeout=20)
            deed()
        except Refused as refusal:
            return refusal.message
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(one, deeds))


@pytest.fixture
def cast(committed):
    factories.vault()
    return factories.mutua(), factories.kamau(), factories.staff("otieno", "Cashier")


def test_a_cashier_who_opens_twice_at_once_has_one_drawer(cast):
    mutua, _, _ = cast

    said = at_once(*[lambda: factories.open_drawer(mutua)] * 3)

    assert sorted(answer == "done" for answer in said) == [False, False, True]
    assert DrawerSession.objects.get().holds() == D("5000.00")
    books.prove()


def test_cash_taken_while_the_drawer_is_counted_is_in_the_count_or_refused(cast):
    mutua, kamau, _ = cast
    for _ in range(ROUNDS):
        drawer, before = factories.open_drawer(mutua), Payment.objects.count()

        def take():
            receive(method="cash", amount=D(100), reference=None, value_date=DAY, account="",
                    branch=mutua.branch, by=mutua, on=DAY)  # fmt: skip

        said = at_once(take, lambda d=drawer: drawers.count(d, pieces={}, by=mutua, on=DAY), take)

        drawer.refresh_from_db()
        taken = Payment.objects.count() - before
        assert said[1] == "done"
        assert sum("is counted" in answer for answer in said) == 2 - taken
        assert drawer.expected == drawer.holds() == 5000 + 100 * taken
        drawers.approve_difference(drawer, reason="", by=kamau, on=DAY)
    books.prove()


def test_a_transfer_accepted_and_taken_back_at_once_ends_in_one_drawer(cast):
    mutua, _, otieno = cast
    ours, theirs = factories.open_drawer(mutua), factories.open_drawer(otieno)
    for number in range(ROUNDS):
        sent = handovers.send(
            ours, recipient=otieno, amount=D(100), key=str(number), by=mutua, on=DAY
        )

        said = at_once(
            lambda t=sent: handovers.accept(t, by=otieno, on=DAY),
            lambda t=sent: handovers.take_back(t, reason="no", by=mutua, on=DAY),
        )

        assert sorted(answer == "done" for answer in said) == [False, True]
    assert ours.holds() + theirs.holds() == D("10000.00")
    books.prove()


def test_two_payouts_at_once_do_not_take_more_than_the_drawer_holds(cast):
    mutua, _, _ = cast
    drawer = factories.open_drawer(mutua)

    said = at_once(
        *[
            lambda key=key: drawers.return_cash(drawer, amount=D(3000), key=key, by=mutua, on=DAY)
            for key in ("a", "b")
        ]
    )

    assert sorted(answer == "done" for answer in said) == [False, True]
    assert drawer.holds() == D("2000.00")
    books.prove()


def test_two_who_take_the_last_cash_of_the_vault_at_once_do_not_both_get_it(cast):
    mutua, _, otieno = cast
    drawers_of = [factories.open_drawer(each, of_1000=0) for each in (mutua, otieno)]

    said = at_once(
        *(
            lambda d=drawer: drawers.add_float(d, amount=D(600_000), key="a", by=d.cashier, on=DAY)
            for drawer in drawers_of
        )
    )

    assert sorted(answer == "done" for answer in said) == [False, True]
    assert books.balances()[chart.CASH] == 400_000
    books.prove()
