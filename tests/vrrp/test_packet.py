"""The codec: real packets of other implementations, every reason for a rejection, and arbitrary bytes.

Checksums are verified here by another arithmetic than the codec's: word by word, with the carries added to the sum.
"""

import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exavrrp.vrrp.auth import Flow, Key, Mode, Policy, Sequence, Verifier
from exavrrp.vrrp.packet import (
    ANYBODY,
    GROUPS,
    OPEN,
    Address,
    Advertisement,
    Datagram,
    Expectation,
    Guard,
    Ipv4Checksum,
    Malformed,
    Reason,
    decode,
    encode,
    parse,
    strip_ipv4,
    unscoped,
)

CAPTURES = Path(__file__).parent / "captures"


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(map(ip_address, texts))


def willing(source: Address, *vrids: int, own: Address | None = None, minimum_hop_limit: int = 0) -> Expectation:
    """A receiver that has ``source`` as its only peer, for these VRIDs."""
    peers = frozenset({source})
    ours = frozenset() if own is None else frozenset({own})
    return Expectation(ours, dict.fromkeys(vrids, peers), peers, minimum_hop_limit)


def pseudo_header(source: Address, destination: Address, length: int) -> bytes:
    fields = struct.pack("!BBH", 0, 112, length) if source.version == 4 else struct.pack("!IHBB", length, 0, 0, 112)
    return source.packed + destination.packed + fields


def sums_up(data: bytes) -> bool:
    """Whether the ones' complement sum of the 16-bit words is 0xffff (RFC 1071 §1)."""
    total = sum(first << 8 | second for first, second in zip(data[::2], data[1::2] + b"\0", strict=False))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def with_checksum(payload: bytes, pseudo: bytes) -> bytes:
    """``payload`` with the checksum that makes it right behind ``pseudo``."""
    blank = payload[:6] + b"\0\0" + payload[8:]
    remainder = int.from_bytes(pseudo + blank + b"\0" * (len(blank) % 2)) % 0xFFFF
    return payload[:6] + (0xFFFF - remainder).to_bytes(2) + payload[8:]


# Real packets


def captured(name: str) -> Datagram:
    """The IP packet in ``captures/NAME.hex``; IPv4 goes through the stripping that raw sockets need."""
    lines = (CAPTURES / f"{name}.hex").read_text().splitlines()
    packet = bytes.fromhex("".join(line for line in lines if not line.startswith("#")))
    if packet[0] >> 4 == 4:
        return strip_ipv4(packet)
    assert packet[6] == 112
    assert int.from_bytes(packet[4:6]) == len(packet) - 40
    return Datagram(IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), packet[7], packet[40:])


KEEPALIVED_IPV4 = Advertisement(51, 150, 50, addresses("198.51.100.1", "198.51.100.2"))
KEEPALIVED_IPV6 = Advertisement(52, 101, 100, addresses("2001:db8:53::1"))
FRR_IPV4 = Advertisement(7, 200, 50, addresses("198.51.100.7"))
FRR_IPV6 = Advertisement(7, 200, 50, addresses("2001:db8:53::7"))

UNICAST = {
    "keepalived-ipv4": (255, KEEPALIVED_IPV4),
    "keepalived-ipv4-leaving": (255, replace(KEEPALIVED_IPV4, priority=0)),
    "keepalived-ipv6": (255, KEEPALIVED_IPV6),
    "keepalived-ipv6-leaving": (255, replace(KEEPALIVED_IPV6, priority=0)),
    "keepalived-ipv6-hop-limit-64": (
        64,
        Advertisement(53, 254, 10, addresses("2001:db8:54::1", "2001:db8:54::2", "2001:db8:54::3")),
    ),
}
MULTICAST = {
    "frr-ipv4": FRR_IPV4,
    "frr-ipv4-leaving": replace(FRR_IPV4, priority=0),
    "frr-ipv6": FRR_IPV6,
    "frr-ipv6-leaving": replace(FRR_IPV6, priority=0),
}


