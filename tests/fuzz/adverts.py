"""Input from the network: packets, the kernel's ancillary data, and authentication trailers."""

import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from exavrrp.beacon import codec
from exavrrp.system.wire import read_ipv4_ancillary, read_ipv6_ancillary
from exavrrp.vrrp import auth, version2
from exavrrp.vrrp.packet import (
    ANYBODY,
    GROUPS,
    Address,
    Advertisement,
    Datagram,
    Expectation,
    Malformed,
    decode,
    encode,
    internet_checksum,
    parse,
    strip_ipv4,
)
from exavrrp.vrrp.router import Role
from exavrrp.vrrp.version2 import Version2
from tests.fuzz.choices import Choices
from tests.fuzz.reader import ROOT, Reader

PEERS: Mapping[int, Address] = {4: ip_address("192.0.2.11"), 6: ip_address("2001:db8::11")}
OURS: Mapping[int, Address] = {4: ip_address("192.0.2.12"), 6: ip_address("2001:db8::12")}


def packet(data: bytes) -> None:
    """The first byte says if the rest is a raw IPv4 packet or what follows an IP header, and if it is summed up."""
    choices = Choices(data)
    kind = choices.number(8)
    try:
        if kind < 4:
            datagram = strip_ipv4(choices.rest())
            assert len(datagram.payload) <= len(data) - 20
        else:
            family = 4 if kind < 6 else 6
            hops = choices.number(256)
            destination = GROUPS[family] if hops % 2 else OURS[family]
            datagram = Datagram(PEERS[family], destination, hops, choices.rest())
        if kind % 2:
            datagram = _summed(datagram)
        source, vrids = datagram.source, Choices(datagram.payload[1:2]).number(256)
        expectation = Expectation(frozenset(OURS.values()), {vrids: frozenset([source])}, frozenset([source]), 1)
        if datagram.destination in GROUPS.values():
            expectation = replace(expectation, vrids={vrids: ANYBODY}, peers=ANYBODY, group=datagram.destination)
        parsed = parse(datagram)
        advert = decode(datagram, expectation)
    except Malformed as malformed:
        assert str(malformed).isprintable()
        return
    assert parsed == advert
    assert advert.vrid == datagram.payload[1]
    assert 1 <= advert.centiseconds <= 4095
    assert len(advert.addresses) == datagram.payload[3] >= 1
    assert {one.version for one in advert.addresses} == {source.version}
    assert decode(replace(datagram, payload=encode(advert, source, datagram.destination)), expectation) == advert


def outdated(data: bytes) -> None:
    """An advert of VRRPv2: the first byte says whether a password is expected, and whether the sum is right."""
    choices = Choices(data)
    kind = choices.number(4)
    terms = Version2(1, b"s3cret" if kind < 2 else b"")
    payload = choices.rest()
    if kind % 2 and len(payload) >= 8:
        payload = payload[:6] + bytes(2) + payload[8:]
        covered = payload[: 16 + 4 * payload[3]]
        payload = payload[:6] + internet_checksum(covered).to_bytes(2, "big") + payload[8:]
    datagram = Datagram(PEERS[4], GROUPS[4], 255, payload)
    expectation = Expectation(frozenset(OURS.values()), {7: ANYBODY}, ANYBODY, 255, GROUPS[4])
    try:
        advert = version2.decode(datagram, expectation, terms)
    except Malformed as malformed:
        assert str(malformed).isprintable()
        return
    assert (advert.vrid, advert.centiseconds) == (7, 100)
    sent = version2.encode(advert, terms)
    if terms.password:
        assert payload.startswith(sent)
    assert version2.decode(replace(datagram, payload=sent), expectation, terms) == advert


def _outdated() -> list[bytes]:
    adverts = (
        Advertisement(7, priority, 100, (ip_address("192.0.2.53"),) * (1 + priority % 3)) for priority in range(4)
    )
    return [
        bytes([kind]) + version2.encode(advert, Version2(1, password))
        for advert in adverts
        for kind, password in enumerate((b"s3cret", b"s3cret", b"", b""))
    ]


