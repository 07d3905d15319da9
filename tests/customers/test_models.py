import hashlib
from datetime import date

import pytest
from django.core.exceptions import ValidationError

from lms import history
from lms.customers.models import Customer, check_id_number, check_kra_pin
from tests import factories


@pytest.mark.parametrize(
    ("kind", "typed", "stored"),
    [
        ("national_id", "12345678", "12345678"),
        ("national_id", "123 456 78", "12345678"),
        ("passport", "ak0123456", "AK0123456"),
        ("registration", "bn-7xyz123", "BN-7XYZ123"),
    ],
)
def test_identity_numbers_are_stored_in_one_form(kind, typed, stored):
    assert check_id_number(kind, typed) == stored


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("national_id", "12345"),
        ("national_id", "1234567A"),
        ("passport", "0123456"),
        ("alien_id", "x"),
    ],
)
def test_identity_numbers_of_another_shape_are_refused(kind, typed):
    with pytest.raises(ValueError, match="does not look right"):
        check_id_number(kind, typed)


def test_a_kra_pin_is_a_letter_nine_digits_and_a_letter():
    assert check_kra_pin(" a004416331m ") == "A004416331M"
    with pytest.raises(ValueError, match="not a KRA PIN"):
        check_kra_pin("B004416331M")


def test_a_phone_in_any_spelling_is_stored_once(wanjiku):
    assert wanjiku.phone == "254712345678"
    again = Customer(
        first_name="Someone",
        last_name="Else",
        phone="0712 345 678",
        id_number="87654321",
        branch=factories.branch(),
    )

    with pytest.raises(ValidationError, match="Another customer already has this phone"):
        again.full_clean()


@pytest.mark.django_db
def test_a_business_needs_its_name_and_a_business_pin():
    shop = Customer(
        kind="business",
        phone="0722000222",
        id_kind="registration",
        id_number="BN-7XYZ123",
        kra_pin="A004416331M",
        branch=factories.branch(),
    )

    with pytest.raises(ValidationError) as refused:
        shop.full_clean()

    assert set(refused.value.message_dict) == {"business_name", "kra_pin"}


def test_the_age_turns_on_the_birthday(wanjiku):
    wanjiku.date_of_birth = date(1990, 3, 1)

    assert wanjiku.age(on=date(2026, 2, 28)) == 35
    assert wanjiku.age(on=date(2026, 3, 1)) == 36


@pytest.mark.parametrize(
    "text",
    ["0712345678", "+254 712 345 678", "12345678", "wanjiku", "MWANGI wanj", "CU{pk}", "cu-{pk}"],
)
def test_a_customer_is_found_by_phone_id_name_and_number(wanjiku, text):
    factories.otieno()
    Customer.objects.filter(pk=wanjiku.pk).update(id_number="12345678")

    found = Customer.objects.matching(text.format(pk=wanjiku.pk))

    assert list(found) == [wanjiku]


def test_staff_of_a_branch_see_its_customers_and_head_office_sees_all(wanjiku, njeri):
    kisumu = factories.branch("KSM", "Kisumu")
    there = factories.customer("Atieno Odhiambo", "254733111222", branch=kisumu)
    head = factories.staff("boss", branch=None)

    assert list(Customer.objects.seen_by(njeri)) == [wanjiku]
    assert set(Customer.objects.seen_by(head)) == {wanjiku, there}


def test_a_change_keeps_who_and_why(wanjiku, kamau):
    wanjiku._history_user, wanjiku._change_reason = kamau, "Moved house"
    wanjiku.town = "Thika"
    wanjiku.save()

    last = wanjiku.history.first()
    assert (last.town, last.history_user, last.history_change_reason) == (
        "Thika",
        kamau,
        "Moved house",
    )


# --- The hash of the phone -----------------------------------------------------------------------
def test_the_hash_of_the_phone_is_in_step_with_it_however_it_is_written(wanjiku, kamau):
    def stored() -> str:
        return Customer.objects.values_list("phone_hash", flat=True).get(pk=wanjiku.pk)

    assert stored() == hashlib.sha256(b"254712345678").hexdigest()

    wanjiku.phone = "254712000001"
    wanjiku.save(update_fields=["phone"])
    assert stored() == hashlib.sha256(b"254712000001").hexdigest()

    wanjiku.phone = "254712000002"
    history.update([wanjiku], ["phone", "phone_hash"], by=kamau, reason="New phone")
    assert stored() == hashlib.sha256(b"254712000002").hexdigest()


def test_the_hash_of_the_phone_is_not_kept_in_history(wanjiku):
    assert not hasattr(wanjiku.history.first(), "phone_hash")
    assert "phone_hash" not in {field.name for field in Customer.history.model._meta.get_fields()}
