from datetime import date, timedelta
from decimal import Decimal
from itertools import product as pairs

import pytest

from lms import routing
from lms.customers.models import Customer
from lms.errors import Refused
from lms.ledger import chart
from lms.loans.models import Loan, Repayment
from lms.loans.operations import lifecycle
from lms.payments.models import Payout
from tests import factories
from tests.books import balances, prove
from tests.factories import DAY

D = Decimal
Status = Loan.Status


def test_an_application_copies_the_terms_and_fees_of_the_product(db):
    fee = {"name": "Processing", "kind": "percent", "value": D(3), "when": "deducted"}
    offered = factories.product(fees=[fee], penalty_base="fixed", penalty_value=D(300))

    loan = factories.draft(product=offered, terms={"number_of_repayments": 6})

    assert loan.number == f"LN{loan.pk:06d}"
    assert (loan.rate, loan.penalty_value, loan.number_of_repayments) == (D(24), D(300), 6)
    assert [(f.name, f.value, f.excise_rate) for f in loan.fees.all()] == [
        ("Processing", D(3), D(20))
    ]
    offered.rate = D(30)
    offered.save()
    loan.refresh_from_db()
    assert loan.rate == D(24)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"principal": D(10)}, "principal"),
        ({"principal": D(2_000_000)}, "principal"),
        ({"terms": {"number_of_repayments": 53}}, "number_of_repayments"),
        ({"terms": {"rate": D(401)}}, "rate"),
        ({"terms": {"rate_period": "month"}}, "rate_period"),
    ],
)
def test_terms_outside_the_products_limits_are_refused_by_name(db, fields, field):
    with pytest.raises(Refused) as refusal:
        factories.draft(**fields)

    assert refusal.value.field == field
    assert Loan.objects.count() == 0


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"method": "flat"}, "recalculates"),
        ({"day_count": "periodic"}, "day_count"),
        ({"interest_grace": 1}, "interest_grace"),
    ],
)
def test_terms_that_cannot_go_together_are_refused_on_the_loan_too(db, njeri, terms, field):
    by_day = factories.product(recalculates=True, day_count="actual/365")

    with pytest.raises(Refused) as refusal:
        factories.draft(product=by_day, terms=terms)
    assert refusal.value.field == field

    loan = factories.draft(product=by_day)
    Loan.objects.filter(pk=loan.pk).update(**terms)
    with pytest.raises(Refused) as refusal:
        lifecycle.submit(loan, by=njeri, on=DAY)
    assert refusal.value.field == field


def test_disbursing_makes_the_schedule_the_payout_and_the_books(db, mutua):
    fees = [
        {"name": "Processing", "kind": "percent", "value": D(3), "when": "deducted"},
        {"name": "Insurance", "kind": "amount", "value": D(500), "when": "first_instalment"},
    ]
    loan = factories.approved(product=factories.product(fees=fees))

    lifecycle.disburse(loan, method="mpesa", reference="ukl1ab2cd3", by=mutua, on=DAY)

    loan.refresh_from_db()
    assert (loan.status, loan.disbursed_on) == (Status.ACTIVE, DAY)
    rows = list(loan.repayments.all())
    assert [(r.principal, r.interest, r.fees) for r in rows[:2]] == [
        (D("7456.00"), D("2000.00"), D("600.00")),
        (D("7605.00"), D("1851.00"), D("0.00")),
    ]
    assert sum(r.principal for r in rows) == D(100_000)
    assert rows[0].due_date == date(2026, 2, 15)
    payout = Payout.objects.get()
    assert (payout.amount, payout.reference) == (D("96400.00"), "UKL1AB2CD3")
    booked = balances()
    assert booked[chart.LOAN_PRINCIPAL] == D(100_000)
    assert booked[chart.MPESA_PAYBILL] == D("-96400.00")
    assert booked[chart.FEE_INCOME] == D("-3500.00")
    assert booked[chart.EXCISE_PAYABLE] == D("-700.00")
    assert booked[chart.FEES_RECEIVABLE] == D("600.00")
    assert booked[chart.INTEREST_RECEIVABLE] == -booked[chart.UNEARNED_INTEREST] == D(13_470)
    assert loan.position.outstanding == D("114070.00")
    assert Repayment.history.count() == 12
    prove()


