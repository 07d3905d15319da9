"""Doors: who may go where. Generated from the registry, so that a new page cannot be forgotten."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.urls import reverse

from lms.backoffice.base import StaffAdmin
from lms.payments.models import Payment
from lms.staff import roles
from tests import factories

# Unfold actions that only lead to another page, so that a plain link may carry them out.
NAVIGATION = {
    ("payments.Payment", "print_receipt"),
    ("tills.DrawerSession", "print_sheet"),
    ("customers.Customer", "import_file"),
    ("ledger.ManualJournal", "import_file"),
    ("loans.Loan", "import_file"),
    ("loans.Repayment", "import_file"),
    ("payments.Payment", "import_file"),
    ("reconciliation.Reconciliation", "ageing"),
}
# What is written once has no history of changes: it is its own history.
APPEND_ONLY = {
    "ledger.JournalEntry",
    "ledger.Transfer",
    "loans.Allocation",
    "loans.IssuedDocument",
    "loans.NonPerforming",
    "loans.Recovery",
    "mpesa.Callback",
    "mpesa.DarajaRequest",
    "mpesa.MpesaBalance",
    "payments.Refund",
    "reconciliation.ClearedCheque",
    "reconciliation.MatchedEntry",
    "reconciliation.MatchedLine",
    "reconciliation.StatementLine",
    "tills.CashCount",
    "tills.DrawerMovement",
}
# Made anew from other rows, or thrown away.
DERIVED = {
    "closing.CloseFailure",
    "closing.DayClose",
    "closing.Proof",
    "ledger.PeriodBalance",
    "loans.LoanSnapshot",
    "loans.Position",
    "loans.Provision",
    "mpesa.AccessToken",
}

PAGES = sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
IDS = [model._meta.label for model, _ in PAGES]
HUGE = "9" * 23
ACTION_KINDS = ("actions_list", "actions_row", "actions_detail", "actions_submit_line")


def url(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def actions_of(page):
    for kind in ACTION_KINDS:
        for name in page._extract_action_names(getattr(page, kind)):
            yield kind, name, getattr(page, name)


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_every_page_is_built_on_the_base(model, page):
    assert isinstance(page, StaffAdmin)


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_no_action_changes_anything_on_a_plain_link(model, page):
    links = {
        (model._meta.label, name)
        for kind, name, method in actions_of(page)
        if kind != "actions_submit_line" and not getattr(method, "dialog", None)
    }

    assert links - NAVIGATION == set()


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_every_action_asks_for_a_permission_by_its_bare_name(model, page):
    for _, name, method in actions_of(page):
        permissions = getattr(method, "allowed_permissions", None)
        assert permissions, f"{name} is open to everybody"
        for permission in permissions:
            assert callable(getattr(page, f"has_{permission}_permission"))
    for name in page.actions:
        method = getattr(page, name)
        assert getattr(method, "allowed_permissions", None), f"{name} is open to everybody"


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_nobody_gets_in_without_logging_in(client, db, model, page):
    for name in ("changelist", "add", "export"):
        answer = client.get(url(model, name))
        assert answer.status_code == 302, name
        assert answer.url.startswith(reverse("admin:login")), name


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_sees_and_adds_what_its_table_says(as_staff, db, role):
    granted = roles.permissions_of(role)
    client = as_staff(factories.staff("mtu", role, branch=None))

    seen = {model: client.get(url(model, "changelist")).status_code for model, _ in PAGES}
    adding = {model: client.get(url(model, "add")).status_code for model, _ in PAGES}

    assert {model for model, status in seen.items() if status == 200} == {
        model
        for model, _ in PAGES
        if (model._meta.app_label, f"view_{model._meta.model_name}") in granted
    }
    assert set(seen.values()) <= {200, 403}
    assert {model for model, status in adding.items() if status == 200} <= {
        model
        for model, page in PAGES
        if "add" in page.opens
        and (model._meta.app_label, f"add_{model._meta.model_name}") in granted
    }
    assert set(adding.values()) <= {200, 302, 403}


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_exports_only_what_it_sees(as_staff, db, role):
    granted = roles.permissions_of(role)
    client = as_staff(factories.staff("mtu", role))

    for model, _ in PAGES:
        status = client.get(url(model, "export")).status_code
        if (model._meta.app_label, f"view_{model._meta.model_name}") not in granted:
            assert status == 403, model


def test_the_groups_of_the_database_are_the_roles_of_the_code(db):
    found = {
        group.name: set(group.permissions.values_list("content_type__app_label", "codename"))
        for group in Group.objects.all()
    }

    assert found == {role: roles.permissions_of(role) for role in roles.ROLES}


def test_the_auditor_may_look_at_everything_and_touch_nothing():
    verbs = {codename.split("_")[0] for _, codename in roles.permissions_of("Auditor")}

    assert verbs == {"view"}


def test_every_model_of_ours_has_a_history_or_is_written_once():
    ours = [
        model
        for model in apps.get_models()
        if model.__module__.startswith("lms.") and not model.__name__.startswith("Historical")
    ]
    without = {
        model._meta.label
        for model in ours
        if not hasattr(model._meta, "simple_history_manager_attribute")
    }

    assert without == APPEND_ONLY | DERIVED


@pytest.fixture
def root(db):
    """Somebody who may open every page."""
    return factories.staff("root", branch=None, is_superuser=True)


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_a_key_that_is_none_leads_away_and_does_not_break(as_staff, root, model, page):
    client = as_staff(root)
    for key in ("abc", "_00", "²", "9" * 23):
        assert client.get(url(model, "change", key)).status_code == 302, key


def filters_of(page):
    """Yield addresses with values in every filter of a list that no column can hold."""
    yield {"id__in": HUGE}
    for each in page.list_filter:
        if isinstance(each, tuple):
            name = each[0]
            for lookup in ("", "__exact", "__in", "__id__exact", "_from", "_to"):
                yield {f"{name}{lookup}": HUGE}
                yield {f"{name}{lookup}": "0001-01-01"}
            yield {f"{name}_from_0": "0001-01-01", f"{name}_from_1": "00:00"}
        else:
            yield {each.parameter_name: HUGE}


@pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime")
@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_a_filter_that_is_none_leads_back_and_does_not_break(as_staff, root, model, page):
    client = as_staff(root)
    for answers in filters_of(page):
        with transaction.atomic():
            found = client.get(url(model, "changelist"), answers)
            transaction.set_rollback(True)  # what the database refused ends the transaction
        assert found.status_code in (200, 302, 400), answers


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL compares any numbers")
def test_a_list_and_its_file_lead_back_and_say_so(as_staff, kamau):
    client, lists = as_staff(kamau), url(Payment, "changelist")
    chosen = {"format": "0", "paymentresource_amount": "on"}

    listed = client.get(lists, {"branch__in": HUGE})
    exported = client.post(f"{url(Payment, 'export')}?branch__in={HUGE}", chosen)

    assert (listed.status_code, listed.url) == (302, f"{lists}?e=1")
    assert (exported.status_code, exported.url) == (302, f"{lists}?e=1")


@pytest.mark.parametrize("name", ["loan", "customer", "repayment", "payment"])
def test_a_page_that_is_none_leads_away_and_does_not_break(as_staff, kamau, name):
    label = {"loan": "loans", "customer": "customers", "repayment": "loans", "payment": "payments"}
    answer = as_staff(kamau).get(reverse(f"admin:{label[name]}_{name}_change", args=["999999"]))

    assert answer.status_code == 302
