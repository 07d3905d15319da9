from datetime import date
from decimal import Decimal

import pytest

from lms import routing
from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Allocation, Loan
from lms.loans.operations import collection
from lms.payments.models import Payment
from lms.payments.operations import AlreadyPosted, receive
from tests import factories, nights
from tests.books import balances, prove

D = Decimal
FIRST_DUE = date(2026, 2, 15)


def pay(loan, amount, *, on=FIRST_DUE, by=None, **fields):
    return routing.take(
        **{
            "method": "cash",
            "amount": D(amount),
            "reference": None,
            "value_date": on,
            "account": loan.number,
            "by": by or factories.mutua(),
            "on": on,
            **fields,
        }
    )


def parts(payment):
    return [
        (a.repayment.number, a.component, a.amount)
        for a in payment.allocations.select_related("repayment")
    ]


def test_a_payment_pays_interest_then_principal_of_the_oldest_instalment(loan):
    payment = pay(loan, "5000")

    assert payment.status == Payment.Status.ALLOCATED
    assert parts(payment) == [(1, "interest", D("2000.00")), (1, "principal", D("3000.00"))]
    first = loan.repayments.get(number=1)
    assert (first.status, first.outstanding) == ("partial", D("4456.00"))
    prove()


def test_the_ledger_moves_through_unallocated_and_earns_the_interest_paid(loan):
    before = balances()

    pay(loan, "9456")

    moved = {code: value - before[code] for code, value in balances().items()}
    assert moved[chart.CASH] == D("9456.00")
    assert moved[chart.UNALLOCATED] == 0
    assert moved[chart.LOAN_PRINCIPAL] == D("-7456.00")
    assert moved[chart.INTEREST_RECEIVABLE] == D("-2000.00")
    assert moved[chart.UNEARNED_INTEREST] == D("2000.00")
    assert moved[chart.INTEREST_INCOME] == D("-2000.00")
    assert loan.repayments.get(number=1).is_paid


def test_money_beyond_the_loan_stays_as_the_customers_credit_and_the_loan_closes(loan):
    payment = pay(loan, "120000")

    loan.refresh_from_db()
    owed = D("113470.00")
    assert (payment.allocated, payment.credited) == (owed, D("6530.00"))
    assert loan.status == Loan.Status.CLOSED
    assert loan.closed_on == FIRST_DUE
    assert -balances()[chart.CUSTOMER_CREDIT] == D("6530.00")
    prove()


def test_a_product_may_keep_surplus_as_credit_instead_of_paying_ahead(db):
    loan = factories.active(product=factories.product(surplus="credit", code="CREDIT"))

    payment = pay(loan, "10000")

    assert (payment.allocated, payment.credited) == (D("9456.00"), D("544.00"))
    assert loan.repayments.get(number=2).status == "pending"
    prove()


def test_credit_pays_what_falls_due_next(db, kamau):
    loan = factories.active(product=factories.product(surplus="credit", code="CREDIT"))
    pay(loan, "10000")

    with pytest.raises(Refused, match="Nothing is due"):
        collection.apply_credit(loan, by=kamau, on=date(2026, 3, 14))
    used = collection.apply_credit(loan, by=kamau, on=date(2026, 3, 15))

    assert used == D("544.00")
    assert loan.repayments.get(number=2).interest_paid == D("544.00")
    assert balances()[chart.CUSTOMER_CREDIT] == 0
    prove()


def test_a_payment_on_a_closed_loan_is_credit(loan):
    pay(loan, "113470")

    late = pay(loan, "100", on=date(2026, 2, 16))

    assert (late.status, late.credited) == (Payment.Status.ALLOCATED, D("100.00"))
    prove()


@pytest.mark.parametrize(
    "typed", ["LN{pk}", "ln {pk}", "LN-000{pk}", "ln_{pk}", " L{pk} ", "LNO{pk}"]
)
def test_an_account_number_in_any_spelling_finds_its_loan(loan, typed):
    assert pay(loan, "100", account=typed.format(pk=loan.pk)).status == "allocated"


