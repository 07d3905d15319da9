import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms.mpesa.sources import is_among, sender_of

SAFARICOM, ATTACKER, PROXY, OUTER = "196.201.214.200", "203.0.113.9", "10.0.0.1", "10.0.0.2"


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "sender"),
    [
        # Nobody stands in front: what the sender wrote is not read.
        (SAFARICOM, "", [], SAFARICOM),
        (ATTACKER, SAFARICOM, [], ATTACKER),
        (ATTACKER, SAFARICOM, [PROXY], ATTACKER),
        # One proxy adds whom it heard from, at the right.
        (PROXY, SAFARICOM, [PROXY], SAFARICOM),
        (PROXY, f"{SAFARICOM}, {ATTACKER}", [PROXY], ATTACKER),
        (PROXY, f"{ATTACKER},{SAFARICOM}", ["10.0.0.0/8"], SAFARICOM),
        (PROXY, f"{SAFARICOM}, garbage", [PROXY], None),
        (PROXY, f"{SAFARICOM}, ", [PROXY], None),
        (PROXY, "", [PROXY], PROXY),
        # Two of ours, one behind the other.
        (PROXY, f"{SAFARICOM}, {OUTER}", ["10.0.0.0/8"], SAFARICOM),
        (PROXY, f"{SAFARICOM}, {ATTACKER}, {OUTER}", ["10.0.0.0/8"], ATTACKER),
        (PROXY, f"{SAFARICOM}, {OUTER}", [PROXY], OUTER),
        (PROXY, f"{OUTER}, {OUTER}", ["10.0.0.0/8"], OUTER),
        # A local socket has no address.
        ("", SAFARICOM, [], None),
        ("", SAFARICOM, [PROXY], None),
        ("", f"{ATTACKER}, {SAFARICOM}", ["unix"], SAFARICOM),
        ("", "", ["unix"], None),
        ("not an address", SAFARICOM, ["unix"], None),
        # Other spellings of an address.
        (f"::ffff:{PROXY}", f"{SAFARICOM}:4711", [PROXY], SAFARICOM),
        ("::1", '"[2001:db8::7]:443"', ["::1"], "2001:db8::7"),
        ("fe80::1%eth0", "", [], "fe80::1"),
    ],
)
def test_the_sender_is_whom_our_own_proxies_heard_from(peer, forwarded, proxies, sender):
    assert sender_of(peer, forwarded, proxies=proxies) == sender


@pytest.mark.parametrize(
    ("address", "networks", "among"),
    [
        (SAFARICOM, [SAFARICOM], True),
        (SAFARICOM, ["196.201.214.0/24"], True),
        (SAFARICOM, [" 196.201.214.200 ", "10.0.0.0/8"], True),
        (f"::ffff:{SAFARICOM}", [SAFARICOM], True),
        ("196.201.214.201", [SAFARICOM], False),
        (ATTACKER, [SAFARICOM], False),
        (None, ["0.0.0.0/0"], False),
        ("", ["0.0.0.0/0"], False),
        ("2001:db8::7", ["0.0.0.0/0"], False),
        (SAFARICOM, [], False),
    ],
)
def test_an_address_lies_in_a_network_or_not(address, networks, among):
    assert is_among(address, networks) is among


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_written_in_front_of_what_the_proxy_adds_changes_nothing(peer, written):
    assert sender_of(PROXY, f"{written},{ATTACKER}", proxies=[PROXY]) == ATTACKER
    assert sender_of(peer, SAFARICOM, proxies=["192.0.2.0/24"]) != SAFARICOM or peer == SAFARICOM
