"""Versions of the terms: drafted by one, approved by another, in force from a day on."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.loans.models import Loan, LoanProduct, ProductFee, ProductVersion
from lms.loans.operations import lifecycle, offers
from tests import factories

ON = date(2026, 11, 21)
NOTICE = date(2026, 12, 21)  # thirty days later
FEE = {"name": "Processing", "kind": "percent", "value": Decimal(2), "when": "deducted"}


def states(product: LoanProduct, *, on: date) -> list[tuple[int, str]]:
    return [(each.number, each.state(on=on)) for each in product.versions.order_by("number")]


@pytest.fixture
def product(db) -> LoanProduct:
    return factories.product(fees=[FEE])


@pytest.fixture
def dearer(product, njeri) -> ProductVersion:
    """A draft of Njeri's: 26% instead of 24%."""
    version = offers.new_version(product, by=njeri, on=ON)
    version.rate = Decimal(26)
    version.save()
    return version


def test_a_new_version_is_a_draft_with_the_terms_limits_and_fees_of_the_latest(product, njeri):
    first = product.versions.get()

    version = offers.new_version(product, by=njeri, on=ON)

    assert (version.number, version.status, version.created_by) == (2, "draft", njeri)
    assert version.values_of(version.FIXED_FIELDS) == first.values_of(first.FIXED_FIELDS)
    assert [str(fee.summary) for fee in version.fees.all()] == [
        "2% of principal, deducted from the disbursement, 20% excise"
    ]
    assert first.fees.count() == 1
    assert version.history.get().history_change_reason == "Copied from Biashara loan v1"
    with pytest.raises(Refused, match="v2 is still a draft"):
        offers.new_version(product, by=njeri, on=ON)


def test_an_approved_version_ends_the_one_before_it_the_day_before(product, dearer, kamau):
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)

    assert states(product, on=ON) == [(1, "current"), (2, "future")]
    assert states(product, on=NOTICE) == [(1, "expired"), (2, "current")]
    assert product.version_on(date(2026, 12, 20)).number == 1
    assert product.version_on(NOTICE).number == 2
    second = product.versions.get(number=2)
    assert (second.approval_reference, second.approved_by, second.approved_on) == (
        "BRD/7",
        kamau,
        ON,
    )


@pytest.mark.parametrize(
    ("reference", "starts_on", "sentence"),
    [
        (" ", NOTICE, "Give the reference of the approval"),
        ("BRD/7", date(2026, 12, 20), "30 days of notice: 21 Dec 2026 is the earliest day"),
    ],
)
def test_a_price_needs_a_reference_and_its_notice(dearer, kamau, reference, starts_on, sentence):
    with pytest.raises(Refused, match=sentence):
        offers.approve_version(dearer, reference=reference, starts_on=starts_on, by=kamau, on=ON)

    dearer.refresh_from_db()
    assert dearer.is_draft
    assert dearer.product.versions.get(number=1).ends_on is None


@pytest.mark.parametrize("part", ["rate", "penalty", "fee", "new fee", "max_rate"])
def test_every_part_of_the_price_waits_for_the_notice(product, njeri, kamau, part):
    version = offers.new_version(product, by=njeri, on=ON)
    if part == "penalty":
        version.penalty_base, version.penalty_value = "fixed", Decimal(300)
    elif part == "fee":
        version.fees.update(value=Decimal(3))
    elif part == "new fee":
        ProductFee.objects.create(version=version, **FEE | {"name": "Insurance"})
    else:
        setattr(version, part, Decimal(390))
    version.save()

    with pytest.raises(Refused, match="days of notice"):
        offers.approve_version(version, reference="BRD/7", starts_on=ON, by=kamau, on=ON)


def test_going_back_on_a_price_that_has_not_started_needs_notice_too(product, dearer, njeri, kamau):
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)
    third = offers.new_version(product, by=njeri, on=ON)
    third.rate = Decimal(24)  # as in force today
    third.save()

    assert third.starts_at_the_earliest(on=ON + timedelta(days=20)) == date(2027, 1, 10)


def test_wider_limits_may_start_at_once_but_not_in_the_past(product, njeri, kamau):
    version = offers.new_version(product, by=njeri, on=ON)
    version.max_principal = Decimal(2_000_000)
    version.save()

    with pytest.raises(Refused, match="cannot start in the past"):
        offers.approve_version(
            version, reference="BRD/7", starts_on=ON - timedelta(1), by=kamau, on=ON
        )
    offers.approve_version(version, reference="BRD/7", starts_on=ON, by=kamau, on=ON)

    assert product.version_on(ON) == version


def test_the_first_version_of_a_product_needs_no_notice_and_may_lie_in_the_past(njeri, kamau):
    product = LoanProduct.objects.create(code="BODA", name="Boda boda")
    version = offers.new_version(product, by=njeri, on=ON)

    assert product.version_on(ON) is None
    offers.approve_version(version, reference="BRD/1", starts_on=date(2025, 1, 1), by=kamau, on=ON)
    assert product.version_on(date(2025, 1, 1)) == version


def test_nobody_approves_terms_that_they_wrote_in(product, dearer, njeri, kamau):
    fee = dearer.fees.get()
    fee._history_user = kamau
    fee.save()

    for person in (njeri, kamau):
        with pytest.raises(Refused, match="You prepared Biashara loan v2 yourself"):
            offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=person, on=ON)