def test_every_capture_is_tested() -> None:
    names = {path.stem for path in CAPTURES.glob("*.hex")}
    assert names == {*UNICAST, *MULTICAST, "keepalived-ipv4-old-checksum"}


@pytest.mark.parametrize("name", UNICAST)
def test_decodes_what_keepalived_sends_and_sends_the_same(name: str) -> None:
    hop_limit, advertisement = UNICAST[name]
    datagram = captured(name)
    assert datagram.hop_limit == hop_limit
    assert decode(datagram, willing(datagram.source, advertisement.vrid)) == advertisement
    assert encode(advertisement, datagram.source, datagram.destination) == datagram.payload


@pytest.mark.parametrize("name", MULTICAST)
def test_encodes_what_frr_sends_and_ignores_its_multicast(name: str) -> None:
    datagram = captured(name)
    assert encode(MULTICAST[name], datagram.source, datagram.destination) == datagram.payload
    assert rejection(datagram, willing(datagram.source, 7)) is Reason.MULTICAST
    assert parse(datagram) == MULTICAST[name]


def test_the_historical_checksum_of_keepalived_is_wrong() -> None:
    datagram = captured("keepalived-ipv4-old-checksum")
    assert sums_up(pseudo_header(datagram.source, IPv4Address("224.0.0.18"), 16) + datagram.payload)
    assert rejection(datagram, willing(datagram.source, 51)) is Reason.CHECKSUM


def vector(family: int) -> tuple[Datagram, bytes, Advertisement]:
    """A vector of the draft: the advert, its authentication trailer, and what it says."""
    vectors = json.loads((CAPTURES / "auth_hmac.json").read_text())["vectors"]
    (it,) = (each for each in vectors if each["family"] == family)
    destination = ip_address(it.get("destination", "198.51.100.20"))
    datagram = Datagram(ip_address(it["source_address"]), destination, 255, bytes.fromhex(it["pdu_hex"]))
    return datagram, bytes.fromhex(it["trailer_hex"]), Advertisement(51, 200, 100, addresses(it["vip"]))


def test_the_ipv4_checksum_of_rfc9568_leaves_the_trailer_out() -> None:
    datagram, trailer, advertisement = vector(4)
    assert decode(datagram, willing(datagram.source, 51)) == advertisement
    signed = replace(datagram, payload=datagram.payload + trailer)
    assert decode(signed, willing(datagram.source, 51)) == advertisement
    assert encode(advertisement, datagram.source, datagram.destination, Ipv4Checksum.RFC9568) == datagram.payload
    assert encode(advertisement, datagram.source, datagram.destination) != datagram.payload


def test_the_ipv6_checksum_covers_the_trailer() -> None:
    datagram, trailer, advertisement = vector(6)
    signed = replace(datagram, payload=datagram.payload + trailer)
    assert decode(signed, willing(datagram.source, 51)) == advertisement
    assert rejection(datagram, willing(datagram.source, 51)) is Reason.CHECKSUM


# Every reason, and their order


def rejection(datagram: Datagram, expectation: Expectation, guard: Guard[Any] = OPEN) -> Reason:
    with pytest.raises(Malformed) as caught:
        decode(datagram, expectation, guard, NOW)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.detail}"
    assert caught.value.detail
    return caught.value.reason


NOW = 1_800_000_000.25
LAST = Sequence((1_800_000_000 << 32) - 1)
SECRET = bytes(range(32))


