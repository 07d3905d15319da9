"""What every page of the office has in common, seen on the page of customers."""

from io import BytesIO

import pytest
from django.contrib import admin
from django.urls import reverse
from openpyxl import load_workbook

from lms.backoffice.paginator import MOST, BoundedPaginator
from lms.customers.models import Customer
from lms.ledger.models import JournalEntry
from lms.staff.models import Staff
from tests import factories

LIST = reverse("admin:customers_customer_changelist")
EXPORT = reverse("admin:customers_customer_export")


def page_of(customer, name="change"):
    return reverse(f"admin:customers_customer_{name}", args=[customer.pk])


def export_answers(file_format: str) -> dict:
    fields = ("number", "first_name", "notes", "phone", "registered_at")
    return {"format": file_format, **{f"customerresource_{name}": "on" for name in fields}}


@pytest.fixture
def kisumu_customer(db):
    kisumu = factories.branch("KSM", "Kisumu")
    return factories.customer("Atieno Owino", "254733000222", branch=kisumu)


# --- Branch scope --------------------------------------------------------------------------------
def test_a_customer_of_another_branch_is_not_listed(as_staff, kamau, wanjiku, kisumu_customer):
    body = as_staff(kamau).get(LIST).content.decode()

    assert wanjiku.name in body
    assert kisumu_customer.name not in body


def test_head_office_sees_every_branch(as_staff, wanjiku, kisumu_customer):
    head = factories.staff("ciku", "Manager", branch=None)

    body = as_staff(head).get(LIST).content.decode()

    assert wanjiku.name in body
    assert kisumu_customer.name in body


def test_the_page_of_another_branchs_customer_leads_away(as_staff, kamau, kisumu_customer):
    answer = as_staff(kamau).get(page_of(kisumu_customer))

    assert answer.status_code == 302
    assert answer.url == reverse("admin:index")


@pytest.mark.parametrize("name", ["history", "verify", "reject"])
def test_nothing_of_another_branchs_customer_answers(as_staff, kamau, kisumu_customer, name):
    url = page_of(kisumu_customer, name)

    assert as_staff(kamau).get(url).status_code == 404
    assert as_staff(kamau).post(url, {"_form_submitted": "True"}).status_code == 404


def test_a_version_of_another_branchs_customer_is_not_found(as_staff, kamau, kisumu_customer):
    version = kisumu_customer.history.get()
    url = reverse("admin:customers_customer_simple_history", args=[kisumu_customer.pk, version.pk])

    assert as_staff(kamau).get(url).status_code == 404


def test_autocomplete_offers_the_own_branch_only(as_staff, kamau, wanjiku, kisumu_customer):
    query = {"app_label": "loans", "model_name": "loan", "field_name": "customer"}
    url = reverse("admin:autocomplete")

    own = as_staff(kamau).get(url, {**query, "term": "Wanjiku"})
    other = as_staff(kamau).get(url, {**query, "term": "Atieno"})

    assert [row["id"] for row in own.json()["results"]] == [str(wanjiku.pk)]
    assert other.json()["results"] == []


def test_a_forged_branch_is_not_accepted(as_staff, njeri, wanjiku, kisumu_customer):
    answer = as_staff(njeri).get(page_of(wanjiku))
    choices = answer.context["adminform"].form.fields["branch"].queryset

    assert list(choices) == [wanjiku.branch]


# --- History -------------------------------------------------------------------------------------
def test_history_says_who_changed_what_and_why(as_staff, kamau, wanjiku):
    wanjiku.town = "Gikomba"
    wanjiku._history_user, wanjiku._change_reason = kamau, "Moved house"
    wanjiku.save()

    body = as_staff(kamau).get(page_of(wanjiku, "history")).content.decode()

    assert "Moved house" in body
    assert "Gikomba" in body
    assert "Kamau" in body


def test_a_version_is_shown_and_cannot_be_restored(as_staff, kamau, wanjiku):
    version = wanjiku.history.first()
    url = reverse("admin:customers_customer_simple_history", args=[wanjiku.pk, version.pk])
    client = as_staff(kamau)

    assert client.get(url).status_code == 200
    assert client.post(url, {"first_name": "Forged"}).status_code == 403
    wanjiku.refresh_from_db()
    assert wanjiku.first_name == "Wanjiku"


@pytest.mark.parametrize("version", ["abc", "999999", "²"])
def test_a_version_that_is_none_is_not_found(as_staff, kamau, wanjiku, version):
    url = reverse("admin:customers_customer_simple_history", args=[wanjiku.pk, version])

    assert as_staff(kamau).get(url).status_code == 404


def test_an_append_only_page_has_no_history(as_staff, loan):
    entry = JournalEntry.objects.first()
    client = as_staff(factories.staff("wambui", "Accountant"))

    change = client.get(reverse("admin:ledger_journalentry_change", args=[entry.pk]))
    history = client.get(reverse("admin:ledger_journalentry_history", args=[entry.pk]))

    assert change.status_code == 200
    assert change.context["show_history"] is False
    assert history.status_code == 404


# --- Read-only by default ------------------------------------------------------------------------
def test_who_may_only_look_sees_the_page_without_a_save_button(as_staff, achieng, wanjiku):
    client = as_staff(achieng)

    answer = client.get(page_of(wanjiku))

    assert answer.status_code == 200
    assert b'name="_save"' not in answer.content
    assert client.post(page_of(wanjiku), {"first_name": "Forged"}).status_code == 403
    assert client.get(reverse("admin:customers_customer_add")).status_code == 403


