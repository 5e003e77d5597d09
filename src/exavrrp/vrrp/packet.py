"""VRRPv3 on the wire: bytes ↔ ``Advertisement`` (RFC 9568 §5), for both families.

This file owns the layout of the packet, both checksums and every check of RFC 9568 §7.1. Each check is one member of a
closed enum (``Reason``), whose value is also the label of the counter and the text in the log. It must not know of
sockets, timers or states: what a receiver expects (its peers, its VRIDs) comes in as an ``Expectation``.

``decode`` checks a packet in the order of the RFC: source, destination, hop limit, version, type, length, VRID,
authentication, and only then the checksum and the content. It raises at the first check that fails, so a rejected
packet has no effect on any router. ``parse`` reads an advert without an ``Expectation``, for programs that only
monitor.

Two checksums exist for IPv4. RFC 9568 §5.2.8 sums the message alone; keepalived and FRR add a pseudo-header with the
real addresses, as IPv6 does. The configuration chooses which of them we send; we accept both.

An authentication trailer may follow the addresses; ``auth`` defines its content. The IPv6 checksum covers it, as it
covers the whole payload. The IPv4 checksum does not.
"""

import functools
import struct
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol, TypeVar

Address = IPv4Address | IPv6Address

PROTOCOL = 112
"""IP protocol number of VRRP (RFC 9568 §5.1.1.4 and §5.1.2.4)."""

VERSION = 3
ADVERTISEMENT = 1

LEAVING = 0
"""Priority of an Active that stops (RFC 9568 §5.2.4)."""

OWNER = 255
"""Priority of the address owner (RFC 9568 §5.2.4)."""

LONGEST_INTERVAL = 0x0FFF
"""Largest Max Advertise Interval, in centiseconds: a field of 12 bits (RFC 9568 §5.2.7) below 4 reserved ones."""

GROUPS: Mapping[int, Address] = {4: IPv4Address("224.0.0.18"), 6: IPv6Address("ff02::12")}
"""By IP version, the destination of multicast adverts (RFC 9568 §5.1.1.2 and §5.1.2.2)."""

CHECKSUM_AT = 6
"""Offset of the two checksum bytes in the message (RFC 9568 §5.2)."""

_HEADER = struct.Struct("!BBBBHH")
_IPV4_HEADER_MINIMUM = 20
_NOBODY: frozenset[Address] = frozenset()


class Reason(StrEnum):
    """Why a packet was rejected, in the order of the checks."""

    IP_HEADER = "ip-header"
    OWN_ADDRESS = "own-address"
    UNKNOWN_SOURCE = "unknown-source"
    MULTICAST = "multicast"
    HOP_LIMIT = "hop-limit"
    VERSION = "version"
    TYPE = "type"
    LENGTH = "length"
    UNKNOWN_VRID = "unknown-vrid"
    AUTH_MISSING = "auth-missing"
    AUTH_MALFORMED = "auth-malformed"
    AUTH_WINDOW = "auth-window"
    AUTH_UNKNOWN_KEY = "auth-unknown-key"
    AUTH_MAC = "auth-mac"
    AUTH_REPLAY = "auth-replay"
    CHECKSUM = "checksum"
    NO_ADDRESSES = "no-addresses"
    INTERVAL = "interval"


AUTHENTICATION = frozenset(
    {
        Reason.AUTH_MISSING,
        Reason.AUTH_MALFORMED,
        Reason.AUTH_WINDOW,
        Reason.AUTH_UNKNOWN_KEY,
        Reason.AUTH_MAC,
        Reason.AUTH_REPLAY,
    }
)
"""The reasons a ``Guard`` gives, and VRRPv2. Such a packet is complete, and its source is the address of a peer, or of
anybody where a router has no peers."""