@dataclass(frozen=True)
class Seal:
    """A trailer in the making, with its faults."""

    missing: bool = False
    reserved: int = 0
    seconds: int = 1_800_000_000
    key: int = 1
    spoil_code: int = 0
    counter: int = 0

    def trailer(self, source: Address, message: bytes) -> bytes:
        if self.missing:
            return b""
        front = struct.pack("!BBHIHH", 1, self.key, self.reserved, self.seconds, 0, self.counter)
        pseudo = (
            bytes([source.version, message[0] >> 4, message[1], 0]) + source.packed + bytes(16 - len(source.packed))
        )
        covered = pseudo + message[:6] + b"\0\0" + message[8:] + front + bytes(16)
        code = hmac.new(SECRET, covered, "sha256").digest()[:16]
        return front + bytes([code[0] ^ self.spoil_code]) + code[1:]


@dataclass(frozen=True)
class Draft:
    """An advert in the making, with its faults."""

    source: Address
    destination: Address
    vips: tuple[Address, ...]
    hop_limit: int = 254
    version_type: tuple[int, int] = (3, 1)
    vrid: int = 7
    count: int | None = None
    reserved: int = 0
    interval: int = 100
    spoil_checksum: int = 0
    cut: int = 0
    seal: Seal | None = None

    def datagram(self) -> Datagram:
        vips = self.vips if self.count != 0 else ()
        version, kind = self.version_type
        header = struct.pack(
            "!BBBBHH", version << 4 | kind, self.vrid, 150, len(vips), self.reserved << 12 | self.interval, 0
        )
        payload = header + b"".join(vip.packed for vip in vips)
        trailer = b"" if self.seal is None or self.cut else self.seal.trailer(self.source, payload)
        summed = payload + trailer if self.source.version == 6 else payload
        summed = with_checksum(summed, pseudo_header(self.source, self.destination, len(summed)))
        spoilt = int.from_bytes(summed[6:8]) ^ self.spoil_checksum
        payload = payload[:6] + spoilt.to_bytes(2) + payload[8:]
        return Datagram(self.source, self.destination, self.hop_limit, payload[: len(payload) - self.cut] + trailer)

    def sealed(self, **faults: Any) -> "Draft":
        """The same with a trailer, or with these faults in the one that it has."""
        return replace(self, seal=replace(self.seal or Seal(), **faults))


OWN = {4: ip_address("192.0.2.11"), 6: ip_address("2001:db8::11")}
PEER = {4: ip_address("192.0.2.12"), 6: ip_address("2001:db8::12")}
NON_PEER = {4: ip_address("192.0.2.13"), 6: ip_address("2001:db8::13")}
GROUP = {4: ip_address("224.0.0.18"), 6: ip_address("ff02::12")}
DRAFTS = {
    4: Draft(PEER[4], OWN[4], addresses("198.51.100.1", "198.51.100.2")),
    6: Draft(PEER[6], OWN[6], addresses("2001:db8:53::1", "2001:db8:53::2")),
}

FAULTS: dict[Reason, Callable[[Draft], Draft]] = {
    Reason.OWN_ADDRESS: lambda draft: replace(draft, source=OWN[draft.source.version]),
    Reason.UNKNOWN_SOURCE: lambda draft: replace(draft, source=NON_PEER[draft.source.version]),
    Reason.MULTICAST: lambda draft: replace(draft, destination=GROUP[draft.source.version]),
    Reason.HOP_LIMIT: lambda draft: replace(draft, hop_limit=253),
    Reason.VERSION: lambda draft: replace(draft, version_type=(2, draft.version_type[1])),
    Reason.TYPE: lambda draft: replace(draft, version_type=(draft.version_type[0], 2)),
    Reason.LENGTH: lambda draft: replace(draft, cut=1),
    Reason.UNKNOWN_VRID: lambda draft: replace(draft, vrid=8),
    Reason.AUTH_MISSING: lambda draft: draft.sealed(missing=True),
    Reason.AUTH_MALFORMED: lambda draft: draft.sealed(reserved=1),
    Reason.AUTH_WINDOW: lambda draft: draft.sealed(seconds=1_799_999_994),
    Reason.AUTH_UNKNOWN_KEY: lambda draft: draft.sealed(key=2),
    Reason.AUTH_MAC: lambda draft: draft.sealed(spoil_code=1),
    Reason.AUTH_REPLAY: lambda draft: draft.sealed(seconds=min(1_799_999_999, (draft.seal or Seal()).seconds)),
    Reason.CHECKSUM: lambda draft: replace(draft, spoil_checksum=0x0100),
    Reason.NO_ADDRESSES: lambda draft: replace(draft, count=0),
    Reason.INTERVAL: lambda draft: replace(draft, interval=0),
}
"""One for each member but IP_HEADER, in the order in which they are looked for."""

