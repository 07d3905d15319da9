import re
from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.models import Position
from lms.loans.operations import collection, instalments, lifecycle, relief, settling, undoing
from lms.loans.operations.night import accrual
from lms.payments.models import Payout
from tests import factories
from tests.books import balances, prove
from tests.loans.test_settling import money, pay
from tests.nights import EVERYBODY

D = Decimal
DAY = date(2026, 1, 16)


def test_an_undone_disbursement_leaves_an_approved_loan_and_empty_books(kamau):
    fee = {"name": "Processing", "value": D(3), "when": "deducted"}
    loan = factories.active(product=factories.product(fees=[fee]))

    undoing.undo_disbursement(loan, reason="Paid to the wrong phone", by=kamau, on=DAY)

    loan.refresh_from_db()
    assert (loan.status, loan.disbursed_on) == ("approved", None)
    assert not Position.objects.filter(loan=loan).exists()
    assert set(loan.repayments.values_list("status", flat=True)) == {"cancelled"}
    assert Payout.objects.get().reversed_on == DAY
    assert {code: sum_ for code, sum_ in balances().items() if sum_} == {}
    prove()


def test_it_is_paid_out_again_with_a_schedule_beside_the_cancelled_one(loan, kamau, mutua):
    undoing.undo_disbursement(loan, reason="Wrong phone", by=kamau, on=DAY)

    lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY)

    loan.refresh_from_db()
    assert loan.position.outstanding == D(113_470)
    standing = loan.repayments.exclude(status="cancelled").order_by("number")
    assert next(iter(standing.values_list("number", "version"))) == (13, 2)
    assert standing.first().due_date == date(2026, 2, 16)
    prove()


def test_a_schedule_changed_by_hand_is_undone_too(loan, kamau):
    row = loan.repayments.get(number=3)
    terms = {"due_date": row.due_date, "principal": row.principal, "interest": D(9), "fees": D(50)}
    instalments.change(row, **terms, reason="Agreed", by=kamau, on=DAY)
    relief.cancel(loan.repayments.get(number=2), reason="Agreed", by=kamau, on=DAY)

    undoing.undo_disbursement(loan, reason="Wrong phone", by=kamau, on=DAY)

    assert {code: sum_ for code, sum_ in balances().items() if sum_} == {}


def test_a_night_that_spoke_of_many_loans_keeps_the_others(kamau):
    product = factories.product(income_basis="accrual")
    loan = factories.active(product=product)
    other = factories.active(product=product, customer=factories.otieno())
    accrual.accrue(*EVERYBODY, on=DAY)
    assert balances(subject=other.number)[chart.INTEREST_INCOME] < 0

    undoing.undo_disbursement(loan, reason="Wrong phone", by=kamau, on=DAY)

    assert {code: sum_ for code, sum_ in balances(subject=loan.number).items() if sum_} == {}
    assert balances(subject=other.number)[chart.INTEREST_INCOME] < 0
    prove()


def test_it_is_refused_while_anything_stands_on_the_loan(loan, kamau):
    row = loan.repayments.get(number=1)
    payment = pay(loan, 500, on=DAY)
    assert re.search(
        r"RC\d+ · KES 500\.00 stands on LN\d+: take that back first\.", refusal(loan, kamau)
    )
    collection.take_back(payment, reason="x", by=kamau, on=DAY)

    (waiver,) = relief.waive(row, amount=D(1), component="interest", reason="x", by=kamau, on=DAY)
    assert "KES 1.00 of interest was waived" in refusal(loan, kamau)
    relief.reverse_waiver(waiver, reason="x", by=kamau, on=DAY)

    undoing.undo_disbursement(loan, reason="Wrong phone", by=kamau, on=DAY)
    prove()


def test_it_is_refused_with_a_penalty_or_a_change(loan, kamau):
    settling.settle_early(loan, payment=money(loan, 110_000, on=DAY), by=kamau, on=DAY)
    assert "is closed: only the disbursement of an active loan is undone" in refusal(loan, kamau)

    other = factories.active(customer=factories.otieno())
    row = other.repayments.get(number=1)
    instalments.charge_penalty(row, amount=D(9), rule="x", by=kamau, on=date(2026, 2, 20))
    assert re.search(r"A penalty of KES 9\.00 was charged", refusal(other, kamau))


def test_who_paid_out_does_not_undo_it(loan, mutua):
    assert re.search("You paid LN.* out yourself", refusal(loan, mutua))


def refusal(loan, by) -> str:
    """Return why undoing a disbursement is refused, which changes nothing."""
    before = Transfer.objects.count()
    with pytest.raises(Refused) as refused:
        undoing.undo_disbursement(loan, reason="Wrong phone", by=by, on=DAY)
    assert Transfer.objects.count() == before
    return str(refused.value)


def test_it_is_refused_while_a_receipt_stands_that_went_to_credit_as_a_whole(kamau):
    loan = factories.active(product=factories.product(surplus="credit"))
    pay(loan, 500, on=DAY)

    assert re.search(
        r"RC\d+ · KES 500\.00 stands on LN\d+: take that back first\.", refusal(loan, kamau)
    )
    prove()
