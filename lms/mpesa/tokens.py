"""One Daraja token for all processes: each new one invalidates the one before.

A lease column, taken by one conditional UPDATE, decides which process fetches; no transaction is
open while it does. The others wait for the row to change.
"""

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta

from django.db.models import Q

from lms import dates
from lms.mpesa.models import AccessToken

LEASE = timedelta(seconds=25)  # longer than one fetch may take
WAIT_SECONDS = 10
POLL_SECONDS = 0.1


class TokenUnavailable(Exception):
    """No token could be had. The request that needed it was not sent."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def shared(
    *, url: str, key: str, fetch: Callable[[], tuple[str, int]], stale: str | None = None
) -> str:
    """Return the token of the app `key` at `url`, fetching one where needed.

    `fetch` returns a token and its life in seconds, or raises TokenUnavailable. `stale` is a token
    that Daraja refused: it is never returned again, and fetched anew only if no one else did.
    Raises TokenUnavailable, also when another process holds the lease for too long.
    """
    app = {"url": url, "key_hash": hashlib.sha256(key.encode()).hexdigest()}
    row, _ = AccessToken.objects.get_or_create(**app)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        if row.token != stale and row.is_good(at=dates.now()):
            return row.token
        token = _fetch_under_lease(row, fetch)
        if token is not None:
            return token
        if time.monotonic() > deadline:
            raise TokenUnavailable("busy", "Another process is fetching the access token.")
        time.sleep(POLL_SECONDS)
        row.refresh_from_db()


def _fetch_under_lease(row: AccessToken, fetch: Callable[[], tuple[str, int]]) -> str | None:
    """Return a new token, or None when another process is at it or overtook this one."""
    now = dates.now()
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    lease = now + LEASE
    # The token must still be the one judged bad: someone may have renewed it since.
    unchanged = AccessToken.objects.filter(free, pk=row.pk, token=row.token)
    if not unchanged.update(lease_until=lease):
        return None
    held = AccessToken.objects.filter(pk=row.pk, lease_until=lease)
    try:
        token, seconds = fetch()
    except TokenUnavailable:
        held.update(lease_until=None)
        raise
    expires_at = dates.now() + timedelta(seconds=seconds)
    if not held.update(token=token, expires_at=expires_at, lease_until=None):
        return None
    return token
