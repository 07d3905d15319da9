"""Who may have a loan: each rule of the version, who keeps it and by how much it is missed."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.models import EligibilityRule, LoanProduct
from lms.loans.operations import lifecycle, offers, restructuring
from lms.loans.operations.eligibility import Verdict, assess
from tests import factories

D = Decimal
ON = date(2026, 1, 15)
Kind = EligibilityRule.Kind


@pytest.fixture
def wanjiku(db) -> Customer:
    """Born on 21 March 1988, earns 18,011 a month; the scorecard would lend her 80,000."""
    return factories.customer(
        date_of_birth=date(1988, 3, 21), net_income=D(18_011), score_limit=D(80_000)
    )


def rule(kind: str, limit, *, is_hard: bool = True) -> LoanProduct:
    """Biashara with one more rule, written as if before its approval."""
    product = factories.product()
    EligibilityRule.objects.bulk_create(
        [EligibilityRule(version=product.versions.get(), kind=kind, limit=limit, is_hard=is_hard)]
    )
    return product


def verdict(loan, *, on: date = ON) -> Verdict:
    (found,) = assess(loan, on=on)
    return found


def test_affordability_says_by_how_many_points_the_instalment_is_too_much(wanjiku):
    rule(Kind.AFFORDABILITY, D(40))

    found = verdict(factories.draft())  # twelve instalments of KES 9,456

    assert (found.passed, found.wanted, found.found, found.by) == (
        False,
        D(40),
        D("52.50"),
        D("12.50"),
    )
    assert found.sentence == (
        "Affordability: the instalment of KES 9,456.00 is 52.5% of net income, "
        "12.5 points above 40%."
    )


def test_affordability_adds_up_the_heaviest_month_of_weekly_instalments(wanjiku):
    product = rule(Kind.AFFORDABILITY, D(40))
    loan = factories.draft(D(9_600), product=product, terms={"repay_unit": "weeks", "rate": D(0)})

    found = verdict(loan)  # 800 a week from 22 January on

    assert found.passed
    assert found.sentence == (
        "Affordability: the 4 instalments of February 2026, KES 3,200.00, are 17.77% of net "
        "income, within 40%."
    )


@pytest.mark.parametrize(
    ("kind", "limit", "passed", "by", "sentence"),
    [
        (Kind.MIN_AGE, 18, True, 0, "Wanjiku Mwangi is 37 years old, at least 18."),
        (Kind.MIN_AGE, 40, False, 3, "Wanjiku Mwangi is 37 years old, 3 short of 40."),
        (
            Kind.MAX_AGE,
            37,
            False,
            1,
            "Wanjiku Mwangi is 38 years old on 15 Jan 2027, 1 above 37.",
        ),
        (
            Kind.SCORE,
            100,
            False,
            25,
            "KES 100,000.00 is 125% of the score limit of KES 80,000.00, 25 points above 100%.",
        ),
        (
            Kind.EXPOSURE,
            120_000,
            True,
            0,
            "KES 100,000.00 of this loan, KES 0.00 on others and KES 0.00 guaranteed make "
            "KES 100,000.00, within KES 120,000.00.",
        ),
        (Kind.ARREARS, 0, True, 0, "no day late on another loan, within 0."),
        (Kind.ACTIVE_LOANS, 1, True, 0, "this one would be number 1, within 1."),
    ],
)
def test_each_rule_says_what_it_found(wanjiku, kind, limit, passed, by, sentence):
    rule(kind, D(limit))

    found = verdict(factories.draft())

    assert (found.passed, found.by) == (passed, by)
    assert found.sentence == f"{kind.label}: {sentence}"


def test_the_maximum_age_counts_on_the_last_due_date(wanjiku):
    rule(Kind.MAX_AGE, D(37))

    # The last of two instalments falls due on 15 March, six days before her birthday.
    assert verdict(factories.draft(terms={"number_of_repayments": 2})).passed
    assert not verdict(factories.draft(terms={"number_of_repayments": 3})).passed


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Kind.MIN_AGE, "Minimum age: fill in the date of birth of Wanjiku Mwangi."),
        (Kind.AFFORDABILITY, "Affordability: fill in the net income of Wanjiku Mwangi."),
        (
            Kind.SCORE,
            "Amount within the score limit: fill in the score limit of Wanjiku Mwangi.",
        ),
    ],
)
def test_what_is_not_known_fails_and_says_what_to_fill_in(db, kind, sentence):
    rule(kind, D(40))

    found = verdict(factories.draft(customer=factories.customer()))

    assert (found.passed, found.found, found.by) == (False, None, None)
    assert found.sentence == sentence


def test_a_business_has_no_age_and_no_income_is_never_enough(db):
    rule(Kind.MIN_AGE, D(18))
    shop = factories.customer(
        kind="business",
        business_name="Duka Ltd",
        id_kind="registration",
        id_number="BN-7XYZ123",
        net_income=D(0),
    )
    assert verdict(factories.draft(customer=shop)).passed

    EligibilityRule.objects.update(kind=Kind.AFFORDABILITY)
    assert not verdict(factories.draft(customer=shop)).passed


def test_kyc_must_be_complete(wanjiku):
    rule(Kind.KYC, None)
    loan = factories.draft()
    assert verdict(loan).sentence == "KYC complete: Wanjiku Mwangi is verified."

    Customer.objects.update(kyc_status="pending")
    loan.customer.refresh_from_db()

    assert not verdict(loan).passed
    assert verdict(loan).sentence == "KYC complete: Wanjiku Mwangi is not verified yet."


def test_arrears_on_another_loan_count_their_days(wanjiku):
    rule(Kind.ARREARS, D(5))
    late = factories.active(D(10_000))  # its first instalment is due on 15 February
    loan = factories.draft()

    assert verdict(loan, on=date(2026, 2, 20)).passed
    found = verdict(loan, on=date(2026, 2, 22))

    assert (found.passed, found.found, found.by) == (False, D(7), D(2))
    assert found.sentence == f"Arrears elsewhere: {late.number} is 7 days late, 2 above 5."


def test_penalties_and_a_few_shillings_alone_are_no_arrears(wanjiku):
    rule(Kind.ARREARS, D(0))
    late = factories.active(D(10_000))
    first = late.repayments.get(number=1)
    type(first).objects.filter(pk=first.pk).update(
        principal_paid=first.principal, interest_paid=first.interest - 10, penalties=D(500)
    )
    loan = factories.draft()
    assert verdict(loan, on=date(2026, 2, 20)).passed

    type(first).objects.filter(pk=first.pk).update(interest_paid=first.interest - 11)

    assert verdict(loan, on=date(2026, 2, 20)).by == D(5)


def test_exposure_adds_this_loan_what_is_owed_and_what_is_guaranteed(wanjiku):
    rule(Kind.EXPOSURE, D(150_000))
    owing = factories.active(D(20_000))
    guaranteed = factories.draft(D(40_000), customer=factories.otieno())
    factories.guarantor(guaranteed, wanjiku, amount=D(40_000))
    loan = factories.draft()
    owed = owing.position.outstanding
    assert verdict(loan).found == D(100_000) + owed  # nobody answers for a draft

    lifecycle.submit(guaranteed, by=factories.njeri(), on=ON)

    assert verdict(loan).found == D(140_000) + owed
    assert verdict(loan).by == owed - D(10_000)


def test_a_loan_that_is_approved_counts_before_it_is_paid_out(wanjiku):
    rule(Kind.ACTIVE_LOANS, D(1))
    factories.approved(D(10_000))

    found = verdict(factories.draft())

    assert found.sentence == "Active loans: this one would be number 2, 1 above 1."


def test_a_loan_that_this_one_pays_off_counts_no_more(wanjiku):
    rule(Kind.ACTIVE_LOANS, D(1))
    old = factories.active(D(10_000))

    assert verdict(factories.draft(refinances=old)).passed
    assert not verdict(factories.draft()).passed


def test_after_a_rejection_the_customer_waits(wanjiku, kamau):
    rule(Kind.COOL_OFF, D(7))
    before = factories.draft()
    assert verdict(before).sentence == "Cool-off: no loan was closed or rejected before."
    lifecycle.submit(before, by=factories.njeri(), on=ON)
    lifecycle.reject(before, reason="Too little stock", by=kamau, on=ON)
    loan = factories.draft()

    found = verdict(loan, on=ON + timedelta(days=3))

    assert found.sentence == "Cool-off: 3 days ago a loan was rejected, 4 short of 7."
    assert verdict(loan, on=ON + timedelta(days=7)).passed


def test_hard_rules_refuse_submitting_and_name_the_first_of_them(wanjiku, njeri):
    rule(Kind.AFFORDABILITY, D(40))
    rule(Kind.SCORE, D(100))
    rule(Kind.MIN_AGE, D(40), is_hard=False)
    loan = factories.draft()

    with pytest.raises(Refused) as refusal:
        lifecycle.submit(loan, by=njeri, on=ON)

    assert refusal.value.message == (
        "Affordability: the instalment of KES 9,456.00 is 52.5% of net income, "
        "12.5 points above 40%. One more rule is not kept."
    )
    loan.refresh_from_db()
    assert loan.status == "draft"


def test_soft_rules_only_warn(wanjiku, njeri):
    rule(Kind.AFFORDABILITY, D(40), is_hard=False)
    loan = factories.draft()

    assert lifecycle.submit(loan, by=njeri, on=ON).status == "submitted"
    assert not verdict(loan).passed


def test_hard_rules_are_asked_again_when_it_is_approved(wanjiku, kamau, njeri):
    rule(Kind.AFFORDABILITY, D(60))
    loan = factories.draft()
    lifecycle.submit(loan, by=njeri, on=ON)
    Customer.objects.update(net_income=D(10_000))

    with pytest.raises(Refused, match=r"94\.56% of net income, 34\.56 points above 60%"):
        lifecycle.approve(loan, by=kamau, on=ON)


def test_rules_belong_to_the_version_and_are_fixed_with_it(wanjiku, njeri):
    product = rule(Kind.AFFORDABILITY, D(40))
    kept = EligibilityRule.objects.get()
    for write in (kept.save, kept.delete):
        with pytest.raises(Refused, match="its terms stay as they are"):
            write()

    version = offers.new_version(product, by=njeri, on=ON)
    copy = version.rules.get()
    copy.limit = D(50)
    copy.save()

    assert [tuple(change) for change in version.changes_from(product.version_on(ON))] == [
        (
            "Affordability",
            "At most 40% of net income, hard",
            "At most 50% of net income, hard",
            False,
        )
    ]
    assert version.starts_at_the_earliest(on=ON) == ON  # no notice: the price stays


@pytest.mark.parametrize(("kind", "limit"), [("kyc", 1), ("min_age", None), ("min_age", -1)])
def test_the_database_holds_each_rule_once_with_its_limit(wanjiku, kind, limit):
    with pytest.raises(IntegrityError), transaction.atomic():
        rule(kind, limit)
    rule("kyc", None)
    with pytest.raises(IntegrityError), transaction.atomic():
        rule("kyc", None)


def top_up(loan, amount: int = 20_000, *, on: date = date(2026, 2, 10)):
    return restructuring.top_up(
        loan,
        amount=D(amount),
        number_of_repayments=12,
        method="cash",
        reference=None,
        reason="Bigger stall",
        by=factories.kamau(),
        on=on,
    )


@pytest.mark.parametrize(
    ("kind", "limit", "sentence"),
    [
        (
            Kind.AFFORDABILITY,
            60,
            r"the instalment of KES 12,871\.00 is 71.46% of net income, 11.46 points above 60%",
        ),
        (Kind.SCORE, 140, r"KES 120,000\.00 is 150% of the score limit .*, 10 points above 140%"),
        (Kind.EXPOSURE, 110_000, r"KES 120,000\.00 of this loan, .*, KES 10,000\.00 above"),
        (Kind.MAX_AGE, 37, r"38 years old on .* 2027, 1 above 37"),
    ],
)
def test_a_top_up_keeps_to_the_rules_of_the_product(wanjiku, kind, limit, sentence):
    loan = factories.active()
    rule(kind, D(limit))

    with pytest.raises(Refused, match=sentence):
        top_up(loan)

    loan.refresh_from_db()
    assert loan.principal == D(100_000)
    assert not loan.changes.exists()


def test_a_top_up_counts_the_loan_once_and_its_own_lateness(wanjiku):
    loan = factories.active()
    rule(Kind.ACTIVE_LOANS, D(1))
    rule(Kind.ARREARS, D(5))

    top_up(loan, 1_000, on=date(2026, 2, 20))
    with pytest.raises(Refused, match=r"Arrears elsewhere: LN\d+ is 10 days late, 5 above 5\."):
        top_up(factories.active(customer=factories.otieno()), on=date(2026, 2, 25))


def test_a_soft_rule_lets_a_top_up_pass(wanjiku):
    loan = factories.active()
    rule(Kind.SCORE, D(1), is_hard=False)

    assert top_up(loan).amount == D(20_000)