def test_a_spread_fee_is_billed_in_whole_shillings_with_each_instalment(db):
    fee = {"name": "Service", "kind": "amount", "value": D(1000), "when": "spread"}
    loan = factories.active(product=factories.product(fees=[{**fee, "excise_rate": D(0)}]))

    assert [row.fees for row in loan.repayments.all()] == [D(83)] * 11 + [D(87)]
    booked = balances()
    assert booked[chart.FEES_RECEIVABLE] == -booked[chart.FEE_INCOME] == D(1000)
    assert loan.position.outstanding == D("114470.00")
    prove()


def test_a_fee_added_to_the_principal_is_lent_on_top_and_paid_back_with_it(db):
    fee = {"name": "Processing", "kind": "percent", "value": D(3), "when": "added_to_principal"}
    loan = factories.active(D(10_000), product=factories.product(fees=[fee]))

    # 300 and 60 of excise: 10,360 is owed for the 10,000 that were paid out.
    assert Payout.objects.get().amount == D(10_000)
    assert sum(row.principal for row in loan.repayments.all()) == loan.lent == D(10_360)
    booked = balances()
    assert booked[chart.LOAN_PRINCIPAL] == D(10_360)
    assert (booked[chart.FEE_INCOME], booked[chart.EXCISE_PAYABLE]) == (D(-300), D(-60))
    assert (loan.position.principal, loan.position.unscheduled) == (D(10_360), 0)
    prove()

    routing.take(
        account=loan.number,
        method="cash",
        reference=None,
        amount=loan.position.outstanding,
        value_date=date(2027, 1, 15),
        by=factories.mutua(),
        on=date(2027, 1, 15),
    )

    loan.refresh_from_db()
    assert loan.status == Status.CLOSED
    assert balances()[chart.LOAN_PRINCIPAL] == 0
    prove()


def test_nobody_approves_their_own_work_or_disburses_what_they_approved(db, kamau, njeri):
    njeri.approval_limit = D(1_000_000)
    loan = factories.draft()
    lifecycle.submit(loan, by=njeri, on=DAY)

    with pytest.raises(Refused, match="You prepared"):
        lifecycle.approve(loan, by=njeri, on=DAY)
    lifecycle.approve(loan, by=kamau, on=DAY)
    with pytest.raises(Refused, match="You approved"):
        lifecycle.disburse(loan, method="cash", reference=None, by=kamau, on=DAY)

    assert Payout.objects.count() == 0


def test_a_manager_approves_within_the_limit(db):
    small = factories.staff("small", "Manager", approval_limit=D(50_000))
    loan = factories.draft()
    lifecycle.submit(loan, by=factories.njeri(), on=DAY)

    with pytest.raises(
        Refused, match=r"KES 100,000\.00 is above your approval limit of KES 50,000\.00"
    ):
        lifecycle.approve(loan, by=small, on=DAY)


def test_a_customer_whose_kyc_is_open_gets_no_loan(db, kamau):
    loan = factories.draft()
    Customer.objects.update(kyc_status=Customer.Kyc.PENDING)
    lifecycle.submit(loan, by=factories.njeri(), on=DAY)

    with pytest.raises(Refused, match="KYC of Wanjiku Mwangi is not verified"):
        lifecycle.approve(loan, by=kamau, on=DAY)