def test_who_may_only_look_sees_fields_that_depend_on_others(as_staff, achieng, njeri, wanjiku):
    reading = as_staff(achieng).get(page_of(wanjiku)).content.decode()
    writing = as_staff(njeri).get(page_of(wanjiku)).content.decode()

    assert 'x-show="kind ==' not in reading
    assert 'x-show="kind ==' in writing


def test_nothing_is_deleted_even_by_a_superuser(as_staff, wanjiku):
    boss = Staff.objects.create_superuser("boss", password="maji-moto-42-safi")
    client = as_staff(boss)

    assert client.get(page_of(wanjiku, "delete")).status_code == 403
    assert b"delete_selected" not in client.get(LIST).content


def test_there_is_no_import_behind_the_back_of_the_import_page(as_staff, kamau):
    assert as_staff(kamau).get(f"{LIST}import/").status_code in (302, 404)


# --- Export --------------------------------------------------------------------------------------
def test_an_export_holds_the_rows_of_the_filter_and_the_branch(as_staff, kamau, kisumu_customer):
    factories.wanjiku()
    factories.otieno()
    pending = factories.customer("Mwende Mutiso", "254711000333", kyc_status="pending")

    answer = as_staff(kamau).post(f"{EXPORT}?kyc_status__exact=pending", export_answers("0"))

    lines = answer.content.decode("utf-8-sig").splitlines()
    assert answer["Content-Type"] == "text/csv"
    assert len(lines) == 2
    assert lines[1].startswith(pending.number)


def test_an_export_is_safe_to_open_in_a_spreadsheet(as_staff, kamau):
    factories.customer("=HYPERLINK(1) Njeri")

    text = as_staff(kamau).post(EXPORT, export_answers("0")).content.decode("utf-8-sig")

    assert ",'=HYPERLINK(1)," in text


def test_an_excel_export_keeps_days_and_neutralises_formulas(as_staff, kamau):
    factories.customer("+1+1\x07 Njeri")

    answer = as_staff(kamau).post(EXPORT, export_answers("1"))

    sheet = load_workbook(BytesIO(answer.content)).active
    header, row = list(sheet.values)
    cells = dict(zip(header, row, strict=True))
    assert cells["first_name"] == "'+1+1\N{REPLACEMENT CHARACTER}"
    assert cells["registered_at"].year >= 2026


def test_keys_of_another_branch_are_not_exported(as_staff, kamau, wanjiku, kisumu_customer):
    forged = {**export_answers("0"), "export_items": [str(wanjiku.pk), str(kisumu_customer.pk)]}

    answer = as_staff(kamau).post(EXPORT, forged)

    assert kisumu_customer.number not in answer.content.decode("utf-8-sig")


def test_an_export_that_no_file_can_hold_says_so(as_staff, kamau, wanjiku, monkeypatch):
    monkeypatch.setattr("lms.backoffice.base.MOST_EXPORTED", 0)

    body = as_staff(kamau).post(EXPORT, export_answers("0")).content.decode()

    assert "too many for one file: filter them first." in body


# --- Bulk ----------------------------------------------------------------------------------------
def test_a_bulk_action_asks_first_and_acts_once_answered(as_staff, kamau):
    waiting = [
        factories.customer("Mwende Mutiso", "254711000333", kyc_status="pending"),
        factories.customer("Kamene Kioko", "254711000444", kyc_status="pending"),
    ]
    asked = {"action": "verify_selected", "_selected_action": [row.pk for row in waiting]}
    client = as_staff(kamau)

    question = client.post(LIST, asked)
    assert question.status_code == 200
    assert "2 customers" in question.content.decode()
    assert Customer.objects.filter(kyc_status="pending").count() == 2

    answer = client.post(LIST, {**asked, "answered": "1", "_form_submitted": "True", "note": "IDs"})
    assert answer.status_code == 302
    assert Customer.objects.filter(kyc_status="pending").count() == 0
    assert waiting[0].history.first().history_change_reason == "IDs"


def test_a_bulk_refusal_changes_nothing_and_says_why(as_staff, kamau, wanjiku):
    waiting = factories.customer("Mwende Mutiso", "254711000333", kyc_status="pending")

    answer = as_staff(kamau).post(
        LIST,
        {
            "action": "verify_selected",
            "_selected_action": [wanjiku.pk, waiting.pk],
            "answered": "1",
            "_form_submitted": "True",
        },
    )

    assert "The KYC of Wanjiku Mwangi is verified already." in answer.content.decode()
    waiting.refresh_from_db()
    assert waiting.kyc_status == "pending"


def test_too_many_rows_are_not_one_decision(as_staff, kamau, wanjiku, monkeypatch):
    monkeypatch.setattr("lms.backoffice.base.MOST_AT_ONCE", 0)

    answer = as_staff(kamau).post(
        LIST, {"action": "verify_selected", "_selected_action": [wanjiku.pk]}, follow=True
    )

    assert "Select at most 0 rows at once." in answer.content.decode()


# --- Speed ---------------------------------------------------------------------------------------
def test_the_count_of_a_long_list_stops(db, monkeypatch):
    for number in range(4):
        factories.customer("Mwende Mutiso", f"25471100030{number}")
    monkeypatch.setattr("lms.backoffice.paginator.MOST", 2)

    paginator = BoundedPaginator(Customer.objects.all(), 50)

    assert (paginator.count, paginator.is_bounded) == (3, True)
    assert MOST == 10_000


def test_every_page_is_searched_without_counting_the_whole_table():
    pages = [page for page in admin.site._registry.values() if hasattr(page, "opens")]

    assert pages
    assert {page.show_full_result_count for page in pages} == {False}