@pytest.mark.parametrize("typed", ["", "WRONG1", "LN999999", "0712345678", "LN"])
def test_money_of_unknown_owner_waits_in_the_queue(loan, typed, kamau):
    payment = pay(loan, "100", account=typed)

    assert payment.status == Payment.Status.UNALLOCATED
    assert -balances()[chart.UNALLOCATED] == D("100.00")
    matched = routing.match(payment, loan, by=kamau, on=FIRST_DUE)
    assert matched.status == Payment.Status.ALLOCATED
    assert balances()[chart.UNALLOCATED] == 0
    prove()


def test_a_reference_is_posted_once_whatever_its_spelling(loan):
    first = pay(loan, "500", method="mpesa", reference="UKL2CC0001")

    with pytest.raises(AlreadyPosted, match="UKL2CC0001 was posted already") as again:
        pay(loan, "500", method="bank", reference=" ukl2 cc0001 ")

    assert again.value.payment == first
    assert Payment.objects.count() == 1
    prove()


def test_a_form_sent_twice_answers_with_the_first_payment(loan):
    first = pay(loan, "500", request_key="abc")
    second = pay(loan, "500", request_key="abc")

    assert second.pk == first.pk
    assert Allocation.objects.filter(payment=first).count() == 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"amount": D(0)}, "more than KES 0.00"),
        ({"amount": D("-5")}, "more than KES 0.00"),
        ({"amount": D("1.005")}, "parts of a cent"),
        ({"value_date": date(2026, 2, 16)}, "cannot be dated in the future"),
        ({"value_date": date(206, 2, 15)}, "is before 1 Jan 2015, where the books begin"),
        ({"method": "bank"}, "bank slip"),
        ({"method": "mpesa", "reference": "AB 1"}, "not an M-Pesa receipt"),
    ],
)
def test_impossible_payments_are_refused_and_nothing_is_stored(loan, wrong, sentence):
    with pytest.raises(Refused, match=sentence):
        pay(loan, **{"amount": "100", **wrong})

    assert Payment.objects.count() == 0


def test_reversing_a_payment_restores_everything_exactly(loan, kamau):
    pay(loan, "5000")
    before = balances()
    rows_before = list(loan.repayments.values())
    payment = pay(loan, "20000", on=date(2026, 2, 20))

    collection.reverse_payment(payment, reason="Cheque bounced", by=kamau, on=date(2026, 2, 25))

    payment.refresh_from_db()
    assert payment.status == Payment.Status.REVERSED
    assert list(loan.repayments.values()) == rows_before
    assert {k: v for k, v in balances().items() if v} == {k: v for k, v in before.items() if v}
    prove()


def test_reversing_the_payment_that_closed_a_loan_opens_it_again(loan, kamau):
    payment = pay(loan, "113470")

    collection.reverse_payment(payment, reason="Not ours", by=kamau, on=FIRST_DUE)

    loan.refresh_from_db()
    assert (loan.status, loan.closed_on) == (Loan.Status.ACTIVE, None)
    prove()


def test_nobody_reverses_a_payment_they_took_and_nobody_reverses_twice(loan, kamau, mutua):
    payment = pay(loan, "100", by=mutua)

    with pytest.raises(Refused, match="You took"):
        collection.reverse_payment(payment, reason="x", by=mutua, on=FIRST_DUE)
    with pytest.raises(Refused, match="Give a reason"):
        collection.reverse_payment(payment, reason="  ", by=kamau, on=FIRST_DUE)
    collection.reverse_payment(payment, reason="x", by=kamau, on=FIRST_DUE)
    with pytest.raises(Refused, match="reversed already"):
        collection.reverse_payment(payment, reason="x", by=kamau, on=FIRST_DUE)
    prove()


def test_a_payment_taken_back_waits_for_a_person_and_can_be_placed_elsewhere(loan, kamau):
    other = factories.active(customer=factories.otieno())
    payment = pay(loan, "5000")

    collection.take_back(payment, reason="Wrong loan", by=kamau, on=FIRST_DUE)
    assert routing.sweep(on=FIRST_DUE) == 0
    payment.refresh_from_db()
    routing.match(payment, other, by=kamau, on=FIRST_DUE)

    assert loan.repayments.get(number=1).amount_paid == 0
    assert other.repayments.get(number=1).amount_paid == D("5000.00")
    assert payment.customer == other.customer
    prove()


