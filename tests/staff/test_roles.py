import pytest
from django.contrib.auth.models import Group, Permission

from lms.staff import roles
from tests import factories


@pytest.mark.django_db
@pytest.mark.parametrize("role", roles.ROLES)
def test_each_group_holds_exactly_the_permissions_of_the_table(role):
    held = Group.objects.get(name=role).permissions.values_list(
        "content_type__app_label", "codename"
    )

    assert set(held) == roles.permissions_of(role)


@pytest.mark.django_db
def test_syncing_takes_back_what_someone_added_by_hand():
    auditors = Group.objects.get(name="Auditor")
    auditors.permissions.add(Permission.objects.get(codename="disburse_loan"))

    roles.sync(Group, Permission)

    assert not auditors.permissions.filter(codename="disburse_loan").exists()


@pytest.mark.django_db
def test_an_auditor_may_only_look(achieng):
    assert {
        codename.partition(".")[2].partition("_")[0] for codename in achieng.get_all_permissions()
    } == {"view"}


@pytest.mark.django_db
def test_no_role_may_delete_what_carries_money():
    for role in roles.ROLES:
        deletable = {code for _, code in roles.permissions_of(role) if code.startswith("delete_")}
        assert deletable <= {
            "delete_customerdocument",
            "delete_loanfee",
            "delete_tranche",
            "delete_guarantor",
            "delete_collateral",
            "delete_collateraldocument",
            "delete_productfee",
            "delete_eligibilityrule",
            "delete_schedule",
            "delete_holiday",
            "delete_manualline",  # of a draft
            "delete_journalpaper",
            "delete_journaltemplateline",
        }


@pytest.mark.django_db
def test_officers_prepare_managers_decide_and_cashiers_pay():
    njeri, kamau, mutua = factories.njeri(), factories.kamau(), factories.mutua()

    assert njeri.has_perm("loans.submit_loan")
    assert not njeri.has_perm("loans.approve_loan")
    assert kamau.has_perms(["loans.approve_loan", "loans.waive_principal"])
    assert mutua.has_perms(["loans.disburse_loan", "payments.add_payment"])
    assert not mutua.has_perm("payments.reverse_payment")


def test_a_role_that_names_an_unknown_permission_is_found_at_once(db, monkeypatch):
    monkeypatch.setitem(roles.ROLES, "Auditor", ([{"branch": "paint"}], ()))

    with pytest.raises(LookupError, match="paint_branch"):
        roles.sync(Group, Permission)
