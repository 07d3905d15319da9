from datetime import timedelta

import pytest

from lms import dates
from lms.mpesa import tokens
from lms.mpesa.models import AccessToken
from lms.mpesa.tokens import TokenUnavailable

pytestmark = pytest.mark.django_db


class Bank:
    """Hands out t1, t2, …; counts them."""

    def __init__(self, seconds: int = 3599) -> None:
        self.made = 0
        self.seconds = seconds

    def fetch(self) -> tuple[str, int]:
        self.made += 1
        return f"t{self.made}", self.seconds


def take(bank, **changes) -> str:
    return tokens.shared(**{"url": "https://d", "key": "key", "fetch": bank.fetch, **changes})


def test_a_token_is_fetched_once_and_then_shared():
    bank = Bank()

    assert [take(bank), take(bank), take(bank)] == ["t1", "t1", "t1"]


def test_a_token_is_renewed_a_minute_before_it_dies():
    bank = Bank(seconds=59)

    assert [take(bank), take(bank)] == ["t1", "t2"]


def test_a_refused_token_is_renewed_unless_someone_else_did():
    bank = Bank()
    take(bank)

    assert take(bank, stale="t1") == "t2"
    assert take(bank, stale="t1") == "t2"


def test_each_app_has_its_own_token_and_the_key_is_not_stored():
    bank = Bank()

    assert [take(bank), take(bank, key="other")] == ["t1", "t2"]
    assert not AccessToken.objects.filter(key_hash__contains="other").exists()


def test_a_failed_fetch_frees_the_lease():
    def fail():
        raise TokenUnavailable("400.008.01", "Invalid Authentication passed")

    with pytest.raises(TokenUnavailable):
        tokens.shared(url="https://d", key="key", fetch=fail)

    assert take(Bank()) == "t1"


def test_a_lease_held_by_another_process_is_waited_for_and_then_given_up(monkeypatch):
    monkeypatch.setattr(tokens, "WAIT_SECONDS", 0.2)
    take(Bank())
    AccessToken.objects.update(expires_at=None, lease_until=dates.now() + timedelta(seconds=9))
    bank = Bank()

    with pytest.raises(TokenUnavailable, match="Another process"):
        take(bank)

    assert bank.made == 0


def test_a_lease_that_its_process_took_to_the_grave_runs_out():
    take(Bank())
    AccessToken.objects.update(expires_at=None, lease_until=dates.now() - timedelta(seconds=1))

    assert take(Bank()) == "t1"
