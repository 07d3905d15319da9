"""Who answers for a loan and what secures it: the rules and the verbs."""

from datetime import date
from decimal import Decimal

import pytest

from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import Guarantor, Loan
from lms.loans.models.security import Collateral, cover_ratio
from lms.loans.operations import lifecycle, security
from lms.notifications.models import Message
from tests import factories
from tests.factories import DAY

pytestmark = pytest.mark.django_db

LATE = date(2026, 2, 20)  # the first instalment fell due on 15 February


def submitted(**fields) -> Loan:
    return lifecycle.submit(factories.draft(**fields), by=factories.njeri(), on=DAY)


def other_loan(principal=Decimal(100_000)) -> Loan:
    """A loan of Akinyi, approved, so that someone may answer for it too."""
    akinyi = Customer.objects.filter(phone="254733000222").first()
    return factories.draft(
        principal, customer=akinyi or factories.customer("Akinyi Atieno", "254733000222")
    )


# --- Guarantors ----------------------------------------------------------------------------------
def test_a_proposed_guarantor_answers_once_the_consent_is_recorded(njeri):
    loan = submitted()
    proposed = security.propose(
        loan, customer=factories.otieno(), amount=Decimal(20_000), by=njeri, on=DAY
    )
    assert list(Guarantor.objects.standing()) == []

    consented = security.consent(proposed, means="voice", consented_on=DAY, by=njeri, on=DAY)

    assert list(Guarantor.objects.standing()) == [consented]
    assert (consented.consent_recorded_by, consented.consented_on) == (njeri, DAY)
    assert consented.history.first().history_change_reason == "Consent: Recorded call"


def test_the_borrower_cannot_guarantee_and_nobody_does_so_twice(njeri, wanjiku):
    loan = submitted()
    factories.guarantor(loan)

    with pytest.raises(Refused, match="The borrower cannot guarantee their own loan"):
        security.propose(loan, customer=wanjiku, amount=Decimal(1), by=njeri, on=DAY)
    with pytest.raises(Refused, match=r"Otieno Ouma guarantees LN.* already"):
        security.propose(loan, customer=factories.otieno(), amount=Decimal(1), by=njeri, on=DAY)


def test_who_was_released_may_be_proposed_again(njeri):
    loan = submitted()
    security.release_guarantor(factories.guarantor(loan), reason="Moved", by=njeri, on=DAY)

    assert factories.guarantor(loan).status == "consented"


def test_consent_cannot_lie_in_the_future_and_is_recorded_once(njeri):
    loan = submitted()
    proposed = security.propose(
        loan, customer=factories.otieno(), amount=Decimal(1), by=njeri, on=DAY
    )

    with pytest.raises(Refused, match="cannot lie in the future"):
        security.consent(proposed, means="sms", consented_on=LATE, by=njeri, on=DAY)
    security.consent(proposed, means="sms", consented_on=DAY, by=njeri, on=DAY)
    with pytest.raises(Refused, match="is consented already"):
        security.consent(proposed, means="sms", consented_on=DAY, by=njeri, on=DAY)


def test_a_guarantee_beyond_the_capacity_is_refused_and_says_by_how_much(njeri):
    factories.guarantor(submitted(), amount=Decimal(60_000), capacity=Decimal(80_000))

    with pytest.raises(Refused) as refusal:
        factories.guarantor(other_loan(), amount=Decimal(30_000), capacity=Decimal(80_000))

    assert refusal.value.message == (
        "Otieno Ouma can answer for KES 80,000.00 and answers for KES 60,000.00 elsewhere: "
        "KES 30,000.00 is KES 10,000.00 too much."
    )
    assert refusal.value.field == "amount"
    assert factories.guarantor(other_loan(), amount=Decimal(20_000), capacity=Decimal(80_000))


def test_a_verified_capacity_counts_for_the_next_guarantee_too(njeri):
    first = factories.guarantor(submitted(), amount=Decimal(60_000))
    security.verify_capacity(first, capacity=Decimal(80_000), basis="Payslips", by=njeri, on=DAY)

    with pytest.raises(Refused, match=r"KES 10,000\.00 too much"):
        factories.guarantor(other_loan(), amount=Decimal(30_000))


