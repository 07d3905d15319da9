"""Who brought a customer: what may be recorded, and until when."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from lms.customers.models import Customer
from lms.errors import Refused
from lms.loans.operations import undoing
from lms.referrals.operations import set_referrer
from tests import factories
from tests.referrals.circle import lent

DAY = factories.DAY


def record(customer, referrer):
    return set_referrer(customer, referrer=referrer, by=factories.njeri(), on=DAY)


def test_it_is_kept_with_who_wrote_it_down(wanjiku, njeri):
    otieno = record(factories.otieno(), wanjiku)

    otieno.refresh_from_db()
    assert (otieno.referred_by, otieno.referral_recorded_by) == (wanjiku, njeri)
    change = otieno.history.first()
    assert (change.history_user, change.history_change_reason) == (
        njeri,
        "Referred by Wanjiku Mwangi",
    )


def test_it_is_changed_and_taken_back_until_the_first_loan(wanjiku, kamau):
    otieno, mwende = factories.otieno(), factories.customer("Mwende Mutiso", "254711000333")
    record(mwende, wanjiku)
    record(mwende, otieno)
    assert set_referrer(mwende, referrer=None, by=kamau, on=DAY).referral_recorded_by is None
    record(mwende, wanjiku)
    loan = lent(mwende)

    for referrer in (otieno, None):
        with pytest.raises(Refused, match=rf"{loan.number} was paid out to Mwende Mutiso on 15 Ja"):
            record(mwende, referrer)

    mwende.refresh_from_db()
    assert mwende.referred_by == wanjiku


def test_a_disbursement_that_was_undone_does_not_count(wanjiku, kamau):
    otieno = factories.otieno()
    undoing.undo_disbursement(lent(otieno), reason="Wrong phone", by=kamau, on=DAY)

    assert record(otieno, wanjiku).referred_by == wanjiku


def test_the_same_again_is_refused(wanjiku):
    otieno = record(factories.otieno(), wanjiku)

    with pytest.raises(Refused, match="Wanjiku Mwangi is on record already"):
        record(otieno, wanjiku)
    with pytest.raises(Refused, match="Nobody is on record already"):
        record(wanjiku, None)


def test_nobody_refers_themselves(wanjiku):
    with pytest.raises(Refused, match="Wanjiku Mwangi cannot refer themselves"):
        record(wanjiku, wanjiku)
    for field, value in (("phone", wanjiku.phone), ("id_number", wanjiku.id_number)):
        again = Customer(**{"phone": "254700000009", "id_number": "1234567", field: value})
        word = "phone" if field == "phone" else "ID number"
        with pytest.raises(Refused, match=f"Wanjiku Mwangi has the same {word}"):
            again.refer(wanjiku, by=factories.njeri())


def test_the_same_number_as_another_kind_of_id_is_the_same_person(wanjiku):
    twin = factories.customer(
        "Wanjiku Njoki", "254711000333", id_kind="alien_id", id_number=wanjiku.id_number
    )

    with pytest.raises(Refused, match="has the same ID number: nobody refers themselves"):
        record(twin, wanjiku)


def test_two_customers_do_not_refer_one_another(wanjiku):
    otieno = record(factories.otieno(), wanjiku)

    with pytest.raises(Refused, match=r"Wanjiku Mwangi referred Otieno Ouma: they cannot refer"):
        record(wanjiku, otieno)


def test_nor_do_they_in_a_longer_circle(wanjiku):
    otieno = record(factories.otieno(), wanjiku)
    mwende = record(factories.customer("Mwende Mutiso", "254711000333"), otieno)

    with pytest.raises(Refused, match="Mwende Mutiso was registered later"):
        record(wanjiku, mwende)


def test_a_referrer_was_registered_before(wanjiku):
    otieno = factories.otieno()
    later = otieno.registered_at + timedelta(days=3)
    Customer.objects.filter(pk=wanjiku.pk).update(registered_at=later)
    wanjiku.refresh_from_db()

    with pytest.raises(Refused, match="Wanjiku Mwangi was registered later, on "):
        record(otieno, wanjiku)

    otieno.refresh_from_db()
    assert otieno.referred_by is None


@pytest.mark.parametrize("wrong", ["self", "nobody wrote it down", "nobody was written down"])
def test_the_database_holds_it_too(wanjiku, njeri, wrong):
    otieno = factories.otieno()
    fields = {
        "self": {"referred_by": otieno, "referral_recorded_by": njeri},
        "nobody wrote it down": {"referred_by": wanjiku},
        "nobody was written down": {"referral_recorded_by": njeri},
    }[wrong]

    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.filter(pk=otieno.pk).update(**fields)
