"""The pages of the reports: who sees which, of which branch, and where figures lead."""

import csv
import io
import re
from datetime import date
from decimal import Decimal

import pytest
import time_machine
from django.urls import reverse

from lms.backoffice.reports.catalogue import BOOKS, PAGES
from lms.ledger import chart
from lms.ledger.models import JournalEntry
from lms.reports import files
from lms.reports.shape import shown
from lms.staff import roles
from tests import factories
from tests.backoffice.pages import queries_of
from tests.reports.books import book, quarter

YEAR = {"first": "2026-01-01", "last": "2026-12-31"}
ANSWERS = {"account": {"account": chart.LOAN_PRINCIPAL}, "customer": {"customer": "254712345678"}}


@pytest.fixture
def books(db):
    quarter()


@pytest.fixture
def wambui(db):
    """The accountant of head office."""
    return factories.staff("wambui", "Accountant", branch=None)


def ask(client, name: str, **answers):
    return client.get(reverse("report", args=[name]), {**YEAR, **ANSWERS.get(name, {}), **answers})


def table(response) -> list[list[str]]:
    """Return the texts of the table on a page, without tags."""
    body = re.search(r"<tbody>(.*?)</tbody>", response.content.decode(), re.DOTALL)[1]
    rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    cells = [re.findall(r"<td.*?>(.*?)</td>", found, re.DOTALL) for found in rows]
    return [[re.sub(r"<.*?>", "", cell).replace("&amp;", "&") for cell in row] for row in cells]


@pytest.mark.parametrize("name", PAGES)
def test_every_report_is_shown_with_the_figures_of_its_file(
    as_staff,
    wambui,
    loan,
    books,
    name,
):
    client = as_staff(wambui)

    page = ask(client, name)

    report = page.context["report"]
    assert page.status_code == 200
    assert table(page) == [[shown(cell.value) for cell in row.cells] for row in report.rows]
    file = client.get(reverse("report_file", args=[name, "csv"]), {**YEAR, **ANSWERS.get(name, {})})
    _, *lines = csv.reader(io.StringIO(file.content.decode("utf-8-sig")))
    amounts = [cell.value for row in report.rows for cell in row.cells]
    assert [cell for line in lines for cell in line] == [
        "" if value is None else str(value) for value in amounts
    ]
    assert any(isinstance(value, Decimal) and value for value in amounts)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("extension", ["xlsx", "pdf"])
def test_every_report_is_a_file(as_staff, wambui, loan, name, extension):
    url = reverse("report_file", args=[name, extension])

    file = as_staff(wambui).get(url, {**YEAR, **ANSWERS.get(name, {})})

    assert file.status_code == 200
    assert file.content[:4] == {"xlsx": b"PK\x03\x04", "pdf": b"%PDF"}[extension]
    assert file["Content-Disposition"].endswith(f'.{extension}"')


@pytest.mark.parametrize("name", PAGES)
def test_a_report_is_shown_without_any_answer(as_staff, wambui, db, name):
    page = as_staff(wambui).get(reverse("report", args=[name]))

    assert page.status_code == 200
    assert (page.context["report"] is None) == (name in ANSWERS)


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_sees_the_reports_it_may_ask_for(as_staff, loan, role):
    granted = {f"{app}.{codename}" for app, codename in roles.permissions_of(role)}
    client = as_staff(factories.staff("mtu", role))

    for name, page in PAGES.items():
        wanted = 200 if granted >= set(page.permissions) else 403
        assert ask(client, name).status_code == wanted, name
        assert client.get(reverse("report_file", args=[name, "csv"])).status_code == wanted
    sidebar = client.get(reverse("admin:index")).content.decode()
    assert (reverse("report", args=["trial-balance"]) in sidebar) == (BOOKS in granted)


def test_only_people_of_the_books_read_them():
    readers = {
        role for role in roles.ROLES if ("ledger", "view_books") in roles.permissions_of(role)
    }

    assert readers == {"Administrator", "Manager", "Accountant", "Auditor"}


def test_nobody_gets_a_report_without_logging_in(client, db):
    for url in (
        reverse("report", args=["trial-balance"]),
        reverse("report_file", args=["trial-balance", "csv"]),
    ):
        answer = client.get(url)
        assert answer.status_code == 302
        assert answer.url.startswith(reverse("admin:login"))


def test_what_is_no_report_is_not_found(as_staff, wambui):
    client = as_staff(wambui)

    assert client.get(reverse("report", args=["horoscope"])).status_code == 404
    assert client.get(reverse("report_file", args=["journal", "exe"])).status_code == 404


def test_a_person_of_one_branch_sees_its_books_whatever_they_ask_for(as_staff, books):
    far = factories.branch("KSM", "Kisumu")
    akinyi = factories.staff("akinyi", "Accountant", branch=far)

    page = ask(as_staff(akinyi), "trial-balance", branch=str(factories.branch().pk))

    assert table(page)[-1] == ["Total", "", "4,000.00", "4,000.00", "4,000.00", "4,000.00"]
    assert "branch" not in page.context["form"].fields
    columns = ask(as_staff(akinyi), "income-statement", columns="branches").context["report"]
    assert [column.title for column in columns.columns[1:]] == ["Kisumu", "Total"]


def test_head_office_asks_for_one_branch(as_staff, wambui, books):
    far = factories.branch("KSM", "Kisumu")

    page = ask(as_staff(wambui), "trial-balance", branch=str(far.pk))

    assert page.context["report"].about == ("2026", "Kisumu")