def test_exposure_is_what_is_guaranteed_but_no_more_than_what_is_owed(mutua, njeri):
    otieno = factories.otieno()
    factories.guarantor(factories.active(), otieno, amount=Decimal(500_000))
    factories.guarantor(other_loan(), otieno, amount=Decimal(30_000))  # a draft binds nobody
    owed = Loan.objects.active().get().position.outstanding

    assert Guarantor.objects.exposure(otieno) == owed
    lifecycle.submit(Loan.objects.get(status="draft"), by=njeri, on=DAY)
    assert Guarantor.objects.exposure(otieno) == owed + 30_000


def test_nobody_is_exposed_by_a_loan_that_ended():
    loan = factories.active()
    factories.guarantor(loan)
    Loan.objects.filter(pk=loan.pk).update(status="closed")

    assert Guarantor.objects.exposure(factories.otieno()) == 0
    assert list(Guarantor.objects.standing()) == []


def test_no_loan_is_approved_before_each_guarantor_consented(kamau, njeri):
    loan = submitted()
    proposed = security.propose(
        loan, customer=factories.otieno(), amount=Decimal(20_000), by=njeri, on=DAY
    )

    with pytest.raises(Refused, match="Otieno Ouma has not consented to guarantee"):
        lifecycle.approve(loan, by=kamau, on=DAY)
    security.consent(proposed, means="form", consented_on=DAY, by=njeri, on=DAY)
    assert lifecycle.approve(loan, by=kamau, on=DAY).status == "approved"


def test_no_loan_is_approved_with_a_guarantor_whose_kyc_is_not_verified(kamau):
    loan = submitted()
    factories.guarantor(loan)
    Customer.objects.filter(pk=factories.otieno().pk).update(kyc_status="pending")

    with pytest.raises(Refused, match="KYC of the guarantor Otieno Ouma is not verified"):
        lifecycle.approve(loan, by=kamau, on=DAY)


def test_no_loan_is_paid_out_past_a_guarantor_named_after_the_approval(mutua, njeri):
    loan = factories.approved()
    security.propose(loan, customer=factories.otieno(), amount=Decimal(1), by=njeri, on=DAY)

    with pytest.raises(Refused, match="has not consented"):
        lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=DAY)


# --- Notices -------------------------------------------------------------------------------------
def demand(guarantor, njeri, *, on=LATE):
    return security.notify(
        guarantor, kind="demand", channel="letter", text="Pay KES 9,456.", sent_on=on, by=njeri,
        on=on,
    )  # fmt: skip


def test_a_demand_binds_fourteen_days_after_it_was_sent(njeri):
    guarantor = factories.guarantor(factories.active())

    notice = demand(guarantor, njeri)

    assert notice.demand_from == date(2026, 3, 6)
    assert not guarantor.can_be_claimed(date(2026, 3, 5))
    assert guarantor.can_be_claimed(date(2026, 3, 6))


def demand_by_sms(guarantor, njeri, **answers):
    return security.notify(
        guarantor, kind="demand", channel="sms", by=njeri, on=LATE,
        **{"sent_on": LATE, "text": "", **answers},
    )  # fmt: skip


def test_a_demand_by_sms_is_sent_to_the_guarantor_once_a_notice(njeri):
    guarantor = factories.guarantor(factories.active())

    notice = demand_by_sms(guarantor, njeri, text="He was called before.")

    message = Message.objects.get()
    number = guarantor.loan.number
    assert (message.recipient, message.customer) == ("254722000111", factories.otieno())
    assert (message.occasion, message.about, message.parts) == ("guarantor_demand", number, 1)
    assert message.body == (
        f"Otieno, you guarantee KES 20,000.00 of Wanjiku's loan {number}. Pay the late KES "
        f"9,456.00 by 6 Mar 2026: paybill 174379, account {number}. Pesa Kwanza Credit"
    )
    assert notice.text == f"{message.body}\nHe was called before."
    again = demand_by_sms(guarantor, njeri)
    assert again.text == message.body
    assert Message.objects.count() == 2