families = pytest.mark.parametrize("family", [4, 6])


def receiver(family: int) -> Expectation:
    return willing(PEER[family], 7, own=OWN[family], minimum_hop_limit=254)


def enforcing(family: int) -> Verifier:
    """A guard that has just accepted an advert."""
    policy = Policy(Mode.ENFORCE, 5, (Key(1, SECRET),), 1)
    return Verifier(OWN[family], {7: policy}, {Flow(OWN[family], PEER[family], 7): LAST})


@families
def test_without_a_fault_it_is_accepted(family: int) -> None:
    draft = DRAFTS[family]
    assert decode(draft.datagram(), receiver(family)) == Advertisement(7, 150, 100, draft.vips)
    signed = draft.sealed().datagram()
    assert decode(signed, receiver(family), enforcing(family), NOW) == Advertisement(7, 150, 100, draft.vips)


def test_every_reason_has_its_test_in_the_order_of_the_enum() -> None:
    assert [Reason.IP_HEADER, *FAULTS] == list(Reason)


@families
@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_is_rejected_for_its_reason(family: int, reason: Reason) -> None:
    faulty = FAULTS[reason](DRAFTS[family].sealed())
    assert rejection(faulty.datagram(), receiver(family), enforcing(family)) is reason


@families
@pytest.mark.parametrize(("first", "second"), list(combinations(FAULTS, 2)))
def test_of_two_faults_the_first_is_reported(family: int, first: Reason, second: Reason) -> None:
    faulty = FAULTS[first](FAULTS[second](DRAFTS[family].sealed()))
    assert rejection(faulty.datagram(), receiver(family), enforcing(family)) is first


@families
@pytest.mark.parametrize("reason", FAULTS)
def test_only_an_advert_that_passes_every_check_raises_the_replay_counter(family: int, reason: Reason) -> None:
    flow = Flow(OWN[family], PEER[family], 7)
    marks = {flow: LAST}
    guard = Verifier(OWN[family], {7: Policy(Mode.ENFORCE, 5, (Key(1, SECRET),), 1)}, marks)
    draft = DRAFTS[family].sealed()
    assert rejection(FAULTS[reason](draft).datagram(), receiver(family), guard) is reason
    assert marks == {flow: LAST}
    decode(draft.datagram(), receiver(family), guard, NOW)
    assert marks == {flow: Sequence(1_800_000_000 << 32)}


@families
def test_the_hop_limit_counts_from_the_minimum(family: int) -> None:
    datagram = DRAFTS[family].datagram()
    assert decode(replace(datagram, hop_limit=255), receiver(family))
    unless_asked_for = willing(PEER[family], 7)
    assert decode(replace(datagram, hop_limit=0), unless_asked_for)


