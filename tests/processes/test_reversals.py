"""Money that goes back once, whoever presses at once and whatever dies."""

import json
import threading

import pytest

from lms.mpesa.simulator import Simulator, reversals
from tests.mpesa.conftest import Door
from tests.processes.office import wait_for

pytestmark = pytest.mark.processes
PHONE = "254712345678"


@pytest.fixture
def door():
    found = Door()
    yield found
    found.close()


@pytest.fixture
def safaricom(office, door):
    """A loopback Daraja that counts the requests for reversals that reach it."""
    with Simulator(shortcode="174379", callback_delay=0) as simulator:
        office.environment |= {
            "DARAJA_URL": simulator.url,
            "DARAJA_CALLBACK_BASE": door.url,
            "DARAJA_CONSUMER_KEY": "key",
            "DARAJA_CONSUMER_SECRET": "secret",
            "DARAJA_INITIATOR": "testapi",
            "DARAJA_SECURITY_CREDENTIAL": "c" * 344,
        }
        yield simulator


def apply_all(office, safaricom, door) -> list[str]:
    assert safaricom.wait_until_quiet()
    posted, door.posted[:] = list(door.posted), []
    return [
        office.ask("apply_body", path.strip("/").split("/")[-1], json.dumps(body).encode())
        for path, body in posted
    ]


def test_two_processes_that_approve_at_once_send_one(office, safaricom, door):
    receipt = safaricom.pay(account="", amount=700, phone=PHONE)["receipt"]
    asked = office.ask("ask_for_it_back", receipt, 700)

    told = office.together("approve_it", (asked, "kamau"), (asked, "wairimu"))

    assert sorted(told) == ["This was approved already.", "sent"]
    assert apply_all(office, safaricom, door) == ["applied"]
    assert office.ask("standing_of_it") == ("done", "reversed", False)
    assert safaricom.books.kept() == []
    office.ask("prove")


@pytest.mark.parametrize("is_worked_on", [True, False])
def test_killed_while_it_is_sent_it_is_asked_about_and_never_sent_again(
    office, safaricom, door, monkeypatch, is_worked_on
):
    receipt = safaricom.pay(account="", amount=700, phone=PHONE)["receipt"]
    asked = office.ask("ask_for_it_back", receipt, 700)
    came, go_on = threading.Event(), threading.Event()
    requests = []
    reverse = reversals.reverse

    def hold(daraja, body):
        requests.append(body)
        came.set()
        go_on.wait(30)
        return reverse(daraja, body) if is_worked_on else {}

    monkeypatch.setattr(reversals, "reverse", hold)
    sender = office.start_chore("approve_it", asked, "kamau")
    wait_for(came.is_set, "the reversal was not sent")
    sender.kill()
    go_on.set()
    assert office.ask("standing_of_it") == ("sending", "unallocated", True)
    assert safaricom.wait_until_quiet()
    door.posted.clear()  # its result is lost as well

    assert office.ask("follow_it", 0) == "sending"
    assert office.ask("follow_it", 3) == "unknown"
    apply_all(office, safaricom, door)

    assert len(requests) == 1
    if is_worked_on:
        assert office.ask("standing_of_it") == ("done", "reversed", False)
    else:
        assert office.ask("standing_of_it") == ("unknown", "unallocated", True)
    office.ask("prove")
