"""The books are read here, and written nowhere."""

import pytest
from django.urls import reverse

from lms.ledger import chart
from lms.ledger.models import Account, JournalEntry, Transfer
from tests import factories

LISTS = [reverse(f"admin:ledger_{name}_changelist") for name in ("journalentry", "transfer")]


@pytest.fixture
def wambui(db):
    return factories.staff("wambui", "Accountant")


def test_an_account_shows_its_balance_on_its_usual_side(as_staff, wambui, loan):
    page = as_staff(wambui).get(reverse("admin:ledger_account_changelist")).content.decode()

    assert "KES 100,000.00" in page
    assert "KES -100,000.00" in page  # the cash that was paid out


def test_only_the_name_of_an_account_changes(as_staff, wambui):
    url = reverse("admin:ledger_account_change", args=[chart.CASH])

    typed = {"code": "9999", "name": "Cash at Gikomba", "kind": "income", "is_active": "on"}
    as_staff(wambui).post(url, typed)

    cash = Account.objects.get(code=chart.CASH)
    assert (cash.name, cash.kind) == ("Cash at Gikomba", "asset")
    assert cash.history.first().history_user == wambui


def test_an_account_kept_in_step_with_loans_is_not_opened_to_typed_entries(as_staff, wambui):
    url = reverse("admin:ledger_account_change", args=[chart.LOAN_PRINCIPAL])
    answers = {"name": "Loan principal", "parent": "1100", "is_active": "on"}

    page = as_staff(wambui).post(url, {**answers, "takes_manual_entries": "on"})

    assert "a typed entry would part them from the books" in page.content.decode()
    assert not Account.objects.get(code=chart.LOAN_PRINCIPAL).takes_manual_entries


def test_an_entry_is_shown_with_its_transfers(as_staff, wambui, loan):
    entry = JournalEntry.objects.get(kind="disbursement")

    body = as_staff(wambui).get(reverse("admin:ledger_journalentry_change", args=[entry.pk]))

    assert "1110 Loan principal" in body.content.decode()
    assert "KES 100,000.00" in body.content.decode()


def test_nothing_posted_is_written_by_hand(as_staff, wambui, loan):
    entry, transfer = JournalEntry.objects.first(), Transfer.objects.first()
    client = as_staff(wambui)

    for name, row in (("journalentry", entry), ("transfer", transfer)):
        change = reverse(f"admin:ledger_{name}_change", args=[row.pk])
        assert client.post(change, {"amount": "1"}).status_code == 403
        assert client.get(reverse(f"admin:ledger_{name}_add")).status_code == 403
        assert client.get(reverse(f"admin:ledger_{name}_delete", args=[row.pk])).status_code == 403


def test_the_books_of_another_branch_stay_there(as_staff, loan):
    far = factories.staff("akinyi", "Accountant", branch=factories.branch("KSM", "Kisumu"))
    client = as_staff(far)

    for url in LISTS:
        assert client.get(url).context["cl"].result_count == 0
    accounts = client.get(reverse("admin:ledger_account_changelist")).content.decode()
    assert "KES 100,000.00" not in accounts


def test_an_entry_is_found_by_its_number_and_a_transfer_by_loan(as_staff, wambui, loan):
    entry = JournalEntry.objects.get(kind="disbursement")
    client = as_staff(wambui)

    by_number = client.get(LISTS[0], {"q": f"JE{entry.pk:06d}"}).context["cl"]
    by_loan = client.get(LISTS[1], {"q": loan.number}).context["cl"]
    by_account = client.get(LISTS[1], {"q": chart.LOAN_PRINCIPAL}).context["cl"]

    assert list(by_number.result_list) == [entry]
    assert by_loan.result_count == entry.transfers.count()
    assert by_account.result_count == 1


@pytest.mark.parametrize("url", LISTS)
@pytest.mark.parametrize("loans", [1, 3])
def test_a_list_takes_the_same_queries_for_one_loan_and_for_three(
    as_staff, wambui, django_assert_num_queries, url, loans
):
    for _ in range(loans):
        factories.active()
    client = as_staff(wambui)
    client.get(url)

    with django_assert_num_queries(15 if "transfer" in url else 14):
        client.get(url)
