from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import FeePayment, Loan
from lms.loans.operations import collection, lifecycle, transfers, undoing, upfront
from lms.notifications.models import Message
from lms.payments.models import Payment
from lms.payments.operations import refund_credit
from tests import factories
from tests.books import balances, prove
from tests.factories import DAY

D = Decimal
# 2% and 500 of 100,000, with 20% and no excise: 2,500 of fees and 400 of excise duty.
FEES = [
    {"name": "Appraisal", "kind": "percent", "value": D(2), "when": "paid_before"},
    {
        "name": "Passbook",
        "kind": "amount",
        "value": D(500),
        "when": "paid_before",
        "excise_rate": D(0),
    },
]


@pytest.fixture
def approved(db) -> Loan:
    return factories.approved(product=factories.product(fees=FEES))


def pay(loan: Loan, amount: str, *, account: str | None = None, **answers) -> Payment:
    return routing.take(
        account=loan.number if account is None else account,
        by=factories.mutua(),
        on=DAY,
        branch=loan.branch,
        **{
            "method": "cash",
            "reference": None,
            "amount": D(amount),
            "value_date": DAY,
            **answers,
        },
    )


def disburse(loan: Loan) -> Loan:
    return lifecycle.disburse(loan, method="cash", reference=None, by=factories.mutua(), on=DAY)


def test_disbursing_waits_until_the_fees_that_come_first_are_paid(approved):
    with pytest.raises(Refused, match=r"KES 2,900\.00 of fees must be paid before LN"):
        disburse(approved)

    pay(approved, "1000")
    with pytest.raises(Refused, match=r"KES 1,900\.00 of fees must be paid before LN"):
        disburse(approved)

    pay(approved, "1900", method="mpesa", reference="UKL1AB2CD3")
    loan = disburse(approved)
    assert loan.status == Loan.Status.ACTIVE
    booked = balances()
    assert (booked[chart.FEE_INCOME], booked[chart.EXCISE_PAYABLE]) == (D(-2500), D(-400))
    assert booked[chart.LOAN_PRINCIPAL] == D(100_000)
    assert {row.fees for row in loan.repayments.all()} == {D(0)}
    prove()


def test_fee_and_excise_are_paid_in_proportion_and_come_out_even(approved):
    for amount in ("0.01", "966.66", "333.34", "1599.99"):
        pay(approved, amount)

    parts = list(FeePayment.objects.all())
    assert [part.fee for part in parts] == [D("0.01"), D("833.33"), D("287.36"), D("1379.30")]
    assert sum(part.fee for part in parts) == D(2500)
    assert sum(part.excise for part in parts) == D(400)
    assert upfront.owing(approved) == 0
    prove()


def test_what_is_paid_beyond_the_fees_is_the_customers_credit(approved):
    payment = pay(approved, "3000")

    assert (payment.allocated, payment.credited) == (D(2900), D(100))
    again = pay(approved, "50")
    assert again.status == Payment.Status.UNALLOCATED
    prove()


def test_no_fee_is_taken_before_the_loan_is_approved(db):
    loan = factories.draft(product=factories.product(fees=FEES))

    payment = pay(loan, "2900")

    assert payment.status == Payment.Status.UNALLOCATED
    assert upfront.owing(loan) == 0
    assert not routing.knows_account(loan.number)


def test_money_by_mpesa_is_welcome_until_the_fees_are_paid(approved):
    assert routing.knows_account(approved.number)

    pay(approved, "2900")

    assert not routing.knows_account(approved.number)


def test_a_reversed_payment_leaves_the_fees_unpaid(approved, kamau):
    payment = pay(approved, "2900")

    collection.reverse_payment(payment, reason="Bounced", by=kamau, on=DAY)

    assert upfront.owing(approved) == D(2900)
    assert {account for account, sum_ in balances().items() if sum_} == set()
    part = FeePayment.objects.get()
    assert (part.ended_on, part.credit_entry) == (DAY, None)
    assert part.history.first().history_change_reason == "Bounced"
    prove()
    pay(approved, "2900")
    assert disburse(approved).status == Loan.Status.ACTIVE


