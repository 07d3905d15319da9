"""Staying logged in: for those who work, with one write a minute."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lms import dates
from lms.backoffice.sessions import WORKED_AT

START = dates.now()


@pytest.fixture
def clock(monkeypatch):
    def move(seconds: int) -> None:
        monkeypatch.setattr(dates, "now", lambda: START + timedelta(seconds=seconds))

    move(0)
    return move


@pytest.fixture
def office(as_staff, kamau, clock):
    client = as_staff(kamau)
    client.get(reverse("admin:index"))
    return client


def writes(client, **headers) -> int:
    with CaptureQueriesContext(connection) as made:
        client.get(reverse("admin:index"), headers=headers)
    return sum(query["sql"].startswith("UPDATE") for query in made.captured_queries)


def worked_at(client) -> int:
    return Session.objects.get(pk=client.session.session_key).get_decoded()[WORKED_AT]


def test_work_prolongs_the_session_once_a_minute(office, clock):
    clock(59)
    assert writes(office) == 0
    clock(61)
    assert writes(office) == 1

    assert worked_at(office) == int(START.timestamp()) + 61


def test_a_page_that_asks_by_itself_prolongs_nothing(office, clock):
    clock(3000)

    assert writes(office, hx_request="true") == 0


def test_a_stranger_gets_no_session(client, db):
    client.get(reverse("admin:login"))

    assert Session.objects.count() == 0
