"""A Safaricom with money to pay out, and an office that reads what it posts."""

from datetime import timedelta

import pytest

from lms import dates, jobs
from lms.dates import day_of
from lms.mpesa.models import B2cPayment, Callback
from lms.mpesa.simulator import Simulator
from tests import factories
from tests.mpesa.conftest import AT, Door

DAY = day_of(AT)
CREDENTIAL = "c" * 344


class Safaricom:
    """The loopback, and the time of the office. Nothing happens before it is told."""

    def __init__(self, simulator: Simulator, door: Door, clock: dict) -> None:
        self.simulator = simulator
        self.door = door
        self.clock = clock
        self.read = 0

    @property
    def now(self):
        return self.clock["now"]

    def later(self, **passed) -> None:
        self.clock["now"] += timedelta(**passed)

    def deliver(self) -> list[Callback]:
        """Let everything that Safaricom posts arrive, and be applied, in the order it came."""
        made = []
        assert self.simulator.wait_until_quiet()
        while self.read < len(self.door.posted):
            kind, raw = self.door.kept[self.read]
            self.read += 1
            made.append(Callback.objects.create(kind=kind, body=raw, received_at=self.now))
            jobs.apply_callback(made[-1].pk)
            assert self.simulator.wait_until_quiet()
        for callback in made:
            callback.refresh_from_db()
        return made

    def paid_once(self) -> bool:
        """Tell whether money left at most once for each request, and for each paid row of ours."""
        left = {key: paid.times for key, paid in self.simulator.paid.asked.items()}
        ours = B2cPayment.objects.filter(status="paid").values_list("originator_id", flat=True)
        return max(left.values(), default=0) <= 1 and all(left[key] == 1 for key in ours)


@pytest.fixture
def safaricom(settings, monkeypatch, db):
    door = Door()
    clock = {"now": AT}
    monkeypatch.setattr(dates, "now", lambda: clock["now"])
    settings.DARAJA_SHORTCODE = "174379"
    settings.DARAJA_CALLBACK_BASE = door.url
    settings.DARAJA_TIMEOUT = 5
    settings.DARAJA_INITIATOR = "testapi"
    settings.DARAJA_SECURITY_CREDENTIAL = CREDENTIAL
    factories.branch()
    with Simulator(utility=3_000_000) as simulator:
        settings.DARAJA_URL = simulator.url
        yield Safaricom(simulator, door, clock)
    door.close()