def test_only_a_demand_by_sms_of_today_is_sent(njeri):
    guarantor = factories.guarantor(factories.active())

    demand(guarantor, njeri)
    demand_by_sms(guarantor, njeri, sent_on=date(2026, 2, 18), text="Sent from my own phone.")

    assert guarantor.notices.count() == 2
    assert Message.objects.count() == 0


def test_a_demand_that_no_sms_can_carry_is_refused(njeri):
    guarantor = factories.guarantor(factories.active())
    Customer.objects.filter(pk=guarantor.customer_id).update(takes_messages=False)

    with pytest.raises(Refused, match=r"No SMS can be sent to Otieno Ouma") as refusal:
        demand_by_sms(Guarantor.objects.get(pk=guarantor.pk), njeri)

    assert refusal.value.field == "channel"
    assert guarantor.notices.count() == 0
    assert Message.objects.count() == 0


def test_nothing_is_demanded_while_the_borrower_is_not_in_arrears(njeri):
    guarantor = factories.guarantor(factories.active())

    with pytest.raises(Refused, match="is not in arrears on 10 Feb 2026") as refusal:
        demand(guarantor, njeri, on=date(2026, 2, 10))

    assert refusal.value.field == "kind"
    assert guarantor.notices.count() == 0


def test_information_needs_no_arrears_and_allows_no_claim(njeri):
    guarantor = factories.guarantor(factories.active())

    security.notify(
        guarantor, kind="information", channel="sms", text="The loan is paid out.", sent_on=DAY,
        by=njeri, on=DAY,
    )  # fmt: skip

    assert not guarantor.can_be_claimed(date(2027, 1, 1))


def test_a_released_guarantor_cannot_be_claimed(njeri):
    guarantor = factories.guarantor(factories.active())
    demand(guarantor, njeri)

    released = security.release_guarantor(guarantor, reason="Settled", by=njeri, on=LATE)

    assert not released.can_be_claimed(date(2026, 4, 1))


# --- Release and substitution --------------------------------------------------------------------
def test_a_guarantor_is_replaced_in_one_step(kamau):
    loan = factories.active()
    old = factories.guarantor(loan)
    akinyi = factories.customer("Akinyi Atieno", "254733000222")

    new = security.substitute(
        old, customer=akinyi, amount=Decimal(25_000), means="form", consented_on=LATE,
        reason="Otieno moves to Uganda", by=kamau, on=LATE,
    )  # fmt: skip

    old.refresh_from_db()
    assert (old.status, old.replaced_by, old.released_on) == ("substituted", new, LATE)
    assert list(Guarantor.objects.standing()) == [new]


def test_a_substitution_that_is_refused_leaves_the_old_guarantor(kamau, wanjiku):
    old = factories.guarantor(factories.active())

    with pytest.raises(Refused):
        security.substitute(
            old, customer=wanjiku, amount=Decimal(1), means="form", consented_on=LATE,
            reason="Tries", by=kamau, on=LATE,
        )  # fmt: skip

    assert list(Guarantor.objects.standing()) == [old]


def test_all_guarantors_of_ended_loans_are_released_at_once_and_of_no_other(kamau):
    loan = factories.active()
    factories.guarantor(loan)
    chosen = Guarantor.objects.all()

    with pytest.raises(Refused, match="has not ended"):
        security.release_ended(chosen, reason="Paid", by=kamau, on=LATE)
    Loan.objects.filter(pk=loan.pk).update(status="closed")

    assert len(security.release_ended(chosen, reason="Paid", by=kamau, on=LATE)) == 1
    assert security.release_ended(chosen, reason="Paid", by=kamau, on=LATE) == []


def test_freeing_a_loan_releases_everybody_and_everything_once(kamau):
    loan = factories.active()
    guarantor, car = factories.guarantor(loan), factories.collateral(loan)

    assert security.free(loan, reason="Disbursement undone", by=kamau, on=LATE) == 2
    assert security.free(loan, reason="Disbursement undone", by=kamau, on=LATE) == 0

    guarantor.refresh_from_db()
    car.refresh_from_db()
    assert (guarantor.status, car.status) == ("released", "released")
    assert car.history.first().history_user == kamau