@families
def test_a_multicast_router_hears_whoever_sends_to_its_group_on_its_link(family: int) -> None:
    draft = replace(DRAFTS[family], destination=GROUP[family])
    expectation = Expectation(frozenset({OWN[family]}), {7: ANYBODY}, ANYBODY, 255, GROUPS[family])
    assert GROUPS[family] == GROUP[family]
    datagram = replace(draft.datagram(), hop_limit=255)
    stranger = replace(draft, source=NON_PEER[family], hop_limit=255).datagram()
    for one in (datagram, stranger):
        assert decode(one, expectation).vrid == 7
    assert rejection(replace(draft, source=OWN[family]).datagram(), expectation) is Reason.OWN_ADDRESS
    assert rejection(DRAFTS[family].datagram(), expectation) is Reason.MULTICAST, "unicast, to us alone"
    assert rejection(replace(datagram, hop_limit=254), expectation) is Reason.HOP_LIMIT
    only = replace(expectation, vrids={7: frozenset({PEER[family]})}, peers=frozenset({PEER[family]}))
    assert decode(datagram, only).vrid == 7
    assert rejection(stranger, only) is Reason.UNKNOWN_SOURCE


def test_packets_have_no_scope() -> None:
    assert unscoped(ip_address("fe80::1%eth0")) == ip_address("fe80::1") != ip_address("fe80::1%eth0")
    assert [unscoped(one) for one in (PEER[4], PEER[6])] == [PEER[4], PEER[6]]


@families
@pytest.mark.parametrize("version", [0, 1, 2, 4, 6, 15])
def test_no_other_version_is_accepted(family: int, version: int) -> None:
    draft = replace(DRAFTS[family], version_type=(version, 1))
    assert rejection(draft.datagram(), receiver(family)) is Reason.VERSION


@families
@pytest.mark.parametrize("kind", [0, 2, 15])
def test_no_other_type_is_accepted(family: int, kind: int) -> None:
    draft = replace(DRAFTS[family], version_type=(3, kind))
    assert rejection(draft.datagram(), receiver(family)) is Reason.TYPE


@families
def test_no_shorter_packet_is_accepted(family: int) -> None:
    datagram = DRAFTS[family].datagram()
    for length in range(1, len(datagram.payload)):
        assert rejection(replace(datagram, payload=datagram.payload[:length]), receiver(family)) is Reason.LENGTH
    assert rejection(replace(datagram, payload=b""), receiver(family)) is Reason.VERSION


@families
def test_a_vrid_belongs_to_its_peers(family: int) -> None:
    datagram = DRAFTS[family].datagram()
    other = frozenset({NON_PEER[family]})
    expectation = Expectation(frozenset(), {7: other, 8: frozenset({PEER[family]})}, other | {PEER[family]})
    assert rejection(datagram, expectation) is Reason.UNKNOWN_VRID


@families
@pytest.mark.parametrize("reserved", range(1, 16))
def test_the_reserved_bits_are_ignored(family: int, reserved: int) -> None:
    # "The Reserve field MUST be set to zero on transmission and ignored on reception." (RFC 9568 §5.2.6)
    draft = replace(DRAFTS[family], reserved=reserved)
    assert decode(draft.datagram(), receiver(family)).centiseconds == 100
    assert rejection(replace(draft, interval=0).datagram(), receiver(family)) is Reason.INTERVAL


def test_ipv4_tolerates_what_follows_the_advert() -> None:
    datagram = DRAFTS[4].datagram()
    padded = replace(datagram, payload=datagram.payload + b"\xff\x00padding")
    assert decode(padded, receiver(4)) == decode(datagram, receiver(4))


def test_ipv6_sums_what_follows_the_advert() -> None:
    datagram = DRAFTS[6].datagram()
    for trailer in (b"\0\0", b"\xff\x00padding"):
        longer = datagram.payload + trailer
        assert rejection(replace(datagram, payload=longer), receiver(6)) is Reason.CHECKSUM
        summed = with_checksum(longer, pseudo_header(datagram.source, datagram.destination, len(longer)))
        assert decode(replace(datagram, payload=summed), receiver(6)) == decode(datagram, receiver(6))


# Without a policy

MEANINGLESS = {
    **{reason: FAULTS[reason] for reason in (Reason.VERSION, Reason.TYPE, Reason.LENGTH)},
    Reason.UNKNOWN_VRID: lambda draft: replace(draft, vrid=0),
    **{reason: FAULTS[reason] for reason in (Reason.CHECKSUM, Reason.NO_ADDRESSES, Reason.INTERVAL)},
}
"""What ``parse`` looks for, in this order."""


