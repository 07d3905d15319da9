"""Staff, roles and branches: nobody widens their own powers."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from lms.errors import Refused
from lms.staff.models import Staff
from lms.staff.operations import deactivate, reactivate
from tests import factories

LIST = reverse("admin:staff_staff_changelist")
TODAY = factories.DAY


def page_of(member, name="change"):
    return reverse(f"admin:staff_staff_{name}", args=[member.pk])


def answers_for(member, **changed) -> dict:
    return {
        "username": member.username,
        "first_name": member.first_name,
        "last_name": member.last_name,
        "email": member.email,
        "phone": member.phone,
        "branch": member.branch_id or "",
        "groups": [group.pk for group in member.groups.all()],
        "approval_limit": member.approval_limit,
        **changed,
    }


def role(name: str) -> int:
    return Group.objects.get(name=name).pk


@pytest.fixture
def zuri(db):
    """The administrator, of head office."""
    return factories.staff("zuri", "Administrator", branch=None)


@pytest.fixture
def boss(db):
    return Staff.objects.create_superuser("boss", password="maji-moto-42-safi")


def test_an_administrator_registers_a_member_of_staff(as_staff, zuri):
    answer = as_staff(zuri).post(
        reverse("admin:staff_staff_add"),
        {
            "username": "baraka",
            "password1": "maji-moto-42-safi",
            "password2": "maji-moto-42-safi",
            "first_name": "Baraka",
            "last_name": "Juma",
            "phone": "0712 345 678",
            "branch": factories.branch().pk,
            "groups": [role("Cashier")],
            "approval_limit": "0",
        },
    )

    baraka = Staff.objects.get(username="baraka")
    assert answer.status_code == 302
    assert (baraka.is_staff, baraka.is_superuser) == (True, False)
    assert baraka.phone == "254712345678"
    assert [group.name for group in baraka.groups.all()] == ["Cashier"]


def test_a_change_of_roles_stands_in_the_history(as_staff, zuri, njeri):
    answer = as_staff(zuri).post(
        page_of(njeri), answers_for(njeri, groups=[role("Cashier"), role("Manager")])
    )

    assert answer.status_code == 302
    change = njeri.history.first()
    assert change.history_change_reason == "Roles: Loan officer → Cashier, Manager"
    assert change.history_user == zuri


def test_an_administrator_cannot_make_a_superuser(as_staff, zuri, njeri):
    forged = answers_for(njeri, is_superuser="on", user_permissions=["1"])

    answer = as_staff(zuri).post(page_of(njeri), forged)

    njeri.refresh_from_db()
    assert answer.status_code == 302
    assert njeri.is_superuser is False
    assert njeri.user_permissions.count() == 0


def test_an_administrator_does_not_touch_a_superuser(as_staff, zuri, boss):
    client = as_staff(zuri)

    assert client.post(page_of(boss), answers_for(boss, email="x@y.ke")).status_code == 403
    assert client.get(page_of(boss, "deactivate")).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[boss.pk])
    assert client.get(password).status_code == 403


def test_nobody_widens_their_own_powers(as_staff, zuri):
    forged = answers_for(zuri, groups=[role("Manager")], approval_limit="1000000")

    as_staff(zuri).post(page_of(zuri), forged)

    zuri.refresh_from_db()
    assert [group.name for group in zuri.groups.all()] == ["Administrator"]
    assert zuri.approval_limit == Decimal(0)


def test_only_roles_of_the_code_are_given(as_staff, zuri, njeri):
    stray = Group.objects.create(name="Everything")

    answer = as_staff(zuri).post(page_of(njeri), answers_for(njeri, groups=[stray.pk]))

    assert answer.status_code == 200
    assert "groups" in answer.context["adminform"].form.errors


def test_a_superuser_sees_the_switch_of_superusers(as_staff, boss, njeri):
    assert b'name="is_superuser"' in as_staff(boss).get(page_of(njeri)).content


def test_passwords_do_not_leave_by_a_filter_or_an_export(as_staff, zuri, njeri):
    client = as_staff(zuri)

    probe = client.get(LIST, {"password__startswith": "pbkdf2"})
    export = client.post(
        reverse("admin:staff_staff_export"), {"format": "0", "staffresource_username": "on"}
    )

    assert probe.status_code == 400
    assert export.content.decode("utf-8-sig").splitlines()[0] == "username"
    assert b"staffresource_password" not in client.get(reverse("admin:staff_staff_export")).content


def test_a_manager_sees_the_staff_of_the_own_branch(as_staff, kamau, njeri):
    far = factories.staff("akinyi", "Cashier", branch=factories.branch("KSM", "Kisumu"))

    body = as_staff(kamau).get(LIST).content.decode()

    assert "njeri" in body
    assert "akinyi" not in body
    assert as_staff(kamau).get(page_of(far)).status_code == 302


# --- Leaving and coming back ---------------------------------------------------------------------
def test_deactivating_asks_then_ends_access_with_a_reason(as_staff, client, zuri, njeri):
    url = page_of(njeri, "deactivate")
    as_staff(zuri)

    assert client.get(url).status_code == 200
    njeri.refresh_from_db()
    assert njeri.is_active

    answer = client.post(url, {"_form_submitted": "True", "reason": "Left the company"})
    njeri.refresh_from_db()
    assert "HX-Redirect" in answer
    assert not njeri.is_active
    assert njeri.history.first().history_change_reason == "Left the company"


def test_a_refusal_is_shown_in_the_dialog(as_staff, zuri):
    answer = as_staff(zuri).post(
        page_of(zuri, "deactivate"), {"_form_submitted": "True", "reason": "Holiday"}
    )

    assert "You cannot deactivate yourself" in answer.content.decode()
    zuri.refresh_from_db()
    assert zuri.is_active


def test_who_may_not_change_staff_may_not_deactivate(as_staff, kamau, njeri):
    assert as_staff(kamau).post(page_of(njeri, "deactivate")).status_code == 403


def test_a_person_comes_back_with_their_roles(zuri, njeri):
    deactivate(njeri, reason="Maternity leave", by=zuri, on=TODAY)

    back = reactivate(njeri, reason="Back at work", by=zuri, on=TODAY)

    assert back.is_active
    assert [group.name for group in back.groups.all()] == ["Loan officer"]


def test_a_person_leaves_once(zuri, njeri):
    deactivate(njeri, reason="Left", by=zuri, on=TODAY)

    with pytest.raises(Refused, match="Njeri is deactivated already"):
        deactivate(njeri, reason="Left", by=zuri, on=TODAY)


def test_leaving_needs_a_reason(zuri, njeri):
    with pytest.raises(Refused, match="Give the reason"):
        deactivate(njeri, reason=" ", by=zuri, on=TODAY)


# --- Roles and branches --------------------------------------------------------------------------
def test_a_role_is_read_and_not_written(as_staff, zuri):
    client = as_staff(zuri)
    url = reverse("admin:auth_group_change", args=[role("Cashier")])

    assert "loan: collect, disburse, settle, view" in client.get(url).content.decode()
    assert client.post(url, {"name": "Everything"}).status_code == 403
    assert client.get(reverse("admin:auth_group_add")).status_code == 403


def test_an_administrator_opens_a_branch(as_staff, zuri):
    answer = as_staff(zuri).post(
        reverse("admin:staff_branch_add"),
        {"name": "Nakuru", "code": "NKR", "town": "Nakuru", "phone": "", "is_active": "on"},
    )

    assert answer.status_code == 302


def test_an_administrator_writes_holidays_and_others_only_see_them(as_staff, zuri, njeri):
    add, day = reverse("admin:staff_holiday_add"), {"day": "2027-02-02", "name": "Mourning"}

    assert as_staff(njeri).post(add, day).status_code == 403
    assert as_staff(zuri).post(add, day).status_code == 302

    seen = as_staff(njeri).get(reverse("admin:staff_holiday_changelist"))
    assert "Mourning" in seen.content.decode()


@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_of_staff_takes_the_same_queries_for_one_and_for_three(
    as_staff, zuri, django_assert_num_queries, rows
):
    for number in range(rows):
        factories.staff(f"mtu{number}", "Cashier")
    client = as_staff(zuri)
    client.get(LIST)

    with django_assert_num_queries(17):
        client.get(LIST)