def test_a_version_does_not_start_before_one_that_is_approved(product, dearer, njeri, kamau):
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)
    third = offers.new_version(product, by=njeri, on=ON)
    third.rate = Decimal(20)
    third.save()

    with pytest.raises(Refused, match=r"v2 starts on 21 Dec 2026: withdraw it first"):
        offers.approve_version(third, reference="BRD/8", starts_on=NOTICE, by=kamau, on=ON)


def test_terms_are_withdrawn_before_they_start_and_those_before_them_go_on(product, dearer, kamau):
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)

    offers.withdraw_version(dearer, reason="The board thought again.", by=kamau, on=ON)

    assert states(product, on=NOTICE) == [(1, "current"), (2, "withdrawn")]
    first = product.versions.get(number=1)
    with pytest.raises(Refused, match="in force since 1 Jan 2000: make a new version"):
        offers.withdraw_version(first, reason="No", by=kamau, on=ON)
    with pytest.raises(Refused, match="withdrawn already"):
        offers.withdraw_version(dearer, reason="No", by=kamau, on=ON)


def test_approved_terms_and_fees_are_never_changed(product):
    version = product.versions.get()
    fee = version.fees.get()

    version.rate = Decimal(1)
    for write in (version.save, fee.save, fee.delete):
        with pytest.raises(Refused, match="its terms stay as they are"):
            write()
    with pytest.raises(Refused, match="its terms stay"):
        ProductFee.objects.create(version=version, **FEE)

    version.refresh_from_db()
    assert version.rate == Decimal(24)
    assert version.fees.get().value == Decimal(2)


def test_the_database_holds_no_approved_version_without_a_reference(product):
    with pytest.raises(IntegrityError), transaction.atomic():
        ProductVersion.objects.update(approval_reference="")


def test_what_changed_is_told_term_by_term(product, dearer):
    dearer.fees.update(name="Handling")

    assert [tuple(change) for change in dearer.changes_from(product.version_on(ON))] == [
        ("Interest rate (%)", "24", "26", True),
        ("Processing", "2% of principal, deducted from the disbursement, 20% excise", "None", True),
        ("Handling", "None", "2% of principal, deducted from the disbursement, 20% excise", True),
    ]


# --- Loans on versions ---------------------------------------------------------------------------
def test_a_loan_is_made_on_the_terms_of_its_day_and_keeps_them(product, dearer, kamau):
    before = factories.active(on=ON)
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)

    after = factories.draft(on=NOTICE)

    before.refresh_from_db()
    assert (before.version.number, before.rate) == (1, Decimal(24))
    assert (after.version.number, after.rate) == (2, Decimal(26))


def test_no_loan_is_made_without_approved_terms(product, dearer):
    ProductVersion.objects.filter(number=1).update(ends_on=date(2026, 11, 20))

    with pytest.raises(Refused) as refusal:
        factories.draft(on=ON)

    assert refusal.value.message == "Biashara loan has no approved terms on 21 Nov 2026."
    assert refusal.value.field == "product"


def test_an_application_on_ended_terms_takes_the_current_ones_first(product, dearer, kamau, njeri):
    ProductFee.objects.filter(version=dearer).update(value=Decimal(3))
    loan = factories.draft(on=ON, terms={"number_of_repayments": 6})
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)
    with pytest.raises(Refused, match=r"v1 ended on 20 Dec 2026: take the current terms first"):
        lifecycle.submit(loan, by=njeri, on=NOTICE)

    offers.take_current_terms(loan, by=njeri, on=NOTICE)
    lifecycle.submit(loan, by=njeri, on=NOTICE)

    loan.refresh_from_db()
    assert (loan.version.number, loan.rate, loan.number_of_repayments) == (2, Decimal(26), 12)
    assert [fee.value for fee in loan.fees.all()] == [Decimal(3)]
    with pytest.raises(Refused, match="only a draft can take other terms"):
        offers.take_current_terms(loan, by=njeri, on=NOTICE)


def test_current_terms_are_not_taken_twice(product, njeri):
    loan = factories.draft(on=ON)

    with pytest.raises(Refused, match="has the current terms already: Biashara loan v1"):
        offers.take_current_terms(loan, by=njeri, on=ON)


def test_what_waited_for_approval_is_not_approved_on_ended_terms(product, dearer, kamau, njeri):
    loan = factories.draft(on=ON)
    lifecycle.submit(loan, by=njeri, on=ON)
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)

    with pytest.raises(Refused, match=r"v1 ended on 20 Dec 2026"):
        lifecycle.approve(loan, by=kamau, on=NOTICE)


def test_what_was_approved_in_time_is_paid_out_on_its_terms(product, dearer, kamau, mutua):
    loan = factories.approved(on=ON)
    offers.approve_version(dearer, reference="BRD/7", starts_on=NOTICE, by=kamau, on=ON)

    loan = lifecycle.disburse(loan, method="cash", reference=None, by=mutua, on=NOTICE)

    assert (loan.status, loan.version.number) == (Loan.Status.ACTIVE, 1)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"method": "flat", "day_count": "actual/365"}, "recalculates"),
        ({}, "day_count"),
        ({"day_count": "actual/365", "interest_grace": 1}, "interest_grace"),
    ],
)
def test_interest_follows_the_balance_only_where_days_are_counted(dearer, terms, field):
    for name, value in {**terms, "recalculates": True}.items():
        setattr(dearer, name, value)

    with pytest.raises(ValidationError) as refusal:
        dearer.full_clean()

    assert set(refusal.value.message_dict) == {field}
