"""Drawers opened, filled, counted blind and closed; the difference takes two."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.staff.models import Approval
from lms.tills.models import CashCount, DrawerMovement, DrawerSession
from lms.tills.operations import drawers
from tests import books, factories
from tests.replacing import displace

D = Decimal

DAY = factories.DAY
Status = DrawerSession.Status


def moved() -> dict[str, D]:
    """What moved since the vault was filled the day before."""
    return {code: amount for code, amount in books.balances(date__gte=DAY).items() if amount}


@pytest.fixture
def drawer(mutua):
    return factories.open_drawer(mutua)


def test_opening_counts_the_float_out_of_the_vault(drawer, mutua):
    assert drawer.holds() == D("5000.00")
    assert moved() == {chart.TILL_CASH: D("5000.00"), chart.CASH: D("-5000.00")}
    count = drawer.counts.get()
    assert (count.pieces, count.total, count.counted_by) == ({"1000": 5}, D("5000.00"), mutua)
    change = drawer.history.get()
    assert (change.history_user, change.history_change_reason) == (mutua, "Opened")
    books.prove()


def test_a_drawer_opens_empty_as_well(mutua):
    drawer = factories.open_drawer(mutua, of_1000=0)

    assert (drawer.holds(), moved()) == (D("0.00"), {})


def test_a_second_drawer_is_refused_until_the_first_is_closed(drawer, mutua):
    with pytest.raises(Refused, match="close it before you open another"):
        factories.open_drawer(mutua)
    drawers.count(drawer, pieces={1000: 5}, by=mutua, on=DAY)

    factories.open_drawer(mutua)

    assert DrawerSession.objects.unclosed().count() == 1


def test_a_drawer_is_opened_by_its_own_cashier_in_their_own_branch(mutua, kamau):
    kisumu = factories.branch("KSM", "Kisumu")
    for by, branch, message in (
        (kamau, mutua.branch, "Only Mutua opens"),
        (mutua, kisumu, "Mutua works in Nairobi, not in Kisumu"),
    ):
        with pytest.raises(Refused, match=message):
            drawers.open_drawer(mutua, pieces={}, branch=branch, by=by, on=DAY)


def test_float_comes_and_goes_and_a_second_click_is_refused(drawer, mutua):
    drawers.add_float(drawer, amount=D("2000.00"), key="a", by=mutua, on=DAY)
    drawers.return_cash(drawer, amount=D("6500.00"), key="b", by=mutua, on=DAY)
    with pytest.raises(Refused, match="posted already"):
        drawers.add_float(drawer, amount=D("2000.00"), key="a", by=mutua, on=DAY)

    assert drawer.holds() == D("500.00")
    assert moved() == {chart.TILL_CASH: D("500.00"), chart.CASH: D("-500.00")}


def test_more_than_lies_in_the_vault_of_the_branch_does_not_leave_it(mutua):
    factories.vault(factories.branch("KSM", "Kisumu"))
    factories.vault(amount=D("5000.00"))
    sentence = (
        r"KES 6,000\.00 is more than the KES 5,000\.00 in the vault of Nairobi: bring money from "
        r"the bank into it first"
    )

    with pytest.raises(Refused, match=sentence):
        factories.open_drawer(mutua, of_1000=6)
    assert not DrawerSession.objects.exists()
    drawer = factories.open_drawer(mutua, of_1000=4)
    with pytest.raises(Refused, match=r"more than the KES 1,000\.00 in the vault"):
        drawers.add_float(drawer, amount=D("1000.01"), key="a", by=mutua, on=DAY)
    drawers.add_float(drawer, amount=D("1000.00"), key="b", by=mutua, on=DAY)

    assert (drawer.holds(), books.balances(branch=drawer.branch)[chart.CASH]) == (5000, 0)


@pytest.mark.parametrize("amount", [D(0), D(-1), D("0.001")])
def test_float_is_money(drawer, mutua, amount):
    for verb in (drawers.add_float, drawers.return_cash):
        with pytest.raises(Refused, match=r"more than KES 0\.00"):
            verb(drawer, amount=amount, key="a", by=mutua, on=DAY)


def test_more_than_is_in_the_drawer_does_not_leave_it_and_the_refusal_keeps_the_count_blind(
    drawer, mutua
):
    with pytest.raises(Refused) as refusal:
        drawers.return_cash(drawer, amount=D("5000.01"), key="a", by=mutua, on=DAY)

    assert "5,000.00" not in refusal.value.message
    assert drawer.holds() == D("5000.00")


def test_only_its_cashier_or_an_overseer_touches_a_drawer(drawer, njeri, kamau):
    with pytest.raises(Refused, match="This is the drawer of Mutua"):
        drawers.count(drawer, pieces={}, by=njeri, on=DAY)

    closed = drawers.count(drawer, pieces={1000: 5}, by=kamau, on=DAY)

    assert closed.status == Status.CLOSED


def test_a_right_count_returns_the_cash_to_the_vault_and_closes(drawer, mutua):
    closed = drawers.count(drawer, pieces={500: 10}, by=mutua, on=DAY)

    assert (closed.status, closed.difference, closed.approval) == (Status.CLOSED, 0, None)
    assert (closed.holds(), moved()) == (D("0.00"), {})
    with pytest.raises(Refused, match="is counted: closed"):
        drawers.add_float(drawer, amount=D(1), key="a", by=mutua, on=DAY)


@pytest.mark.parametrize(
    ("pieces", "account", "words"),
    [
        ({1000: 5, 20: 1}, chart.CASH_OVER, "KES 20.00 over"),
        ({1000: 4}, chart.CASH_SHORT, "KES 1,000.00 short"),
        ({}, chart.CASH_SHORT, "KES 5,000.00 short"),
    ],
)
def test_a_difference_is_booked_once_a_second_person_says_so(
    drawer, mutua, kamau, pieces, account, words
):
    counted = drawers.count(drawer, pieces=pieces, note="Gave change twice", by=mutua, on=DAY)
    assert (counted.status, drawers.shown(counted)) == (Status.COUNTED, words)
    assert moved() == {chart.TILL_CASH: D("5000.00"), chart.CASH: D("-5000.00")}
    approval = Approval.objects.get()
    assert (approval.reason, approval.asked_by) == ("Gave change twice", mutua)

    closed = drawers.approve_difference(counted, reason="Slip seen", by=kamau, on=DAY)

    assert closed.status == Status.CLOSED
    assert moved() == {account: -closed.difference, chart.CASH: closed.difference}
    approval.refresh_from_db()
    assert (approval.status, approval.decided_by) == ("approved", kamau)
    books.prove()


def test_nobody_decides_about_their_own_drawer_whoever_counted_it(drawer, mutua, kamau):
    drawers.count(drawer, pieces={}, by=kamau, on=DAY)

    with pytest.raises(Refused, match="This is your own drawer"):
        drawers.approve_difference(drawer, reason="", by=mutua, on=DAY)
    with pytest.raises(Refused, match="You asked for this yourself"):
        drawers.approve_difference(drawer, reason="", by=kamau, on=DAY)
    with pytest.raises(Refused, match="This is your own drawer"):
        drawers.reopen(drawer, reason="again", by=mutua, on=DAY)

    drawer.refresh_from_db()
    assert drawer.status == Status.COUNTED
    assert moved() == {chart.TILL_CASH: D("5000.00"), chart.CASH: D("-5000.00")}


def test_a_drawer_opened_is_counted_again_and_both_counts_stay(drawer, mutua, kamau):
    drawers.count(drawer, pieces={1000: 4}, by=mutua, on=DAY)
    with pytest.raises(Refused, match="Say what is to be looked for"):
        drawers.reopen(drawer, reason=" ", by=kamau, on=DAY)

    opened = drawers.reopen(drawer, reason="Look under the tray", by=kamau, on=DAY)
    assert (opened.status, opened.counted) == (Status.OPEN, None)
    closed = drawers.count(opened, pieces={1000: 5}, by=mutua, on=DAY)

    assert closed.status == Status.CLOSED
    closing = closed.counts.filter(moment=CashCount.Moment.CLOSING)
    assert [count.total for count in closing] == [D("4000.00"), D("5000.00")]
    assert Approval.objects.get().status == "rejected"


def test_a_cashier_does_not_take_the_request_back_to_count_again(drawer, mutua, kamau):
    counted = drawers.count(drawer, pieces={}, by=mutua, on=DAY)

    with pytest.raises(Refused, match="somebody else opens it again"):
        drawers.call_back(counted.approval, reason="I forgot a receipt", by=mutua, on=DAY)
    with pytest.raises(Refused, match="is counted"):
        drawers.count(drawer, pieces={1000: 5}, by=mutua, on=DAY)

    opened = drawers.turn_down(counted.approval, reason="Type it", by=kamau, on=DAY)
    assert drawers.count(opened, pieces={1000: 5}, by=mutua, on=DAY).status == Status.CLOSED


def test_a_difference_is_decided_once(drawer, mutua, kamau):
    drawers.count(drawer, pieces={}, by=mutua, on=DAY)
    drawers.approve_difference(drawer, reason="", by=kamau, on=DAY)

    with pytest.raises(Refused, match="has no difference that waits"):
        drawers.approve_difference(drawer, reason="", by=kamau, on=DAY)


def test_what_is_written_of_a_drawer_is_not_changed(drawer):
    for row in (drawer.movements.get(), drawer.counts.get()):
        with pytest.raises(Refused, match="not edited"):
            row.save()
        with pytest.raises(Refused, match="not deleted"):
            row.delete()


def test_the_questions_asked_of_drawers(drawer, mutua, kamau):
    other = factories.open_drawer(kamau, on=date(2026, 1, 16))
    drawers.count(other, pieces={}, by=kamau, on=date(2026, 1, 16))

    left = DrawerSession.objects.left_open(on=date(2026, 1, 16))

    assert list(left) == [drawer]
    assert list(DrawerSession.objects.with_difference()) == [other]
    assert list(DrawerSession.objects.seen_by(factories.staff("mwende", branch=None))) != []
    stranger = factories.staff("awuor", branch=factories.branch("KSM", "Kisumu"))
    assert list(DrawerSession.objects.seen_by(stranger)) == []


def test_every_movement_has_its_own_balanced_entry(drawer, mutua, kamau):
    drawers.add_float(drawer, amount=D(100), key="x", by=mutua, on=DAY)
    drawers.count(drawer, pieces={1000: 5}, by=mutua, on=DAY)
    drawers.approve_difference(drawer, reason="", by=kamau, on=DAY)

    entries = JournalEntry.objects.filter(kind="drawer").order_by("pk")
    assert list(entries.values_list("reference", flat=True)) == [
        f"drawer:{drawer.pk}:{key}" for key in ("opening", "x", "difference", "closing")
    ]
    kinds = DrawerMovement.objects.values_list("kind", "amount")
    assert list(kinds) == [
        ("float", D("5000.00")),
        ("float", D("100.00")),
        ("difference", D("-100.00")),
        ("vault", D("-5000.00")),
    ]


@pytest.mark.parametrize("rows", ["counts", "movements"])
def test_the_database_keeps_what_was_counted_and_moved(mutua, rows):
    drawer = factories.open_drawer(mutua)
    found = getattr(drawer, rows).all()
    column = "total" if rows == "counts" else "amount"

    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        found.update(**{column: D(1)})
    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        found._raw_delete(using="default")
    with pytest.raises(DatabaseError, match="reverse it"), transaction.atomic():
        displace(found.get(), **{column: "1"})

    assert getattr(found.get(), column) == 5000