@families
@pytest.mark.parametrize("reason", [reason for reason in FAULTS if reason not in MEANINGLESS])
def test_parse_has_no_policy(family: int, reason: Reason) -> None:
    draft = DRAFTS[family]
    assert parse(FAULTS[reason](draft.sealed()).datagram()) == Advertisement(7, 150, 100, draft.vips)


@families
@pytest.mark.parametrize(("first", "second"), list(combinations_with_replacement(MEANINGLESS, 2)))
def test_parse_rejects_for_the_first_fault(family: int, first: Reason, second: Reason) -> None:
    with pytest.raises(Malformed) as caught:
        parse(MEANINGLESS[first](MEANINGLESS[second](DRAFTS[family])).datagram())
    assert caught.value.reason is first


@families
def test_there_is_no_vrid_0_whoever_expects_it(family: int) -> None:
    draft = replace(DRAFTS[family], vrid=0)
    assert rejection(draft.datagram(), of_any_vrid(PEER[family])) is Reason.UNKNOWN_VRID


def test_an_advert_reads_well_in_a_log() -> None:
    assert str(KEEPALIVED_IPV4) == "vrid 51 priority 150 every 0.5s"


# The IPv4 header of raw sockets


def ipv4_packet(payload: bytes, options: bytes = b"", total: int | None = None, first: int | None = None) -> bytes:
    words = 5 + len(options) // 4
    length = words * 4 + len(payload) if total is None else total
    fields = (0x40 | words if first is None else first, 0xC0, length, 1, 0, 64, 112, 0)
    return struct.pack("!BBHHHBBH", *fields) + PEER[4].packed + OWN[4].packed + options + payload


