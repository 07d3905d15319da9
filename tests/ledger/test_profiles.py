"""Accounts that stand for common ones, and the profiles that loans are posted by."""

from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from lms.errors import Refused
from lms.ledger import chart, profiles
from lms.ledger.balances import Balance
from lms.ledger.models import Account, PostingProfile
from lms.ledger.operations import Line, Posting, post, post_many, reverse
from lms.loans.operations import offers
from tests import factories

pytestmark = pytest.mark.django_db
D = Decimal
DAY = date(2026, 1, 15)


def account(code: str = "1111", stands_for: str = chart.LOAN_PRINCIPAL, **fields) -> Account:
    made = Account(
        **{
            "code": code,
            "name": "Principal, business",
            "kind": "asset",
            "parent_id": "1100",
            "stands_for_id": stands_for,
            "takes_manual_entries": False,
            **fields,
        }
    )
    made.full_clean()
    made.save()
    return made


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stands_for": chart.CASH}, "stands_for"),
        ({"stands_for": chart.ALLOWANCE, "is_contra": True}, "stands_for"),
        ({"kind": "income", "parent_id": "4000"}, "stands_for"),
        ({"is_contra": True}, "stands_for"),
        ({"is_header": True}, "stands_for"),
        ({"takes_manual_entries": True}, "takes_manual_entries"),
    ],
)
def test_an_account_stands_only_for_a_common_one_of_its_kind(fields, field):
    with pytest.raises(ValidationError) as refusal:
        account(**fields)

    assert field in refusal.value.message_dict


def test_income_of_a_product_may_be_typed_like_the_common_one():
    assert account(
        "4021", chart.FEE_INCOME, kind="income", parent_id="4000", takes_manual_entries=True
    ).pk


def test_an_account_of_a_profile_stays_what_it_is_and_in_use():
    own = account()
    PostingProfile.objects.create(name="Business").accounts.add(own)

    own.is_active = False
    with pytest.raises(ValidationError, match="are posted to it"):
        own.full_clean()
    own.is_active, own.stands_for_id = True, None
    with pytest.raises(ValidationError, match="its kind and side stay"):
        own.full_clean()


def test_two_accounts_for_one_place_are_refused(kamau):
    profile = PostingProfile.objects.create(name="Business")
    profile.accounts.add(account(), account("1112", name="Principal, farms"))

    with pytest.raises(Refused, match="each stands for 1110"):
        profiles.fix(profile, by=kamau, reason="Approved")

    profile.refresh_from_db()
    assert not profile.is_fixed


def test_the_accounts_of_a_fixed_profile_are_not_chosen_anew(kamau):
    profile = PostingProfile.objects.create(name="Business")
    profile.accounts.add(account())
    profiles.must_be_open(profile)
    profiles.fix(profile, by=kamau, reason="Approved")

    with pytest.raises(Refused, match="Approved terms rely on Business"):
        profiles.must_be_open(profile)


def test_an_account_that_stands_for_none_is_refused():
    with pytest.raises(Refused, match="stands for no common account"):
        profiles.must_be_clear([Account.objects.get(pk=chart.CASH)])


def test_approved_terms_fix_their_profile_and_their_loans_keep_it(kamau, njeri):
    profile = PostingProfile.objects.create(name="Business")
    profile.accounts.add(account())
    product = factories.product()
    version = offers.new_version(product, by=njeri, on=DAY)
    version.posting_profile = profile
    version.save()

    offers.approve_version(version, reference="Board 7", starts_on=DAY, by=kamau, on=DAY)

    profile.refresh_from_db()
    assert profile.is_fixed
    loan = factories.active(D(10_000), product=product)
    assert loan.accounts == {chart.LOAN_PRINCIPAL: "1111"}
    assert profiles.together(
        {"1111": Balance(D(7), D(2)), chart.LOAN_PRINCIPAL: Balance(D(1))}
    ) == {chart.LOAN_PRINCIPAL: Balance(D(8), D(2))}
    assert profiles.codes_of(chart.LOAN_PRINCIPAL) == [chart.LOAN_PRINCIPAL, "1111"]


def entry(debit: str, **more):
    return post(
        kind="test",
        reference=f"test:{debit}",
        on=DAY,
        narration="A test",
        lines=[Line(debit, chart.BANK, D(5))],
        branch_id=factories.branch().pk,
        by=None,
        **more,
    )


def test_lines_are_posted_where_the_profile_says_and_reversed_there(kamau):
    account()

    made = entry(chart.LOAN_PRINCIPAL, accounts={chart.LOAN_PRINCIPAL: "1111"})
    mirror = reverse(made, reason="Again", on=DAY, by=kamau)

    assert made.transfers.get().debit_id == mirror.transfers.get().credit_id == "1111"


@pytest.mark.parametrize("wrong", ["header", "out of use"])
def test_what_takes_no_postings_is_refused_by_the_database(wrong):
    code = "1100" if wrong == "header" else account(is_active=False).pk

    with pytest.raises(Refused, match="no longer in use"), transaction.atomic():
        entry(code)
    lines = [Line(chart.BANK, code, D(5))]
    posting = Posting("test:many", "A test", lines, factories.branch().pk, "")
    with pytest.raises(Refused, match="no longer in use"), transaction.atomic():
        post_many([posting], kind="test", on=DAY, by=None)


def test_the_key_of_an_event_is_still_refused_twice():
    entry(chart.CASH)

    with pytest.raises(Refused, match="posted already"), transaction.atomic():
        entry(chart.CASH)
    lines = [Line(chart.CASH, chart.BANK, D(5))]
    again = Posting(f"test:{chart.CASH}", "A test", lines, factories.branch().pk, "")
    with pytest.raises(IntegrityError), transaction.atomic():
        post_many([again], kind="test", on=DAY, by=None)
