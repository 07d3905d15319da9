"""The pages of the nightly close, and what it leaves on the pages of loans."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django_q.models import OrmQ

from lms import dates, jobs
from lms.backoffice import dashboard
from lms.closing import operations
from lms.closing.models import CloseFailure, DayClose, Proof
from lms.closing.operations import close_day
from lms.ledger import chart
from lms.ledger.operations import Line, post
from lms.loans.models import Penalty
from tests import factories

DAILY = {
    "penalty_base": "instalment",
    "penalty_value": Decimal(1),
    "penalty_frequency": "daily",
    "npl_days": 10,
}
NIGHT = date(2026, 2, 26)
LISTS = ("closing_dayclose", "closing_closefailure", "closing_proof", "loans_loansnapshot",
         "loans_provision", "loans_provisiontable")  # fmt: skip


@pytest.fixture
def late(db):
    return factories.active(product=factories.product(code="LATE", **DAILY))


def page(name: str, *args) -> str:
    return reverse(f"admin:{name}", args=args)


SUBMITTED = {"_form_submitted": "1"}


def answers(day: date) -> dict:
    return {**SUBMITTED, "day": day.isoformat()}


def text(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_a_night_shows_its_steps_rows_and_failures(as_staff, kamau, late):
    Penalty.objects.create(
        repayment=late.repayments.get(number=1), amount=1, charged_on=NIGHT, charged_by=kamau,
        rule="1% of the overdue instalment a day",
    )  # fmt: skip
    close_day(NIGHT)
    client = as_staff(kamau)

    shown = text(client.get(page("closing_dayclose_changelist")))
    assert "Late penalties" in shown
    assert "Not for all" in shown
    assert f"day__exact={NIGHT}&step__exact=penalties" in shown
    failures = f"{page('closing_closefailure_changelist')}?day__exact={NIGHT}&step__exact=penalties"
    assert "IntegrityError" in text(client.get(failures))
    step = DayClose.objects.get(step="penalties")
    assert "Run again" in text(client.get(page("closing_dayclose_change", step.pk)))
    assert CloseFailure.objects.get().error in text(
        client.get(page("closing_closefailure_change", CloseFailure.objects.get().pk))
    ).replace("&quot;", '"').replace("&#x27;", "'")


def test_every_list_of_the_night_can_be_read_with_its_totals(as_staff, kamau, achieng, late):
    close_day(NIGHT)
    for person in (kamau, achieng):
        client = as_staff(person)
        for name in LISTS:
            text(client.get(page(f"{name}_changelist")))
    totals = text(client.get(page("loans_provision_totals")))
    assert "KES 400,000.00" in totals  # four tables of 100,000
    assert "KES 18,912.00" not in totals
    assert "Past due" in text(client.get(page("loans_loansnapshot_totals")))


def test_a_manager_lets_a_worker_close_a_day_and_an_auditor_does_not(as_staff, kamau, achieng):
    client = as_staff(kamau)
    yesterday = dates.today() - timedelta(days=1)

    shown = text(client.post(page("closing_dayclose_close"), answers(dates.today())))
    assert "is not over yet" in shown
    assert OrmQ.objects.count() == 0
    answer = client.post(page("closing_dayclose_close"), answers(yesterday))
    assert answer.headers["HX-Redirect"] == page("closing_dayclose_changelist")
    task = OrmQ.objects.get().task
    asked = {"day": yesterday.isoformat(), "by": kamau.pk}
    assert (task["func"], task["kwargs"]) == ("lms.jobs.close_now", asked)

    jobs.close_now(**asked)
    jobs.close_now(**asked)
    assert operations.is_closed(yesterday)
    step = DayClose.objects.first()
    assert step.run_by == kamau
    assert "Kamau" in text(client.get(page("closing_dayclose_change", step.pk)))
    assert client.post(page("closing_dayclose_run_again", step.pk), SUBMITTED).status_code == 200
    assert OrmQ.objects.count() == 2
    answer = as_staff(achieng).post(page("closing_dayclose_close"), {"day": "2026-01-01"})
    assert answer.status_code == 403


def test_the_schedule_closes_the_day_before_and_fails_aloud(db, late, kamau):
    assert jobs.close_day(on="2026-02-27T00:30:00+03:00") == f"Closed: {NIGHT}"
    assert jobs.close_day(on="2026-02-27T00:30:00+03:00") == "Closed: no day was left"
    assert set(DayClose.objects.values_list("run_by", flat=True)) == {None}


def test_a_loan_in_default_shows_what_may_be_recovered(as_staff, kamau, late):
    close_day(NIGHT)
    client = as_staff(kamau)

    shown = text(client.get(page("loans_loan_change", late.pk)))
    assert page("loans_loan_in_duplum", late.pk) in shown
    proof = text(client.get(page("loans_loan_in_duplum", late.pk)))
    assert "26 Feb 2026" in proof
    assert "KES 100,000.00" in proof
    performing = factories.active(customer=factories.otieno())
    assert client.get(page("loans_loan_in_duplum", performing.pk)).status_code == 404


def test_loans_are_filtered_by_class_and_default(as_staff, kamau, late):
    factories.active(customer=factories.otieno(), product=late.product, on=date(2026, 2, 20))
    close_day(NIGHT)
    client = as_staff(kamau)

    found = text(client.get(page("loans_loan_changelist") + "?class=npl"))
    assert "Wanjiku Mwangi" in found
    assert "Otieno Ouma" not in found
    assert "Otieno Ouma" in text(client.get(page("loans_loan_changelist") + "?class=Normal"))


@pytest.mark.parametrize(("time", "is_told"), [("01:59", False), ("02:00", True)])
def test_until_two_the_worker_may_still_be_at_the_last_night(late, monkeypatch, time, is_told):
    close_day(NIGHT)
    monkeypatch.setattr(dates, "now", lambda: datetime.fromisoformat(f"2026-02-28T{time}+03:00"))

    assert bool(dashboard.night_of(date(2026, 2, 28))) == is_told
    assert dashboard.night_of(date(2026, 3, 1))  # two nights are missing by then


def test_the_first_page_says_when_last_night_was_not_closed(as_staff, kamau, late):
    client = as_staff(kamau)
    assert "See the nightly close" not in text(client.get(page("index")))
    close_day(NIGHT)
    assert "See the nightly close" in text(client.get(page("index")))


# --- The proofs of the books ---------------------------------------------------------------------
@pytest.fixture
def off(late, kamau):
    """A night whose books hold KES 7.10 of customer credit that no payment stands for."""
    post(
        kind="mistake", reference="mistake", on=NIGHT, narration="Past the operations",
        lines=[Line(chart.CASH, chart.CUSTOMER_CREDIT, Decimal("7.10"))],
        branch_id=late.branch_id, by=None,
    )  # fmt: skip
    close_day(NIGHT)


def test_what_is_off_is_on_the_first_page_and_on_its_list(as_staff, kamau, njeri, off):
    client = as_staff(kamau)

    first = text(client.get(reverse("admin:index")))
    shown = text(client.get(page("closing_proof_changelist") + "?outcome=off"))
    whole = text(client.get(page("closing_proof_changelist")))
    proof = Proof.objects.get(holds=False)
    one = text(client.get(page("closing_proof_change", proof.pk)))

    assert "1 proof of the last night did not hold (Customer credit)." in first
    assert "Customer credit" in shown
    assert "Unallocated receipts" not in shown
    assert "Unallocated receipts" in whole
    assert "7.10" in one
    assert "The books do not agree" not in text(as_staff(njeri).get(reverse("admin:index")))


def test_books_that_hold_are_no_news(as_staff, kamau, late):
    close_day(NIGHT)

    assert "The books do not agree" not in text(as_staff(kamau).get(reverse("admin:index")))


def test_the_books_are_proved_when_somebody_asks(as_staff, kamau, off):
    client = as_staff(kamau)

    answer = client.post(page("closing_proof_prove_now"), SUBMITTED)

    assert answer.headers["HX-Redirect"] == page("closing_proof_changelist")
    told = text(client.get(page("closing_proof_changelist")))
    assert "Customer credit: off by 7.10." in told


def test_who_may_not_see_the_books_may_not_prove_them(as_staff, njeri, off):
    assert as_staff(njeri).post(page("closing_proof_prove_now"), SUBMITTED).status_code == 403
