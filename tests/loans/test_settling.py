from datetime import date
from decimal import Decimal

import pytest

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import Transfer
from lms.loans.models import Loan, Waiver
from lms.loans.operations import changes, collection, relief, settling
from lms.payments.models import Payment
from lms.payments.operations import receive
from tests import factories
from tests.books import balances, prove

D = Decimal


def money(loan, amount, *, on):
    """Cash that waits unallocated."""
    return receive(
        method="cash", amount=D(amount), reference=None, value_date=on, account=loan.number,
        branch=loan.branch, by=factories.mutua(), on=on,
    )  # fmt: skip


def pay(loan, amount, *, on):
    payment = money(loan, amount, on=on)
    collection.allocate(payment, loan, by=factories.mutua(), on=on)
    payment.refresh_from_db()
    return payment


def flat(**fields):
    """50,000 at 3% a month flat over 6 months from 15 January: 9,833 five times, then 9,835."""
    product = factories.product(
        code="SOKO", method="flat", rate=D(3), rate_period="month", number_of_repayments=6, **fields
    )
    return factories.active(D(50_000), product=product)


# After two instalments 39,334 are left, of which 6,000 is interest: (rebate, payoff).
REBATED = {
    "actuarial": ("4420", "34914"),
    "rule_of_78": ("4286", "35048"),
    "pro_rata": ("6000", "33334"),
    "none": ("0", "39334"),
}


@pytest.mark.parametrize("rebate", REBATED)
def test_a_flat_loan_is_settled_with_the_rebate_of_its_product(kamau, rebate):
    given_back, payoff = map(D, REBATED[rebate])
    loan, day = flat(rebate=rebate), date(2026, 3, 15)
    pay(loan, 9_833, on=date(2026, 2, 15))
    pay(loan, 9_833, on=day)

    quoted = settling.payoff(Loan.objects.get(pk=loan.pk), on=day)
    change = settling.settle_early(loan, payment=money(loan, payoff, on=day), by=kamau, on=day)

    loan.refresh_from_db()
    assert (quoted.rebate, quoted.total) == (given_back, payoff)
    assert (change.kind, change.amount) == ("settlement", given_back)
    assert (loan.status, loan.closed_on) == ("closed", day)
    assert sum(w.amount for w in Waiver.objects.filter(kind="rebate")) == given_back
    booked = balances()
    assert booked[chart.UNEARNED_INTEREST] == 0
    assert booked[chart.INTEREST_INCOME] == -(D(9_000) - given_back)
    prove()


def test_a_declining_loan_is_settled_with_its_balance_and_the_days_since(loan, kamau):
    for month in (2, 3, 4, 5):
        pay(loan, 9_456, on=date(2026, month, 15))
    day = date(2026, 5, 25)

    quoted = settling.payoff(Loan.objects.get(pk=loan.pk), on=day)
    settling.settle_early(loan, payment=money(loan, 69_725, on=day), by=kamau, on=day)

    # 69,270 and 10 days at 24% / 365 = 455.47, in whole shillings as the loan rounds interest.
    assert (quoted.principal, quoted.interest, quoted.per_day) == (69_270, 455, D("45.55"))
    loan.refresh_from_db()
    assert loan.status == "closed"
    prove()


def test_less_than_the_quote_is_refused_and_moves_nothing(loan, kamau):
    day = date(2026, 1, 25)
    payment = money(loan, 100_000, on=day)
    before = Transfer.objects.count()

    with pytest.raises(
        Refused, match=r"KES 100,658\.00 pays LN\d+ off on 25 Jan 2026: KES 658\.00 is missing\."
    ):
        settling.settle_early(loan, payment=payment, by=kamau, on=day)

    assert Transfer.objects.count() == before
    assert not Waiver.objects.exists()
    assert not loan.changes.exists()


def test_more_than_the_quote_becomes_credit(loan, kamau):
    day = date(2026, 1, 25)
    payment = money(loan, 101_000, on=day)

    settling.settle_early(loan, payment=payment, by=kamau, on=day)

    payment.refresh_from_db()
    assert (payment.allocated, payment.credited) == (100_658, 342)
    prove()


def test_money_pays_what_is_not_due_yet_also_where_the_terms_keep_it_as_credit(kamau):
    loan = flat(surplus="credit", rebate="pro_rata")
    day = date(2026, 1, 15)

    settling.settle_early(loan, payment=money(loan, 50_000, on=day), by=kamau, on=day)

    loan.refresh_from_db()
    assert loan.status == "closed"
    prove()


def test_a_settlement_is_undone_after_its_money_is_taken_back(loan, kamau):
    day = date(2026, 1, 25)
    payment = money(loan, 100_658, on=day)
    change = settling.settle_early(loan, payment=payment, by=kamau, on=day)

    with pytest.raises(Refused, match="take that back first"):
        changes.undo(change, reason="Bounced", by=kamau, on=day)
    collection.take_back(payment, reason="Bounced", by=kamau, on=day)
    prove()
    changes.undo(change, reason="Bounced", by=kamau, on=day)

    loan.refresh_from_db()
    assert (loan.status, loan.position.outstanding) == ("active", D(113_470))
    assert not Waiver.objects.standing().exists()
    prove()


def test_interest_ends_with_the_day_on_which_it_stops(loan):
    loan.interest_stops_on = date(2026, 1, 25)

    quoted = settling.payoff(loan, on=date(2026, 3, 1))

    assert (quoted.total, quoted.per_day) == (D(100_658), 0)
    assert (quoted.on, quoted.good_through) == (date(2026, 3, 1), date(2026, 3, 8))


def test_a_loan_that_does_not_run_has_no_payoff(kamau):
    with pytest.raises(Refused, match="only an active loan is paid off"):
        settling.payoff(factories.approved(), on=date(2026, 3, 1))


def test_a_small_remainder_is_given_up_and_closes_the_loan(kamau):
    loan = flat(closing_tolerance=D(10))

    payment = pay(loan, 58_993, on=date(2026, 7, 15))

    loan.refresh_from_db()
    waived = Waiver.objects.values_list("kind", "amount", "waived_by__username")
    assert list(waived) == [("tolerance", D(7), "mutua")]
    assert (loan.status, loan.closed_on) == ("closed", date(2026, 7, 15))
    prove()

    collection.take_back(payment, reason="Bounced", by=kamau, on=date(2026, 7, 16))
    loan.refresh_from_db()
    assert (loan.status, loan.position.outstanding) == ("active", D(59_000))
    prove()


def test_a_remainder_from_before_is_given_up_by_hand(kamau):
    loan = flat()
    pay(loan, 58_993, on=date(2026, 7, 15))
    Loan.objects.filter(pk=loan.pk).update(closing_tolerance=D(10))

    relief.forgive_remainder(loan, by=kamau, on=date(2026, 7, 16))

    loan.refresh_from_db()
    assert loan.status == "closed"
    prove()


def test_more_than_the_tolerance_is_not_given_up(kamau):
    loan = flat(closing_tolerance=D(10))
    pay(loan, 58_989, on=date(2026, 7, 15))

    with pytest.raises(Refused, match=r"at most KES 10\.00 unpaid: KES 11\.00 is owed"):
        relief.forgive_remainder(loan, by=kamau, on=date(2026, 7, 16))

    assert not Waiver.objects.exists()
    assert Payment.objects.get().allocated == 58_989