# --- Collateral ----------------------------------------------------------------------------------
def test_collateral_is_worth_what_its_latest_valuation_says(njeri):
    car = factories.collateral(factories.draft())

    security.revalue(
        car, value=Decimal(90_000), forced_sale_percent=60, valued_on=LATE, valuer="Regent",
        by=njeri, on=LATE,
    )  # fmt: skip
    security.revalue(  # found later, but older
        car, value=Decimal(120_000), forced_sale_percent=70, valued_on=date(2026, 1, 20),
        by=njeri, on=LATE,
    )  # fmt: skip

    car.refresh_from_db()
    assert (car.value, car.valued_on, car.forced_sale_value) == (90_000, LATE, 54_000)
    assert [row.value for row in car.valuations.all()] == [90_000, 120_000, 100_000]


def test_cover_is_the_forced_sale_value_over_the_principal_and_then_what_is_owed(kamau):
    loan = factories.draft(Decimal(50_000))
    car = factories.collateral(loan)
    factories.collateral(loan, value=Decimal(10_000), forced_sale_percent=25)

    assert cover_ratio(loan) == Decimal("1.45")  # (70,000 + 2,500) / 50,000

    security.release_collateral(car, released_to="Wanjiku", reason="Wrong", by=kamau, on=DAY)
    assert cover_ratio(loan) == Decimal("0.05")


def test_cover_of_a_running_loan_is_over_its_outstanding():
    loan = factories.active()
    factories.collateral(loan, value=loan.position.outstanding, forced_sale_percent=100)

    assert cover_ratio(loan) == 1

    Loan.objects.filter(pk=loan.pk).update(status="closed")
    assert cover_ratio(loan) is None


def test_collateral_of_a_loan_that_is_owed_is_kept(kamau, njeri):
    car = factories.collateral(factories.active())

    with pytest.raises(Refused, match="is still owed on LN"):
        security.release_collateral(car, released_to="Wanjiku", reason="Asked", by=njeri, on=LATE)

    assert security.release_collateral(
        car, released_to="Wanjiku", reason="Board minute 12", by=kamau, on=LATE
    ).status == ("released")


def test_a_release_is_taken_back_while_the_loan_runs(kamau):
    car = factories.collateral(factories.active())
    security.release_collateral(car, released_to="Wanjiku", reason="Error", by=kamau, on=LATE)

    restored = security.restore(car, reason="Was never handed out", by=kamau, on=LATE)

    assert (restored.status, restored.released_on, restored.released_to) == ("held", None, "")


def test_what_belongs_to_someone_else_is_pledged_with_their_consent(kamau, njeri):
    loan = submitted()
    car = factories.collateral(loan, owner="third", owner_name="Baraka Juma, 23456789")

    with pytest.raises(Refused, match="Baraka Juma, 23456789 has not consented to pledge"):
        lifecycle.approve(loan, by=kamau, on=DAY)

    security.consent_of_owner(car, consented_on=DAY, by=njeri, on=DAY)
    assert lifecycle.approve(loan, by=kamau, on=DAY)


def test_worklists_find_what_is_unregistered_expiring_expired_and_uninsured(njeri):
    loan = factories.active()
    plain, car = factories.collateral(loan), factories.collateral(loan)
    security.register(
        car, mpsr_number="mpsr0001", registered_on=DAY,
        registration_expires_on=date(2026, 3, 22), by=njeri, on=DAY,
    )  # fmt: skip
    security.insure(car, insured_until=LATE, by=njeri, on=DAY)

    things = Collateral.objects
    assert list(things.unregistered()) == [plain]
    assert list(things.registration_ending(on=LATE)) == [car]
    assert list(things.registration_ended(on=date(2026, 3, 22))) == []
    assert list(things.registration_ended(on=date(2026, 3, 23))) == [car]
    assert list(things.uninsured(on=LATE)) == []
    assert list(things.uninsured(on=date(2026, 2, 21))) == [car]


def test_custody_says_where_since_when_and_by_whom(njeri):
    car = factories.collateral(factories.active())

    kept = security.take_custody(car, location="Safe 2", received_on=DAY, by=njeri, on=DAY)

    assert (kept.location, kept.received_on, kept.received_by) == ("Safe 2", DAY, njeri)