def _summed(datagram: Datagram) -> Datagram:
    """With a right checksum, which mutations do not hit: the sum over the whole payload, and over the message alone."""
    payload = bytearray(datagram.payload)
    if len(payload) < 8:
        return datagram
    payload[6:8] = bytes(2)
    size = 4 if datagram.source.version == 4 else 16
    covered = len(payload) if size == 16 else min(len(payload), 8 + payload[3] * size)
    pseudo = datagram.source.packed + datagram.destination.packed
    pseudo += struct.pack("!BBH", 0, 112, covered) if size == 4 else struct.pack("!IHBB", covered, 0, 0, 112)
    words = pseudo + payload[:covered] + bytes(covered % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    payload[6:8] = (total ^ 0xFFFF).to_bytes(2)
    return replace(datagram, payload=bytes(payload))


def _packets() -> list[bytes]:
    found = []
    for path in sorted((ROOT / "tests/vrrp/captures").glob("*.hex")):
        lines = path.read_text().splitlines()
        whole = bytes.fromhex("".join(line for line in lines if not line.startswith("#")))
        heads, body = ((b"\0", b"\1"), whole) if whole[0] >> 4 == 4 else ((b"\6\xff", b"\7\xff"), whole[40:])
        found += [head + body for head in heads]
    return [
        *found,
        *(
            bytes([kind, 255]) + encode(Advertisement(7, 100, 10, (address,) * count), PEERS[family], OURS[family])
            for kind, family, address in ((4, 4, OURS[4]), (6, 6, OURS[6]))
            for count in (1, 3)
        ),
    ]


_LEVELS = (socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET)
_KINDS = (8, socket.IPV6_PKTINFO, socket.IPV6_HOPLIMIT, 40)


def ancillary(data: bytes) -> None:
    """What the kernel says about a packet: level, type and length of each message are a byte each."""
    choices = Choices(data)
    messages: list[tuple[int, int, bytes]] = []
    while choices and len(messages) < 16:
        level, kind, size = _LEVELS[choices.number(3)], _KINDS[choices.number(4)], choices.number(32)
        messages.append((level, kind, choices.take(size)))
    with suppress(Malformed):
        assert 0 <= read_ipv4_ancillary(messages) <= 0xFFFF_FFFF
    with suppress(Malformed):
        destination, interface, hop_limit = read_ipv6_ancillary(messages)
        assert isinstance(destination, IPv6Address)
        assert 0 <= interface <= 0xFFFF_FFFF
        assert 0 <= hop_limit <= 255


def _ancillaries() -> list[bytes]:
    four = b"\0\0\x0c" + struct.pack("=I8x", 2)
    six = b"\1\1\x14" + OURS[6].packed + struct.pack("=I", 2) + b"\1\2\4" + struct.pack("=i", 255)
    dropped = b"\2\3\4" + struct.pack("=I", 9)
    return [four + dropped, six + dropped, four, six]


SECRETS = tuple(auth.Key(number, bytes([number]) * 32) for number in (1, 2, 9))
"""The last one is an attacker's."""
MOMENTS = (0.0, 0.00001, 0.001, 0.04, 1.0, 9.0, 11.0, 1000.0)
EPOCHS = (1_700_000_000.0, 4_294_967_290.0)
"""The second is shortly before the seconds wrap."""
WINDOW = 10


def authentication(data: bytes) -> None:
    """A peer that signs, an attacker who records and changes what it says, and a clock that goes on.

    Nothing is accepted that the peer has not signed, and nothing twice.
    """
    choices = Choices(data)
    family = (4, 6)[choices.number(2)]
    realtime = EPOCHS[choices.number(2)]
    policy = auth.Policy(auth.Mode.ENFORCE, WINDOW, SECRETS[:2], 1 + choices.number(2))
    source = PEERS[family]
    marks: dict[auth.Flow, auth.Sequence] = {}
    verifier = auth.Verifier(OURS[family], {7: policy, 8: policy}, marks)
    signers = {vrid: auth.Signer(policy, source, vrid, {}) for vrid in (7, 8)}
    own = frozenset(OURS.values())
    expectation = Expectation(own, dict.fromkeys((7, 8, 9), frozenset([source])), frozenset([source]))
    said: list[bytes] = []
    accepted: set[bytes] = set()
    while choices:
        vrid, payload = 7 + choices.number(2), b""
        match choices.number(6):
            case 0:
                payload = choices.take(choices.number(100))
            case 1:
                realtime += MOMENTS[choices.number(len(MOMENTS))]
            case 2 if said:  # replayed
                payload = said[-1 - choices.number(len(said))]
            case 3 if said:  # changed, with a right checksum
                changed = bytearray(said[-1 - choices.number(len(said))])
                changed[choices.number(len(changed))] ^= choices.number(256)
                payload = _summed(Datagram(source, OURS[family], 255, bytes(changed))).payload
            case 4:  # signed by who has no key of ours
                moment = realtime + choices.number(32) - 16
                advert = Advertisement(vrid, choices.number(256), 100, (OURS[family],))
                payload = encode(advert, source, OURS[family], trailer=_forger(source, moment))
            case _:
                skewed = realtime + choices.number(32) - 16
                advert = Advertisement(vrid, choices.number(256), 100, (OURS[family],) * (1 + choices.number(3)))
                payload = encode(advert, source, OURS[family], trailer=_with(signers[vrid], skewed))
                said.append(payload)
        with suppress(Malformed):
            decode(Datagram(source, OURS[family], 255, payload), expectation, verifier, realtime)
            if payload[1] == 9:
                continue  # needs no trailer
            covered = _covered(payload)
            assert covered in {_covered(one) for one in said}, "forged"
            assert covered not in accepted, "replayed"
            accepted.add(covered)
    assert len(marks) <= 2


def _with(signer: auth.Signer, realtime: float) -> Callable[[bytes], bytes]:
    return lambda message: signer.trailer(message, realtime)


def _forger(source: Address, realtime: float) -> Callable[[bytes], bytes]:
    key = replace(SECRETS[2], id=1)
    return lambda message: bytes(auth.sign(key, auth.sequence(realtime), source, message))


def _covered(payload: bytes) -> bytes:
    """What the code covers: all but the checksum."""
    return payload[:6] + payload[8:]


def beacon(data: bytes) -> None:
    """A datagram at the port of beacons."""
    try:
        sealed = codec.decode(data)
        found = sealed.open()
    except codec.Refused as refused:
        assert refused.flaw in codec.Flaw
        return
    assert 1 <= len(found.reports) <= codec.MOST
    assert len(found.echoes) <= codec.ECHOES
    assert found.reports[0].vrid == sealed.vrid == data[1]
    assert all(one.isprintable() for report in found.reports for one in (*report.faults, *report.holds))
    assert codec.encode(found) + sealed.trailer == data
    if sealed.trailer:
        with suppress(Malformed):
            trailer = auth.Trailer.read(sealed.trailer)
            assert not auth.verify(SECRETS[0], trailer, PEERS[6], sealed.message)


def _beacons() -> list[bytes]:
    reports = [
        codec.Report(vrid, role, 100, 120, 1, 2, 0x0201, 100, codec.digest([OURS[6]]))
        for vrid, role in enumerate(Role, 1)
    ]
    found = [codec.encode(codec.Beacon(6, 2, (1, 2)[:count], tuple(reports[: 1 + count]))) for count in range(3)]
    return [*found, *(one + bytes(auth.Trailer(1, auth.sequence(EPOCHS[0]), bytes(16))) for one in found)]


def _attacks() -> list[bytes]:
    speak, wait, replay, change, forge = b"\0\5\x10\x64\0", b"\0\1\2", b"\0\2\0", b"\0\3\0\2\xff", b"\0\4\x10\xff"
    return [
        b"\0\0\0" + speak + wait + replay + speak + change,
        b"\1\1\1" + speak + b"\0\1\6" + speak + b"\0\2\1" + forge,
        b"\1\0\0" + speak * 3 + wait * 3 + change * 3,
        b"\0\1\1" + b"\0\5\x14\x64\0" + speak + replay * 2 + b"\0\2\1",
    ]


READERS: Mapping[str, Reader] = {
    "packet": Reader(packet, _packets),
    "version2": Reader(outdated, _outdated, longest=128),
    "authentication": Reader(authentication, _attacks, longest=512),
    "beacon": Reader(beacon, _beacons, words=lambda: [b"\xb1\x01EX\x06", b"\xb1\x01EX\x04"], longest=1300),
    "ancillary": Reader(ancillary, _ancillaries, longest=256),
}
