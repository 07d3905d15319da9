"""Today's page, the sidebar, the palette and the files."""

import json
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.files.base import ContentFile
from django.urls import reverse
from django_q.models import Schedule, Success

from lms import dates
from lms.backoffice import dashboard, figures
from lms.customers.models import Customer, CustomerDocument
from lms.loans.operations import lifecycle
from lms.payments.models import Payment
from lms.payments.operations import receive
from tests import factories

INDEX = reverse("admin:index")
# The first instalment of the loan of the cast is due on 15 February 2026.
DUE = date(2026, 2, 15)


def pay(amount: str, *, on: date, branch=None, method: str = "cash") -> Payment:
    return receive(
        method=method,
        amount=Decimal(amount),
        reference=None,
        value_date=on,
        account="",
        branch=branch or factories.branch(),
        by=factories.mutua(),
        on=on,
    )


def cards(answer) -> dict:
    return {card.title: card for _, group in answer.context["card_groups"] for card in group}


# --- Figures -------------------------------------------------------------------------------------
def test_what_is_due_today_is_what_is_still_owed_today(loan, kamau):
    first = loan.repayments.get(number=1)

    assert figures.due_today(kamau, DUE) == (1, first.outstanding)
    assert figures.due_today(kamau, DUE + timedelta(days=1)) == (0, 0)


def test_overdue_counts_from_the_day_after_the_due_day(loan, kamau):
    first = loan.repayments.get(number=1)

    assert figures.overdue(kamau, DUE) == (0, 0)
    assert figures.overdue(kamau, DUE + timedelta(days=1)) == (1, first.outstanding)


def test_a_loan_is_at_risk_after_thirty_days(loan, kamau):
    on_time = figures.portfolio(kamau, DUE + timedelta(days=30))
    at_risk = figures.portfolio(kamau, DUE + timedelta(days=31))

    assert (on_time.par, on_time.late) == (0, 1)
    assert (at_risk.par, at_risk.at_risk) == (100, Decimal("100000.00"))


def test_an_empty_book_has_no_par(db, kamau):
    assert figures.portfolio(kamau, DUE).par is None


def test_collected_is_the_money_of_the_own_branch(kamau):
    kisumu = factories.branch("KSM", "Kisumu")
    pay("300.10", on=DUE)
    pay("200.20", on=DUE)
    pay("999.00", on=DUE, branch=kisumu)
    pay("50.00", on=DUE, method="opening")

    assert figures.collected_today(kamau, DUE) == (2, Decimal("500.30"))
    assert figures.collected_today(factories.staff("ciku", branch=None), DUE) == (
        3,
        Decimal("1499.30"),
    )


def test_the_chart_sets_what_fell_due_beside_what_came_in(loan, kamau):
    pay("300.00", on=DUE - timedelta(days=1))

    days = figures.due_and_collected(kamau, DUE)

    assert len(days) == 14
    assert days[-1] == (DUE, loan.repayments.get(number=1).amount_due, Decimal(0))
    assert days[-2] == (DUE - timedelta(days=1), Decimal(0), Decimal("300.00"))


def test_new_arrears_name_whom_to_call_first(loan, kamau):
    late = figures.new_arrears(kamau, DUE + timedelta(days=7))

    assert late == [loan]
    assert late[0].in_arrears == loan.repayments.get(number=1).outstanding
    assert figures.new_arrears(kamau, DUE + timedelta(days=8)) == []


def test_figures_of_another_branch_stay_there(loan):
    far = factories.staff("akinyi", "Manager", branch=factories.branch("KSM", "Kisumu"))

    assert figures.portfolio(far, DUE).active == 0
    assert figures.due_today(far, DUE).number == 0
    assert figures.new_arrears(far, DUE + timedelta(days=3)) == []
    assert figures.waiting_work(far, DUE + timedelta(days=3))["overdue"] == 0


def test_work_that_waits_is_counted(kamau, njeri):
    loan = factories.draft()
    lifecycle.submit(loan, by=njeri, on=factories.DAY)
    factories.approved()
    pay("100.00", on=DUE)

    work = figures.waiting_work(kamau, DUE)

    assert (work["submitted"], work["approved"], work["unallocated"]) == (1, 1, 1)


# --- The page ------------------------------------------------------------------------------------
def test_each_number_leads_to_the_rows_behind_it(as_staff, kamau, njeri):
    lifecycle.submit(factories.draft(), by=njeri, on=factories.DAY)
    pay("100.00", on=dates.today())
    client = as_staff(kamau)

    shown = cards(client.get(INDEX))

    assert shown["To approve"].value == "1"
    assert shown["Collected today"].value == "KES 100.00"
    for card in shown.values():
        assert client.get(card.link).status_code == 200, card.title
    for title in ("To approve", "Collected today", "Unallocated payments"):
        rows = client.get(shown[title].link).context["cl"].result_count
        assert rows == 1, title


def test_today_is_written_in_full_with_the_branch(as_staff, kamau):
    body = as_staff(kamau).get(INDEX).content.decode()

    assert dates.show(dates.today()) in body
    assert "Nairobi" in body


def test_the_chart_reaches_the_page(as_staff, kamau):
    chart = json.loads(as_staff(kamau).get(INDEX).context["chart"])

    assert [bars["label"] for bars in chart["datasets"]] == ["Due", "Collected"]


@pytest.mark.parametrize("loans", [1, 3])
def test_the_page_takes_the_same_queries_for_one_loan_and_for_three(
    as_staff, kamau, django_assert_num_queries, loans
):
    for _ in range(loans):
        factories.active()
    client = as_staff(kamau)
    client.get(INDEX)

    with django_assert_num_queries(32):
        client.get(INDEX)


