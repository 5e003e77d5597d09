"""Beacons on the wire: what is written is read again, and anything else is refused."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.beacon.codec import (
    ECHOES,
    LARGEST,
    MOST,
    TRAILER,
    Beacon,
    Flaw,
    Refused,
    Report,
    decode,
    digest,
    encode,
    flags,
)
from exavrrp.instance import Fault, Hold
from exavrrp.vrrp.router import Role

BYTE, WORD = st.integers(0, 255), st.integers(0, 0xFFFF)


def reports(vrid: int) -> st.SearchStrategy[Report]:
    return st.builds(
        Report,
        vrid=st.just(vrid),
        role=st.sampled_from(Role),
        priority=BYTE,
        configured=BYTE,
        heard=st.integers(0, 15),
        expected=st.integers(0, 15),
        flags=WORD,
        centiseconds=st.integers(1, 4095),
        digest=st.binary(min_size=7, max_size=7),
    )


@st.composite
def beacons(draw: st.DrawFn) -> Beacon:
    vrids = draw(st.lists(st.integers(1, 255), min_size=1, max_size=MOST, unique=True))
    number = st.integers(0, 0xFFFFFFFF)
    return Beacon(
        draw(st.sampled_from((4, 6))),
        draw(number),
        tuple(draw(st.lists(number, max_size=ECHOES))),
        tuple(draw(reports(vrid)) for vrid in vrids),
    )


def report(vrid: int = 7, **more: object) -> Report:
    usual = {
        "role": Role.BACKUP,
        "priority": 150,
        "configured": 160,
        "heard": 1,
        "expected": 2,
        "flags": 0,
        "centiseconds": 100,
        "digest": b"addsum7",
    }
    return Report(vrid=vrid, **(usual | more))  # type: ignore[arg-type]


ONE = Beacon(6, 3, (2, 9), (report(),))
WIRE = bytes.fromhex(
    "b1 07 4558 06 02 0000 01 00 0000 00000003"  # header
    " 00000002 00000009"  # echoes
    " 07 01 96 12 0000 0064 a0 61646473756d37"  # router
)


def refused(datagram: bytes) -> Flaw:
    with pytest.raises(Refused) as raised:
        decode(datagram).open()
    assert str(raised.value) == raised.value.flaw
    return raised.value.flaw


def changed(at: int, value: int) -> bytes:
    return WIRE[:at] + bytes([value]) + WIRE[at + 1 :]


def test_the_layout_is_that_of_the_documentation() -> None:
    assert encode(ONE) == WIRE
    assert decode(WIRE).open() == ONE


@given(beacons(), st.sampled_from((b"", bytes(TRAILER))))
def test_what_is_written_is_read_again(beacon: Beacon, trailer: bytes) -> None:
    message = encode(beacon)
    assert len(message) + TRAILER <= LARGEST
    sealed = decode(message + trailer)
    assert (sealed.vrid, sealed.family) == (beacon.reports[0].vrid, beacon.family)
    assert (sealed.message, sealed.trailer) == (message, trailer)
    assert sealed.open() == beacon


@given(st.binary(max_size=LARGEST + 1) | st.binary(max_size=64).map(lambda rest: WIRE[:8] + rest))
def test_any_bytes_are_a_beacon_or_unreadable(datagram: bytes) -> None:
    try:
        sealed = decode(datagram)
        beacon = sealed.open()
    except Refused:
        return
    assert encode(beacon) + sealed.trailer == datagram


def test_what_is_no_beacon_is_refused_by_its_first_flaw() -> None:
    assert refused(b"") is refused(WIRE[:15]) is refused(WIRE + b"\0") is refused(WIRE[:-1]) is Flaw.LENGTH
    assert refused(WIRE + bytes(LARGEST)) is Flaw.LENGTH
    assert refused(WIRE + bytes(TRAILER - 1)) is Flaw.LENGTH
    assert refused(changed(0, 0x31)) is refused(changed(2, 0)) is Flaw.MAGIC
    assert refused(changed(0, 0xB2)) is Flaw.VERSION
    for at, value in ((4, 5), (5, 9), (6, 1), (7, 1), (8, 0), (8, MOST + 1), (9, 1), (10, 1), (11, 1)):
        assert refused(changed(at, value)) is Flaw.FIELD, at
    routers_at = 24
    for at, value in ((0, 0), (0, 8), (1, 3), (7, 0)):
        assert refused(changed(routers_at + at, value)) is Flaw.FIELD, at


def test_a_virtual_router_stands_in_it_once() -> None:
    assert refused(encode(Beacon(4, 0, (), (report(7), report(8), report(8))))) is Flaw.FIELD


def test_the_longest_fits_into_any_link() -> None:
    longest = Beacon(6, 1, tuple(range(ECHOES)), tuple(report(1 + number) for number in range(MOST)))
    assert LARGEST - 16 < len(encode(longest)) + TRAILER <= LARGEST


def test_every_fault_and_hold_has_a_bit_and_what_is_unknown_is_said_so() -> None:
    bits = flags([*Fault, *Hold])
    assert bits.bit_count() == len(Fault) + len(Hold)
    both = report(flags=bits)
    assert (both.faults, both.holds) == (tuple(map(str, Fault)), tuple(map(str, Hold)))
    assert report(flags=flags([Fault.BIND])).faults == ("bind",)
    later = report(flags=0x8081)
    assert (later.faults, later.holds) == (("check", "unknown"), ("unknown",))
    assert (report().faults, report().holds) == ((), ())


def test_the_digest_is_of_the_set_of_addresses() -> None:
    one, other = (ip_address(f"2001:db8:53::{number}") for number in (1, 2))
    assert digest([one, other]) == digest([other, one]) != digest([one])
    assert len(digest([one])) == 7
