"""The second person: approving pays the referrer once, refusing never does."""

from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart
from lms.ledger.models import JournalEntry, Transfer
from lms.loans.models import Loan
from lms.loans.operations import collection, undoing
from lms.payments.models import Payment
from lms.payments.operations import refund_credit
from lms.referrals.models import ReferralReward
from lms.referrals.operations import approve, approve_all, refuse, refuse_all
from lms.reports.customers import customer_statement
from lms.reports.spans import Scope
from tests import factories
from tests.books import balances, prove
from tests.loans.test_settling import pay
from tests.referrals.circle import DUE, ON, lent, proposed
from tests.reports.reading import texts

D = Decimal


@pytest.fixture
def reward(db):
    """KES 500.00 for Wanjiku, who brought Otieno; Njeri wrote that down."""
    return proposed()


@pytest.fixture
def auma(db):
    return factories.staff("auma", "Manager")


def lines_of(entry: JournalEntry) -> list[tuple[str, str, Decimal]]:
    found = entry.transfers.order_by("pk")
    return list(found.values_list("debit_id", "credit_id", "amount"))


def standing() -> dict[str, Decimal]:
    return {account: amount for account, amount in balances().items() if amount}


# --- Approving -----------------------------------------------------------------------------------
def test_who_has_no_loan_gets_it_as_credit(reward, wanjiku, kamau):
    approve(reward, by=kamau, on=ON)

    reward.refresh_from_db()
    payment = Payment.objects.get(method="reward")
    assert (reward.status, reward.state) == ("approved", "Approved")
    assert (reward.decided_by, reward.decided_on, reward.payment) == (kamau, ON, payment)
    assert (payment.customer, payment.branch, payment.value_date) == (wanjiku, wanjiku.branch, ON)
    assert (payment.amount, payment.allocated, payment.credited) == (500, 0, 500)
    assert payment.status == "allocated"
    assert payment.entry.kind == "receipt"
    assert lines_of(payment.entry) == [("5070", "2010", D("500.00"))]
    held = JournalEntry.objects.get(reference=f"credit:{payment.pk}:1")
    assert (held.kind, lines_of(held)) == ("allocation", [("2010", "2020", D("500.00"))])
    assert balances()[chart.REFERRAL_REWARDS] == D("500.00")
    assert balances()[chart.CUSTOMER_CREDIT] == D("-500.00")
    assert reward.history.first().history_user == kamau
    prove()


def test_it_pays_what_is_due_on_the_referrers_loan(reward, wanjiku, kamau):
    loan = factories.active(customer=wanjiku)  # KES 9,456.00 is due on 15 February
    before = balances()

    payment = approve(reward, by=kamau, on=ON).payment

    assert (payment.allocated, payment.credited) == (D("500.00"), 0)
    assert loan.repayments.get(number=1).owing_of("interest") == D("1500.00")
    now = balances()
    assert now[chart.REFERRAL_REWARDS] - before[chart.REFERRAL_REWARDS] == D("500.00")
    assert now[chart.INTEREST_RECEIVABLE] - before[chart.INTEREST_RECEIVABLE] == D("-500.00")
    assert now[chart.CUSTOMER_CREDIT] == now[chart.UNALLOCATED] == 0
    prove()


def test_what_is_not_due_yet_stays_credit_and_the_night_uses_it(reward, wanjiku, kamau):
    loan = factories.active(customer=wanjiku)
    pay(loan, 9_256, on=DUE)  # KES 200.00 is left

    payment = approve(reward, by=kamau, on=ON).payment

    assert (payment.allocated, payment.credited) == (D("200.00"), D("300.00"))
    assert collection.apply_credit(loan, by=None, on=date(2026, 3, 15)) == D("300.00")
    prove()


def test_of_two_loans_the_older_is_paid_first(reward, wanjiku, kamau):
    older, newer = lent(wanjiku), lent(wanjiku)
    pay(older, "9800.00", on=DUE)

    payment = approve(reward, by=kamau, on=ON).payment

    older.refresh_from_db()
    assert older.status == "closed"
    assert payment.allocated == D("500.00")
    assert newer.repayments.get().outstanding == D("10100.00")
    prove()


def test_the_branch_of_the_referrer_bears_it_also_for_a_loan_of_another(reward, wanjiku, kamau):
    loan = factories.active(customer=wanjiku)
    kisumu = wanjiku.branch = factories.branch("KSM", "Kisumu")
    wanjiku.save(update_fields=["branch"])

    payment = approve(reward, by=kamau, on=ON).payment

    assert (payment.received_in, payment.allocated) == (kisumu, D("500.00"))
    there = balances(branch=kisumu)
    assert {code: amount for code, amount in there.items() if amount} == {
        chart.REFERRAL_REWARDS: D("500.00"),
        chart.BETWEEN_BRANCHES: D("-500.00"),
    }
    assert loan.repayments.get(number=1).owing_of("interest") == D("1500.00")
    prove()