def test_a_sweep_settles_what_a_crash_left_between_receiving_and_placing(loan, mutua):
    receive(
        method="cash",
        amount=D(100),
        reference=None,
        value_date=FIRST_DUE,
        account=loan.number,
        branch=loan.branch,
        by=mutua,
        on=FIRST_DUE,
    )

    assert routing.sweep(on=FIRST_DUE) == 1
    assert routing.sweep(on=FIRST_DUE) == 0
    prove()


def test_money_for_a_loan_that_was_never_disbursed_stays_unallocated(db):
    loan = factories.approved()

    assert pay(loan, "100").status == Payment.Status.UNALLOCATED


def test_horizontal_allocation_pays_one_component_of_all_overdue_instalments(db):
    loan = factories.active(
        product=factories.product(allocation_direction="horizontal", code="WIDE")
    )

    payment = pay(loan, "5000", on=date(2026, 3, 20))

    assert parts(payment) == [
        (1, "interest", D("2000.00")),
        (2, "interest", D("1851.00")),
        (1, "principal", D("1149.00")),
    ]
    prove()


def test_credit_pays_each_due_on_its_day_before_anyone_is_penalised(db):
    loan = factories.active(product=factories.product(surplus="credit", code="CREDIT"))
    pay(loan, "30000", on=date(2026, 2, 1))

    assert nights.use_credit(on=date(2026, 2, 14)) == 0
    assert nights.use_credit(on=date(2026, 2, 15)) == 1
    assert nights.use_credit(on=date(2026, 2, 15)) == 0
    assert loan.repayments.get(number=1).is_paid
    assert nights.use_credit(on=date(2026, 4, 20)) == 1

    assert -balances()[chart.CUSTOMER_CREDIT] == D("1632.00")
    prove()


def test_a_form_sent_again_with_other_answers_is_no_payment_and_says_so(loan):
    first = pay(loan, "500", request_key="abc")

    with pytest.raises(Refused, match=f"This form was sent before, as {first.number}"):
        pay(loan, "700", request_key="abc")

    assert Payment.objects.get().amount == D("500.00")
    prove()


def test_what_credit_pays_is_settled_on_the_day_it_is_used(db):
    product = factories.product(surplus="credit", number_of_repayments=2)
    loan = factories.active(D(10_000), product=product)
    pay(loan, "20000", on=date(2026, 1, 16))

    nights.use_credit(on=date(2026, 2, 15))
    nights.use_credit(on=date(2026, 3, 15))

    assert [row.paid_on for row in loan.repayments.order_by("number")] == [
        date(2026, 2, 15),
        date(2026, 3, 15),
    ]


def test_money_from_an_earlier_day_settles_nothing_before_the_money_that_came_first(db):
    loan = factories.active(D(10_000), product=factories.product(number_of_repayments=1))
    pay(loan, "5000", on=date(2026, 2, 20))

    pay(loan, "5200", value_date=date(2026, 2, 10), on=date(2026, 2, 21))

    loan.refresh_from_db()
    assert (loan.status, loan.closed_on) == ("closed", date(2026, 2, 20))
    assert loan.repayments.get().paid_on == date(2026, 2, 20)


def test_a_closed_loan_takes_money_as_credit_and_opens_again_with_what_it_was_paid(loan, kamau):
    paid = pay(loan, "200000")
    used = factories.active(D(10_000), customer=loan.customer, on=FIRST_DUE)
    nights.use_credit(on=date(2026, 3, 15))
    assert used.repayments.get(number=1).is_paid

    collection.reverse_payment(paid, reason="Bounced", by=kamau, on=date(2026, 3, 16))

    for touched in (loan, used):
        touched.refresh_from_db()
        assert touched.status == "active"
        assert not touched.repayments.exclude(status="pending").exists()
    prove()
