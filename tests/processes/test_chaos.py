"""What customers paid while almost everything went wrong."""

import pytest

from tests.processes.chaos import chaos

pytestmark = pytest.mark.processes


def test_each_customer_is_credited_what_safaricom_took_and_each_payout_paid_once(office):
    found = chaos(office, payments=150, customers=40, seconds=10, seed=20, payouts=12)

    assert found.credited == found.took
    assert found.paid_out == found.left
    assert (found.most_times, found.loans) == (1, {"active": 12})
    assert len(found.left) == 12
    assert all(found.kills.values())
    assert {"duplicate", "drop", "reorder", "delay", "hang_up"} <= set(found.faults)
    office.ask("prove")
