"""KYC is a decision of a person, with a name on it."""

import pytest

from lms.customers.models import Customer
from lms.customers.operations import reject, verify, verify_all
from lms.errors import Refused
from tests import factories

DAY = factories.DAY


@pytest.fixture
def mwende(db):
    return factories.customer("Mwende Mutiso", "254711000333", kyc_status="pending")


def test_verifying_opens_the_way_to_a_loan(mwende, kamau):
    verified = verify(mwende, by=kamau, on=DAY, note="Original ID seen")

    assert verified.kyc_status == "verified"
    change = verified.history.first()
    assert (change.history_user, change.history_change_reason) == (kamau, "Original ID seen")


def test_verifying_twice_is_refused(mwende, kamau):
    verify(mwende, by=kamau, on=DAY)

    with pytest.raises(Refused, match=r"The KYC of Mwende Mutiso is verified already\."):
        verify(mwende, by=kamau, on=DAY)


def test_a_verified_customer_may_be_rejected_later(mwende, kamau):
    verify(mwende, by=kamau, on=DAY)

    assert reject(mwende, reason="The ID is forged", by=kamau, on=DAY).kyc_status == "rejected"


def test_rejecting_needs_a_reason_and_changes_nothing_without(mwende, kamau):
    with pytest.raises(Refused, match="Say what is wrong"):
        reject(mwende, reason="  ", by=kamau, on=DAY)

    mwende.refresh_from_db()
    assert mwende.kyc_status == "pending"


def test_many_are_verified_together_or_not_at_all(mwende, wanjiku, kamau):
    with pytest.raises(Refused, match="The KYC of Wanjiku Mwangi is verified already"):
        verify_all(Customer.objects.all(), by=kamau, on=DAY)

    mwende.refresh_from_db()
    assert mwende.kyc_status == "pending"
    assert verify_all(Customer.objects.filter(pk=mwende.pk), by=kamau, on=DAY) == [mwende]