class Malformed(Exception):
    """A received packet that must be discarded. ``reason`` is the check it failed; ``detail`` gives the value."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Ipv4Checksum(StrEnum):
    """Which of the two IPv4 checksums we send."""

    PSEUDO_HEADER = "pseudo-header"
    RFC9568 = "rfc9568"


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The content of one VRRPv3 advert."""

    vrid: int
    """1–255"""
    priority: int
    """0 = leaving, 1–254, 255 = address owner"""
    centiseconds: int
    """Max Advertise Interval, 1–4095"""
    addresses: tuple[Address, ...]
    """the VIPs, 1–255, all of one family, in the sender's order"""

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a value that its field (RFC 9568 §5.2) cannot hold, and for mixed families."""
        if not 1 <= self.vrid <= 255:
            raise ValueError(f"VRID {self.vrid} is not 1–255")
        if not LEAVING <= self.priority <= OWNER:
            raise ValueError(f"priority {self.priority} is not {LEAVING}–{OWNER}")
        if not 1 <= self.centiseconds <= LONGEST_INTERVAL:
            raise ValueError(f"Max Advertise Interval {self.centiseconds} is not 1–{LONGEST_INTERVAL} centiseconds")
        if not 1 <= len(self.addresses) <= 255:
            raise ValueError(f"{len(self.addresses)} addresses, an advert has 1–255")
        if len({address.version for address in self.addresses}) > 1:
            raise ValueError("addresses of both families; an advert has those of one")

    def __str__(self) -> str:
        return f"vrid {self.vrid} priority {self.priority} every {self.centiseconds / 100:g}s"


@dataclass(frozen=True, slots=True)
class Datagram:
    """One received IP packet of protocol 112."""

    source: Address
    destination: Address
    hop_limit: int
    """TTL or hop limit as received, 0–255"""
    payload: bytes
    """everything after the IP header"""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which adverts a receiver accepts."""

    own: frozenset[Address]
    """our own sources: an advert that comes from one of them is a loop or a forgery"""
    vrids: Mapping[int, Container[Address]]
    """VRID → the peers configured for it"""
    peers: Container[Address]
    """all configured peers"""
    minimum_hop_limit: int = 0
    """adverts with a lower TTL or hop limit are rejected; 0 accepts any (keepalived sends 64 by default)"""
    group: Address | None = None
    """the multicast group to which adverts are sent; None: they are unicast"""


class _Anybody:
    def __contains__(self, _: object) -> bool:
        return True


ANYBODY: Container[Address] = _Anybody()
"""The peers of a virtual router that hears whoever is on its link."""


def unscoped(address: Address) -> Address:
    """The address as packets have it: without the scope, the interface that a link-local address of ours is on."""
    return IPv6Address(address.packed) if address.version == 6 and address.scope_id is not None else address


_T = TypeVar("_T")


class Guard(Protocol[_T]):
    """Verifies the authentication of adverts; ``auth.Verifier`` implements it. ``_T``: what a valid trailer says."""

    def check(self, source: Address, message: bytes, rest: bytes, realtime: float, /) -> _T | None:
        """The trailer of an advert; None if it is neither signed nor has to be.

        ``message`` ends with the addresses; ``rest`` follows it in the payload. Changes nothing. Raises ``Malformed``.
        """

    def accept(self, source: Address, message: bytes, trailer: _T | None, realtime: float, /) -> None:
        """Record ``trailer`` as used: the advert has passed every other check, and a repeat of it is a replay."""


class _Open:
    """Accepts every advert, with or without a trailer."""

    def check(self, *_: object) -> None:
        pass

    def accept(self, *_: object) -> None:
        pass


OPEN: Guard[Any] = _Open()
"""The guard of a receiver without authentication."""


