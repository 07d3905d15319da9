"""What goes wrong on the loopback Daraja when it is asked to."""

import pytest
import requests


def faults(daraja, **rates):
    return requests.post(f"{daraja.url}/_control/faults", json=rates, timeout=5)


def paid(daraja, door) -> int:
    """Pay once; return how many confirmations come of it."""
    daraja.pay(account="LN000001", amount=500, phone="254722000111")
    assert daraja.wait_until_quiet()
    return len(door.bodies("confirmation"))


def test_nothing_goes_wrong_unasked(daraja, door):
    assert paid(daraja, door) == 1


@pytest.mark.parametrize(
    ("fault", "confirmations"),
    [("duplicate", 2), ("drop", 0), ("reorder", 1), ("delay", 1)],
)
def test_a_fault_happens_to_callbacks_at_its_rate(daraja, door, fault, confirmations):
    faults(daraja, seed=1, **{fault: 1})

    assert paid(daraja, door) == confirmations
    seen = requests.get(f"{daraja.url}/_control/faults", timeout=5).json()["seen"]
    assert seen[fault] == 1


def test_who_hangs_up_posts_again(daraja, door):
    faults(daraja, hang_up=1)

    assert paid(daraja, door) >= 1


@pytest.mark.parametrize("rates", [{"rain": 1}, {"drop": 2}, {"drop": "often"}])
def test_a_fault_that_there_is_not_is_refused(daraja, rates):
    assert faults(daraja, **rates).status_code == 400
    assert requests.get(f"{daraja.url}/_control/faults", timeout=5).json()["rates"]["drop"] == 0