def test_the_credit_is_paid_back_by_somebody_else(reward, wanjiku, kamau, auma):
    approve(reward, by=kamau, on=ON)
    answers = {"amount": D(500), "method": "mpesa", "reference": "UKL7AB12CD", "on": ON}

    with pytest.raises(Refused, match=r"You took RC\d+ yourself: someone else must refund it"):
        refund_credit(wanjiku, by=kamau, **answers)
    refund_credit(wanjiku, by=auma, **answers)

    assert balances()[chart.CUSTOMER_CREDIT] == 0
    prove()


def test_who_recorded_the_referral_does_not_approve_it(reward, njeri):
    njeri.groups.set(factories.kamau().groups.all())

    with pytest.raises(
        Refused,
        match="You recorded that Wanjiku Mwangi referred Otieno Ouma: someone else must approve",
    ):
        approve(reward, by=njeri, on=ON)

    reward.refresh_from_db()
    assert reward.status == "proposed"
    assert not Payment.objects.filter(method="reward").exists()


def test_it_is_approved_once(reward, kamau, auma):
    approve(reward, by=kamau, on=ON)

    with pytest.raises(Refused, match=rf"{reward.number} is approved already\."):
        approve(reward, by=auma, on=ON)
    with pytest.raises(Refused, match="is approved already"):
        refuse(reward, reason="Twice", by=auma, on=ON)

    assert Payment.objects.filter(method="reward").count() == 1


def test_it_waits_while_the_loan_is_owed_again(reward, kamau):
    paid = Payment.objects.get(customer=reward.referred)
    collection.reverse_payment(paid, reason="Forged slip", by=kamau, on=ON)

    with pytest.raises(Refused, match=r"LN\d+ of Otieno Ouma is not paid back any more"):
        approve(reward, by=kamau, on=ON)
    pay(Loan.objects.get(pk=reward.loan_id), 10_200, on=ON)

    assert approve(reward, by=kamau, on=ON).status == "approved"
    prove()


def test_all_of_a_selection_or_none(db, kamau, njeri):
    rewards = [proposed(number) for number in (1, 2, 3)]
    chosen = ReferralReward.objects.filter(pk__in=[reward.pk for reward in rewards])
    refuse(rewards[1], reason="Their own brother", by=kamau, on=ON)

    with pytest.raises(Refused, match=f"{rewards[1].number} is refused already"):
        approve_all(chosen, by=kamau, on=ON)
    assert not Payment.objects.filter(method="reward").exists()

    assert len(approve_all(chosen.waiting(), by=kamau, on=ON)) == 2
    assert balances()[chart.REFERRAL_REWARDS] == D("1000.00")
    prove()


# --- Refusing ------------------------------------------------------------------------------------
def test_a_refusal_has_a_reason_and_books_nothing(reward, kamau):
    with pytest.raises(Refused, match="Give a reason"):
        refuse(reward, reason=" ", by=kamau, on=ON)
    before = Transfer.objects.count()

    refuse(reward, reason="Their own brother", by=kamau, on=ON)

    reward.refresh_from_db()
    assert (reward.state, reward.reason, reward.payment) == ("Refused", "Their own brother", None)
    assert reward.history.first().history_change_reason == "Their own brother"
    assert Transfer.objects.count() == before
    with pytest.raises(Refused, match="is refused already"):
        approve(reward, by=kamau, on=ON)