def encode(
    advertisement: Advertisement,
    source: Address,
    destination: Address,
    ipv4_checksum: Ipv4Checksum = Ipv4Checksum.PSEUDO_HEADER,
    trailer: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """The payload of protocol 112 for ``advertisement``, with its checksum (RFC 9568 §5.2).

    ``trailer`` returns the authentication trailer for a message whose checksum field is zero; it is appended. The IPv6
    checksum is computed here, not by the kernel: the code is the same for both families, and tests see the bytes that
    are sent. Raises ``ValueError`` when source, destination and addresses are not all of one family.
    """
    if not source.version == destination.version == advertisement.addresses[0].version:
        raise ValueError(f"{source} cannot send {advertisement.addresses[0]} to {destination}: not all of one family")
    body = _HEADER.pack(
        VERSION << 4 | ADVERTISEMENT,
        advertisement.vrid,
        advertisement.priority,
        len(advertisement.addresses),
        advertisement.centiseconds,
        0,
    ) + b"".join(address.packed for address in advertisement.addresses)
    rest = b"" if trailer is None else trailer(body)
    summed = body + rest if source.version == 6 else body
    plain = source.version == 4 and ipv4_checksum is Ipv4Checksum.RFC9568
    pseudo = b"" if plain else _pseudo_header(source, destination, len(summed))
    checksum = internet_checksum(pseudo + summed)
    return body[:CHECKSUM_AT] + checksum.to_bytes(2, "big") + body[CHECKSUM_AT + 2 :] + rest


def size(addresses: Sequence[Address]) -> int:
    """Bytes of an advert that lists these addresses, at least one, without IP header and trailer (RFC 9568 §5.2)."""
    return _HEADER.size + len(addresses) * (addresses[0].max_prefixlen // 8)


def decode(
    datagram: Datagram, expectation: Expectation, guard: Guard[Any] = OPEN, realtime: float = 0.0
) -> Advertisement:
    """The advert in ``datagram``, checked as RFC 9568 §7.1 demands, in that order.

    ``guard`` verifies the trailer, with ``realtime`` as its clock (seconds since the epoch). It records the advert as
    accepted only after every other check. Raises ``Malformed`` with the first check that fails, and nothing else,
    whatever the bytes.
    """
    admit(datagram, expectation)
    source, payload = datagram.source, datagram.payload
    header = _header(datagram)
    vrid, end = header[0], header[-1]
    if source not in expectation.vrids.get(vrid, _NOBODY):
        raise Malformed(Reason.UNKNOWN_VRID, f"VRID {vrid} is not configured with {source}")
    message = payload[:end]
    trailer = guard.check(source, message, payload[end:], realtime)
    advertisement = _advertisement(datagram, header)
    guard.accept(source, message, trailer, realtime)
    return advertisement


def admit(datagram: Datagram, expectation: Expectation) -> None:
    """The checks of who has sent it, where to and from how far. Raises ``Malformed``."""
    source = datagram.source
    if source in expectation.own:
        raise Malformed(Reason.OWN_ADDRESS, f"source {source} is our own address")
    if source not in expectation.peers:
        raise Malformed(Reason.UNKNOWN_SOURCE, f"source {source} is no configured peer")
    if expectation.group is None and datagram.destination.is_multicast:
        raise Malformed(Reason.MULTICAST, f"sent to {datagram.destination}; adverts here are unicast")
    if expectation.group is not None and datagram.destination != expectation.group:
        raise Malformed(Reason.MULTICAST, f"sent to {datagram.destination}; adverts here go to {expectation.group}")
    if datagram.hop_limit < expectation.minimum_hop_limit:
        raise Malformed(Reason.HOP_LIMIT, f"{datagram.hop_limit} is below {expectation.minimum_hop_limit}")


def parse(datagram: Datagram) -> Advertisement:
    """The advert in ``datagram``, from any source, to any destination, at any hop limit (RFC 9568 §5.2).

    For programs that only monitor; a program that acts on adverts must use ``decode``. Checks version, type, length,
    VRID, checksum, number of addresses and interval, in this order. An authentication trailer is not verified. Raises
    ``Malformed`` with the first check that fails, and nothing else, whatever the bytes.
    """
    return _advertisement(datagram, _header(datagram))


def strip_ipv4(packet: bytes) -> Datagram:
    """The datagram in a raw IPv4 packet (Linux hands the header along on raw sockets of this family, raw(7)).

    The header's total length counts: bytes beyond it are padding. Raises ``Malformed`` (``IP_HEADER``), and nothing
    else, whatever the bytes.
    """
    if len(packet) < _IPV4_HEADER_MINIMUM or packet[0] >> 4 != 4:
        raise Malformed(Reason.IP_HEADER, f"{len(packet)} bytes are no IPv4 packet")
    header = (packet[0] & 0x0F) * 4
    total = int.from_bytes(packet[2:4], "big")
    if not _IPV4_HEADER_MINIMUM <= header <= total <= len(packet):
        raise Malformed(Reason.IP_HEADER, f"header {header}, total {total}, received {len(packet)} bytes")
    return Datagram(
        source=_ipv4(packet[12:16]),
        destination=_ipv4(packet[16:20]),
        hop_limit=packet[8],
        payload=packet[header:total],
    )


_ipv4 = functools.lru_cache(maxsize=256)(IPv4Address)
"""Remembered: there are so few, and making one takes longer than the rest."""


_Header = tuple[int, int, int, int, int]
"""VRID, priority, number of addresses, the 16 bits that end in Max Advertise Interval, and where the addresses end."""


def _header(datagram: Datagram) -> _Header:
    """The header of a complete VRRPv3 ADVERTISEMENT. Raises Malformed."""
    payload = datagram.payload
    if len(payload) < 1 or payload[0] >> 4 != VERSION:
        raise Malformed(Reason.VERSION, f"{payload[0] >> 4}, not {VERSION}" if payload else "empty packet")
    if payload[0] & 0x0F != ADVERTISEMENT:
        raise Malformed(Reason.TYPE, f"{payload[0] & 0x0F}, not {ADVERTISEMENT} (ADVERTISEMENT)")
    if len(payload) < _HEADER.size:
        raise Malformed(Reason.LENGTH, f"{len(payload)} bytes, the header alone has {_HEADER.size}")
    _, vrid, priority, count, interval, _ = _HEADER.unpack_from(payload)
    end = _HEADER.size + count * (4 if datagram.source.version == 4 else 16)
    if len(payload) < end:
        raise Malformed(Reason.LENGTH, f"{len(payload)} bytes, {count} addresses need {end}")
    if vrid == 0:
        raise Malformed(Reason.UNKNOWN_VRID, "VRID 0 is not 1–255")
    return vrid, priority, count, interval, end


def _advertisement(datagram: Datagram, header: _Header) -> Advertisement:
    """The content of a message. Raises Malformed for a wrong checksum or a value that RFC 9568 §5.2 forbids."""
    payload = datagram.payload
    vrid, priority, count, interval, end = header
    if not _checksum_holds(datagram, end):
        raise Malformed(Reason.CHECKSUM, f"{payload[6:8].hex()} is wrong for these {end} bytes")
    if count == 0:
        raise Malformed(Reason.NO_ADDRESSES, "the address count is 0")
    centiseconds = interval & LONGEST_INTERVAL  # "Reserv … MUST be ignored on reception" (RFC 9568 §5.2.6)
    if centiseconds == 0:
        raise Malformed(Reason.INTERVAL, "Max Advertise Interval is 0")
    family, size = (IPv4Address, 4) if datagram.source.version == 4 else (IPv6Address, 16)
    addresses = tuple(family(payload[at : at + size]) for at in range(_HEADER.size, end, size))
    return Advertisement(vrid, priority, centiseconds, addresses)


def _checksum_holds(datagram: Datagram, end: int) -> bool:
    """Whether the checksum is right. For IPv6 it covers the whole payload (RFC 8200 §8.1).

    For IPv4 it covers the message up to ``end``, without what follows (an authentication trailer), and is accepted with
    and without a pseudo-header. The pseudo-header has the packet's own destination: the historical form with 224.0.0.18
    in a unicast packet is not accepted.
    """
    payload = datagram.payload
    if datagram.source.version == 6:
        pseudo = _pseudo_header(datagram.source, datagram.destination, len(payload))
        return internet_checksum(pseudo + payload) == 0
    message = payload[:end]
    pseudo = _pseudo_header(datagram.source, datagram.destination, end)
    return internet_checksum(pseudo + message) == 0 or internet_checksum(message) == 0


def _pseudo_header(source: Address, destination: Address, length: int) -> bytes:
    """The pseudo-header of RFC 8200 §8.1 for IPv6, and of UDP (RFC 768) for IPv4."""
    if source.version == 6:
        return source.packed + destination.packed + struct.pack("!IHBB", length, 0, 0, PROTOCOL)
    return source.packed + destination.packed + struct.pack("!BBH", 0, PROTOCOL, length)


def internet_checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the complement of the ones' complement sum of 16-bit words.

    It is 0 for data that contains its own right checksum. The sum equals the remainder modulo 2¹⁶ − 1, except for data
    that is all zeros, which an advert never is: it has a version.
    """
    if len(data) % 2:
        data += b"\0"
    return -int.from_bytes(data, "big") % 0xFFFF
