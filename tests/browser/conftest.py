"""Headless Chromium on a live office: Debian's browser, a real database, the loopback Daraja."""

import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django_q.conf import Conf
from playwright.sync_api import sync_playwright

from lms import inbox
from lms.mpesa.simulator import Simulator
from tests import factories

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "maji-moto-42-safi"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if "browser" in Path(item.fspath).parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM.exists():
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(f"There is no browser at {CHROMIUM}.")
        pytest.skip(f"There is no browser at {CHROMIUM}: apt-get install chromium.")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield running
        running.close()


@pytest.fixture
def office(committed, live_server, settings, monkeypatch):
    """The address of a running office whose queue runs at once and whose Safaricom is ours."""
    factories.branch()
    settings.DARAJA_CALLBACK_BASE = live_server.url
    monkeypatch.setattr(Conf, "SYNC", True)
    with Simulator(
        port=0,
        shortcode=settings.DARAJA_SHORTCODE,
        passkey=settings.DARAJA_PASSKEY,
        consumer_key=settings.DARAJA_CONSUMER_KEY,
        consumer_secret=settings.DARAJA_CONSUMER_SECRET,
        callback_delay=0.3,
        confirmation_url=f"{live_server.url}/daraja/{settings.DARAJA_CALLBACK_SECRET}/confirmation/",
        validation_url=f"{live_server.url}/daraja/{settings.DARAJA_CALLBACK_SECRET}/validation/",
    ) as daraja:
        settings.DARAJA_URL = daraja.url
        with applying():
            yield live_server.url
            daraja.wait_until_quiet()


@contextmanager
def applying():
    """Apply callbacks meanwhile, as the process beside the web does."""
    ends = threading.Event()

    def drain() -> None:
        while not ends.wait(0.2):
            inbox.drain_some()
        connection.close()

    drainer = threading.Thread(target=drain)
    drainer.start()
    try:
        yield
    finally:
        ends.set()
        drainer.join()


class Desk:
    """One member of staff at a screen, who notices when a page misbehaves."""

    def __init__(self, browser, url: str, person, *, width: int = 1440, scheme: str = "light"):
        self.url = url
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            timezone_id=django_settings.TIME_ZONE,
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("request", self._notice)
        self.page.goto(f"{url}/admin/login/")
        self.page.fill("input[name=username]", person.username)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{url}/admin/**")

    def _notice(self, request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"outside: {request.url}")

    def open(self, path: str):
        """Go to a page of the office and return it."""
        answer = self.page.goto(f"{self.url}{path}")
        assert answer.status == 200, f"{path}: {answer.status}"
        return self.page

    def overflow(self) -> int:
        """How many pixels the page is wider than the screen."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def leave(self) -> None:
        self.context.close()
        assert self.complaints == []


@pytest.fixture
def desk(browser, office):
    """Return a function that seats a person; at the end nobody had anything to complain about."""
    taken: list[Desk] = []

    def sit(person, **options) -> Desk:
        taken.append(Desk(browser, office, person, **options))
        return taken[-1]

    yield sit
    for place in taken:
        place.leave()