# --- The worker ----------------------------------------------------------------------------------
def test_a_schedule_that_nobody_runs_is_shown(as_staff, kamau):
    Schedule.objects.all().delete()
    assert dashboard.worker_heartbeat()["is_working"]

    Schedule.objects.create(func="lms.jobs.x", next_run=dates.now() - timedelta(minutes=5))

    assert not dashboard.worker_heartbeat()["is_working"]
    assert "No worker is running" in as_staff(kamau).get(INDEX).content.decode()


def test_the_last_job_is_named(as_staff, kamau):
    at = dates.instant(date(2026, 2, 15))
    Success.objects.create(id="1" * 32, name="x", func="x", started=at, stopped=at, success=True)

    assert dashboard.worker_heartbeat()["last"] == at


# --- The sidebar ---------------------------------------------------------------------------------
def titles(answer) -> dict[str, str]:
    return {
        item["title"]: item.get("badge", "")
        for group in answer.context["sidebar_navigation"]
        for item in group["items"]
    }


def test_the_sidebar_shows_what_a_person_may_see(as_staff, mutua):
    shown = titles(as_staff(mutua).get(INDEX))

    assert {"Customers", "Loans", "Payments"} <= set(shown)
    assert {"Staff", "Roles", "Schedules", "Journal"} & set(shown) == set()


def test_badges_count_the_work_that_waits(as_staff, kamau):
    pay("100.00", on=DUE)

    shown = titles(as_staff(kamau).get(INDEX))

    assert shown["Unallocated"] == "1"
    assert shown["To approve"] == ""


def test_a_badge_stops_counting(as_staff, kamau, monkeypatch):
    monkeypatch.setattr(figures, "MOST_COUNTED", 1)
    pay("100.00", on=DUE)
    pay("100.00", on=DUE)

    assert titles(as_staff(kamau).get(INDEX))["Unallocated"] == "1+"


def test_the_entry_one_stands_on_is_marked(as_staff, kamau):
    answer = as_staff(kamau).get(
        reverse("admin:customers_customer_changelist"), {"kyc_status__exact": "pending"}
    )

    active = [
        item["title"]
        for group in answer.context["sidebar_navigation"]
        for item in group["items"]
        if item["active"]
    ]
    assert active == ["KYC to verify"]


# --- The palette ---------------------------------------------------------------------------------
def found(client, words: str) -> list[str]:
    answer = client.get(reverse("admin:search"), {"s": words, "extended": "1"})
    return [result.title for result in answer.context["results"]]


def test_the_palette_finds_a_customer_a_loan_and_a_payment(as_staff, kamau, loan):
    payment = pay("100.00", on=DUE)
    client = as_staff(kamau)

    assert found(client, "0712345678") == [str(loan.customer)]
    assert found(client, "wanjiku") == [str(loan.customer)]
    assert found(client, loan.number.lower()) == [str(loan)]
    assert found(client, payment.number) == [str(payment)]
    assert found(client, "nj") == []


def test_the_palette_stays_in_the_branch_and_is_short(as_staff, kamau):
    kisumu = factories.branch("KSM", "Kisumu")
    for number in range(9):
        factories.customer("Mwende Mutiso", f"25471100030{number}")
    factories.customer("Mwende Far", "254733000999", branch=kisumu)

    titles = found(as_staff(kamau), "mwende")

    assert len(titles) == 6
    assert not any("Far" in title for title in titles)


def test_the_palette_asks_for_permission(as_staff, wanjiku):
    nobody = factories.staff("nobody")

    assert found(as_staff(nobody), "wanjiku") == []


# --- Files ---------------------------------------------------------------------------------------
@pytest.fixture
def paper(wanjiku):
    return CustomerDocument.objects.create(
        customer=wanjiku, kind="id_front", file=ContentFile(b"%PDF-1.4", name="id.pdf")
    )


def test_a_paper_is_shown_to_who_may_see_the_customer(as_staff, kamau, paper):
    answer = as_staff(kamau).get(paper.file.url)

    assert b"".join(answer.streaming_content) == b"%PDF-1.4"
    assert answer["Content-Type"] == "application/pdf"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("inline; filename=")


def test_a_photo_is_shown(as_staff, kamau, wanjiku):
    wanjiku.photo = ContentFile(b"\x89PNG", name="face.png")
    wanjiku.save()

    assert as_staff(kamau).get(wanjiku.photo.url)["Content-Type"] == "image/png"


def test_what_a_browser_might_run_is_a_download(as_staff, kamau, wanjiku):
    CustomerDocument.objects.create(
        customer=wanjiku, kind="other", file=ContentFile(b"<script>", name="page.html")
    )

    answer = as_staff(kamau).get(CustomerDocument.objects.get().file.url)

    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment;")


def test_a_paper_is_not_shown_to_anybody_else(client, as_staff, paper):
    assert client.get(paper.file.url).status_code == 302
    assert as_staff(factories.staff("nobody")).get(paper.file.url).status_code == 404
    far = factories.staff("akinyi", "Manager", branch=factories.branch("KSM", "Kisumu"))
    assert as_staff(far).get(paper.file.url).status_code == 404


@pytest.mark.parametrize("path", ["../settings.py", "..%2f..%2fetc/passwd", "customers/none.pdf"])
def test_a_path_that_no_record_owns_is_not_found(as_staff, kamau, paper, path):
    assert as_staff(kamau).get(f"/admin/files/{path}").status_code in (404, 301)


def test_a_file_that_is_gone_is_not_found(as_staff, kamau, paper):
    paper.file.storage.delete(paper.file.name)

    assert as_staff(kamau).get(paper.file.url).status_code == 404
    assert Customer.objects.count() == 1