@pytest.mark.parametrize("verb", [lifecycle.reject, lifecycle.withdraw, lifecycle.send_back])
def test_a_decision_against_needs_its_reason_and_keeps_it(db, kamau, verb):
    loan = factories.draft()
    lifecycle.submit(loan, by=factories.njeri(), on=DAY)

    with pytest.raises(Refused, match="Give a reason"):
        verb(loan, reason=" ", by=kamau, on=DAY)
    loan = verb(loan, reason="Income too low", by=kamau, on=DAY)

    assert loan.decision == "Income too low"
    last = loan.history.first()
    assert (last.history_user, last.history_change_reason) == (kamau, "Income too low")


@pytest.mark.parametrize(("before", "after"), list(pairs(Status, Status)))
def test_only_the_steps_of_the_map_can_be_taken(db, kamau, before, after):
    loan = factories.draft()
    Loan.objects.filter(pk=loan.pk).update(disbursed_on=DAY, status=before)
    loan.refresh_from_db()

    if after in Loan.NEXT.get(before, ()):
        loan.move_to(after, by=kamau, reason="test")
        assert loan.status == after
    else:
        with pytest.raises(Refused, match=f"{loan.number} is .*, so it cannot become"):
            loan.move_to(after, by=kamau, reason="test")
        assert loan.status == before


def test_a_loan_is_disbursed_once_and_not_before_its_approval(db, mutua):
    loan = factories.approved()

    with pytest.raises(Refused, match="cannot be disbursed before"):
        lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY - timedelta(1))
    lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY)
    with pytest.raises(Refused, match="only an approved loan"):
        lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY)

    assert Payout.objects.count() == 1


def test_a_payout_reference_is_used_once(db, mutua):
    first = factories.approved()
    second = factories.approved(customer=factories.otieno())
    lifecycle.disburse(first, method="mpesa", reference="UKL1AB2CD3", by=mutua, on=DAY)

    with pytest.raises(Refused, match="used for another payout"):
        lifecycle.disburse(second, method="mpesa", reference="ukl1ab2cd3", by=mutua, on=DAY)

    second.refresh_from_db()
    assert second.status == Status.APPROVED
    prove()


def test_a_loan_closes_only_when_nothing_is_owed(loan, kamau):
    with pytest.raises(Refused, match="is still owed"):
        lifecycle.close(loan, by=kamau, on=DAY)


@pytest.mark.parametrize("with_schedule", [True, False])
def test_a_running_loan_is_taken_over_against_opening_balances(db, kamau, with_schedule):
    loan = factories.draft()

    lifecycle.take_over(
        loan, disbursed_on=DAY, with_schedule=with_schedule, by=kamau, on=date(2026, 3, 1)
    )

    loan.refresh_from_db()
    assert loan.status == Status.ACTIVE
    assert balances()[chart.LOAN_PRINCIPAL] == D(100_000)
    assert balances()[chart.OPENING_BALANCES] == D(-100_000)
    assert loan.position.unscheduled == (D(0) if with_schedule else D(100_000))
    prove()


def test_fees_that_eat_the_whole_loan_are_refused_before_anyone_approves(db, njeri):
    fee = {"name": "Greed", "kind": "amount", "value": D(100_000), "when": "deducted"}
    loan = factories.draft(product=factories.product(fees=[fee]))

    with pytest.raises(Refused, match=r"fees of KES 120,000\.00 leave nothing to pay out"):
        lifecycle.submit(loan, by=njeri, on=DAY)


def test_an_old_number_that_reads_like_one_of_ours_is_refused(db):
    with pytest.raises(Refused, match="reads like a loan number of ours"):
        factories.draft(legacy_number="LN-17")

    assert factories.draft(legacy_number="OLD/17").legacy_number == "OLD/17"


@pytest.mark.parametrize("method", ["flat", "single_payment"])
def test_a_rate_for_the_whole_term_costs_exactly_that(db, method):
    product = factories.product(method=method, rate=D(10), rate_period="term")

    # Half a shilling is rounded up, though no decimal holds 10% over 7 months as a yearly rate.
    loan = factories.active(D(10_005), product=product, terms={"number_of_repayments": 7})

    assert sum(row.interest for row in loan.repayments.all()) == D("1001.00")