def test_a_customer_of_another_branch_is_not_found(as_staff, loan):
    akinyi = factories.staff("akinyi", "Accountant", branch=factories.branch("KSM", "Kisumu"))

    page = ask(as_staff(akinyi), "customer")

    assert page.context["report"] is None
    assert "There is no such customer in your branch." in page.content.decode()


def test_a_name_that_several_have_asks_for_the_number(as_staff, wambui, loan):
    twin = factories.customer("Wanjiku Kamau", "254712000999")

    page = ask(as_staff(wambui), "customer", customer="wanjiku")

    assert "Type the number of one." in page.content.decode()
    assert twin.number in page.content.decode()


@pytest.mark.parametrize(
    ("answers", "refusal"),
    [
        ({"first": "2026-03-01", "last": "2026-02-01"}, "This is before the first day."),
        ({"first": "0001-01-01"}, "Choose a year from 1990 to 2100."),
        ({"last": "9999-12-31"}, "Choose a year from 1990 to 2100."),
        ({"last": "soon"}, "Enter a valid date."),
    ],
)
def test_days_that_make_no_sense_are_refused(as_staff, wambui, answers, refusal):
    page = ask(as_staff(wambui), "income-statement", **answers)

    assert page.context["report"] is None
    assert refusal in page.content.decode()


def test_from_the_trial_balance_to_the_loan_are_four_steps(as_staff, wambui, loan):
    client = as_staff(wambui)
    balances = client.get(reverse("report", args=["trial-balance"]), YEAR)
    [principal] = [row for row, _ in balances.context["rows"] if "1110" in row.cells[0].value]
    [ways] = [cells for row, cells in balances.context["rows"] if row is principal]

    statement = client.get(ways[-2][1])
    _, (_, line), *_ = statement.context["rows"]
    entry = JournalEntry.objects.get(kind="disbursement")

    assert statement.context["report"].title == "Statement of 1110 Loan principal"
    assert statement.context["report"].rows[-1].cells[-1].value == principal.cells[-2].value
    assert line[1][1] == reverse("admin:ledger_journalentry_change", args=[entry.pk])
    assert line[3][1] == reverse("admin:payments_payout_change", args=[entry.payout.pk])
    page = client.get(line[1][1]).content.decode()
    assert reverse("admin:loans_loan_change", args=[loan.pk]) in page


def test_a_way_that_a_person_may_not_go_is_no_link(as_staff, mutua, loan):
    page = ask(as_staff(mutua), "customer")

    _, (_, line), *_ = page.context["rows"]
    assert line[1][:2] == (f"JE{JournalEntry.objects.get(kind='disbursement').pk:06d}", "")
    assert line[3][1] != ""


def test_a_long_report_is_shown_a_page_at_a_time(as_staff, wambui, db, monkeypatch):
    monkeypatch.setattr("lms.backoffice.reports.views.PER_PAGE", 2)
    for number in range(1, 6):
        book(number, date(2026, 1, number), (chart.CASH, chart.SHARE_CAPITAL, number))
    client = as_staff(wambui)

    page = ask(client, "account", account=chart.CASH, page="2")

    assert [row[-1] for row in table(page)] == ["3.00", "6.00", "10.00", "15.00"]
    assert page.context["pager"]["lines"] == 5
    assert "page=1" in page.context["pager"]["before"]
    assert "page=3" in page.context["pager"]["after"]
    far = ask(client, "account", account=chart.CASH, page="99999")
    assert [row[-1] for row in table(far)] == ["15.00", "15.00"]


def test_more_lines_than_a_file_holds_are_refused(as_staff, wambui, loan, monkeypatch):
    small = files.FORMATS["pdf"]._replace(most=1)
    monkeypatch.setitem(files.FORMATS, "pdf", small)

    page = as_staff(wambui).get(reverse("report_file", args=["journal", "pdf"]), YEAR)

    assert "lines are too many for one PDF file" in page.content.decode()


@time_machine.travel("2026-03-10 09:00+03:00")
def test_the_usual_days_are_those_of_today(as_staff, wambui):
    page = as_staff(wambui).get(reverse("report", args=["income-statement"]))

    assert page.context["report"].about == ("1 Mar 2026 to 10 Mar 2026", "All branches")
    assert page.context["presets"][1] == ("Last month", "?first=2026-02-01&last=2026-02-28")
    assert [column.title for column in page.context["report"].columns[1:]] == [
        "1 Mar 2026 to 10 Mar 2026", "19 Feb 2026 to 28 Feb 2026", "1 Mar 2025 to 10 Mar 2025",
        "Year to date",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["account", "journal", "cash-book", "customer"])
def test_a_page_takes_as_many_queries_for_one_loan_as_for_three(as_staff, wambui, name):
    factories.active()
    client = as_staff(wambui)
    url = f"{reverse('report', args=[name])}?first=2026-01-01&last=2026-12-31"
    url += "".join(f"&{key}={value}" for key, value in ANSWERS.get(name, {}).items())
    before = queries_of(client, url)

    for _ in range(2):
        factories.active()

    assert queries_of(client, url) == before


@time_machine.travel("2026-03-31 09:00+03:00")
def test_the_desk_shows_money_and_profit_to_readers_of_the_books(as_staff, wambui, njeri, books):
    seen = as_staff(wambui).get(reverse("admin:index")).content.decode()
    hidden = as_staff(njeri).get(reverse("admin:index")).content.decode()

    assert "KES 243,000.00" in seen
    assert "KES -5,000.00" in seen  # March: 4,000 of interest less 9,000 of provision
    assert reverse("report", args=["income-statement"]) in seen
    assert "Profit of this month" not in hidden
