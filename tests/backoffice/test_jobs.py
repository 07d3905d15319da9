"""The queue: times may change, what runs may not."""

from datetime import date

import pytest
from django.urls import reverse
from django_q.models import Failure, Schedule

from lms import dates
from tests import factories


@pytest.fixture
def zuri(db):
    return factories.staff("zuri", "Administrator", branch=None)


@pytest.fixture
def reminder(db):
    return Schedule.objects.create(
        name="Remind: soon",
        func="lms.jobs.apply_callback",
        schedule_type=Schedule.CRON,
        cron="0 8 * * *",
        kwargs="callback_id=3",
    )


def page_of(schedule, name="change"):
    return reverse(f"admin:django_q_schedule_{name}", args=[schedule.pk])


def answers(**changed) -> dict:
    return {
        "name": "Remind: soon",
        "schedule_type": "C",
        "cron": "0 9 * * *",
        "minutes": "",
        "next_run_0": "2026-02-15",
        "next_run_1": "09:00:00",
        "repeats": "-1",
        "kwargs": "callback_id=5",
        **changed,
    }


def test_an_administrator_changes_when_and_how_a_job_runs(as_staff, zuri, reminder):
    answer = as_staff(zuri).post(page_of(reminder), answers())

    reminder.refresh_from_db()
    assert answer.status_code == 302
    assert (reminder.cron, reminder.kwargs) == ("0 9 * * *", "callback_id=5")


def test_what_a_job_runs_is_not_typed(as_staff, zuri, reminder):
    as_staff(zuri).post(page_of(reminder), answers(func="os.system", hook="os.system"))

    reminder.refresh_from_db()
    assert (reminder.func, reminder.hook) == ("lms.jobs.apply_callback", None)


@pytest.mark.parametrize(
    "written",
    [
        "hook='os.system'",
        "on='2026-01-01'",
        "q_options={}",
        "3",
        "callback_id=open('x')",
        "a b",
        "1)",
    ],
)
def test_only_answers_of_the_job_are_taken(as_staff, zuri, reminder, written):
    answer = as_staff(zuri).post(page_of(reminder), answers(kwargs=written))

    errors = answer.context["adminform"].form.errors
    assert errors["kwargs"] == ["Write answers of this job like callback_id=…."]
    reminder.refresh_from_db()
    assert reminder.kwargs == "callback_id=3"


def test_a_job_is_brought_forward_after_asking(as_staff, zuri, reminder):
    client = as_staff(zuri)
    planned = reminder.next_run

    client.get(page_of(reminder, "run_now"))
    reminder.refresh_from_db()
    assert reminder.next_run == planned

    client.post(page_of(reminder, "run_now"), {"_form_submitted": "True"})
    reminder.refresh_from_db()
    assert reminder.next_run <= dates.now()


def test_who_may_only_look_runs_nothing(as_staff, achieng, reminder):
    client = as_staff(achieng)

    assert client.get(page_of(reminder)).status_code == 200
    assert client.post(page_of(reminder, "run_now")).status_code == 403
    assert client.post(page_of(reminder), answers()).status_code == 403
    assert client.get(reverse("admin:django_q_schedule_add")).status_code == 403


def test_a_failed_job_tells_why(as_staff, zuri):
    at = dates.instant(date(2026, 2, 15))
    Failure.objects.create(
        id="2" * 32,
        name="late",
        func="lms.jobs.close_day",
        started=at,
        stopped=at,
        success=False,
        result="ValueError: no such day",
    )
    client = as_staff(zuri)

    listed = client.get(reverse("admin:django_q_failure_changelist")).content.decode()
    shown = client.get(reverse("admin:django_q_failure_change", args=["2" * 32])).content.decode()

    assert "close day" in listed
    assert "ValueError: no such day" in shown
