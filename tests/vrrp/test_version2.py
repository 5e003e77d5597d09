"""VRRPv2 packets: RFC 3768, byte for byte, and an independent reader; every check of its section 7.1."""

import struct
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.vrrp import VRRP

from exavrrp.vrrp.packet import GROUPS, OWNER, Advertisement, Datagram, Expectation, Malformed, Reason
from exavrrp.vrrp.version2 import Version2, decode, encode

OWN, PEER, OTHER = (ip_address(f"192.0.2.1{end}") for end in (1, 2, 3))
VIPS = (IPv4Address("192.0.2.53"), IPv4Address("192.0.2.54"))
ADVERT = Advertisement(7, 150, 100, VIPS)
PLAIN, SECRET = Version2(1), Version2(1, b"s3cret")
EXPECTED = Expectation(frozenset({OWN}), {7: frozenset({PEER})}, frozenset({PEER, OTHER}), 255, GROUPS[4])

VECTORS = {
    PLAIN: "210796020001c488c0000235c00002360000000000000000",
    SECRET: "210796020101876ec0000235c00002367333637265740000",
}
"""RFC 3768 §5.1: version and type, VRID, priority, count, authentication type, interval, checksum; two addresses;
authentication data."""


def datagram(payload: bytes, source: IPv4Address = PEER) -> Datagram:  # type: ignore[assignment]
    return Datagram(source, GROUPS[4], 255, payload)


def summed(payload: bytes) -> bytes:
    """With the right checksum, by the definition of RFC 1071."""
    data = payload[:6] + bytes(2) + payload[8:]
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return payload[:6] + struct.pack("!H", total ^ 0xFFFF) + payload[8:]


def rejection(payload: bytes, terms: Version2 = PLAIN, expectation: Expectation = EXPECTED) -> Reason:
    with pytest.raises(Malformed) as caught:
        decode(datagram(payload), expectation, terms)
    return caught.value.reason


@pytest.mark.parametrize("terms", [PLAIN, SECRET])
def test_the_layout_is_that_of_the_rfc(terms: Version2) -> None:
    expected = bytes.fromhex(VECTORS[terms])
    assert summed(expected) == expected
    assert encode(ADVERT, terms) == expected
    assert decode(datagram(expected), EXPECTED, terms) == ADVERT


@pytest.mark.parametrize("terms", [PLAIN, SECRET, Version2(255), Version2(2, b"12345678")])
@given(priority=st.integers(0, OWNER), count=st.integers(1, 20))
def test_scapy_reads_what_we_send_and_we_what_scapy_sends(terms: Version2, priority: int, count: int) -> None:
    addresses = tuple(IPv4Address("198.18.0.1") + number for number in range(count))
    centiseconds = min(100 * terms.seconds, 4095)
    ours = encode(Advertisement(7, priority, centiseconds, addresses), terms)
    read = VRRP(ours)
    assert (read.version, read.type, read.vrid, read.priority, read.ipcount) == (2, 1, 7, priority, count)
    assert (read.authtype, read.adv, read.addrlist) == (bool(terms.password), terms.seconds, list(map(str, addresses)))
    assert struct.pack("!II", read.auth1, read.auth2) == terms.password.ljust(8, b"\0")
    read.chksum = None
    assert bytes(read) == ours
    if 100 * terms.seconds <= 4095:
        assert decode(datagram(ours), EXPECTED, terms).addresses == addresses


def changed(at: int, value: int) -> Callable[[bytes], bytes]:
    return lambda payload: payload[:at] + bytes([value]) + payload[at + 1 :]


FAULTS: dict[Reason, Callable[[bytes], bytes]] = {
    Reason.VERSION: changed(0, 0x31),
    Reason.TYPE: changed(0, 0x22),
    Reason.LENGTH: changed(3, 3),
    Reason.UNKNOWN_VRID: changed(1, 8),
    Reason.AUTH_MALFORMED: changed(4, 1),
    Reason.INTERVAL: changed(5, 2),
}
"""In the order of the checks, each with a right checksum."""


@pytest.mark.parametrize("reason", FAULTS)
def test_each_check(reason: Reason) -> None:
    assert rejection(summed(FAULTS[reason](encode(ADVERT, PLAIN)))) is reason


@pytest.mark.parametrize(("first", "second"), list(combinations(list(FAULTS)[1:], 2)))
def test_of_two_faults_the_first_is_reported(first: Reason, second: Reason) -> None:
    assert rejection(summed(FAULTS[second](FAULTS[first](encode(ADVERT, PLAIN))))) is first


def test_the_rest_of_the_checks() -> None:
    good = encode(ADVERT, PLAIN)
    assert rejection(b"") is Reason.VERSION
    for length in range(1, len(good)):
        assert rejection(good[:length]) is Reason.LENGTH
    assert rejection(changed(6, good[6] ^ 1)(good)) is Reason.CHECKSUM
    assert rejection(summed(changed(3, 0)(good))) is Reason.NO_ADDRESSES
    assert rejection(summed(changed(1, 0)(good))) is Reason.UNKNOWN_VRID
    assert rejection(good, expectation=replace(EXPECTED, vrids={7: frozenset({OTHER})})) is Reason.UNKNOWN_VRID
    assert rejection(good, expectation=replace(EXPECTED, peers=frozenset())) is Reason.UNKNOWN_SOURCE
    assert rejection(good, expectation=replace(EXPECTED, group=None)) is Reason.MULTICAST
    six = replace(datagram(good), source=ip_address("fe80::1"))
    with pytest.raises(Malformed, match="version"):
        decode(six, replace(EXPECTED, peers=frozenset({six.source})), PLAIN)


def test_a_password_has_to_be_that_of_all_nodes() -> None:
    assert rejection(encode(ADVERT, PLAIN), SECRET) is Reason.AUTH_MALFORMED
    assert rejection(encode(ADVERT, SECRET), PLAIN) is Reason.AUTH_MALFORMED
    assert rejection(encode(ADVERT, Version2(1, b"s3cre")), SECRET) is Reason.AUTH_MAC


def test_another_interval_is_an_error_and_never_learned() -> None:
    assert rejection(encode(ADVERT, Version2(2))) is Reason.INTERVAL
    assert rejection(encode(ADVERT, Version2(255))) is Reason.INTERVAL, "more than an advert of VRRPv3 can tell"


def test_what_follows_the_authentication_data_is_padding() -> None:
    assert decode(datagram(encode(ADVERT, PLAIN) + b"\xff\x00padding"), EXPECTED, PLAIN) == ADVERT


@given(payload=st.binary(max_size=60), terms=st.sampled_from([PLAIN, SECRET]))
def test_whatever_comes_is_an_advert_or_malformed(payload: bytes, terms: Version2) -> None:
    try:
        found = decode(datagram(payload), EXPECTED, terms)
    except Malformed as error:
        detail = str(error)
    else:
        detail = str(found)
    assert detail.isprintable()
