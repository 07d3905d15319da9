"""Where a callback came from, seen past the proxies in front of this office.

Pure: no Django. What a sender wrote itself is never believed: of X-Forwarded-For only what our own
proxies added counts, and they add at its right end.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
SOCKET = "unix"  # names a proxy on a local socket, which has no address


def sender_of(peer: str, forwarded_for: str, *, proxies: Iterable[str]) -> str | None:
    """Return the address a request came from, or None where nobody knows it.

    `peer` is the other end of the connection, "" on a local socket. Only where it is one of
    `proxies` (addresses, networks, "unix") is `forwarded_for` read: from the right, past our own
    proxies, to the first address that is none of them.
    """
    proxies = tuple(proxies)
    here = _address(peer)
    is_ours = _among(here, proxies) if here else not peer.strip() and SOCKET in proxies
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for.strip() else []
    while is_ours and hops:
        here = _address(hops.pop())
        is_ours = here is not None and _among(here, proxies)
    return str(here) if here else None


def is_among(address: str | None, networks: Iterable[str]) -> bool:
    """Tell whether an address lies in one of the networks; an unknown one lies in none."""
    found = _address(address or "")
    return found is not None and _among(found, tuple(networks))


def _among(address: Address, networks: tuple[str, ...]) -> bool:
    return any(address in network for network in _read(networks))


@lru_cache(maxsize=16)
def _read(networks: tuple[str, ...]) -> tuple:
    return tuple(
        ipaddress.ip_network(each.strip(), strict=False) for each in networks if each != SOCKET
    )


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    """Return an address, with or without a port; one of IPv4 in the dress of IPv6 as what it is."""
    text = text.strip().strip('"').partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
