"""The months of the books in the office, and the requests that wait for a second person."""

from datetime import date

import pytest
from django.urls import reverse

from lms.ledger import chart, periods
from lms.ledger.models import Account, Period
from lms.staff.models import Approval
from tests import factories
from tests.backoffice.pages import answer, ask, url_of, went_through

JANUARY = date(2026, 1, 1)


@pytest.fixture
def wambui(db):
    return factories.staff("wambui", "Accountant", branch=None)


@pytest.fixture
def january(loan):
    """January 2026, in which Wanjiku's loan was paid out."""
    periods.prepare(on=date(2026, 3, 2))
    return Period.objects.get(first=JANUARY)


def test_the_page_of_a_month_shows_what_closing_would_carry(as_staff, wambui, january):
    body = as_staff(wambui).get(url_of("ledger.period", "change", january.pk)).content.decode()

    assert "What closing would carry" in body
    assert "1110 Loan principal" in body
    assert "KES 100,000.00" in body


def test_closing_asks_first_and_says_what_it_refuses(as_staff, wambui, january):
    client = as_staff(wambui)
    assert "January 2026" in ask(client, "ledger.period", "close", january.pk).content.decode()

    later = answer(client, "ledger.period", "close", Period.objects.order_by("first")[1].pk)
    assert "January 2026 is open" in later.content.decode()
    assert went_through(answer(client, "ledger.period", "close", january.pk))

    january.refresh_from_db()
    assert (january.is_closed, january.closed_by) == (True, wambui)


def test_reopening_is_asked_by_one_and_decided_by_another(as_staff, wambui, kamau, january):
    periods.close_period(january, by=wambui, on=date(2026, 3, 2))
    kamau.branch = None
    kamau.save()
    client = as_staff(wambui)
    asked = answer(client, "ledger.period", "ask_to_reopen", january.pk, reason="A bill came")
    assert went_through(asked)
    approval = Approval.objects.get()
    own = answer(client, "staff.approval", "approve", approval.pk)
    assert "You asked for this yourself" in own.content.decode()

    client = as_staff(kamau)
    page = client.get(url_of("staff.approval", "change", approval.pk)).content.decode()
    assert "Reopen January 2026" in page
    assert "A bill came" in page
    assert went_through(answer(client, "staff.approval", "approve", approval.pk))

    january.refresh_from_db()
    approval.refresh_from_db()
    assert not january.is_closed
    assert (approval.status, approval.decided_by) == ("approved", kamau)


def test_a_request_is_rejected_with_a_reason_or_withdrawn(as_staff, wambui, kamau, january):
    periods.close_period(january, by=wambui, on=date(2026, 3, 2))
    client = as_staff(wambui)
    for _ in range(2):
        periods.ask_to_reopen(january, reason="A bill came", by=kamau, on=date(2026, 3, 2))
        approval = Approval.objects.waiting().get()
        assert answer(client, "staff.approval", "withdraw", approval.pk).status_code == 403
        assert not went_through(answer(client, "staff.approval", "reject", approval.pk))
        assert went_through(
            answer(client, "staff.approval", "reject", approval.pk, reason="Too late")
        )

    assert list(Approval.objects.values_list("status", flat=True)) == ["rejected", "rejected"]


def test_without_the_permission_nothing_is_closed_or_decided(as_staff, achieng, kamau, january):
    periods.close_period(january, by=kamau, on=date(2026, 3, 2))
    approval = periods.ask_to_reopen(january, reason="x", by=kamau, on=date(2026, 3, 2))
    achieng.branch = None
    achieng.save()
    client = as_staff(achieng)

    assert client.get(url_of("ledger.period", "change", january.pk)).status_code == 200
    for model, verb, pk in (
        ("ledger.period", "close", january.pk),
        ("ledger.period", "ask_to_reopen", january.pk),
        ("staff.approval", "approve", approval.pk),
        ("staff.approval", "reject", approval.pk),
    ):
        assert answer(client, model, verb, pk, reason="x").status_code == 403


@pytest.mark.parametrize("months", [2, 14])
def test_the_lists_take_the_same_queries_however_many_rows(
    as_staff, wambui, django_assert_num_queries, months, loan
):
    periods.prepare(on=date(2026 + months // 12, 2, 1))
    client = as_staff(wambui)
    client.get(reverse("admin:ledger_period_changelist"))

    with django_assert_num_queries(15):
        client.get(reverse("admin:ledger_period_changelist"))
    with django_assert_num_queries(18):
        client.get(reverse("admin:ledger_account_changelist"))


def test_the_chart_is_shown_under_its_headers_with_their_sums(as_staff, wambui, loan):
    page = as_staff(wambui).get(reverse("admin:ledger_account_changelist"))

    shown = [account.pk for account in page.context["cl"].result_list]
    assert shown == sorted(shown)
    header = next(account for account in page.context["cl"].result_list if account.pk == "1000")
    cash = next(account for account in page.context["cl"].result_list if account.pk == chart.BANK)
    assert cash.path == ("1000", chart.BANK)
    assert header.net == -100_000


def test_an_account_stands_under_a_header_of_its_kind_and_stays_what_it_is(as_staff, wambui):
    client = as_staff(wambui)
    new = {"code": "5160", "name": "Fuel", "kind": "expense", "is_active": "on"}
    add = reverse("admin:ledger_account_add")

    assert "header of the same kind" in client.post(add, {**new, "parent": "1000"}).content.decode()
    client.post(add, {**new, "parent": "5000"})
    change = reverse("admin:ledger_account_change", args=["5160"])
    client.post(change, {**new, "parent": "5000", "name": "Fuel and fares", "is_header": "on"})
    client.post(
        reverse("admin:ledger_account_change", args=[chart.RENT]),
        {"name": "Rent", "parent": "5000", "is_header": "on"},
    )

    fuel, rent = Account.objects.get(pk="5160"), Account.objects.get(pk=chart.RENT)
    assert (fuel.name, fuel.is_header, fuel.kind) == ("Fuel and fares", True, "expense")
    assert not rent.is_header