@given(payload=st.binary(max_size=64), options=st.integers(0, 10), padding=st.binary(max_size=32))
def test_the_ip_header_bounds_the_payload(payload: bytes, options: int, padding: bytes) -> None:
    packet = ipv4_packet(payload, options=b"\x01" * (4 * options)) + padding
    assert strip_ipv4(packet) == Datagram(PEER[4], OWN[4], 64, payload)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        ipv4_packet(b"")[:19],
        ipv4_packet(b"payload", first=0x65),
        ipv4_packet(b"payload", first=0x35),
        ipv4_packet(b"payload", first=0x44),
        ipv4_packet(b"payload", total=19),
        ipv4_packet(b"payload", total=28),
        ipv4_packet(b"payload", first=0x46, total=23),
        ipv4_packet(b"payload", first=0x4F),
    ],
    ids=[
        "empty",
        "shorter than a header",
        "version 6",
        "version 3",
        "header of 16 bytes",
        "total shorter than the header",
        "total longer than the packet",
        "total ends within the options",
        "header longer than the packet",
    ],
)
def test_what_is_no_ipv4_packet_is_rejected(packet: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        strip_ipv4(packet)
    assert caught.value.reason is Reason.IP_HEADER


def test_an_ipv4_packet_without_payload_is_one() -> None:
    assert strip_ipv4(ipv4_packet(b"")).payload == b""


# What does not fit into the packet


UNFIT = [
    ({"vrid": 0}, "VRID 0 is not 1–255"),
    ({"vrid": 300}, "VRID 300 is not 1–255"),
    ({"priority": -1}, "priority -1 is not 0–255"),
    ({"priority": 256}, "priority 256 is not 0–255"),
    ({"centiseconds": 0}, "Max Advertise Interval 0 is not 1–4095 centiseconds"),
    ({"centiseconds": 5000}, "Max Advertise Interval 5000 is not 1–4095 centiseconds"),
    ({"addresses": ()}, "0 addresses, an advert has 1–255"),
    ({"addresses": KEEPALIVED_IPV4.addresses * 128}, "256 addresses, an advert has 1–255"),
    ({"addresses": KEEPALIVED_IPV4.addresses + KEEPALIVED_IPV6.addresses}, "addresses of both families"),
]


@pytest.mark.parametrize(("change", "why"), UNFIT, ids=lambda it: "-".join(it) if isinstance(it, dict) else "")
def test_an_advert_that_no_packet_can_hold_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(KEEPALIVED_IPV4, **change)


def test_an_advert_is_encoded_for_its_own_family_only() -> None:
    for source, destination in ((OWN[6], PEER[6]), (OWN[4], PEER[6]), (OWN[6], PEER[4])):
        with pytest.raises(ValueError, match="not all of one family"):
            encode(KEEPALIVED_IPV4, source, destination)


# Whatever comes

IPV4 = st.integers(0x01000000, 0xDFFFFFFF).map(IPv4Address)
IPV6 = st.integers(1, (0xFF << 120) - 1).map(IPv6Address)


@st.composite
def adverts(draw: st.DrawFn) -> tuple[Advertisement, Address, Address]:
    """An advert with its source and destination, of either family."""
    family: st.SearchStrategy[Address] = draw(st.sampled_from([IPV4, IPV6]))
    advertisement = Advertisement(
        vrid=draw(st.integers(1, 255)),
        priority=draw(st.integers(0, 255)),
        centiseconds=draw(st.integers(1, 4095)),
        addresses=tuple(draw(st.lists(family, min_size=1, max_size=8))),
    )
    return advertisement, draw(family), draw(family)


checksums = st.sampled_from(Ipv4Checksum)


# Words that sum up to 0x2fffe: the carry of the first folding makes another one.
CARRIES_TWICE = Advertisement(7, 100, 100, addresses(*(f"2001:db8:53::{n}" for n in (1, 2, 3, 4, 5, 6, 7, "9d82"))))


@given(advert=adverts(), form=checksums)
@example((CARRIES_TWICE, ip_address("2001:db8::11"), ip_address("2001:db8::12")), Ipv4Checksum.PSEUDO_HEADER)
@example(
    (Advertisement(255, 255, 4095, addresses(*["192.0.2.1"] * 255)), ip_address("192.0.2.2"), ip_address("192.0.2.3")),
    Ipv4Checksum.RFC9568,
)
def test_what_is_encoded_is_decoded(advert: tuple[Advertisement, Address, Address], form: Ipv4Checksum) -> None:
    advertisement, source, destination = advert
    payload = encode(advertisement, source, destination, form)
    plain = source.version == 4 and form is Ipv4Checksum.RFC9568
    assert sums_up((b"" if plain else pseudo_header(source, destination, len(payload))) + payload)
    assert decode(Datagram(source, destination, 255, payload), willing(source, advertisement.vrid)) == advertisement


@pytest.mark.parametrize("name", UNICAST)
def test_each_flipped_bit_of_a_real_packet_is_noticed(name: str) -> None:
    datagram = captured(name)
    count = datagram.payload[3]
    for bit in range(len(datagram.payload) * 8):
        flipped = with_flipped_bit(datagram, bit)
        longer = flipped.payload[3] > count
        expected = {0: Reason.TYPE if bit < 4 else Reason.VERSION, 3: Reason.LENGTH if longer else Reason.CHECKSUM}
        assert rejection(flipped, of_any_vrid(datagram.source)) is expected.get(bit // 8, Reason.CHECKSUM), bit


@given(advert=adverts(), form=checksums, data=st.data())
def test_a_flipped_bit_is_noticed(
    advert: tuple[Advertisement, Address, Address], form: Ipv4Checksum, data: st.DataObject
) -> None:
    advertisement, source, destination = advert
    payload = encode(advertisement, source, destination, form)
    bit = data.draw(st.integers(0, len(payload) * 8 - 1))
    flipped = with_flipped_bit(Datagram(source, destination, 255, payload), bit)
    if source.version == 4 and right_in_either_form(flipped):
        return
    noticed = {Reason.VERSION, Reason.TYPE, Reason.LENGTH, Reason.CHECKSUM}
    if flipped.payload[1] == 0:  # there is no VRID 0, whatever the checksum
        noticed = {Reason.UNKNOWN_VRID}
    assert rejection(flipped, of_any_vrid(source)) in noticed


def with_flipped_bit(datagram: Datagram, bit: int) -> Datagram:
    payload = bytearray(datagram.payload)
    payload[bit // 8] ^= 1 << bit % 8
    return replace(datagram, payload=bytes(payload))


def of_any_vrid(source: Address) -> Expectation:
    return willing(source, *range(256))


def right_in_either_form(datagram: Datagram) -> bool:
    """Whether an IPv4 advert is right after all, which a flipped bit can make it.

    Who accepts both forms pays for it: where the pseudo-header sums up to a power of two, one bit makes the difference
    between them. And where the last address sums up to −1, an advert with one address less is as right as with it,
    for what follows the message is not summed. IPv6 has no such flaw.
    """
    message = datagram.payload[: 8 + 4 * datagram.payload[3]]
    pseudo = pseudo_header(datagram.source, datagram.destination, len(message))
    return sums_up(message) or sums_up(pseudo + message)


@given(advert=adverts(), bit=st.integers(0, 127))
def test_another_destination_is_noticed(advert: tuple[Advertisement, Address, Address], bit: int) -> None:
    # The pseudo-header's use: an advert for somebody else does not count here.
    advertisement, source, destination = advert
    payload = encode(advertisement, source, destination)
    elsewhere = type(destination)(int(destination) ^ 1 << bit % destination.max_prefixlen)
    strayed = Datagram(source, elsewhere, 255, payload)
    if source.version == 4 and right_in_either_form(strayed):
        return
    assert rejection(strayed, willing(source, advertisement.vrid)) in {Reason.CHECKSUM, Reason.MULTICAST}


@st.composite
def datagrams(draw: st.DrawFn) -> Datagram:
    """Bytes from our peer: anything, or something that begins like an advert, often with a right checksum."""
    family = draw(st.sampled_from([4, 6]))
    payload = draw(
        st.one_of(
            st.binary(max_size=64),
            st.tuples(st.integers(0, 5), st.binary(max_size=96)).map(lambda it: bytes([0x31, 7, 100, it[0]]) + it[1]),
        )
    )
    if len(payload) >= 8 and draw(st.booleans()):
        payload = with_checksum(payload, pseudo_header(PEER[family], OWN[family], len(payload)))
    return Datagram(PEER[family], OWN[family], draw(st.integers(0, 255)), payload)


@given(datagram=datagrams())
def test_decode_raises_malformed_or_returns_something_sound(datagram: Datagram) -> None:
    expectation = willing(datagram.source, 7, minimum_hop_limit=1)
    try:
        advertisement = decode(datagram, expectation)
    except Malformed:
        return
    assert parse(datagram) == advertisement
    assert advertisement.vrid == 7
    assert advertisement.priority == datagram.payload[2]
    assert 1 <= advertisement.centiseconds <= 4095
    assert len(advertisement.addresses) == datagram.payload[3] >= 1
    assert {address.version for address in advertisement.addresses} == {datagram.source.version}
    assert datagram.hop_limit >= 1


@given(packet=st.one_of(st.binary(max_size=96), st.binary(max_size=96).map(lambda rest: b"\x45" + rest)))
def test_strip_ipv4_raises_malformed_or_returns_a_part(packet: bytes) -> None:
    try:
        datagram = strip_ipv4(packet)
    except Malformed:
        return
    assert datagram.payload in packet
    assert len(datagram.payload) == int.from_bytes(packet[2:4]) - (packet[0] & 0x0F) * 4