def test_some_are_refused_together(db, kamau):
    rewards = [proposed(number) for number in (1, 2)]

    refuse_all(ReferralReward.objects.all(), reason="One family", by=kamau, on=ON)

    assert ReferralReward.objects.in_state("refused").count() == len(rewards)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"status": "approved"},
        {"status": "refused"},
        {"decided_on": ON},
    ],
)
def test_the_database_holds_what_a_reward_may_be(reward, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        ReferralReward.objects.filter(pk=reward.pk).update(**wrong)


def test_nobody_is_rewarded_for_themselves(reward):
    with pytest.raises(IntegrityError), transaction.atomic():
        ReferralReward.objects.filter(pk=reward.pk).update(referrer=reward.referred)


# --- Taking back ---------------------------------------------------------------------------------
def test_reversing_its_payment_takes_it_back_and_leaves_nothing(reward, kamau, auma):
    payment = approve(reward, by=kamau, on=ON).payment
    with pytest.raises(Refused, match=r"You took RC\d+ yourself: someone else must reverse it"):
        collection.reverse_payment(payment, reason="One family", by=kamau, on=ON)

    collection.reverse_payment(payment, reason="One family", by=auma, on=ON)

    reward = ReferralReward.objects.get()
    assert (reward.status, reward.state) == ("approved", "Taken back")
    assert [
        ReferralReward.objects.in_state(state).count()
        for state in ("proposed", "approved", "refused", "taken_back")
    ] == [0, 0, 0, 1]
    now = balances()
    for account in (chart.REFERRAL_REWARDS, chart.UNALLOCATED, chart.CUSTOMER_CREDIT):
        assert now[account] == 0
    prove()


def test_also_when_it_paid_a_loan(reward, wanjiku, kamau, auma):
    loan = factories.active(customer=wanjiku)
    before = standing()
    payment = approve(reward, by=kamau, on=ON).payment

    collection.reverse_payment(payment, reason="One family", by=auma, on=ON)

    assert standing() == before
    assert loan.repayments.get(number=1).outstanding == D("9456.00")
    assert ReferralReward.objects.get().state == "Taken back"
    prove()


def test_not_while_it_is_paid_out(reward, wanjiku, kamau, auma):
    payment = approve(reward, by=kamau, on=ON).payment
    refund_credit(wanjiku, amount=D(100), method="cash", reference=None, by=auma, on=ON)

    with pytest.raises(Refused, match=r"KES 100\.00 of RC\d+ was paid back to the customer"):
        collection.reverse_payment(payment, reason="One family", by=auma, on=ON)

    assert ReferralReward.objects.get().state == "Approved"
    prove()


def test_it_is_taken_off_a_loan_and_pays_no_other_customers(reward, wanjiku, kamau, loan):
    other = lent(factories.customer("Mwende Mutiso", "254711000333"))
    payment = approve(reward, by=kamau, on=ON).payment
    collection.take_back(payment, reason="Wrong loan", by=kamau, on=ON)
    prove()

    with pytest.raises(Refused, match=r"RC\d+ is the referral reward of Wanjiku Mwangi: it pays"):
        collection.allocate(payment, other, by=kamau, on=ON)
    collection.allocate(payment, loan, by=kamau, on=ON)

    payment.refresh_from_db()
    assert payment.allocated == D("500.00")
    prove()


def test_credit_of_no_loan_is_taken_off_none(reward, kamau):
    payment = approve(reward, by=kamau, on=ON).payment

    with pytest.raises(Refused, match=r"RC\d+ is held as credit and stands on no loan: refund or"):
        collection.take_back(payment, reason="Tried", by=kamau, on=ON)

    payment.refresh_from_db()
    assert (payment.status, payment.credited) == ("allocated", 500)
    prove()


def test_a_payment_is_held_as_credit_only_while_it_waits(reward, kamau):
    payment = approve(reward, by=kamau, on=ON).payment

    with pytest.raises(Refused, match=r"RC\d+ is allocated already"):
        collection.hold_as_credit(payment, by=kamau, on=ON)
    here = factories.branch()
    nobodys = Payment.objects.create(
        method="bank", amount=5, value_date=ON, branch=here, received_in=here
    )
    with pytest.raises(Refused, match=r"RC\d+ has no customer whose credit it could be"):
        collection.hold_as_credit(nobodys, by=kamau, on=ON)


def test_the_statement_of_the_referrer_says_it(reward, wanjiku, kamau):
    payment = approve(reward, by=kamau, on=ON).payment

    report = customer_statement(customer=wanjiku, first=ON, last=ON, scope=Scope())

    line = texts(report)[1]
    assert line[2] == f"Referral reward {payment.number}"
    assert texts(report)[-1][-1] == "(500.00)"


def test_a_loan_that_a_reward_paid_is_undone_once_it_is_off(reward, wanjiku, kamau, auma):
    loan = factories.active(customer=wanjiku)
    payment = approve(reward, by=kamau, on=ON).payment
    with pytest.raises(Refused, match=r"RC\d+ · KES 500\.00 stands on LN\d+: take that back"):
        undoing.undo_disbursement(loan, reason="Wrong person", by=kamau, on=ON)
    collection.take_back(payment, reason="Wrong person", by=kamau, on=ON)

    undoing.undo_disbursement(loan, reason="Wrong person", by=kamau, on=ON)

    prove()