def test_a_payment_taken_back_can_pay_the_fees_of_another_loan(approved, kamau):
    other = factories.approved(customer=factories.otieno())
    payment = pay(approved, "2900", account="")
    routing.match(payment, approved, by=kamau, on=DAY)

    collection.take_back(payment, reason="Otieno's money", by=kamau, on=DAY)
    routing.match(payment, other, by=kamau, on=DAY)

    assert upfront.owing(approved) == D(2900)
    assert upfront.owing(other) == 0
    payment.refresh_from_db()
    assert payment.customer == other.customer
    prove()


def test_after_the_disbursement_the_payment_of_its_fees_stays(approved, kamau):
    payment = pay(approved, "2900")
    disburse(approved)

    with pytest.raises(Refused, match="undo the disbursement first"):
        collection.reverse_payment(payment, reason="Bounced", by=kamau, on=DAY)

    undoing.undo_disbursement(approved, reason="Wrong till", by=kamau, on=DAY)
    booked = balances()
    assert (booked[chart.FEE_INCOME], booked[chart.EXCISE_PAYABLE]) == (D(-2500), D(-400))
    collection.reverse_payment(payment, reason="Bounced", by=kamau, on=DAY)
    assert upfront.owing(Loan.objects.get(pk=approved.pk)) == D(2900)
    prove()


@pytest.mark.parametrize("end", [lifecycle.withdraw, lifecycle.reject])
def test_the_fees_of_a_loan_that_never_comes_are_the_customers_credit(approved, kamau, end):
    payment = pay(approved, "2900")

    end(approved, reason="Found cheaper money", by=kamau, on=date(2026, 1, 20))

    payment.refresh_from_db()
    assert (payment.allocated, payment.credited) == (D(0), D(2900))
    booked = balances()
    assert booked[chart.CUSTOMER_CREDIT] == D(-2900)
    assert (booked[chart.FEE_INCOME], booked[chart.EXCISE_PAYABLE]) == (D(0), D(0))
    assert FeePayment.objects.get().ended_on == date(2026, 1, 20)
    prove()


def test_a_payment_that_became_credit_can_still_be_reversed(approved, kamau):
    payment = pay(approved, "3000")
    lifecycle.withdraw(approved, reason="No need", by=kamau, on=DAY)

    collection.reverse_payment(payment, reason="Bounced", by=kamau, on=date(2026, 1, 20))

    assert {account for account, sum_ in balances().items() if sum_} == set()
    assert FeePayment.objects.get().ended_on == DAY
    prove()


def test_credit_of_such_fees_that_paid_a_loan_comes_back_off_it(approved, kamau):
    payment = pay(approved, "2900")
    lifecycle.withdraw(approved, reason="No need", by=kamau, on=DAY)
    loan = factories.active(product=factories.product(code="PLAIN"))
    collection.apply_credit(loan, by=kamau, on=date(2026, 2, 15))

    collection.reverse_payment(payment, reason="Bounced", by=kamau, on=date(2026, 2, 16))

    booked = balances()
    assert (booked[chart.CASH], booked[chart.CUSTOMER_CREDIT]) == (D(-100_000), D(0))
    prove()


def test_the_customer_is_told_what_is_still_missing(approved):
    payment = pay(approved, "1000")

    routing.tell(payment, now=payment.received_at)

    assert "1,900.00" in Message.objects.get().body


def test_a_loan_taken_over_was_paid_for_elsewhere(db, kamau):
    loan = factories.draft(product=factories.product(fees=FEES))

    lifecycle.take_over(loan, disbursed_on=DAY, with_schedule=True, by=kamau, on=DAY)

    assert Loan.objects.get(pk=loan.pk).status == Loan.Status.ACTIVE


def test_fees_given_back_after_the_loan_moved_are_credit_of_the_branch_that_took_them(
    approved, kamau
):
    payment = pay(approved, "2900")
    mombasa = factories.branch("MSA", "Mombasa")
    transfers.transfer([approved], branch=mombasa, reason="Moved", by=kamau, on=DAY)

    lifecycle.withdraw(approved, reason="Changed her mind", by=kamau, on=DAY)
    refund_credit(payment.customer, amount=D(2900), method="cash", reference=None, by=kamau, on=DAY)

    for branch in (payment.branch, mombasa):
        assert not any(balances(branch=branch).values())
