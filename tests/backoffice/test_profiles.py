"""The page of posting profiles, and the accounts that may be chosen on it."""

import pytest
from django.urls import reverse

from lms.ledger import chart
from lms.ledger.models import Account, PostingProfile
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def wambui(db):
    return factories.staff("wambui", "Accountant")


@pytest.fixture
def own():
    factories.profile()
    return Account.objects.get(pk="1110B")


def send(client, **form):
    return client.post(reverse("admin:ledger_postingprofile_add"), form)


def test_an_accountant_writes_a_profile(as_staff, wambui, own):
    answer = send(as_staff(wambui), name="Farms", accounts=[own.pk])

    assert answer.status_code == 302
    profile = PostingProfile.objects.get(name="Farms")
    assert profile.places == {chart.LOAN_PRINCIPAL: own.pk}
    page = as_staff(wambui).get(reverse("admin:ledger_postingprofile_change", args=[profile.pk]))
    assert "1110B Loan principal, business" in page.content.decode()
    assert "the common account" in page.content.decode()


def test_two_accounts_for_one_place_are_told_at_the_field(as_staff, wambui, own):
    second = Account.objects.get(pk=own.pk)
    second.code = "1112"
    second.save(force_insert=True)

    answer = send(as_staff(wambui), name="Farms", accounts=[own.pk, second.pk])

    assert "each stands for 1110" in answer.content.decode()
    assert not PostingProfile.objects.filter(name="Farms").exists()


def test_common_accounts_are_not_offered(as_staff, wambui, own):
    answer = send(as_staff(wambui), name="Farms", accounts=[chart.LOAN_PRINCIPAL])

    assert "Select a valid choice" in answer.content.decode()


def test_a_fixed_profile_keeps_its_accounts(as_staff, wambui, own):
    profile = factories.profile()
    PostingProfile.objects.filter(pk=profile.pk).update(is_fixed=True)
    url = reverse("admin:ledger_postingprofile_change", args=[profile.pk])

    as_staff(wambui).post(url, {"name": "Business, since 2026", "accounts": [own.pk]})

    profile.refresh_from_db()
    assert profile.name == "Business, since 2026"
    assert len(profile.places) == len(chart.PER_PRODUCT)


def test_others_read_profiles_and_cashiers_do_not(as_staff, kamau, mutua, own):
    url = reverse("admin:ledger_postingprofile_changelist")

    assert as_staff(kamau).get(url).status_code == 200
    assert as_staff(mutua).get(url).status_code == 403
    assert send(as_staff(kamau), name="Farms", accounts=[own.pk]).status_code == 403
