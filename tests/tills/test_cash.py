"""Payments through drawers: what a cashier takes and pays counts in the drawer that is open."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.loans.operations import collection, lifecycle, undoing
from lms.payments.models import Payment, Payout
from lms.payments.operations import receive, undo_receipt
from lms.tills.models import DrawerMovement
from lms.tills.operations import drawers
from tests import books, factories

D = Decimal

DAY = factories.DAY


def take(by, amount="300.00", **answers) -> Payment:
    """Cash for nobody yet, unless told."""
    return receive(
        **{
            "method": "cash",
            "amount": D(amount),
            "reference": None,
            "value_date": DAY,
            "account": "",
            "branch": factories.branch(),
            "by": by,
            "on": DAY,
            **answers,
        }
    )


def pay_out(loan, by):
    return lifecycle.disburse(loan, method="cash", reference=None, by=by, on=DAY)


@pytest.fixture
def drawers_only(db):
    branch = factories.branch()
    branch.requires_drawer = True
    branch.save()
    return branch


def test_cash_goes_into_the_open_drawer_of_who_took_it(mutua, njeri):
    drawer = factories.open_drawer(mutua)

    payment = take(mutua)
    take(njeri, "20.00")
    take(mutua, "40.00", method="mpesa", reference="UKL7AB12CD")

    assert drawer.holds() == D("5300.00")
    movement = drawer.movements.get(kind=DrawerMovement.Kind.RECEIPT)
    assert movement.entry.payment == payment
    now = books.balances(date__gte=DAY)
    assert (now[chart.TILL_CASH], now[chart.CASH]) == (D("5300.00"), D("-4980.00"))
    books.prove()


def test_cash_dated_before_its_drawer_was_opened_leaves_those_days_as_they_were(mutua, kamau):
    drawer = factories.open_drawer(mutua)
    loan = factories.approved(D(4_000), on=DAY - timedelta(10))

    payment = take(mutua, value_date=DAY - timedelta(10))
    lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY - timedelta(1))

    assert (payment.value_date, payment.entry.date) == (DAY - timedelta(10), DAY)
    paid = Payout.objects.get()
    assert (paid.paid_on, paid.entry.date) == (DAY - timedelta(1), DAY)
    yesterday = books.balances(date__lt=DAY)
    assert (yesterday[chart.TILL_CASH], drawer.holds()) == (0, D("1300.00"))

    with transaction.atomic():
        undo_receipt(payment, reason="Typed twice", by=kamau, on=DAY - timedelta(1))
    undoing.undo_disbursement(loan, reason="Wrong person", by=kamau, on=DAY - timedelta(1))

    assert books.balances(date__lt=DAY)[chart.TILL_CASH] == 0
    assert drawer.holds() == 5000
    books.prove()


def test_what_such_cash_pays_is_booked_no_earlier_and_counts_from_its_day(mutua):
    loan = factories.active(D(10_000), on=DAY - timedelta(40))
    factories.open_drawer(mutua)
    payment = take(mutua, value_date=DAY - timedelta(5))

    placed = collection.allocate(payment, loan, by=mutua, on=DAY)

    assert {part.counts_on for part in placed} == {DAY - timedelta(5)}
    assert books.balances(date__lt=DAY)[chart.UNALLOCATED] == 0
    books.prove()


def test_the_same_form_sent_again_counts_once_even_when_the_drawer_is_closed(mutua):
    drawer = factories.open_drawer(mutua)
    first = take(mutua, request_key="form")

    again = take(mutua, request_key="form")
    drawers.count(drawer, pieces={1000: 5, 200: 1, 100: 1}, by=mutua, on=DAY)

    assert first == again == take(mutua, request_key="form")
    assert drawer.movements.filter(kind="receipt").count() == 1


def test_a_loan_paid_out_in_cash_leaves_the_drawer(mutua):
    loan = factories.approved(D(10_000))
    drawer = factories.open_drawer(mutua, of_1000=12)

    pay_out(loan, mutua)

    assert drawer.holds() == D("2000.00")
    assert drawer.movements.get(kind="payout").entry.payout == Payout.objects.get()
    books.prove()


def test_what_is_not_in_the_drawer_is_not_paid_out(mutua):
    loan = factories.approved(D(10_000))
    drawer = factories.open_drawer(mutua)

    with pytest.raises(Refused, match=r"less than KES 10,000\.00 in drawer"):
        pay_out(loan, mutua)

    loan.refresh_from_db()
    assert (loan.status, drawer.holds()) == ("approved", D("5000.00"))


def test_where_cash_needs_a_drawer_it_is_refused_without_one(drawers_only, mutua, kamau):
    loan = factories.approved(D(4_000))

    for handle in (lambda: take(mutua), lambda: pay_out(loan, mutua)):
        with pytest.raises(Refused, match="Open your drawer first"):
            handle()
    take(mutua, method="bank", reference="SLIP1")
    factories.open_drawer(mutua)
    take(mutua)
    pay_out(loan, mutua)

    assert Payment.objects.count() == 2
    books.prove()


def test_head_office_needs_a_drawer_where_the_loan_does(drawers_only):
    mwende = factories.staff("mwende", "Cashier", branch=None)

    with pytest.raises(Refused, match="Open your drawer first"):
        take(mwende)


def test_a_counted_drawer_takes_no_more_cash(mutua):
    drawer = factories.open_drawer(mutua)
    drawers.count(drawer, pieces={}, by=mutua, on=DAY)

    with pytest.raises(Refused, match="is counted: difference to approve"):
        take(mutua)

    assert not Payment.objects.exists()


def test_cash_for_a_loan_of_another_branch_is_owed_to_it(mutua, kamau):
    kisumu = factories.branch("KSM", "Kisumu")
    drawer = factories.open_drawer(mutua)

    payment = take(mutua, branch=kisumu)

    assert drawer.holds() == D("5300.00")
    there, here = (books.balances(branch=branch) for branch in (kisumu, drawer.branch))
    assert (there[chart.BETWEEN_BRANCHES], there[chart.UNALLOCATED]) == (300, -300)
    assert (here[chart.BETWEEN_BRANCHES], here[chart.TILL_CASH]) == (-300, 5300)
    books.prove()

    collection.reverse_payment(payment, reason="Typed twice", by=kamau, on=DAY)

    assert drawer.holds() == D("5000.00")
    assert not any(books.balances(branch=kisumu).values())
    books.prove()


def test_a_receipt_reversed_while_its_drawer_is_open_leaves_that_drawer(mutua, kamau):
    drawer = factories.open_drawer(mutua)
    payment = take(mutua)

    collection.reverse_payment(payment, reason="Typed twice", by=kamau, on=DAY)

    assert drawer.holds() == D("5000.00")
    assert drawer.movements.get(kind="undone").amount == D("-300.00")
    books.prove()


@pytest.mark.parametrize("is_right", [True, False])
def test_a_receipt_reversed_after_its_drawer_was_counted_comes_out_of_the_vault(
    mutua, kamau, is_right
):
    drawer = factories.open_drawer(mutua)
    payment = take(mutua)
    pieces = {1000: 5, 200: 1, 100: 1} if is_right else {1000: 5}
    drawers.count(drawer, pieces=pieces, by=mutua, on=DAY)
    vault = books.balances()[chart.CASH]

    collection.reverse_payment(payment, reason="Never paid", by=kamau, on=DAY)

    assert books.balances()[chart.CASH] == vault - 300
    assert not drawer.movements.filter(kind="undone").exists()
    assert JournalEntry.objects.filter(reference__startswith="drawer:vault:").count() == 1
    books.prove()


def test_a_receipt_reversed_after_its_cash_left_the_drawer_comes_out_of_the_vault(mutua, kamau):
    drawer = factories.open_drawer(mutua)
    payment = take(mutua)
    drawers.return_cash(drawer, amount=D("5100.00"), key="evening", by=mutua, on=DAY)
    vault = books.balances()[chart.CASH]

    collection.reverse_payment(payment, reason="Never paid", by=kamau, on=DAY)

    assert (drawer.holds(), books.balances()[chart.CASH]) == (D("200.00"), vault - 300)
    assert not drawer.movements.filter(kind="undone").exists()
    closed = drawers.count(drawer, pieces={200: 1}, by=mutua, on=DAY)
    assert (closed.status, closed.difference) == ("closed", D(0))
    books.prove()


def test_a_disbursement_undone_puts_the_cash_back(mutua, kamau):
    loan = factories.approved(D(4_000))
    drawer = factories.open_drawer(mutua)
    pay_out(loan, mutua)

    undoing.undo_disbursement(loan, reason="Wrong person", by=kamau, on=DAY)

    assert drawer.holds() == D("5000.00")
    books.prove()


def test_without_a_drawer_cash_lies_in_the_vault_as_before(mutua, kamau):
    payment = take(mutua)
    assert books.balances()[chart.CASH] == D("300.00")
    factories.open_drawer(mutua)

    collection.reverse_payment(payment, reason="Typed twice", by=kamau, on=DAY)

    assert books.balances(date__gte=DAY)[chart.CASH] == D("-5000.00")
    books.prove()


def test_money_placed_on_a_loan_is_taken_in_the_drawer_too(loan, mutua):
    drawer = factories.open_drawer(mutua)

    routing.take(
        method="cash",
        amount=D("9456.00"),
        reference=None,
        value_date=DAY,
        account=loan.number,
        by=mutua,
        on=DAY,
    )

    assert drawer.holds() == D("14456.00")
    books.prove()
